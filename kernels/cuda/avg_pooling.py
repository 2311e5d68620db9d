"""Average pooling over fixed and adaptive windows, and over whole images.

A thread does one float of the output, or, backward, of the image: neighbours are channels of one pixel. Backward it
gathers the shares of all windows that see its pixel, so nobody adds to what another adds to. The average of a whole
image is a sum of columns, for which a block has lines of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import float32

from kernels.cuda import launch, windows
from kernels.cuda.indices import divided, smaller
from kernels.cuda.jit import kernel
from kernels.cuda.maps import flat
from kernels.cuda.reduce import ROOM, place_in_table, table_of, total
from kernels.cuda.toolkit import cuda

Pair = tuple[int, int]
_ZERO, _ONE = np.float32(0), np.float32(1)


@kernel(
    "void(float32[::1], float32[::1], int32[::1], int32[::1], float32[::1], float32[::1], "
    "int32, int32, int32, int32, int32)"
)
def avg_pool_forward_kernel(
    x, y, rows, columns, row_shares, column_shares, height, width, out_height, out_width, channels
):
    """Mean of windows that tables describe."""
    i = cuda.grid(1)
    if i < y.size:
        window, channel = divided(i, channels)
        line, ow = divided(window, out_width)
        image, oh = divided(line, out_height)
        sum_of_window = _ZERO
        for h in range(rows[oh], rows[out_height + oh]):
            first = (image * height + h) * width
            for w in range(columns[ow], columns[out_width + ow]):
                sum_of_window += x[(first + w) * channels + channel]
        y[i] = sum_of_window * (row_shares[oh] * column_shares[ow])


@kernel(
    "void(float32[::1], float32[::1], int32[::1], int32[::1], float32[::1], float32[::1], "
    "int32, int32, int32, int32, int32)"
)
def avg_pool_backward_kernel(
    dy, dx, rows, columns, row_shares, column_shares, height, width, out_height, out_width, channels
):
    """Gradient of the mean: the sum of the shares of all windows that see a pixel."""
    i = cuda.grid(1)
    if i < dx.size:
        pixel, channel = divided(i, channels)
        line, w = divided(pixel, width)
        image, h = divided(line, height)
        slope = _ZERO
        for oh in range(rows[h], rows[height + h]):
            first = (image * out_height + oh) * out_width
            for ow in range(columns[w], columns[width + w]):
                slope += dy[(first + ow) * channels + channel] * (row_shares[oh] * column_shares[ow])
        dx[i] = slope


@kernel("void(float32[::1], float32[::1], int32, int32, int32)")
def global_avg_pool_forward_kernel(x, y, pixels, channels, lanes):
    """Mean of whole images, a block for some channels of one."""
    shared = cuda.shared.array(ROOM, float32)
    channel, line, lines = place_in_table(lanes)
    column, image = smaller(channel, channels - 1), cuda.blockIdx.x
    sum_of_line = _ZERO
    for pixel in range(line, pixels, lines):
        sum_of_line += x[(image * pixels + pixel) * channels + column]
    whole = total(shared, sum_of_line, lanes)
    if line == 0 and channel < channels:
        y[image * channels + channel] = whole / np.float32(pixels)


@kernel("void(float32[::1], float32[::1], int32, int32)")
def global_avg_pool_backward_kernel(dy, dx, pixels, channels):
    """Gradient of the mean of whole images."""
    i = cuda.grid(1)
    if i < dx.size:
        pixel, channel = divided(i, channels)
        image, _ = divided(pixel, pixels)
        dx[i] = dy[image * channels + channel] * (_ONE / np.float32(pixels))


# --- the functions -------------------------------------------------------------------------------


def _check(image: Any, output: Any) -> None:
    shapes = tuple(image.shape), tuple(output.shape)
    if shapes[0][::3] != shapes[1][::3]:
        raise ValueError(f"image and output of a pool do not fit each other: {shapes[0]} and {shapes[1]}")


def _sizes(image: Any, output: Any) -> tuple[Pair, Pair]:
    return tuple(image.shape[1:3]), tuple(output.shape[1:3])


def _pool(x: Any, y: Any, count_include_pad: bool, *geometry: Pair) -> None:
    if y.size:
        axes = windows.axes_of(*_sizes(x, y), *geometry)
        tables = *map(windows.forward, axes), *(windows.shares(axis, count_include_pad) for axis in axes)
        sizes = *x.shape[1:3], *y.shape[1:3], x.shape[3]
        avg_pool_forward_kernel(launch.over(y.size), flat(x), flat(y), *tables, *sizes)


def _pool_back(dy: Any, dx: Any, count_include_pad: bool, *geometry: Pair) -> None:
    if dx.size:
        axes = windows.axes_of(*_sizes(dx, dy), *geometry)
        tables = *map(windows.backward, axes), *(windows.shares(axis, count_include_pad) for axis in axes)
        sizes = *dx.shape[1:3], *dy.shape[1:3], dx.shape[3]
        avg_pool_backward_kernel(launch.over(dx.size), flat(dy), flat(dx), *tables, *sizes)


def avg_pool2d_forward(x: Any, y: Any, kernel: Pair, stride: Pair, padding: Pair, count_include_pad: bool) -> None:
    """Mean of each window.

    Parameters
    ----------
    x : device array (N, H, W, C)
    y : device array (N, OH, OW, C)
        Output.
    kernel, stride, padding : (int, int)
        Vertical and horizontal, in pixels.
    count_include_pad : bool
        Whether the zeros of the padding count in the mean.
    """
    _check(x, y)
    _pool(x, y, count_include_pad, kernel, stride, padding)


def avg_pool2d_backward(dy: Any, dx: Any, kernel: Pair, stride: Pair, padding: Pair, count_include_pad: bool) -> None:
    """Gradient of the mean: every pixel of a window gets the window's `dy` over its divisor.

    Parameters
    ----------
    dy : device array (N, OH, OW, C)
    dx : device array (N, H, W, C)
        Output.
    kernel, stride, padding : (int, int)
        Vertical and horizontal, in pixels.
    count_include_pad : bool
        As in the forward pass.
    """
    _check(dx, dy)
    _pool_back(dy, dx, count_include_pad, kernel, stride, padding)


def adaptive_avg_pool2d_forward(x: Any, y: Any) -> None:
    """Mean over OH x OW windows that cover the image.

    Window (i, j) has the rows from ``floor(i H / OH)`` up to, without, ``ceil((i + 1) H / OH)``, and columns alike.

    Parameters
    ----------
    x : device array (N, H, W, C)
    y : device array (N, OH, OW, C)
        Output; OH = OW = 1 is the global average.
    """
    _check(x, y)
    if not y.size or tuple(y.shape[1:3]) != (1, 1):
        _pool(x, y, False)
        return
    images, height, width, channels = x.shape
    table = table_of(height * width, channels)
    blocks = launch.blocks(images, table.parts, threads=launch.THREADS)
    global_avg_pool_forward_kernel(blocks, flat(x), flat(y), height * width, channels, table.lanes)


def adaptive_avg_pool2d_backward(dy: Any, dx: Any) -> None:
    """Gradient of the adaptive mean: a window spreads its `dy` evenly; windows may share pixels.

    Parameters
    ----------
    dy : device array (N, OH, OW, C)
    dx : device array (N, H, W, C)
        Output.
    """
    _check(dx, dy)
    if not dx.size or tuple(dy.shape[1:3]) != (1, 1):
        _pool_back(dy, dx, False)
        return
    _, height, width, channels = dx.shape
    global_avg_pool_backward_kernel(launch.over(dx.size), flat(dy), flat(dx), height * width, channels)
