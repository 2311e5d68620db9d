"""Channel shuffle: the transposition of a small table, pixel by pixel; of two rows, channels in turn."""

from __future__ import annotations

import numpy as np

from kernels.cpu.jit import inner, kernel
from kernels.cpu.jobs import CHUNK, SMALL, run_chunks
from kernels.cpu.microkernels import transpose_block
from kernels.cpu.simd import (
    address,
    even_lanes,
    interleave_high,
    interleave_low,
    load,
    load_scalar,
    odd_lanes,
    store,
    store_scalar,
)


@inner
def _transpose_corner(x, y, rows, columns, first_row, first_column):
    """The part of a transposition below `first_row` or right of `first_column`."""
    for i in range(rows):
        for j in range(first_column if i < first_row else 0, columns):
            store_scalar(y + 4 * (j * rows + i), load_scalar(x + 4 * (i * columns + j)))


@inner
def _interleave(first, second, y, count):
    """Two rows of `count` floats become pairs. The last vector overlaps its neighbour, and writes the same again."""
    for place in range(0, count if count >= 8 else 0, 8):
        j = min(place, count - 8)
        a, b = load(first + 4 * j), load(second + 4 * j)
        store(y + 8 * j, interleave_low(a, b))
        store(y + 8 * j + 32, interleave_high(a, b))
    for j in range(0, count if count < 8 else 0):
        store_scalar(y + 8 * j, load_scalar(first + 4 * j))
        store_scalar(y + 8 * j + 4, load_scalar(second + 4 * j))


@inner
def _separate(x, first, second, count):
    """`count` pairs become two rows."""
    for place in range(0, count if count >= 8 else 0, 8):
        j = min(place, count - 8)
        a, b = load(x + 8 * j), load(x + 8 * j + 32)
        store(first + 4 * j, even_lanes(a, b))
        store(second + 4 * j, odd_lanes(a, b))
    for j in range(0, count if count < 8 else 0):
        store_scalar(first + 4 * j, load_scalar(x + 8 * j))
        store_scalar(second + 4 * j, load_scalar(x + 8 * j + 4))


@inner
def _interleave_rows(first, second, y, lines, pairs, start, stop):
    """The lengths of lines are in bytes."""
    for row in range(start, stop):
        _interleave(first + row * lines[0], second + row * lines[1], y + 8 * row * pairs, pairs)


@inner
def _separate_rows(x, first, second, lines, pairs, start, stop):
    for row in range(start, stop):
        _separate(x + 8 * row * pairs, first + row * lines[0], second + row * lines[1], pairs)


@inner
def _shuffle_pairs(x, y, rows, columns, start, stop):
    """As :func:`_shuffle_rows` for tables of two rows, or of two columns, as ShuffleNet has them."""
    line = 4 * rows * columns
    for pixel in range(start, stop):
        if rows == 2:
            _interleave(x + pixel * line, x + pixel * line + 4 * columns, y + pixel * line, columns)
        else:
            _separate(x + pixel * line, y + pixel * line, y + pixel * line + 4 * rows, rows)


@inner
def _shuffle_rows(x, y, rows, columns, start, stop):
    whole_rows, whole_columns, line = rows & -8, columns & -8, 4 * rows * columns
    for pixel in range(start, stop):
        source, target = x + pixel * line, y + pixel * line
        for i in range(0, whole_rows, 8):
            for j in range(0, whole_columns, 8):
                transpose_block(source + 4 * (i * columns + j), columns, target + 4 * (j * rows + i), rows)
        _transpose_corner(source, target, rows, columns, whole_rows, whole_columns)


