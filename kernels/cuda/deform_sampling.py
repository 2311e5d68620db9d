"""Where the taps of a deformable convolution read, and what they read; see :mod:`kernels.reference.deform_conv`.

A *point* is where one tap of one offset group reads for one output pixel: points are numbered as the mask's floats are,
(N, OH, OW, G, K). What all points read is a row for each output pixel: *columns* (pixels, groups, K, C / groups), in
which the floats that meet one group's weights lie side by side.
"""

from __future__ import annotations

import math

import numpy as np

from kernels.cuda.indices import divided
from kernels.cuda.jit import inner, kernel
from kernels.cuda.tiles import at_or_zero
from kernels.cuda.toolkit import cuda
from kernels.cuda.vectors import store4

_ZERO, _ONE = np.float32(0), np.float32(1)
#: Numbers that the kernels are told: sizes of the image and of the output, channels, columns of the window, taps,
#: groups of the weights and of the offsets, whether there is a mask, the window's geometry, and how many channels lie
#: in one group of either sort.
(
    HEIGHT, WIDTH, OUT_HEIGHT, OUT_WIDTH, CHANNELS, WINDOW, TAPS, GROUPS, OFFSET_GROUPS, MASKED,
    STRIDE_H, STRIDE_W, PAD_H, PAD_W, STEP_H, STEP_W, RUN,
) = range(17)  # fmt: skip
SIZES = "UniTuple(int32, 17)"
#: Where a point lies that reads nothing: it and the pixel behind it are outside.
_OUTSIDE = -2


@inner
def _axis(start, offset, size):
    """The pixel in front of ``start + offset`` along an axis, and the share of the pixel behind it.

    Start and offset are never added: a float32 could be rounded across the border of a cell. At exactly -1 the image
    has faded out.
    """
    if offset <= np.float32(-1 - start) or offset >= np.float32(size - start):
        return _OUTSIDE, _ZERO
    below = math.floor(offset)
    return start + int(below), offset - np.float32(below)


@inner
def place_of(offset, point, sizes):
    """Row and column of the upper left of the four pixels around a point, and the shares of those below and right.

    An offset that is not a number gives shares that are none.
    """
    vertical, sideways = offset[2 * point], offset[2 * point + 1]
    if vertical != vertical or sideways != sideways:
        return 0, 0, vertical + sideways, vertical + sideways
    rest, tap = divided(point, sizes[TAPS])
    line, column = divided(rest // sizes[OFFSET_GROUPS], sizes[OUT_WIDTH])
    top = line % sizes[OUT_HEIGHT] * sizes[STRIDE_H] - sizes[PAD_H] + tap // sizes[WINDOW] * sizes[STEP_H]
    left = column * sizes[STRIDE_W] - sizes[PAD_W] + tap % sizes[WINDOW] * sizes[STEP_W]
    row, down = _axis(top, vertical, sizes[HEIGHT])
    x, across = _axis(left, sideways, sizes[WIDTH])
    return row, x, down, across


@inner
def factor_of(mask, point, sizes):
    """The mask of a point, 1 where there is none."""
    return mask[point] if sizes[MASKED] else _ONE


@inner
def pixel_at(image, row, column, sizes):
    """A pixel's number over all images, or below 0 outside."""
    if row < 0 or row >= sizes[HEIGHT] or column < 0 or column >= sizes[WIDTH]:
        return -1
    return (image * sizes[HEIGHT] + row) * sizes[WIDTH] + column


@inner
def _blended(x, image, row, column, down, across, channel, shift, sizes):
    """What a point reads of four channels, ``channel + shift`` and on, as far as they lie in its run."""
    a, b, c, d = _ZERO, _ZERO, _ZERO, _ZERO
    for i in range(2):
        for j in range(2):
            pixel = pixel_at(image, row + i, column + j, sizes)
            if pixel >= 0:
                weight = (down if i else _ONE - down) * (across if j else _ONE - across)
                e, f, g, h = at_or_zero(x, pixel * sizes[CHANNELS] + channel, shift, sizes[RUN])
                a, b, c, d = a + weight * e, b + weight * f, c + weight * g, d + weight * h
    return a, b, c, d


@inner
def _store(array, begin, position, size, four):
    """``array[begin + position :] = four``, as far as positions are below `size`."""
    place = begin + position
    if position + 4 <= size and place % 4 == 0:
        store4(array, place, four[0], four[1], four[2], four[3])
    else:
        array[place] = four[0]
        if position + 1 < size:
            array[place + 1] = four[1]
        if position + 2 < size:
            array[place + 2] = four[2]
        if position + 3 < size:
            array[place + 3] = four[3]


@kernel(f"void(float32[::1], float32[::1], float32[::1], float32[::1], int32, {SIZES})")
def deform_sample_kernel(x, offset, mask, columns, first, sizes):
    """Columns of the output pixels from `first` on, times the mask: a thread for four channels of a point."""
    line, quad = divided(cuda.grid(1), (sizes[RUN] + 3) // 4)
    if line * sizes[RUN] < columns.size:
        depth, width = sizes[CHANNELS] // sizes[GROUPS], sizes[CHANNELS] // sizes[OFFSET_GROUPS]
        rest, side = divided(line, depth // sizes[RUN])
        rest, tap = divided(rest, sizes[TAPS])
        pixel, group = divided(rest, sizes[GROUPS])
        pixel, channel = pixel + first, group * depth + side * sizes[RUN]
        point = (pixel * sizes[OFFSET_GROUPS] + channel // width) * sizes[TAPS] + tap
        image = pixel // (sizes[OUT_HEIGHT] * sizes[OUT_WIDTH])
        row, column, down, across = place_of(offset, point, sizes)
        a, b, c, d = _blended(x, image, row, column, down, across, channel, quad * 4, sizes)
        factor = factor_of(mask, point, sizes)
        _store(columns, line * sizes[RUN], quad * 4, sizes[RUN], (a * factor, b * factor, c * factor, d * factor))
