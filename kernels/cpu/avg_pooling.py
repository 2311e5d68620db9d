"""Average pooling over fixed and adaptive windows, and over whole images.

Forward, a job is one row of the output, and a vector eight channels: rows end as in :mod:`kernels.cpu.tile_pooling`.
Backward, a job is one image.
"""

from __future__ import annotations

import numpy as np

from kernels.cpu import tile_pooling, windows
from kernels.cpu.jit import inner, kernel
from kernels.cpu.jobs import SMALL, run_jobs
from kernels.cpu.simd import add, address, fma, load, mul, splat, store
from kernels.cpu.tails import read, write, zero_floats

Pair = tuple[int, int]
_ZERO = np.float32(0)


_TABLES = "i8[:,::1], i8[:,::1], f4[::1], f4[::1]"


@inner
def _forward_job(x, y, rows, columns, row_share, column_share, height, width, channels, end, job):
    outputs = columns.shape[1]
    n, oh = job // rows.shape[1], job % rows.shape[1]
    first, last = rows[0, oh], rows[1, oh]
    for ow in range(outputs):
        start, stop = columns[0, ow], columns[1, ow]
        share = splat(row_share[oh] * column_share[ow])
        corner = ((n * height + last - 1) * width + stop - 1) * channels
        for c in range(0, channels, 8):
            whole = (outputs - ow) * channels - c >= 8 and corner + c + 8 <= end
            count, total = 8 if whole else channels - c, splat(_ZERO)
            for h in range(first, last):
                place = x + 4 * (((n * height + h) * width + start) * channels + c)
                for _ in range(start, stop):
                    total = add(total, read(place, count))
                    place += 4 * channels
            write(y + 4 * ((job * outputs + ow) * channels + c), mul(total, share), count)


@kernel(f"void(f4[:,:,:,::1], f4[:,:,:,::1], {_TABLES})", parallel=False)
def avg_pool_forward_kernel(x, y, rows, columns, row_share, column_share):
    """Mean of windows that tables describe."""
    arguments = (
        address(x), address(y), rows, columns, row_share, column_share,
        x.shape[1], x.shape[2], x.shape[3], x.size,
    )  # fmt: skip
    run_jobs(_forward_job, arguments, y.shape[0] * y.shape[1], x.size < SMALL)


@inner
def _backward_job(dy, dx, rows, columns, row_share, column_share, height, width, channels, job):
    """One image: each window adds its share to each of its pixels."""
    image = dx + 4 * job * height * width * channels
    zero_floats(image, height * width * channels)
    place = dy + 4 * job * rows.shape[1] * columns.shape[1] * channels
    for oh in range(rows.shape[1]):
        for ow in range(columns.shape[1]):
            share = splat(row_share[oh] * column_share[ow])
            for h in range(rows[0, oh], rows[1, oh]):
                for w in range(columns[0, ow], columns[1, ow]):
                    pixel = image + 4 * (h * width + w) * channels
                    for c in range(0, channels, 8):
                        total = read(pixel + 4 * c, channels - c)
                        total = fma(read(place + 4 * c, channels - c), share, total)
                        write(pixel + 4 * c, total, channels - c)
            place += 4 * channels


@kernel(f"void(f4[:,:,:,::1], f4[:,:,:,::1], {_TABLES})", parallel=False)
def avg_pool_backward_kernel(dy, dx, rows, columns, row_share, column_share):
    """Gradient of the mean of windows that tables describe."""
    arguments = (
        address(dy), address(dx), rows, columns, row_share, column_share,
        dx.shape[1], dx.shape[2], dx.shape[3],
    )  # fmt: skip
    run_jobs(_backward_job, arguments, dx.shape[0], dx.size < SMALL)


# --- whole images --------------------------------------------------------------------------------


@inner
def _sum_of_eight(place, line):
    """Sum of the vectors of eight pixels, `line` bytes apart."""
    a, b = add(load(place), load(place + line)), add(load(place + 2 * line), load(place + 3 * line))
    place += 4 * line
    c, d = add(load(place), load(place + line)), add(load(place + 2 * line), load(place + 3 * line))
    return add(add(a, b), add(c, d))


@inner
def _global_forward_job(x, y, pixels, channels, job):
    """Mean of one image. Eight pixels at a time are added to the sums, which stay in the cache."""
    x, y, line = x + 4 * job * pixels * channels, y + 4 * job * channels, 4 * channels
    share, whole, eights = splat(np.float32(1.0 / pixels)), channels - channels % 8, pixels - pixels % 8
    zero_floats(y, channels)
    for p in range(0, eights * line, 8 * line):
        for c in range(0, 4 * whole, 32):
            store(y + c, add(load(y + c), _sum_of_eight(x + p + c, line)))
    for c in range(0, 4 * whole, 32):
        total = load(y + c)
        for p in range(eights * line, pixels * line, line):
            total = add(total, load(x + p + c))
        store(y + c, mul(total, share))
    if whole < channels:
        total, place = splat(_ZERO), x + 4 * whole
        for p in range(0, pixels * line, line):
            total = add(total, read(place + p, channels - whole))
        write(y + 4 * whole, mul(total, share), channels - whole)


