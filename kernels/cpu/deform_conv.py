"""Deformable convolution; the formulas are in :mod:`kernels.reference.deform_conv`.

What the taps read is written, for a block of output pixels, into scratch that stays in the cache, and meets the packed
weights there. Forward a job is a block of pixels, for the gradients of the data an image, for those of the weights one
tap of some input channels: nothing has to be added up across jobs.
"""

from __future__ import annotations

import numpy as np
from numba import get_thread_id

from kernels.cpu import broadcast, scratch
from kernels.cpu.deform_sampling import CHANNELS as CH
from kernels.cpu.deform_sampling import GROUPS, HEIGHT, OFFSET_GROUPS, OUTPUTS, TAPS, WIDTH, axes, sample, scatter
from kernels.cpu.jit import inner, kernel
from kernels.cpu.jobs import run_jobs
from kernels.cpu.microkernels import WIDE
from kernels.cpu.packing import ROW_BYTES, clear_floats, copy_floats
from kernels.cpu.panels import (
    BLOCK,
    WORK,
    multiply,
    multiply_transposed,
    pack_columns,
    pack_transpose,
    padded,
    whole_panels,
)
from kernels.cpu.simd import address, load_scalar, store_scalar
from kernels.cpu.tails import zero_floats

Pair = tuple[int, int]
_ZERO, _ONE = np.float32(0), np.float32(1)
#: Output pixels of a job of the forward pass, and of a block of the gradients of the data.
_PIXELS = 48
#: Most input channels of a job of the weights' gradient.
_CHANNELS = 64
_SMALL_WORK = 200_000
_IMAGE, _SIZES = "f4[:,:,:,::1]", "UniTuple(i8, 10), UniTuple(i8, 6)"
_NOTHING = np.empty((0, 0, 0, 0), np.float32)

# --- forward -------------------------------------------------------------------------------------


@inner
def _pack_job(w, panels, sizes, job):
    """Pack the weights of one tap and one group: rows are its input channels."""
    taps, groups = sizes[TAPS], sizes[GROUPS]
    group, tap, depth, width = job // taps, job % taps, sizes[CH] // groups, sizes[OUTPUTS] // groups
    source = w + 4 * (tap * depth * sizes[OUTPUTS] + group * width)
    target = panels + (group * taps + tap) * whole_panels(width) // WIDE * depth * ROW_BYTES
    pack_columns(target, source, sizes[OUTPUTS], depth, width)


@inner
def _forward_job(x, offset, mask, bias, y, panels, sizes, steps, pixels, own, own_bytes, job):
    taps, groups, channels, outputs = sizes[TAPS], sizes[GROUPS], sizes[CH], sizes[OUTPUTS]
    depth, width = channels // groups, outputs // groups
    first, wide = job * _PIXELS, whole_panels(width)
    count = min(_PIXELS, pixels - first)
    work = own + get_thread_id() * own_bytes
    columns = work + 4 * WORK
    sums = columns + 4 * _PIXELS * taps * channels
    for r in range(count):
        for tap in range(taps):
            target = columns + 4 * (r * taps + tap) * channels
            sample(x, offset, mask, first + r, tap, target, 0, channels, sizes, steps)
    for group in range(groups):
        for r in range(count):
            if bias:
                copy_floats(sums + 4 * r * wide, bias + 4 * group * width, width)
            else:
                clear_floats(sums + 4 * r * wide, width)
        for tap in range(taps):
            weights = panels + (group * taps + tap) * wide // WIDE * depth * ROW_BYTES
            read = columns + 4 * (tap * channels + group * depth)
            multiply(read, taps * channels, count, depth, weights, width, sums, wide, work, 1)
        for r in range(count):
            copy_floats(y + 4 * ((first + r) * outputs + group * width), sums + 4 * r * wide, width)


