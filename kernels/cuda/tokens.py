"""Sequences of tokens: a learned token in front of all others."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.cuda import launch
from kernels.cuda.elementwise import copy_columns
from kernels.cuda.indices import divided
from kernels.cuda.jit import kernel
from kernels.cuda.maps import flat
from kernels.cuda.toolkit import cuda


@kernel("void(float32[::1], float32[::1], float32[::1], int32)")
def prepend_kernel(x, token, y, width):
    """The token, then a sequence, in every row of `width` floats."""
    i = cuda.grid(1)
    if i < y.size:
        row, column = divided(i, width)
        y[i] = token[column] if column < token.size else x[i - (row + 1) * token.size]


@kernel("void(float32[::1], float32[::1], int32)")
def token_sum_kernel(dy, dtoken, width):
    """The sum of the first floats of all rows, a thread for each column."""
    i = cuda.grid(1)
    if i < dtoken.size:
        total = np.float32(0)
        for place in range(i, dy.size, width):
            total += dy[place]
        dtoken[i] = total


def _rows(array: Any) -> Any:
    return array.reshape(array.shape[0], array.size // max(1, array.shape[0]))


def prepend_token_forward(x: Any, token: Any, y: Any) -> None:
    """Put the same token in front of every sequence.

    Parameters
    ----------
    x : device array (N, T, D)
    token : device array (D,)
    y : device array (N, T + 1, D)
        Output.
    """
    if y.size:
        prepend_kernel(launch.over(y.size), flat(x), token, flat(y), y.shape[1] * y.shape[2])


def prepend_token_backward(dy: Any, dx: Any | None, dtoken: Any | None) -> None:
    """The token's gradient sums over the sequences; the others keep theirs.

    Parameters
    ----------
    dy : device array (N, T + 1, D)
    dx : device array (N, T, D) or None
        Output; None where no gradient is wanted.
    dtoken : device array (D,) or None
        Output; None where no gradient is wanted.
    """
    if dx is not None:
        copy_columns(_rows(dy), _rows(dx), dy.shape[2], 0, dx.shape[1] * dx.shape[2])
    if dtoken is not None:
        token_sum_kernel(launch.over(dtoken.size), flat(dy), dtoken, dy.shape[1] * dy.shape[2])
