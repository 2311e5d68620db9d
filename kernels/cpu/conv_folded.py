"""Data gradients of few channels: a product whose columns are the taps of a window's row, then folded together.

Vectors of so few channels would be mostly empty. The channels under all taps of a row of the window fill them: a
convolution that steps only downwards computes these for every output column, and every source pixel then sums what
the columns around it hold for it. (The columns are those of "im2col", for one axis alone.)
"""

from __future__ import annotations

import numpy as np

from kernels.cpu import conv_data, conv_tables, plane_plan, scratch
from kernels.cpu.conv_plan import Geometry, even_parts
from kernels.cpu.jit import inner, kernel
from kernels.cpu.jobs import SMALL, run_jobs
from kernels.cpu.microkernels import NARROW, TILE_LANES
from kernels.cpu.packing import clear_floats, copy_floats
from kernels.cpu.simd import LANES, add, address, load, splat
from kernels.cpu.tails import write

#: Most floats of the columns of a block of images.
MOST_FLOATS = 2 * 1024 * 1024
_ZERO = np.float32(0)


def handles(g: Geometry) -> bool:
    """Whether the data gradient of `g` can be folded: one for planes, whose taps fill more than the narrow tile."""
    return plane_plan.handles(g, "data") and g.dilation[1] == 1 and g.kernel[1] * g.input[2] > NARROW


def columns(g: Geometry, images: int) -> Geometry:
    """The convolution downwards, from rows of taps, filled up to whole vectors, to the outputs of `g`."""
    run = -(-g.kernel[1] * g.input[2] // TILE_LANES) * TILE_LANES
    size, down = (g.input[0], g.output[1], run), (g.kernel[0], 1)
    return Geometry(images, size, g.output, down, (1, 1), (g.padding[0], 0), (g.dilation[0], 1), 1)


@inner
def _fold_row(taps, run, count, dx, width, channels, kernel_width, padding, job):
    """Row `job` of all images: every pixel sums, tap by tap, what the output columns that read it hold for it."""
    source, target = taps + 4 * job * count * run, dx + 4 * job * width * channels
    step, left = 4 * (channels - run), width * channels
    for pixel in range(width):
        last = pixel + padding
        low, high = max(0, last - count + 1), min(kernel_width, last + 1)
        place = source + 4 * ((last - low) * run + low * channels)
        for c in range(0, channels, LANES):
            total, at = splat(_ZERO), place + 4 * c
            for _ in range(low, high):
                total = add(total, load(at))
                at += step
            # lanes past the channels lie in the next pixel, which is written later
            write(target + 4 * c, total, left - c)
        target, left = target + 4 * channels, left - channels


@kernel("void(f4[::1], i8, i8, f4[:,:,:,::1], i8, i8)", parallel=False)
def fold_columns(taps, run, count, dx, kernel_width, padding):
    """``dx[n, h, w] = sum_j taps[n, h, w + padding - j, j]`` over the columns that there are."""
    arguments = address(taps), run, count, address(dx), dx.shape[2], dx.shape[3], kernel_width, padding
    run_jobs(_fold_row, arguments, dx.shape[0] * dx.shape[1], dx.size < SMALL)


@kernel("void(f4[:,:,:,::1], f4[::1], i8)", parallel=False)
def fill_up_rows(w, filled, run):
    """Weights (KH, 1, run, C_out) of :func:`columns`, with zeros past the taps of a row."""
    row, whole = w.shape[1] * w.shape[2] * w.shape[3], run * w.shape[3]
    for i in range(w.shape[0]):
        place = address(filled) + 4 * i * whole
        copy_floats(place, address(w) + 4 * i * row, row)
        clear_floats(place + 4 * row, whole - row)


def backward_data(g: Geometry, dy: np.ndarray, w: np.ndarray, dx: np.ndarray) -> None:
    """Data gradient `dx`, a block of images at a time."""
    height, count, run = columns(g, 1).input
    size = height * count * run
    weights = scratch.floats("folded weights", w.shape[0] * run * w.shape[3])
    images = max(1, MOST_FLOATS // max(1, size))
    fill_up_rows(w, weights, run)
    for first, last in even_parts(g.images, images):
        # vectors reach past the last tap
        taps = scratch.floats("folded columns", (last - first) * size + LANES)
        plan = conv_tables.backward_plan(columns(g, last - first))
        conv_data.run(plan, dy[first:last], weights, None, taps[: (last - first) * size])
        fold_columns(taps, run, count, dx[first:last], g.kernel[1], g.padding[1])
