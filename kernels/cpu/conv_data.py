"""The engine behind convolution forward, its data gradient, and matrix products: gathered dot products.

Weights are packed into panels of sixteen outputs. A job walks the pixel classes of some images and, with register
tiles of six pixels by sixteen outputs, sums over each pixel's taps straight from the source image.
"""

from __future__ import annotations

import numpy as np
from numba import get_thread_id, prange

from kernels.cpu import conv_tables as ct
from kernels.cpu import scratch
from kernels.cpu.jit import inner, kernel
from kernels.cpu.microkernels import NARROW, NARROW_ROWS, WIDE, WIDE_ROWS, dot_narrow, dot_wide
from kernels.cpu.packing import ROW_BYTES, clear_floats, copy_floats, pack_rows
from kernels.cpu.simd import address

#: Per-thread scratch: sums of a tile that hangs over the edge, and the offsets of its pixels.
TILE_FLOATS = NARROW_ROWS * WIDE
_NO_BIAS = np.zeros(0, np.float32)


@inner
def _pack_panel(weights, bias, bias_size, plan, panel, packed):
    """Pack one panel: a row of first values (the bias), then the weight rows in the order of `plan`."""
    rows = plan[ct.TAPS] * plan[ct.INNER]
    target = packed + panel * (rows + 1) * ROW_BYTES
    entry = plan[ct.PANEL_TABLE] + panel * ct.PANEL_FIELDS
    width, first = plan[entry + ct.PANEL_WIDTH], plan[entry + ct.PANEL_TARGET]
    clear_floats(target, WIDE)
    if bias_size > 0:
        copy_floats(target, bias + 4 * first, width)
    for tap in range(plan[ct.TAPS]):
        place = plan[ct.TAPS] - 1 - tap if plan[ct.REVERSED] else tap
        source = weights + 4 * (plan[entry + ct.PANEL_WEIGHT] + tap * plan[ct.TAP_STRIDE])
        target_row = target + (1 + place * plan[ct.INNER]) * ROW_BYTES
        inner_stride, lane_stride = plan[ct.INNER_STRIDE], plan[ct.LANE_STRIDE]
        pack_rows(source, plan[ct.INNER], inner_stride, lane_stride, width, target_row)


@kernel("void(f4[::1], f4[::1], i4[::1], f4[::1])")
def pack_panels(weights, bias, plan, packed):
    """Pack all panels of `weights`; `bias` is empty where there is none."""
    count = plan[ct.PANEL_COUNT]
    for panel in prange(count):
        _pack_panel(address(weights), address(bias), bias.size, plan, panel, address(packed))


@inner
def _partial_tile(x, pixels, valid, rows, taps, tap_count, panel, y, outs, width, more, plan, tile, ints):
    """A tile with fewer valid pixels or outputs than registers: computed in scratch, then copied."""
    table = address(plan)
    for r in range(rows):
        ints[r] = plan[pixels + min(r, valid - 1)]
    if more:
        for r in range(valid):
            copy_floats(tile + r * ROW_BYTES, y + 4 * plan[outs + r], width)
    offsets = table + 4 * plan[ct.TILE_ROWS]
    if rows == WIDE_ROWS:
        dot_wide(x, address(ints), taps, tap_count, panel + ROW_BYTES, panel, tile, offsets, more)
    else:
        dot_narrow(x, address(ints), taps, tap_count, panel + ROW_BYTES, panel, tile, offsets, more)
    for r in range(valid):
        copy_floats(y + 4 * plan[outs + r], tile + r * ROW_BYTES, width)


