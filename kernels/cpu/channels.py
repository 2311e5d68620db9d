"""Channel shuffle: the transposition of a small table, pixel by pixel."""

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
def _interleave(x, y, count):
    """Two rows of `count` floats become pairs."""
    whole, second = count & -8, x + 4 * count
    for j in range(0, whole, 8):
        a, b = load(x + 4 * j), load(second + 4 * j)
        store(y + 8 * j, interleave_low(a, b))
        store(y + 8 * j + 32, interleave_high(a, b))
    for j in range(whole, count):
        store_scalar(y + 8 * j, load_scalar(x + 4 * j))
        store_scalar(y + 8 * j + 4, load_scalar(second + 4 * j))


@inner
def _separate(x, y, count):
    """`count` pairs become two rows."""
    whole, second = count & -8, y + 4 * count
    for j in range(0, whole, 8):
        a, b = load(x + 8 * j), load(x + 8 * j + 32)
        store(y + 4 * j, even_lanes(a, b))
        store(second + 4 * j, odd_lanes(a, b))
    for j in range(whole, count):
        store_scalar(y + 4 * j, load_scalar(x + 8 * j))
        store_scalar(second + 4 * j, load_scalar(x + 8 * j + 4))


@inner
def _shuffle_pairs(x, y, rows, columns, start, stop):
    """As :func:`_shuffle_rows` for tables of two rows, or of two columns, as ShuffleNet has them."""
    line = 4 * rows * columns
    for pixel in range(start, stop):
        if rows == 2:
            _interleave(x + pixel * line, y + pixel * line, columns)
        else:
            _separate(x + pixel * line, y + pixel * line, rows)


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
