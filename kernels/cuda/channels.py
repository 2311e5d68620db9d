"""Channel shuffle: the transposition of a small table, pixel by pixel; of two rows, channels in turn.

A thread moves one float. What is written lies side by side; what is read lies in one row, which the cache holds.
"""

from __future__ import annotations

from typing import Any

from kernels.cuda import launch
from kernels.cuda.indices import divided
from kernels.cuda.jit import kernel
from kernels.cuda.maps import flat, flatten
from kernels.cuda.toolkit import cuda


@kernel("void(float32[::1], float32[::1], int32, int32)")
def channel_shuffle_kernel(x, y, rows, columns):
    """The channels of each pixel, a table of so many rows and columns, transposed."""
    i = cuda.grid(1)
    if i < y.size:
        line, row = divided(i, rows)
        pixel, column = divided(line, columns)
        y[i] = x[(pixel * rows + row) * columns + column]


@kernel("void(float32[::1], float32[::1], float32[::1], int32, int32, int32, int32)")
def interleave_kernel(y, a, b, width, a_width, b_width, start):
    """Channels of two arrays in turn."""
    i = cuda.grid(1)
    if i < y.size:
        row, channel = divided(i, width)
        column = start + channel // 2
        y[i] = a[row * a_width + column] if channel % 2 == 0 else b[row * b_width + column]


@kernel("void(float32[::1], float32[::1], float32[::1], int32, int32, int32, int32)")
def separate_kernel(x, a, b, width, a_width, b_width, start):
    """Pairs of channels become two arrays."""
    i = cuda.grid(1)
    if i < x.size:
        row, channel = divided(i, width)
        column = start + channel // 2
        if channel % 2 == 0:
            a[row * a_width + column] = x[i]
        else:
            b[row * b_width + column] = x[i]


def channel_shuffle_forward(x: Any, y: Any, groups: int) -> None:
    """``y[m, j groups + i] = x[m, i C / groups + j]``.

    Parameters
    ----------
    x : device array (M, C)
    y : device array (M, C)
        Output.
    groups : int
        Divides C.

    Raises
    ------
    ValueError
        If it does not, or the shapes differ.
    """
    if x.shape != y.shape or groups < 1 or x.shape[1] % groups:
        raise ValueError(f"cannot shuffle {tuple(x.shape)} in {groups} groups into {tuple(y.shape)}")
    if x.size:
        channel_shuffle_kernel(launch.over(x.size), *flatten(x, y), groups, x.shape[1] // groups)


def channel_shuffle_backward(dy: Any, dx: Any, groups: int) -> None:
    """Every gradient goes back to where its channel came from.

    Parameters
    ----------
    dy : device array (M, C)
    dx : device array (M, C)
        Output.
    groups : int
        As in the forward pass.
    """
    channel_shuffle_forward(dy, dx, dx.shape[1] // groups)


def _check_pairs(y: Any, a: Any, b: Any, start: int) -> None:
    narrow = min(a.shape[1], b.shape[1]) < start + y.shape[1] // 2
    if start < 0 or narrow or y.shape[1] % 2 or not a.shape[0] == b.shape[0] == y.shape[0]:
        shapes = f"{tuple(a.shape)} and {tuple(b.shape)} do not make pairs {tuple(y.shape)}"
        raise ValueError(f"channels from {start} on of {shapes}")


def _pairs(y: Any, a: Any, b: Any, start: int) -> tuple:
    """Flat arrays, and the lengths of their rows."""
    return flat(y), flat(a), flat(b), y.shape[1], a.shape[1], b.shape[1], start


def interleave_forward(a: Any, b: Any, y: Any, start: int) -> None:
    """``y[m, 2 j] = a[m, start + j]``, ``y[m, 2 j + 1] = b[m, start + j]``: a shuffle of two groups, or a part of it.

    Parameters
    ----------
    a : device array (M, A)
    b : device array (M, B)
    y : device array (M, 2 P)
        Output.
    start : int
        First channel of both.

    Raises
    ------
    ValueError
        If there are fewer than ``start + P`` channels, or the shapes differ.
    """
    _check_pairs(y, a, b, start)
    if y.size:
        interleave_kernel(launch.over(y.size), *_pairs(y, a, b, start))


def interleave_backward(dy: Any, da: Any, db: Any, start: int) -> None:
    """Every gradient goes back to where its channel came from.

    Parameters
    ----------
    dy : device array (M, 2 P)
    da : device array (M, A)
    db : device array (M, B)
        Outputs: only the P columns from `start` on are written.
    start : int
        As in the forward pass.
    """
    _check_pairs(dy, da, db, start)
    if dy.size:
        separate_kernel(launch.over(dy.size), *_pairs(dy, da, db, start))
