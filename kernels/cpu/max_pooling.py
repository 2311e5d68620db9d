"""Maximum pooling, with the winner of each window as a byte (or an int32 for large windows).

A job is one row of the output, a vector eight channels. Where the channels are no multiple of eight, a vector
reaches into the next pixel: that one is written later by the same job. Only the last pixels need partial vectors.
"""

from __future__ import annotations

import numpy as np

from kernels.cpu import simd, windows
from kernels.cpu.jit import inner, kernel
from kernels.cpu.jobs import SMALL, run_jobs
from kernels.cpu.simd import add, address, load, select_better, select_eq, splat, store
from kernels.cpu.tails import load_first_bytes, read, store_first_bytes, write, zero_floats

Pair = tuple[int, int]
_ZERO, _LOWEST = np.float32(0), np.float32(-np.inf)
#: Winners are found as floats, which hold whole numbers exactly up to here.
_MOST_TAPS = 2**24


@inner
def _write_index(place, index, count, wide):
    if wide:
        write(place, simd.to_int_bits(index), count)
    elif count >= 8:
        simd.store_bytes(place, index)
    else:
        store_first_bytes(place, index, count)


@inner
def _read_index(place, count, wide):
    if wide:
        return simd.from_int_bits(read(place, count))
    if count >= 8:
        return simd.load_bytes(place)
    return load_first_bytes(place, count)


@inner
def _window_max(x, rows, columns, image, taps, count):
    """Best value and its tap in one window of eight channels; `x` is the address of pixel (0, 0)."""
    (first, last, top), (start, stop, left), (_, width, channels) = rows, columns, image
    best, winner = splat(_LOWEST), splat(np.float32((first - top) * taps + start - left))
    for h in range(first, last):
        for w in range(start, stop):
            value = read(x + 4 * (h * width + w) * channels, count)
            tap = splat(np.float32((h - top) * taps + w - left))
            winner = select_better(value, best, tap, winner)
            best = select_better(value, best, value, best)
    return best, winner


@inner
def _forward_job(x, y, index, rows, columns, image, taps, wide, images, job):
    height, width, channels = image
    outputs = columns.shape[1]
    n, oh = job // rows.shape[1], job % rows.shape[1]
    band = (rows[0, oh], rows[1, oh], rows[2, oh])
    unit, end = 4 if wide else 1, images * height * width * channels
    for ow in range(outputs):
        window = (columns[0, ow], columns[1, ow], columns[2, ow])
        corner = ((n * height + band[1] - 1) * width + window[1] - 1) * channels
        for c in range(0, channels, 8):
            whole = (outputs - ow) * channels - c >= 8 and corner + c + 8 <= end
            count = 8 if whole else channels - c
            place = (job * outputs + ow) * channels + c
            origin = x + 4 * (n * height * width * channels + c)
            best, winner = _window_max(origin, band, window, image, taps, count)
            write(y + 4 * place, best, count)
            _write_index(index + unit * place, winner, count, wide)


@kernel(
    "void(f4[:,:,:,::1], f4[:,:,:,::1], u1[::1], i8[:,::1], i8[:,::1], i8, b1)", parallel=False
)
def max_pool_forward_kernel(x, y, index, rows, columns, taps, wide):
    arguments = (
        address(x), address(y), address(index), rows, columns, x.shape[1:], taps, wide, len(x),
    )  # fmt: skip
    run_jobs(_forward_job, arguments, len(y) * y.shape[1], x.size < SMALL)


@inner
def _won(dy, index, place, channels, unit, rows, columns, h, w, block, count):
    """Sum of the gradients of all windows (oh, ow) of `block` whose winner is pixel (h, w)."""
    taps, outputs, wide = channels[1], columns.shape[1], unit == 4
    total, zero = splat(_ZERO), splat(_ZERO)
    for oh in range(block[0], block[1]):
        for ow in range(block[2], block[3]):
            at = place + (oh * outputs + ow) * channels[0]
            tap = splat(np.float32((h - rows[2, oh]) * taps + w - columns[2, ow]))
            winner = _read_index(index + unit * at, count, wide)
            total = add(total, select_eq(winner, tap, read(dy + 4 * at, count), zero))
    return total


@inner
def _backward_job(dy, index, dx, rows, columns, image, taps, unit, size, job):
    """One row of dx: each pixel asks the windows that contain it whether it won."""
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
            place, shape = n * image_size + c, (channels, taps)
            total = _won(dy, index, place, shape, unit, rows, columns, h, w, block, count)
            write(dx + 4 * ((job * width + w) * channels + c), total, count)


@kernel(
    "void(f4[:,:,:,::1], u1[::1], f4[:,:,:,::1], i8[:,::1], i8[:,::1], i8, i8)", parallel=False
)
def max_pool_backward_kernel(dy, index, dx, rows, columns, taps, unit):
    arguments = (
        address(dy), address(index), address(dx), rows, columns, dx.shape[1:], taps, unit, dy.size,
    )  # fmt: skip
    run_jobs(_backward_job, arguments, len(dx) * dx.shape[1], dx.size < SMALL)