@inner
def _panel_tiles(x, y, panel, width, plan, pixels, outs, count, taps, tap_count, more, tile, ints):
    """All tiles of `count` pixels with one panel and one part of the weight rows."""
    table = address(plan)
    rows = NARROW_ROWS if width <= NARROW else WIDE_ROWS
    full = rows * (count // rows) if width == WIDE or width == NARROW else 0
    for p in range(0, full, rows):
        at, to = table + 4 * (pixels + p), table + 4 * (outs + p)
        if width == WIDE:
            dot_wide(x, at, taps, tap_count, panel + ROW_BYTES, panel, y, to, more)
        else:
            dot_narrow(x, at, taps, tap_count, panel + ROW_BYTES, panel, y, to, more)
    for p in range(full, count, rows):
        valid = min(rows, count - p)
        _partial_tile(
            x, pixels + p, valid, rows, taps, tap_count, panel, y, outs + p, width, more, plan, tile, ints
        )


@inner
def _segment(x, y, packed, plan, segment, images, first_panel, last_panel, tile, ints):
    """The pixels of one segment, part by part of the weight rows, panel by panel."""
    entry = plan[ct.CLASS_TABLE] + plan[segment] * ct.CLASS_FIELDS
    low = plan[segment + 1]
    count = min(plan[segment + 2], images * plan[entry + ct.CLASS_COUNT]) - low
    pixels, outs = plan[entry + ct.CLASS_PIXELS] + low, plan[entry + ct.CLASS_TARGETS] + low
    panel_bytes = (plan[ct.TAPS] * plan[ct.INNER] + 1) * ROW_BYTES
    for part in range(plan[entry + ct.CLASS_PART_COUNT]):
        place = plan[entry + ct.CLASS_PARTS] + 2 * part
        taps = address(plan) + 4 * plan[place]
        for panel in range(first_panel, last_panel):
            row = plan[ct.PANEL_TABLE] + panel * ct.PANEL_FIELDS
            _panel_tiles(
                x + 4 * plan[row + ct.PANEL_SOURCE],
                y + 4 * plan[row + ct.PANEL_TARGET],
                packed + panel * panel_bytes,
                plan[row + ct.PANEL_WIDTH],
                plan, pixels, outs, count, taps, plan[place + 1], part, tile, ints,
            )  # fmt: skip


@inner
def _job(job, x, weights, bias, bias_size, y, plan, packed, tile, ints):
    """One group of panels over one slice of one group of images."""
    blocks = plan[ct.IMAGE_GROUPS] * plan[ct.SLICES]
    panel_group, block = job // blocks, job % blocks
    first_panel = panel_group * plan[ct.PANEL_COUNT] // plan[ct.PANEL_GROUPS]
    last_panel = (panel_group + 1) * plan[ct.PANEL_COUNT] // plan[ct.PANEL_GROUPS]
    if plan[ct.PACK_INSIDE]:
        for panel in range(first_panel, last_panel):
            _pack_panel(weights, bias, bias_size, plan, panel, packed)
    first_image = block // plan[ct.SLICES] * plan[ct.GROUP]
    images = min(plan[ct.GROUP], plan[ct.IMAGES] - first_image)
    slice_entry = plan[ct.SLICE_TABLE] + block % plan[ct.SLICES]
    for segment in range(plan[slice_entry], plan[slice_entry + 1]):
        _segment(
            x + 4 * first_image * plan[ct.SOURCE_IMAGE],
            y + 4 * first_image * plan[ct.TARGET_IMAGE],
            packed, plan, plan[ct.SEGMENT_TABLE] + 3 * segment, images, first_panel, last_panel, tile, ints,
        )  # fmt: skip


@kernel("void(f4[::1], f4[::1], f4[::1], f4[::1], i4[::1], f4[::1], f4[:,::1], i4[:,::1])")
def gathered_dots(x, weights, bias, y, plan, packed, tiles, ints):
    """Every target pixel of `plan`: ``y = bias + sum over taps of x @ weights``."""
    jobs = plan[ct.IMAGE_GROUPS] * plan[ct.SLICES] * plan[ct.PANEL_GROUPS]
    at_x, at_w, at_b, at_y, at_packed = address(x), address(weights), address(bias), address(y), address(packed)
    if plan[ct.SERIAL]:
        for job in range(jobs):
            _job(job, at_x, at_w, at_b, bias.size, at_y, plan, at_packed, address(tiles), ints[0])
    else:
        for job in prange(jobs):
            thread = get_thread_id()
            tile = address(tiles[thread])
            _job(job, at_x, at_w, at_b, bias.size, at_y, plan, at_packed, tile, ints[thread])


def run(plan: np.ndarray, x: np.ndarray, w: np.ndarray, b: np.ndarray | None, y: np.ndarray) -> None:
    """Execute `plan`.

    Parameters
    ----------
    plan : ndarray of int32
        From :mod:`kernels.cpu.conv_tables`.
    x, w, y : ndarray
        Source pixels, weights and target pixels, C-contiguous float32.
    b : ndarray (target channels,) or None
        Added to every pixel.
    """
    if y.size == 0:
        return
    weights, bias = w.reshape(-1), _NO_BIAS if b is None else b
    packed = scratch.floats("packed weights", ct.packed_floats(plan))
    if not plan[ct.PACK_INSIDE]:
        pack_panels(weights, bias, plan, packed)
    tiles = scratch.thread_rows("tile", TILE_FLOATS)
    ints = scratch.thread_rows("tile pixels", NARROW_ROWS, np.int32)
    gathered_dots(x.reshape(-1), weights, bias, y.reshape(-1), plan, packed, tiles, ints)
