"""Maximum pooling, with the winner of each window as a byte (or an int32 for large windows).

Forward, a job is one row of the output, and a vector sixteen channels: rows end as in :mod:`kernels.cpu.tile_pooling`.
Backward, a job is one image: it adds each gradient to its winner, one number at a time, which costs the same for any
window.
"""

from __future__ import annotations

import math

import numpy as np

from kernels.cpu import tile_pooling, windows
from kernels.cpu.jit import inner, kernel
from kernels.cpu.jobs import SMALL, run_jobs
from kernels.cpu.microkernels import prefetch
from kernels.cpu.simd import address, load_scalar, store_scalar
from kernels.cpu.tails import zero_floats
from kernels.cpu.wide import BYTES, LANES, add, load, read, select_better, splat, store, to_int_bits, write, write_bytes

Pair = tuple[int, int]
_ONE, _LOWEST = np.float32(1), np.float32(-np.inf)
#: Winners are found as floats, which hold whole numbers exactly up to here.
_MOST_TAPS = 2**24
#: Bytes from what is read to what will be.
_AHEAD = 2048


def _winner_of(read):
    """The function that finds the maximum of a window and its tap, reading vectors with `read`."""

    @inner
    def winner_of(place, count, rows, columns, line, step, tap, taps):
        """Of `rows` x `columns` pixels; the first is tap number `tap`, the one below it is `taps` further."""
        best, winner = splat(_LOWEST), splat(tap)
        row_tap = winner
        for _ in range(rows):
            pixel, number = place, row_tap
            for _ in range(columns):
                value = read(pixel, count)
                winner = select_better(value, best, number, winner)
                best = select_better(value, best, value, best)
                pixel, number = pixel + step, add(number, splat(_ONE))
            place, row_tap = place + line, add(row_tap, splat(taps))
        return best, winner

    return winner_of


@inner
def _read_whole(place, count):
    return load(place)


_whole_winner, _part_winner = _winner_of(_read_whole), _winner_of(read)


@inner
def _store_winner(index, at, winner, count, unit):
    if unit == 4:
        write(index + 4 * at, to_int_bits(winner), count)
    else:
        write_bytes(index + at, winner, count)


@inner
def _prefetch_corner(corner, line, step):
    """Ask for the last two pixels of the last two rows of a window to come: the others were read before."""
    ahead = corner + _AHEAD
    prefetch(ahead)
    prefetch(ahead - step)
    prefetch(ahead - line)
    prefetch(ahead - line - step)


@inner
def _whole_vector(place, rows, columns, line, step, tap, taps):
    """Sixteen channels; windows of 3x3 pixels, the most common ones that overlap, have loops of known length."""
    if rows == 3 and columns == 3:
        return _whole_winner(place, LANES, 3, 3, line, step, tap, taps)
    return _whole_winner(place, LANES, rows, columns, line, step, tap, taps)


@inner
def _forward_job(x, y, index, rows, columns, height, width, channels, taps, unit, end, job):
    outputs = columns.shape[1]
    n, oh = job // rows.shape[1], job % rows.shape[1]
    first, last, top = rows[0, oh], rows[1, oh], rows[2, oh]
    line, step, down = 4 * width * channels, 4 * channels, np.float32(taps)
    for ow in range(outputs):
        start, stop, left = columns[0, ow], columns[1, ow], columns[2, ow]
        tap, high, wide = np.float32((first - top) * taps + start - left), last - first, stop - start
        place = x + 4 * ((n * height + first) * width + start) * channels
        corner = place + (high - 1) * line + (wide - 1) * step
        for c in range(0, channels, LANES):
            at = (job * outputs + ow) * channels + c
            if (outputs - ow) * channels - c >= LANES and corner + 4 * c + BYTES <= end:
                _prefetch_corner(corner + 4 * c, line, step)
                best, winner = _whole_vector(place + 4 * c, high, wide, line, step, tap, down)
                store(y + 4 * at, best)
                _store_winner(index, at, winner, LANES, unit)
            else:
                best, winner = _part_winner(place + 4 * c, channels - c, high, wide, line, step, tap, down)
                write(y + 4 * at, best, channels - c)
                _store_winner(index, at, winner, channels - c, unit)


@kernel("void(f4[:,:,:,::1], f4[:,:,:,::1], u1[::1], i8[:,::1], i8[:,::1], i8, i8)", parallel=False)
def max_pool_forward_kernel(x, y, index, rows, columns, taps, unit):
    """Maximum of windows that tables describe; winners take `unit` bytes."""
    arguments = (
        address(x), address(y), address(index), rows, columns,
        x.shape[1], x.shape[2], x.shape[3], taps, unit, address(x) + 4 * x.size,
    )  # fmt: skip
    run_jobs(_forward_job, arguments, y.shape[0] * y.shape[1], x.size < SMALL)