@kernel(f"void({', '.join([_IMAGE] * 4)}, f4[::1], {_IMAGE}, f4[::1], f4[:,::1], {_SIZES})", parallel=False)
def deform_forward_kernel(x, offset, mask, w, bias, y, panels, rows, sizes, steps):
    """Pack the weights, then sample and multiply block by block; an empty `mask` or `bias` is none."""
    pixels = y.shape[0] * y.shape[1] * y.shape[2]
    serial = pixels * w.size < _SMALL_WORK
    run_jobs(_pack_job, (address(w), address(panels), sizes), sizes[TAPS] * sizes[GROUPS], serial)
    arguments = (
        address(x), address(offset), address(mask) if mask.size else 0, address(bias) if bias.size else 0, address(y),
        address(panels), sizes, steps, pixels, address(rows), 4 * rows.shape[1],
    )  # fmt: skip
    run_jobs(_forward_job, arguments, (pixels + _PIXELS - 1) // _PIXELS, serial)


# --- gradients of the image, the offsets and the mask --------------------------------------------


@inner
def _pack_transpose_job(w, panels, sizes, job):
    """Pack the transposed weights of one tap and one group: rows are its outputs."""
    taps, groups = sizes[TAPS], sizes[GROUPS]
    group, tap, depth, width = job // taps, job % taps, sizes[CH] // groups, sizes[OUTPUTS] // groups
    source = w + 4 * (tap * depth * sizes[OUTPUTS] + group * width)
    target = panels + (group * taps + tap) * whole_panels(depth) // WIDE * width * ROW_BYTES
    pack_transpose(target, source, sizes[OUTPUTS], width, depth)


@inner
def _point_slopes(image, gradient, slopes, pixel, group, tap, offset, factor, sizes, steps, wanted):
    """What one tap of one offset group hands on; returns the gradients of its row, its column and its mask."""
    taps, depth, width = sizes[TAPS], sizes[CH] // sizes[GROUPS], sizes[CH] // sizes[OFFSET_GROUPS]
    down, across = axes(offset, pixel, group, tap, sizes, steps)
    a, b, c, d = _ZERO, _ZERO, _ZERO, _ZERO
    low, high = group * width, (group + 1) * width
    while low < high:
        part = low // depth
        last = min(high, (part + 1) * depth)
        slope = slopes + 4 * ((part * taps + tap) * whole_panels(depth) + low - part * depth)
        ta, tb, tc, td = scatter(image, gradient, slope, down, across, factor, low, last - low, sizes, wanted)
        a, b, c, d = a + ta, b + tb, c + tc, d + td
        low = last
    row = down[4] * (across[2] * a + across[3] * b) + down[5] * (across[2] * c + across[3] * d)
    column = across[4] * (down[2] * a + down[3] * c) + across[5] * (down[2] * b + down[3] * d)
    read = down[2] * (across[2] * a + across[3] * b) + down[3] * (across[2] * c + across[3] * d)
    return row, column, read


@inner
def _pixel_slopes(arrays, pixel, image, gradient, slopes, sizes, steps):
    """All taps of one output pixel; `slopes` are the gradients of what they read."""
    _, offset, mask, _, dx, doffset, dmask, _ = arrays
    for group in range(sizes[OFFSET_GROUPS]):
        for tap in range(sizes[TAPS]):
            at = 4 * ((pixel * sizes[OFFSET_GROUPS] + group) * sizes[TAPS] + tap)
            factor = load_scalar(mask + at) if mask else _ONE
            row, column, read = _point_slopes(
                image, gradient, slopes, pixel, group, tap, offset, factor, sizes, steps, dx != 0
            )
            if doffset:
                store_scalar(doffset + 2 * at, row * factor)
                store_scalar(doffset + 2 * at + 4, column * factor)
            if dmask:
                store_scalar(dmask + at, read)


@inner
def _data_job(arrays, sizes, steps, pixels, own, own_bytes, job):
    """One image of `pixels` output pixels."""
    x, _, _, dy, dx, _, _, panels = arrays
    taps, groups, outputs = sizes[TAPS], sizes[GROUPS], sizes[OUTPUTS]
    depth, width, size = sizes[CH] // groups, outputs // groups, sizes[HEIGHT] * sizes[WIDTH] * sizes[CH]
    wide, image = whole_panels(depth), x + 4 * job * size
    gradient = dx + 4 * job * size if dx else image
    work = own + get_thread_id() * own_bytes
    slopes, line = work + 4 * WORK, groups * taps * wide
    if dx:
        zero_floats(gradient, size)
    for first in range(job * pixels, (job + 1) * pixels, _PIXELS):
        count = min(_PIXELS, (job + 1) * pixels - first)
        for part in range(groups * taps):
            upstream = dy + 4 * (first * outputs + part // taps * width)
            weights, target = panels + part * wide // WIDE * width * ROW_BYTES, slopes + 4 * part * wide
            multiply(upstream, outputs, count, width, weights, depth, target, line, work, 0)
        for r in range(count):
            _pixel_slopes(arrays, first + r, image, gradient, slopes + 4 * r * line, sizes, steps)


@kernel(f"void({', '.join([_IMAGE] * 8)}, f4[::1], f4[:,::1], {_SIZES})", parallel=False)
def deform_data_kernel(x, offset, mask, w, dy, dx, doffset, dmask, panels, rows, sizes, steps):
    """Image by image; empty outputs are not wanted."""
    serial = dy.shape[0] * dy.shape[1] * dy.shape[2] * w.size < _SMALL_WORK
    run_jobs(_pack_transpose_job, (address(w), address(panels), sizes), sizes[TAPS] * sizes[GROUPS], serial)
    arrays = (
        address(x), address(offset), address(mask) if mask.size else 0, address(dy), address(dx) if dx.size else 0,
        address(doffset) if doffset.size else 0, address(dmask) if dmask.size else 0, address(panels),
    )  # fmt: skip
    arguments = (arrays, sizes, steps, dy.shape[1] * dy.shape[2], address(rows), 4 * rows.shape[1])
    run_jobs(_data_job, arguments, dy.shape[0], serial)


# --- gradients of the weights --------------------------------------------------------------------


@inner
def _weights_job(x, offset, mask, dy, dw, sizes, steps, pixels, own, own_bytes, job):
    """One tap of at most `_CHANNELS` input channels of one group."""
    groups, outputs = sizes[GROUPS], sizes[OUTPUTS]
    depth, width = sizes[CH] // groups, outputs // groups
    blocks = (depth + _CHANNELS - 1) // _CHANNELS
    tap, group, block = job // blocks // groups, job // blocks % groups, job % blocks
    low = group * depth + depth * block // blocks
    count, wide = group * depth + depth * (block + 1) // blocks - low, whole_panels(width)
    work = own + get_thread_id() * own_bytes
    columns = work + 4 * WORK
    panels = columns + 4 * BLOCK * _CHANNELS
    sums = panels + 4 * BLOCK * wide
    for first in range(0, pixels, BLOCK):
        some = min(BLOCK, pixels - first)
        for r in range(some):
            target = columns + 4 * r * _CHANNELS
            sample(x, offset, mask, first + r, tap, target, low, low + count, sizes, steps)
        pack_columns(panels, dy + 4 * (first * outputs + group * width), outputs, some, width)
        multiply_transposed(columns, _CHANNELS, count, some, panels, width, sums, wide, work, first)
    for c in range(count):
        row = tap * depth + low - group * depth + c
        copy_floats(dw + 4 * (row * outputs + group * width), sums + 4 * c * wide, width)


@kernel(f"void({', '.join([_IMAGE] * 5)}, f4[:,::1], {_SIZES})", parallel=False)
def deform_weights_kernel(x, offset, mask, dy, dw, rows, sizes, steps):
    """Tap by tap and channels by channels, over all pixels."""
    pixels = dy.shape[0] * dy.shape[1] * dy.shape[2]
    arguments = (
        address(x), address(offset), address(mask) if mask.size else 0, address(dy), address(dw), sizes, steps, pixels,
        address(rows), 4 * rows.shape[1],
    )  # fmt: skip
    blocks = (sizes[CH] // sizes[GROUPS] + _CHANNELS - 1) // _CHANNELS
    run_jobs(_weights_job, arguments, sizes[TAPS] * sizes[GROUPS] * blocks, pixels * dw.size < _SMALL_WORK)


# --- the functions -------------------------------------------------------------------------------


class _Plan:
    """Sizes and steps of a deformable convolution, after a check that its arrays fit each other."""

    def __init__(self, x, offset, mask, w, y, stride: Pair, padding: Pair, dilation: Pair, groups: int):
        (kh, kw, depth, outputs), channels = w.shape, x.shape[3]
        moving, rest = divmod(offset.shape[3], 2 * kh * kw)
        fits = rest == 0 and moving >= 1 and depth * groups == channels and outputs % groups == 0
        fits = fits and channels % moving == 0 and offset.shape[:3] == y.shape[:3] and len(x) == len(y)
        if not fits or (mask is not None and mask.shape != (*offset.shape[:3], offset.shape[3] // 2)):
            shapes = ", ".join(str(each.shape) for each in (x, offset, mask, w, y) if each is not None)
            raise ValueError(f"arrays of a deformable convolution of {groups} groups do not fit each other: {shapes}")
        self.taps, self.depth, self.width, self.groups = kh * kw, depth, outputs // groups, groups
        self.sizes = (*x.shape[1:], *y.shape[1:], kw, self.taps, groups, moving)
        self.steps = (*stride, *padding, *dilation)

    def panels(self, rows: int, columns: int) -> np.ndarray:
        return scratch.floats("deform weights", self.groups * self.taps * padded(columns) * rows)

    @staticmethod
    def rows(floats: int) -> np.ndarray:
        return scratch.thread_rows("deform", WORK + floats)


def _given(array: np.ndarray | None, axes: int = 4) -> np.ndarray:
    return _NOTHING.reshape((0,) * axes) if array is None else array


def deform_conv2d_forward(
    x: np.ndarray,
    offset: np.ndarray,
    mask: np.ndarray | None,
    w: np.ndarray,
    b: np.ndarray | None,
    y: np.ndarray,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> None:
    """``y = b + sum over taps of sample @ w``.

    Parameters
    ----------
    x : ndarray (N, H, W, C_in)
    offset : ndarray (N, OH, OW, G K 2)
        For each of G offset groups and K = KH KW taps: rows down, columns to the right.
    mask : ndarray (N, OH, OW, G K) or None
    w : ndarray (KH, KW, C_in / groups, C_out)
    b : ndarray (C_out,) or None
    y : ndarray (N, OH, OW, C_out)
        Output.
    stride, padding, dilation : (int, int)
        Vertical and horizontal, in pixels.
    groups : int
        Divides C_in and C_out.
    """
    plan = _Plan(x, offset, mask, w, y, stride, padding, dilation, groups)
    rows = plan.rows(_PIXELS * (plan.taps * x.shape[3] + padded(plan.width)))
    arrays = x, offset, _given(mask), w, _given(b, 1), y, plan.panels(plan.depth, plan.width), rows
    deform_forward_kernel(*arrays, plan.sizes, plan.steps)


def deform_conv2d_backward_data(
    x: np.ndarray,
    offset: np.ndarray,
    mask: np.ndarray | None,
    w: np.ndarray,
    dy: np.ndarray,
    dx: np.ndarray | None,
    doffset: np.ndarray | None,
    dmask: np.ndarray | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> None:
    """Gradients of the image, of the offsets (through the bilinear weights) and of the mask.

    Parameters
    ----------
    x : ndarray (N, H, W, C_in)
    offset : ndarray (N, OH, OW, G K 2)
    mask : ndarray (N, OH, OW, G K) or None
    w : ndarray (KH, KW, C_in / groups, C_out)
    dy : ndarray (N, OH, OW, C_out)
    dx, doffset, dmask : ndarray or None
        Outputs, shaped like x, offset and mask; None where no gradient is wanted.
    stride, padding, dilation : (int, int)
    groups : int
    """
    plan = _Plan(x, offset, mask, w, dy, stride, padding, dilation, groups)
    rows = plan.rows(_PIXELS * groups * plan.taps * padded(plan.depth))
    gradients = _given(dx), _given(doffset), _given(dmask)
    arrays = x, offset, _given(mask), w, dy, *gradients, plan.panels(plan.width, plan.depth), rows
    deform_data_kernel(*arrays, plan.sizes, plan.steps)


def deform_conv2d_backward_weights(
    x: np.ndarray,
    offset: np.ndarray,
    mask: np.ndarray | None,
    dy: np.ndarray,
    dw: np.ndarray,
    db: np.ndarray | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> None:
    """Gradients of the parameters: ``dw = sample^T dy`` for each tap, and ``db = sum dy``.

    Parameters
    ----------
    x : ndarray (N, H, W, C_in)
    offset : ndarray (N, OH, OW, G K 2)
    mask : ndarray (N, OH, OW, G K) or None
    dy : ndarray (N, OH, OW, C_out)
    dw : ndarray (KH, KW, C_in / groups, C_out)
        Output.
    db : ndarray (C_out,) or None
        Output; None for a layer without bias.
    stride, padding, dilation : (int, int)
    groups : int
    """
    plan = _Plan(x, offset, mask, dw, dy, stride, padding, dilation, groups)
    rows = plan.rows(BLOCK * (_CHANNELS + padded(plan.width)) + _CHANNELS * padded(plan.width))
    deform_weights_kernel(x, offset, _given(mask), dy, dw, rows, plan.sizes, plan.steps)
    if db is not None:
        broadcast.sum_to(dy.reshape(-1, db.size), db[None])
