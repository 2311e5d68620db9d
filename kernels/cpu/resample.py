"""Enlarging images: weighted sums of pixels that tables name.

Forward and backward are the same kernel: for each row (column) of the target a table holds the rows (columns) of the
source and their weights, and the tables of the way back are those of the transposed matrix. A job is one target row.
"""

from __future__ import annotations

import functools

import numpy as np

from kernels.cpu.jit import inner, kernel
from kernels.cpu.jobs import SMALL, run_jobs
from kernels.cpu.simd import add, address, fma, mul, splat
from kernels.cpu.tails import copy_floats, read, write

_ZERO, _ONE = np.float32(0), np.float32(1)
#: Of one axis: where the sources of each target begin, the sources, and their weights.
Table = tuple[np.ndarray, np.ndarray, np.ndarray]
_TABLE = "i8[::1], i8[::1], f4[::1]"


@inner
def _mix_four(a, b, c, d, shares, y, channels):
    """Weighted sum of four pixels."""
    wa, wb, wc, wd = splat(shares[0]), splat(shares[1]), splat(shares[2]), splat(shares[3])
    for i in range(0, 4 * channels, 32):
        count = channels - i // 4
        upper = fma(read(b + i, count), wb, mul(read(a + i, count), wa))
        lower = fma(read(d + i, count), wd, mul(read(c + i, count), wc))
        write(y + i, add(upper, lower), count)


@inner
def _resample_row(x, y, row_starts, rows, row_weights, starts, columns, weights, height, width, channels, job):
    targets = starts.size - 1
    n, row = job // (row_starts.size - 1), job % (row_starts.size - 1)
    image, y = x + 4 * n * height * width * channels, y + 4 * job * targets * channels
    i, last = row_starts[row], row_starts[row + 1]
    upper = image + 4 * rows[i] * width * channels
    for column in range(targets):
        j, stop = starts[column], starts[column + 1]
        if last - i == 1 and stop - j == 1 and row_weights[i] * weights[j] == _ONE:
            copy_floats(upper + 4 * columns[j] * channels, y, channels)
        elif last - i == 2 and stop - j == 2:
            lower = image + 4 * rows[i + 1] * width * channels
            left, right = 4 * columns[j] * channels, 4 * columns[j + 1] * channels
            top, bottom = row_weights[i], row_weights[i + 1]
            shares = top * weights[j], top * weights[j + 1], bottom * weights[j], bottom * weights[j + 1]
            _mix_four(upper + left, upper + right, lower + left, lower + right, shares, y, channels)
        else:
            for c in range(0, 4 * channels, 32):
                total, count = splat(_ZERO), channels - c // 4
                for v in range(i, last):
                    line = image + 4 * rows[v] * width * channels + c
                    for h in range(j, stop):
                        share = splat(row_weights[v] * weights[h])
                        total = fma(read(line + 4 * columns[h] * channels, count), share, total)
                write(y + c, total, count)
        y += 4 * channels


@kernel(f"void(f4[:,:,:,::1], f4[:,:,:,::1], {_TABLE}, {_TABLE})", parallel=False)
def resample_kernel(x, y, row_starts, rows, row_weights, starts, columns, weights):
    """``y[i, j] = sum of x[rows, columns]`` by the weights of row i and of column j."""
    arguments = (
        address(x), address(y), row_starts, rows, row_weights, starts, columns, weights,
        x.shape[1], x.shape[2], x.shape[3],
    )  # fmt: skip
    run_jobs(_resample_row, arguments, y.shape[0] * y.shape[1], max(x.size, y.size) < SMALL)


def _places(size: int, outputs: int, align_corners: bool, scale: float) -> np.ndarray:
    """Centre of every output pixel of an axis, in input pixels from the centre of the first one."""
    i = np.arange(outputs)
    if align_corners:
        return i * ((size - 1) / max(outputs - 1, 1))
    return (i + 0.5) / scale - 0.5 if scale else (i + 0.5) * size / outputs - 0.5


def _matrix(size: int, outputs: int, bilinear: bool, align_corners: bool, scale: float) -> np.ndarray:
    """Weight of every input pixel of an axis in every output pixel."""
    matrix, i = np.zeros((outputs, size)), np.arange(outputs)
    if not bilinear:
        sources = (i / scale).astype(np.int64) if scale else i * size // outputs
        matrix[i, np.minimum(sources, size - 1)] = 1.0
        return matrix
    place = np.clip(_places(size, outputs, align_corners, scale), 0.0, size - 1.0)
    low = place.astype(np.int64)
    np.add.at(matrix, (i, low), 1.0 - (place - low))
    np.add.at(matrix, (i, np.minimum(low + 1, size - 1)), place - low)
    return matrix


@functools.lru_cache(maxsize=128)
def _table(size: int, outputs: int, bilinear: bool, align_corners: bool, scale: float, backward: bool) -> Table:
    matrix = _matrix(size, outputs, bilinear, align_corners, scale)
    matrix = matrix.T if backward else matrix
    targets, sources = np.nonzero(matrix)
    starts = np.searchsorted(targets, np.arange(len(matrix) + 1)).astype(np.int64)
    return starts, sources.astype(np.int64), matrix[targets, sources].astype(np.float32)


def _resample(
    image: np.ndarray, output: np.ndarray, bilinear: bool, align_corners: bool, scale: tuple[float, float],
    backward: bool,
) -> None:  # fmt: skip
    if image.shape[::3] != output.shape[::3]:
        raise ValueError(f"an image of shape {image.shape} cannot be enlarged to {output.shape}")
    how = bool(bilinear), bool(align_corners)
    axes = zip(image.shape[1:3], output.shape[1:3], scale, strict=True)
    down, across = (_table(size, outputs, *how, float(factor), backward) for size, outputs, factor in axes)
    source, target = (output, image) if backward else (image, output)
    resample_kernel(source, target, *down, *across)


def upsample2d_forward(
    x: np.ndarray, y: np.ndarray, bilinear: bool, align_corners: bool = False, scale: tuple[float, float] = (0.0, 0.0)
) -> None:
    """Enlarge images to the size of `y`.

    Parameters
    ----------
    x : ndarray (N, H, W, C)
    y : ndarray (N, OH, OW, C)
        Output.
    bilinear : bool
        Interpolate between the four nearest pixels; else take the nearest one.
    align_corners : bool
        Bilinear only: pixels are points, and those in the corners keep their places.
    scale : (float, float)
        Output pixels to one input pixel, down and across; 0 for the ratio of the sizes.
    """
    _resample(x, y, bilinear, align_corners, scale, backward=False)


def upsample2d_backward(
    dy: np.ndarray, dx: np.ndarray, bilinear: bool, align_corners: bool = False, scale: tuple[float, float] = (0.0, 0.0)
) -> None:
    """Every output pixel hands its gradient back to the pixels that it was made of, by the same weights.

    Parameters
    ----------
    dy : ndarray (N, OH, OW, C)
    dx : ndarray (N, H, W, C)
        Output.
    bilinear, align_corners : bool
    scale : (float, float)
    """
    _resample(dx, dy, bilinear, align_corners, scale, backward=True)
