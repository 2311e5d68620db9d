"""Deformable convolution; the formulas are in :mod:`kernels.reference.deform_conv`.

What the taps read is written, for as many output pixels as there is room for, into *columns*. From there on it is a
convolution of a single tap: each pixel has (taps x channels) floats for every group, and the tiled products of
:mod:`kernels.cuda.conv` meet them with the weights. Backward such a product gives the gradients of the columns, and
:mod:`kernels.cuda.deform_slopes` says what they mean.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from kernels.cuda import conv, launch
from kernels.cuda.deform_sampling import deform_sample_kernel
from kernels.cuda.deform_slopes import LANES, OWNERS, TILE, deform_image_kernel, deform_points_kernel
from kernels.cuda.launch import blocks, over
from kernels.cuda.maps import flat
from kernels.cuda.scratch import room
from kernels.cuda.sums import add_splits, column_sums

Pair = tuple[int, int]

#: The most floats of columns at a time: 128 MiB, which hold enough rows of large layers to keep a GPU busy.
COLUMN_FLOATS = 1 << 25
#: Stride, padding and dilation of the convolution of columns.
_STILL = ((1, 1), (0, 0), (1, 1))


class _Plan:
    """Sizes of a deformable convolution, after a check that its arrays fit each other."""

    def __init__(self, x, offset, mask, w, y, stride: Pair, padding: Pair, dilation: Pair, groups: int):
        (kh, kw, depth, outputs), channels = w.shape, x.shape[3]
        moving, rest = divmod(offset.shape[3], 2 * kh * kw)
        fits = rest == 0 and moving >= 1 and depth * groups == channels and outputs % groups == 0
        fits = fits and channels % moving == 0 and offset.shape[:3] == y.shape[:3] and len(x) == len(y)
        if not fits or (mask is not None and mask.shape != (*offset.shape[:3], offset.shape[3] // 2)):
            shapes = ", ".join(str(tuple(each.shape)) for each in (x, offset, mask, w, y) if each is not None)
            raise ValueError(f"arrays of a deformable convolution of {groups} groups do not fit each other: {shapes}")
        self.x, self.offset, self.mask = flat(x), flat(offset), flat(offset if mask is None else mask)
        self.taps, self.groups, self.moving, self.outputs = kh * kw, groups, moving, outputs
        self.images, self.height, self.width, self.channels = x.shape
        self.image_pixels, self.pixels = y.shape[1] * y.shape[2], y.shape[0] * y.shape[1] * y.shape[2]
        self.line, self.run = self.taps * channels, math.gcd(depth, channels // moving)
        counts = kw, self.taps, groups, moving, mask is not None
        numbers = (*x.shape[1:3], *y.shape[1:3], channels, *counts, *stride, *padding, *dilation, self.run)
        self.sizes = tuple(np.int32(number) for number in numbers)

    def weights(self, w: Any) -> Any:
        """Weights (KH, KW, C_in / groups, C_out) of one tap with as many inputs as all taps have together."""
        return w.reshape(1, 1, w.shape[0] * w.shape[1] * w.shape[2], w.shape[3])

    def parts(self) -> Iterator[tuple[int, int]]:
        """First output pixel and number of pixels of every part: by the sizes alone, and aligned to 16 bytes."""
        most = max(4, COLUMN_FLOATS // self.line // 4 * 4)
        for first in range(0, self.pixels, most):
            yield first, min(most, self.pixels - first)

    def columns(self, count: int) -> Any:
        """Room for the columns of so many pixels, as images of one pixel."""
        return room("columns", count * self.line).reshape(count, 1, 1, self.line)

    def outputs_of(self, y: Any, first: int, count: int) -> Any:
        """Some output pixels, as images of one pixel."""
        part = flat(y)[first * self.outputs : (first + count) * self.outputs]
        return part.reshape(count, 1, 1, self.outputs)

    def sampled(self, first: int, count: int) -> Any:
        """What the taps of so many output pixels read."""
        columns = self.columns(count)
        shape = over(columns.size // self.run * -(-self.run // 4))
        deform_sample_kernel(shape, self.x, self.offset, self.mask, flat(columns), np.int32(first), self.sizes)
        return columns

    def to_points(self, slopes: Any, first: int, doffset: Any, dmask: Any) -> None:
        """Gradients of offsets and mask, of those that are not None, from those of the columns."""
        width = self.channels // self.moving
        lanes = min(LANES, launch.THREADS, 1 << (width - 1).bit_length())
        outputs = (self.offset if array is None else flat(array) for array in (doffset, dmask))
        numbers = (np.int32(number) for number in (first, lanes, doffset is not None, dmask is not None))
        shape = over(slopes.size // width * lanes)
        deform_points_kernel(shape, self.x, self.offset, self.mask, flat(slopes), *outputs, *numbers, self.sizes)

    def to_image(self, slopes: Any, first: int, count: int, dx: Any) -> None:
        """Gradient of the images that so many output pixels belong to, from that of the columns."""
        tiles = -(-self.height // TILE) * -(-self.width // TILE)
        slices = self.moving * -(-self.channels // self.moving // LANES)
        images = (first + count - 1) // self.image_pixels - first // self.image_pixels + 1
        shape = blocks(tiles, slices, images, OWNERS)
        deform_image_kernel(shape, self.offset, self.mask, flat(slopes), flat(dx), np.int32(first), self.sizes)


# --- what networks call ----------------------------------------------------------------------------------------


def deform_conv2d_forward(
    x: Any,
    offset: Any,
    mask: Any,
    w: Any,
    b: Any,
    y: Any,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> None:
    """``y = b + sum over taps of sample @ w``.

    Parameters
    ----------
    x : device array (N, H, W, C_in)
    offset : device array (N, OH, OW, G K 2)
        For each of G offset groups and K = KH KW taps: rows down, columns to the right.
    mask : device array (N, OH, OW, G K) or None
    w : device array (KH, KW, C_in / groups, C_out)
    b : device array (C_out,) or None
    y : device array (N, OH, OW, C_out)
        Output.
    stride, padding, dilation : (int, int)
        Vertical and horizontal, in pixels.
    groups : int
        Divides C_in and C_out.
    """
    plan = _Plan(x, offset, mask, w, y, stride, padding, dilation, groups)
    for first, count in plan.parts():
        columns, part = plan.sampled(first, count), plan.outputs_of(y, first, count)
        conv.conv2d_forward(columns, plan.weights(w), b, part, *_STILL, groups)


def deform_conv2d_backward_data(
    x: Any,
    offset: Any,
    mask: Any,
    w: Any,
    dy: Any,
    dx: Any,
    doffset: Any,
    dmask: Any,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> None:
    """Gradients of the image, of the offsets (through the bilinear weights) and of the mask.

    Parameters
    ----------
    x : device array (N, H, W, C_in)
    offset : device array (N, OH, OW, G K 2)
    mask : device array (N, OH, OW, G K) or None
    w : device array (KH, KW, C_in / groups, C_out)
    dy : device array (N, OH, OW, C_out)
    dx, doffset, dmask : device array or None
        Outputs, shaped like x, offset and mask; None where no gradient is wanted.
    stride, padding, dilation : (int, int)
    groups : int
    """
    plan = _Plan(x, offset, mask, w, dy, stride, padding, dilation, groups)
    for first, count in plan.parts():
        slopes, part = plan.columns(count), plan.outputs_of(dy, first, count)
        conv.conv2d_backward_data(part, plan.weights(w), slopes, *_STILL, groups)
        if doffset is not None or dmask is not None:
            plan.to_points(slopes, first, doffset, dmask)
        if dx is not None:
            plan.to_image(slopes, first, count, dx)


def deform_conv2d_backward_weights(
    x: Any,
    offset: Any,
    mask: Any,
    dy: Any,
    dw: Any,
    db: Any,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> None:
    """Gradients of the parameters: ``dw = sample^T dy`` for each tap, and ``db = sum dy``.

    Parameters
    ----------
    x : device array (N, H, W, C_in)
    offset : device array (N, OH, OW, G K 2)
    mask : device array (N, OH, OW, G K) or None
    dy : device array (N, OH, OW, C_out)
    dw : device array (KH, KW, C_in / groups, C_out)
        Output.
    db : device array (C_out,) or None
        Output; None for a layer without bias.
    stride, padding, dilation : (int, int)
    groups : int
    """
    plan = _Plan(x, offset, mask, dw, dy, stride, padding, dilation, groups)
    parts = list(plan.parts())
    partial = room("parts of deformable weights", len(parts) * dw.size) if len(parts) > 1 else flat(dw)
    for i, (first, count) in enumerate(parts):
        target = plan.weights(partial[i * dw.size : (i + 1) * dw.size].reshape(*dw.shape))
        columns, part = plan.sampled(first, count), plan.outputs_of(dy, first, count)
        conv.conv2d_backward_weights(columns, part, target, None, *_STILL, groups)
    if len(parts) > 1:
        add_splits(partial, flat(dw), len(parts))
    if db is not None:
        column_sums(flat(dy), db, plan.pixels, plan.outputs)
