"""Average pooling over fixed and adaptive windows, and over whole images.

A job is one row of the output, a vector eight channels; rows end as in :mod:`kernels.cpu.max_pooling`.
"""

from __future__ import annotations

import numpy as np

from kernels.cpu import windows
from kernels.cpu.jit import inner, kernel
from kernels.cpu.jobs import SMALL, run_jobs
from kernels.cpu.simd import add, address, fma, load, mul, splat, store
from kernels.cpu.tails import read, write

Pair = tuple[int, int]
_ZERO = np.float32(0)


@inner
def _window_sum(x, rows, columns, width, channels, count):
    total = splat(_ZERO)
    for h in range(rows[0], rows[1]):
        for w in range(columns[0], columns[1]):
            total = add(total, read(x + 4 * (h * width + w) * channels, count))
    return total


@inner
def _forward_job(x, y, rows, columns, row_share, column_share, image, images, job):
    height, width, channels = image
    outputs, size = columns.shape[1], images * height * width * channels
    n, oh = job // rows.shape[1], job % rows.shape[1]
    band = (rows[0, oh], rows[1, oh])
    for ow in range(outputs):
        window = (columns[0, ow], columns[1, ow])
        share = splat(row_share[oh] * column_share[ow])
        corner = ((n * height + band[1] - 1) * width + window[1] - 1) * channels
        for c in range(0, channels, 8):
            whole = (outputs - ow) * channels - c >= 8 and corner + c + 8 <= size
            count = 8 if whole else channels - c
            origin = x + 4 * (n * height * width * channels + c)
            total = _window_sum(origin, band, window, width, channels, count)
            write(y + 4 * ((job * outputs + ow) * channels + c), mul(total, share), count)


_TABLES = "i8[:,::1], i8[:,::1], f4[::1], f4[::1]"


@kernel(f"void(f4[:,:,:,::1], f4[:,:,:,::1], {_TABLES})", parallel=False)
def avg_pool_forward_kernel(x, y, rows, columns, row_share, column_share):
    arguments = (
        address(x), address(y), rows, columns, row_share, column_share, x.shape[1:], len(x),
    )  # fmt: skip
    run_jobs(_forward_job, arguments, len(y) * y.shape[1], x.size < SMALL)


@inner
def _shared(dy, row_share, column_share, channels, block, count):
    """Sum over the windows (oh, ow) of `block` of what each gives to every one of its pixels."""
    total, outputs = splat(_ZERO), column_share.size
    for oh in range(block[0], block[1]):
        for ow in range(block[2], block[3]):
            value = read(dy + 4 * (oh * outputs + ow) * channels, count)
            total = fma(value, splat(row_share[oh] * column_share[ow]), total)
    return total


@inner
def _backward_job(dy, dx, rows, columns, row_share, column_share, image, size, job):
    """One row of dx: each pixel collects from the windows that contain it."""
    height, width, channels = image
    n, h = job // height, job % height
    outputs, image_size = columns.shape[1], rows.shape[1] * columns.shape[1] * channels
    above, below = 0, 0
    while above < rows.shape[1] and rows[1, above] <= h:
        above += 1
    while below < rows.shape[1] and rows[0, below] <= h:
        below += 1
    left, right = 0, 0
    for w in range(width):
        while left < outputs and columns[1, left] <= w:
            left += 1
        while right < outputs and columns[0, right] <= w:
            right += 1
        block = (above, below, left, right)
        corner = n * image_size + ((below - 1) * outputs + right - 1) * channels
        for c in range(0, channels, 8):
            whole = (width - w) * channels - c >= 8 and corner + c + 8 <= size
            count = 8 if whole else channels - c
            origin = dy + 4 * (n * image_size + c)
            total = _shared(origin, row_share, column_share, channels, block, count)
            write(dx + 4 * ((job * width + w) * channels + c), total, count)


@kernel(f"void(f4[:,:,:,::1], f4[:,:,:,::1], {_TABLES})", parallel=False)
def avg_pool_backward_kernel(dy, dx, rows, columns, row_share, column_share):
    arguments = (
        address(dy), address(dx), rows, columns, row_share, column_share, dx.shape[1:], dy.size,
    )  # fmt: skip
    run_jobs(_backward_job, arguments, len(dx) * dx.shape[1], dx.size < SMALL)


# --- whole images --------------------------------------------------------------------------------

#: Channels in one job of the global average: two cache lines.
_BLOCK = 32


@inner
def _global_block(x, y, pixels, channels, share):
    """Mean of 32 channels."""
    a, b, c, d = splat(_ZERO), splat(_ZERO), splat(_ZERO), splat(_ZERO)
    for _ in range(pixels):
        a, b = add(a, load(x)), add(b, load(x + 32))
        c, d = add(c, load(x + 64)), add(d, load(x + 96))
        x += 4 * channels
    store(y, mul(a, share))
    store(y + 32, mul(b, share))
    store(y + 64, mul(c, share))
    store(y + 96, mul(d, share))


@inner
def _global_forward_job(x, y, pixels, channels, job):
    blocks = (channels + _BLOCK - 1) // _BLOCK
    n, first = job // blocks, job % blocks * _BLOCK
    share = splat(np.float32(1.0 / pixels))
    x, y = x + 4 * (n * pixels * channels), y + 4 * n * channels
    if first + _BLOCK <= channels:
        _global_block(x + 4 * first, y + 4 * first, pixels, channels, share)
        return
    for c in range(first, channels, 8):
        total = splat(_ZERO)
        for p in range(pixels):
            total = add(total, read(x + 4 * (p * channels + c), channels - c))
        write(y + 4 * c, mul(total, share), channels - c)


@kernel("void(f4[:,:,:,::1], f4[:,:,:,::1])", parallel=False)
def global_avg_pool_forward_kernel(x, y):
    pixels, channels = x.shape[1] * x.shape[2], x.shape[3]
    jobs = len(x) * ((channels + _BLOCK - 1) // _BLOCK)
    arguments = (address(x), address(y), pixels, channels)
    run_jobs(_global_forward_job, arguments, jobs, x.size < SMALL)


@inner
def _global_backward_job(dy, dx, pixels, channels, job):
    share = splat(np.float32(1.0 / pixels))
    end = 4 * pixels * channels
    dy, dx = dy + 4 * job * channels, dx + end * job
    for p in range(0, end, 4 * channels):
        for c in range(0, 4 * channels, 32):
            value = mul(read(dy + c, channels - c // 4), share)
            # A vector that reaches into the next pixel is mended when that one is written.
            write(dx + p + c, value, 8 if p + c + 32 <= end else channels - c // 4)


@kernel("void(f4[:,:,:,::1], f4[:,:,:,::1])", parallel=False)
def global_avg_pool_backward_kernel(dy, dx):
    pixels, channels = dx.shape[1] * dx.shape[2], dx.shape[3]
    arguments = (address(dy), address(dx), pixels, channels)
    run_jobs(_global_backward_job, arguments, len(dx), dx.size < SMALL)


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
    tables = _tables(x.shape[1:3], y.shape[1:3], kernel, stride, padding, count_include_pad)
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
    tables = _tables(dx.shape[1:3], dy.shape[1:3], kernel, stride, padding, count_include_pad)
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
