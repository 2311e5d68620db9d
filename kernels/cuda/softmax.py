"""Softmax along the last axis, a block for each row; and across branches, a thread for each feature."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import float32

from kernels.cuda import launch
from kernels.cuda.indices import divided
from kernels.cuda.jit import kernel
from kernels.cuda.maps import flat
from kernels.cuda.reduce import ROOM, largest, row_blocks, total
from kernels.cuda.toolkit import cuda

_ZERO, _LOWEST = np.float32(0), np.float32(-math.inf)

# --- along the last axis -------------------------------------------------------------------------


@kernel("void(float32[::1], float32[::1], int32)")
def softmax_forward_kernel(x, y, width):
    """Softmax of a row."""
    shared = cuda.shared.array(ROOM, float32)
    first, thread, threads = cuda.blockIdx.x * width, cuda.threadIdx.x, cuda.blockDim.x
    top = _LOWEST
    for i in range(first + thread, first + width, threads):
        if x[i] > top:
            top = x[i]
    top, sum_of_thread = largest(shared, top), _ZERO
    for i in range(first + thread, first + width, threads):
        e = math.exp(x[i] - top)
        y[i] = e
        sum_of_thread += e
    whole = total(shared, sum_of_thread, 1)
    for i in range(first + thread, first + width, threads):
        y[i] /= whole


@kernel("void(float32[::1], float32[::1], float32[::1], int32)")
def softmax_backward_kernel(y, dy, dx, width):
    """Gradient of the softmax of a row."""
    shared = cuda.shared.array(ROOM, float32)
    first, thread, threads = cuda.blockIdx.x * width, cuda.threadIdx.x, cuda.blockDim.x
    product = _ZERO
    for i in range(first + thread, first + width, threads):
        product += y[i] * dy[i]
    product = total(shared, product, 1)
    for i in range(first + thread, first + width, threads):
        dx[i] = y[i] * (dy[i] - product)


# --- across branches -----------------------------------------------------------------------------


@kernel("void(float32[::1], float32[::1], int32, int32)")
def branch_softmax_forward_kernel(x, y, branches, width):
    """Softmax of one feature in all branches, which lie `width` floats apart."""
    i = cuda.grid(1)
    if i * branches < y.size:
        row, feature = divided(i, width)
        first = row * branches * width + feature
        top, whole = x[first], _ZERO
        last = first + branches * width
        for place in range(first + width, last, width):
            if x[place] > top:
                top = x[place]
        for place in range(first, last, width):
            e = math.exp(x[place] - top)
            y[place] = e
            whole += e
        for place in range(first, last, width):
            y[place] /= whole


@kernel("void(float32[::1], float32[::1], float32[::1], int32, int32)")
def branch_softmax_backward_kernel(y, dy, dx, branches, width):
    """Gradient of the softmax of one feature in all branches."""
    i = cuda.grid(1)
    if i * branches < dx.size:
        row, feature = divided(i, width)
        first = row * branches * width + feature
        product, last = _ZERO, first + branches * width
        for place in range(first, last, width):
            product += y[place] * dy[place]
        for place in range(first, last, width):
            dx[place] = y[place] * (dy[place] - product)


# --- the functions -------------------------------------------------------------------------------


def _as_rows(*arrays: Any) -> tuple[launch.Shape, list, int]:
    """A block for each row of arrays (..., K) of equal shape, the arrays (flat), and K."""
    shape = tuple(arrays[0].shape)
    if any(tuple(each.shape) != shape for each in arrays):
        raise ValueError(f"softmax needs arrays of one shape, got {[tuple(a.shape) for a in arrays]}")
    width = max(1, shape[-1])
    return row_blocks(arrays[0].size // width, width), [flat(each) for each in arrays], width


def softmax_forward(x: Any, y: Any) -> None:
    """``y = exp(x) / sum exp(x)`` along the last axis, the maximum subtracted first.

    Parameters
    ----------
    x : device array (..., K)
    y : device array, same shape
        Output; may be `x` itself.
    """
    blocks, arrays, width = _as_rows(x, y)
    if x.size:
        softmax_forward_kernel(blocks, *arrays, width)


def softmax_backward(y: Any, dy: Any, dx: Any) -> None:
    """``dx = y (dy - sum_k dy_k y_k)`` along the last axis.

    Parameters
    ----------
    y : device array (..., K)
        The forward pass's output.
    dy : device array, same shape
    dx : device array, same shape
        Output; may be `dy` itself.
    """
    blocks, arrays, width = _as_rows(y, dy, dx)
    if y.size:
        softmax_backward_kernel(blocks, *arrays, width)


def _branches(branches: int, *arrays: Any) -> list:
    """Flat arrays (M, branches * C) of equal shape."""
    shape = tuple(arrays[0].shape)
    if branches < 1 or shape[1] % branches or any(tuple(each.shape) != shape for each in arrays):
        raise ValueError(f"softmax across {branches} branches cannot work on {[tuple(a.shape) for a in arrays]}")
    return [flat(each) for each in arrays] if arrays[0].size else []


def branch_softmax_forward(x: Any, y: Any, branches: int) -> None:
    """Softmax across branches whose features lie one branch behind the other in a row.

    Parameters
    ----------
    x : device array (M, branches * C)
    y : device array, same shape
        Output; may be `x` itself.
    branches : int
    """
    arrays = _branches(branches, x, y)
    if arrays:
        branch_softmax_forward_kernel(launch.over(x.size // branches), *arrays, branches, x.shape[1] // branches)


def branch_softmax_backward(y: Any, dy: Any, dx: Any, branches: int) -> None:
    """``dx = y (dy - sum over b of dy_b y_b)``.

    Parameters
    ----------
    y, dy : device array (M, branches * C)
    dx : device array, same shape
        Output; may be `dy` itself.
    branches : int
    """
    arrays = _branches(branches, y, dy, dx)
    if arrays:
        branch_softmax_backward_kernel(launch.over(y.size // branches), *arrays, branches, y.shape[1] // branches)