# --- the functions -------------------------------------------------------------------------------


def _index_bytes(argmax: np.ndarray) -> np.ndarray:
    if not argmax.flags.c_contiguous:
        raise ValueError("argmax must be C-contiguous")
    return argmax.reshape(-1).view(np.uint8)


def _tables(
    size: Pair, output_size: Pair, kernel: Pair, stride: Pair, padding: Pair
) -> tuple[np.ndarray, np.ndarray]:
    """Tables of the rows and of the columns."""
    rows, columns = map(windows.fixed, size, output_size, kernel, stride, padding)
    return rows, columns


def _check(inner_shape: tuple, outer_shape: tuple, argmax: np.ndarray, dtypes: tuple) -> None:
    if inner_shape[::3] != outer_shape[::3] or argmax.shape != outer_shape:
        shapes = f"{inner_shape}, {outer_shape} and {argmax.shape}"
        raise ValueError(f"image, output and argmax of a pool do not fit each other: {shapes}")
    if argmax.dtype not in dtypes:
        raise ValueError(f"argmax must be {' or '.join(dtypes)} here, is {argmax.dtype}")


def _index_types(kernel: Pair) -> tuple[str, ...]:
    return ("uint8", "int32") if kernel[0] * kernel[1] <= 256 else ("int32",)


def max_pool2d_forward(
    x: np.ndarray, y: np.ndarray, argmax: np.ndarray, kernel: Pair, stride: Pair, padding: Pair
) -> None:
    """Largest value of each window and where in the window it was.

    Of equal values the first in reading order wins. A window that holds NaN gives NaN, and its last NaN is the winner.

    Parameters
    ----------
    x : ndarray (N, H, W, C)
    y : ndarray (N, OH, OW, C)
        Output.
    argmax : ndarray (N, OH, OW, C), uint8 or int32
        Output: ``kh * KW + kw`` of the winner; uint8 only if ``KH * KW <= 256``.
    kernel, stride, padding : (int, int)
        Vertical and horizontal, in pixels.
    """
    _check(x.shape, y.shape, argmax, _index_types(kernel))
    rows, columns = _tables(x.shape[1:3], y.shape[1:3], kernel, stride, padding)
    wide = argmax.itemsize == 4
    max_pool_forward_kernel(x, y, _index_bytes(argmax), rows, columns, kernel[1], wide)


def max_pool2d_backward(
    dy: np.ndarray, argmax: np.ndarray, dx: np.ndarray, kernel: Pair, stride: Pair, padding: Pair
) -> None:
    """Gradient of the maximum: all of `dy` goes to the winner, and overlapping windows add up.

    Parameters
    ----------
    dy : ndarray (N, OH, OW, C)
    argmax : ndarray (N, OH, OW, C)
        As :func:`max_pool2d_forward` wrote it.
    dx : ndarray (N, H, W, C)
        Output.
    kernel, stride, padding : (int, int)
        Vertical and horizontal, in pixels.
    """
    _check(dx.shape, dy.shape, argmax, _index_types(kernel))
    rows, columns = _tables(dx.shape[1:3], dy.shape[1:3], kernel, stride, padding)
    index = _index_bytes(argmax)
    max_pool_backward_kernel(dy, index, dx, rows, columns, kernel[1], argmax.itemsize)


def _adaptive_tables(size: Pair, output_size: Pair) -> tuple[np.ndarray, np.ndarray]:
    if size[0] * size[1] > _MOST_TAPS:
        raise ValueError(f"adaptive maximum pooling takes up to 2**24 pixels, got {size}")
    rows, columns = map(windows.adaptive, size, output_size)
    return rows, columns


def adaptive_max_pool2d_forward(x: np.ndarray, y: np.ndarray, argmax: np.ndarray) -> None:
    """Maximum over OH x OW windows that cover the image, as those of the adaptive average do.

    Parameters
    ----------
    x : ndarray (N, H, W, C)
    y : ndarray (N, OH, OW, C)
        Output.
    argmax : ndarray (N, OH, OW, C), int32
        Output: ``h * W + w`` of the winner in the image.
    """
    _check(x.shape, y.shape, argmax, ("int32",))
    rows, columns = _adaptive_tables(x.shape[1:3], y.shape[1:3])
    max_pool_forward_kernel(x, y, _index_bytes(argmax), rows, columns, x.shape[2], True)


def adaptive_max_pool2d_backward(dy: np.ndarray, argmax: np.ndarray, dx: np.ndarray) -> None:
    """Gradient of the adaptive maximum: ``dx[n, argmax, c] += dy[n, i, j, c]``.

    Parameters
    ----------
    dy : ndarray (N, OH, OW, C)
    argmax : ndarray (N, OH, OW, C), int32
        As :func:`adaptive_max_pool2d_forward` wrote it.
    dx : ndarray (N, H, W, C)
        Output.
    """
    _check(dx.shape, dy.shape, argmax, ("int32",))
    rows, columns = _adaptive_tables(dx.shape[1:3], dy.shape[1:3])
    max_pool_backward_kernel(dy, _index_bytes(argmax), dx, rows, columns, dx.shape[2], 4)