@inner
def _backward_job(dy, index, dx, places, origins, image_size, channels, job):
    """Add the gradients of one image to the winners; places and origins of windows are in bytes."""
    image, at = dx + 4 * job * image_size, job * origins.size * channels
    zero_floats(image, image_size)
    for window in range(origins.size):
        origin = image + origins[window]
        for c in range(channels):
            place = origin + places[index[at + c]] + 4 * c
            store_scalar(place, load_scalar(place) + load_scalar(dy + 4 * (at + c)))
        at += channels


@kernel("void(f4[:,:,:,::1], u1[::1], f4[:,:,:,::1], i8[::1], i8[::1])", parallel=False)
def max_pool_backward_bytes(dy, index, dx, places, origins):
    """Gradient of the maximum, winners as bytes."""
    image_size = dx.shape[1] * dx.shape[2] * dx.shape[3]
    arguments = (address(dy), index, address(dx), places, origins, image_size, dx.shape[3])
    run_jobs(_backward_job, arguments, dx.shape[0], dx.size < SMALL)


@kernel("void(f4[:,:,:,::1], i4[::1], f4[:,:,:,::1], i8[::1], i8[::1])", parallel=False)
def max_pool_backward_ints(dy, index, dx, places, origins):
    """Gradient of the maximum, winners as int32."""
    image_size = dx.shape[1] * dx.shape[2] * dx.shape[3]
    arguments = (address(dy), index, address(dx), places, origins, image_size, dx.shape[3])
    run_jobs(_backward_job, arguments, dx.shape[0], dx.size < SMALL)


# --- the functions -------------------------------------------------------------------------------


def _check(inner_shape: tuple, outer_shape: tuple, argmax: np.ndarray, dtypes: tuple) -> None:
    if inner_shape[::3] != outer_shape[::3] or argmax.shape != outer_shape:
        shapes = f"{inner_shape}, {outer_shape} and {argmax.shape}"
        raise ValueError(f"image, output and argmax of a pool do not fit each other: {shapes}")
    if argmax.dtype not in dtypes or not argmax.flags.c_contiguous:
        raise ValueError(f"argmax must be C-contiguous {' or '.join(dtypes)} here, is {argmax.dtype}")


def _index_types(kernel: Pair) -> tuple[str, ...]:
    return ("uint8", "int32") if kernel[0] * kernel[1] <= 256 else ("int32",)


def _forward(x: np.ndarray, y: np.ndarray, argmax: np.ndarray, tables: tuple, taps: int) -> None:
    index = argmax.reshape(-1).view(np.uint8)
    max_pool_forward_kernel(x, y, index, *tables, taps, argmax.itemsize)


def _backward(dy: np.ndarray, argmax: np.ndarray, dx: np.ndarray, tables: tuple) -> None:
    work = max_pool_backward_bytes if argmax.itemsize == 1 else max_pool_backward_ints
    work(dy, argmax.reshape(-1), dx, *tables)


def max_pool2d_forward(
    x: np.ndarray,
    y: np.ndarray,
    argmax: np.ndarray,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    rectified: bool = False,
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
    rectified : bool
        Whether what is pooled is ``max(x, 0)``, for windows that are 2x2 tiles. A maximum that is not above 0 has no
        winner: its `argmax` is ``KH * KW``.

    Raises
    ------
    ValueError
        For windows that are no tiles, if `rectified`.
    """
    _check(x.shape, y.shape, argmax, _index_types(kernel))
    size, output_size = x.shape[1:3], y.shape[1:3]
    if argmax.itemsize == 1 and tile_pooling.applies(size, output_size, kernel, stride, padding):
        tile_pooling.max_pool_tiles_forward(x, y, argmax, 0.0 if rectified else math.nan)
    elif rectified:
        raise ValueError(f"rectified pooling is for 2x2 tiles, not kernel {kernel}, stride {stride}, padding {padding}")
    else:
        tables = tuple(map(windows.fixed, size, output_size, kernel, stride, padding))
        _forward(x, y, argmax, tables, kernel[1])


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
    size, output_size = dx.shape[1:3], dy.shape[1:3]
    if argmax.itemsize == 1 and tile_pooling.applies(size, output_size, kernel, stride, padding):
        tile_pooling.max_pool_tiles_backward(dy, argmax, dx)
        tile_pooling.clear_rest(dx, output_size)
    else:
        _backward(dy, argmax, dx, windows.fixed_places(size, output_size, dx.shape[3], kernel, stride, padding))


def _check_size(size: Pair) -> None:
    if size[0] * size[1] > _MOST_TAPS:
        raise ValueError(f"adaptive maximum pooling takes up to 2**24 pixels, got {size}")


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
    _check_size(x.shape[1:3])
    tables = tuple(map(windows.adaptive, x.shape[1:3], y.shape[1:3]))
    _forward(x, y, argmax, tables, x.shape[2])


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
    _backward(dy, argmax, dx, windows.adaptive_places(dx.shape[1:3], dy.shape[1:3], dx.shape[3]))