@kernel("void(f4[:,:,:,::1], f4[:,:,:,::1])", parallel=False)
def global_avg_pool_forward_kernel(x, y):
    """Mean of whole images."""
    arguments = (address(x), address(y), x.shape[1] * x.shape[2], x.shape[3])
    run_jobs(_global_forward_job, arguments, x.shape[0], x.size < SMALL)


@inner
def _global_backward_job(dy, dx, pixels, channels, job):
    share, end = splat(np.float32(1.0 / pixels)), 4 * pixels * channels
    dy, dx = dy + 4 * job * channels, dx + end * job
    for p in range(0, end, 4 * channels):
        for c in range(0, 4 * channels, 32):
            count = channels - c // 4
            value = mul(read(dy + c, count), share)
            # A vector that reaches into the next pixel is mended when that one is written.
            write(dx + p + c, value, 8 if p + c + 32 <= end else count)


@kernel("void(f4[:,:,:,::1], f4[:,:,:,::1])", parallel=False)
def global_avg_pool_backward_kernel(dy, dx):
    """Gradient of the mean of whole images."""
    arguments = (address(dy), address(dx), dx.shape[1] * dx.shape[2], dx.shape[3])
    run_jobs(_global_backward_job, arguments, dx.shape[0], dx.size < SMALL)


# --- the functions -------------------------------------------------------------------------------


def _check(image: np.ndarray, output: np.ndarray) -> None:
    if image.shape[::3] != output.shape[::3]:
        shapes = f"{image.shape} and {output.shape}"
        raise ValueError(f"image and output of a pool do not fit each other: {shapes}")


def _tables(
    size: Pair,
    output_size: Pair,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    count_include_pad: bool,
) -> tuple[np.ndarray, ...]:
    axes = list(zip(size, output_size, kernel, stride, padding, strict=True))
    shares = [windows.fixed_shares(*axis, count_include_pad) for axis in axes]
    return (*(windows.fixed(*axis) for axis in axes), *shares)


def avg_pool2d_forward(
    x: np.ndarray, y: np.ndarray, kernel: Pair, stride: Pair, padding: Pair, count_include_pad: bool
) -> None:
    """Mean of each window.

    Parameters
    ----------
    x : ndarray (N, H, W, C)
    y : ndarray (N, OH, OW, C)
        Output.
    kernel, stride, padding : (int, int)
        Vertical and horizontal, in pixels.
    count_include_pad : bool
        Whether the zeros of the padding count in the mean.
    """
    _check(x, y)
    size, output_size = x.shape[1:3], y.shape[1:3]
    if tile_pooling.applies(size, output_size, kernel, stride, padding):
        tile_pooling.avg_pool_tiles_forward(x, y)
    else:
        tables = _tables(size, output_size, kernel, stride, padding, count_include_pad)
        avg_pool_forward_kernel(x, y, *tables)


def avg_pool2d_backward(
    dy: np.ndarray,
    dx: np.ndarray,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    count_include_pad: bool,
) -> None:
    """Gradient of the mean: every pixel of a window gets the window's `dy` over its divisor.

    Parameters
    ----------
    dy : ndarray (N, OH, OW, C)
    dx : ndarray (N, H, W, C)
        Output.
    kernel, stride, padding : (int, int)
        Vertical and horizontal, in pixels.
    count_include_pad : bool
        As in the forward pass.
    """
    _check(dx, dy)
    size, output_size = dx.shape[1:3], dy.shape[1:3]
    if tile_pooling.applies(size, output_size, kernel, stride, padding):
        tile_pooling.avg_pool_tiles_backward(dy, dx)
        tile_pooling.clear_rest(dx, output_size)
    else:
        tables = _tables(size, output_size, kernel, stride, padding, count_include_pad)
        avg_pool_backward_kernel(dy, dx, *tables)


def _adaptive_tables(size: Pair, output_size: Pair) -> tuple[np.ndarray, ...]:
    tables = map(windows.adaptive, size, output_size)
    return (*tables, *map(windows.adaptive_shares, size, output_size))


def adaptive_avg_pool2d_forward(x: np.ndarray, y: np.ndarray) -> None:
    """Mean over OH x OW windows that cover the image.

    Window (i, j) has the rows from ``floor(i H / OH)`` up to, without, ``ceil((i + 1) H / OH)``, and columns alike.

    Parameters
    ----------
    x : ndarray (N, H, W, C)
    y : ndarray (N, OH, OW, C)
        Output; OH = OW = 1 is the global average.
    """
    _check(x, y)
    if y.shape[1:3] == (1, 1):
        global_avg_pool_forward_kernel(x, y)
    else:
        avg_pool_forward_kernel(x, y, *_adaptive_tables(x.shape[1:3], y.shape[1:3]))


def adaptive_avg_pool2d_backward(dy: np.ndarray, dx: np.ndarray) -> None:
    """Gradient of the adaptive mean: a window spreads its `dy` evenly; windows may share pixels.

    Parameters
    ----------
    dy : ndarray (N, OH, OW, C)
    dx : ndarray (N, H, W, C)
        Output.
    """
    _check(dx, dy)
    if dy.shape[1:3] == (1, 1):
        global_avg_pool_backward_kernel(dy, dx)
    else:
        avg_pool_backward_kernel(dy, dx, *_adaptive_tables(dx.shape[1:3], dy.shape[1:3]))