@kernel("void(f4[:,::1], f4[:,::1], i8)", parallel=False)
def channel_shuffle_kernel(x, y, groups):
    """The channels of each pixel, a table of `groups` rows, transposed."""
    channels = x.shape[1]
    arguments, chunk = (address(x), address(y), groups, channels // groups), CHUNK // (channels + 1) + 1
    if groups == 2 or channels == 2 * groups:
        run_chunks(_shuffle_pairs, arguments, x.shape[0], chunk, x.size < SMALL)
    else:
        run_chunks(_shuffle_rows, arguments, x.shape[0], chunk, x.size < SMALL)


def channel_shuffle_forward(x: np.ndarray, y: np.ndarray, groups: int) -> None:
    """``y[m, j groups + i] = x[m, i C / groups + j]``.

    Parameters
    ----------
    x : ndarray (M, C)
    y : ndarray (M, C)
        Output.
    groups : int
        Divides C.

    Raises
    ------
    ValueError
        If it does not, or the shapes differ.
    """
    if x.shape != y.shape or groups < 1 or x.shape[1] % groups:
        raise ValueError(f"cannot shuffle {x.shape} in {groups} groups into {y.shape}")
    channel_shuffle_kernel(x, y, groups)


def channel_shuffle_backward(dy: np.ndarray, dx: np.ndarray, groups: int) -> None:
    """Every gradient goes back to where its channel came from.

    Parameters
    ----------
    dy : ndarray (M, C)
    dx : ndarray (M, C)
        Output.
    groups : int
        As in the forward pass.
    """
    channel_shuffle_forward(dy, dx, dx.shape[1] // groups)


@kernel("void(f4[:,::1], f4[:,::1], f4[:,::1], i8)", parallel=False)
def interleave_kernel(a, b, y, start):
    """Channels of two arrays in turn."""
    pairs, lines = y.shape[1] // 2, (4 * a.shape[1], 4 * b.shape[1])
    arguments = (address(a) + 4 * start, address(b) + 4 * start, address(y), lines, pairs)
    run_chunks(_interleave_rows, arguments, y.shape[0], CHUNK // (2 * pairs + 1) + 1, y.size < SMALL)


@kernel("void(f4[:,::1], f4[:,::1], f4[:,::1], i8)", parallel=False)
def separate_kernel(x, a, b, start):
    """Pairs of channels become two arrays."""
    pairs, lines = x.shape[1] // 2, (4 * a.shape[1], 4 * b.shape[1])
    arguments = (address(x), address(a) + 4 * start, address(b) + 4 * start, lines, pairs)
    run_chunks(_separate_rows, arguments, x.shape[0], CHUNK // (2 * pairs + 1) + 1, x.size < SMALL)


def _check_pairs(y: np.ndarray, a: np.ndarray, b: np.ndarray, start: int) -> None:
    narrow = min(a.shape[1], b.shape[1]) < start + y.shape[1] // 2
    if start < 0 or narrow or y.shape[1] % 2 or not len(a) == len(b) == len(y):
        raise ValueError(f"channels from {start} on of {a.shape} and {b.shape} do not make pairs {y.shape}")


def interleave_forward(a: np.ndarray, b: np.ndarray, y: np.ndarray, start: int) -> None:
    """``y[m, 2 j] = a[m, start + j]``, ``y[m, 2 j + 1] = b[m, start + j]``: a shuffle of two groups, or a part of it.

    Parameters
    ----------
    a : ndarray (M, A)
    b : ndarray (M, B)
    y : ndarray (M, 2 P)
        Output.
    start : int
        First channel of both.

    Raises
    ------
    ValueError
        If there are fewer than ``start + P`` channels, or the shapes differ.
    """
    _check_pairs(y, a, b, start)
    interleave_kernel(a, b, y, start)


def interleave_backward(dy: np.ndarray, da: np.ndarray, db: np.ndarray, start: int) -> None:
    """Every gradient goes back to where its channel came from.

    Parameters
    ----------
    dy : ndarray (M, 2 P)
    da : ndarray (M, A)
    db : ndarray (M, B)
        Outputs: only the P columns from `start` on are written.
    start : int
        As in the forward pass.
    """
    _check_pairs(dy, da, db, start)
    separate_kernel(dy, da, db, start)
