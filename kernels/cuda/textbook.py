"""Products, convolution and attention as a first course on GPUs writes them: a thread for each result.

They are for reading, between the formulas of :mod:`kernels.reference` and the fast forms, which networks use: every
kernel says what its fast form changes. The numbers are the same up to rounding.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kernels.cuda.indices import divided
from kernels.cuda.jit import inner, kernel
from kernels.cuda.launch import over
from kernels.cuda.toolkit import cuda

Pair = tuple[int, int]

_ZERO = np.float32(0)
_PAIR, _TOKENS, _IMAGES = "UniTuple(int32, 2)", "float32[:,:,:]", "float32[:,:,:,::1]"

# --- products ------------------------------------------------------------------------------------


@kernel("void(float32[:,::1], float32[:,::1], float32[:,::1])")
def matmul_textbook_kernel(a, b, c):
    """The fast form brings tiles to shared memory and registers, where a float that is read serves 128 results."""
    i = cuda.grid(1)
    if i < c.size:
        row, column = divided(i, c.shape[1])
        total = _ZERO
        for step in range(a.shape[1]):
            total += a[row, step] * b[step, column]
        c[row, column] = total


# --- convolution ---------------------------------------------------------------------------------


@inner
def _window(x, w, image, row, column, output, first, dilation):
    """The sum over the window that begins at a row and a column, and over the group's channels from `first` on."""
    total = _ZERO
    for i in range(w.shape[0]):
        for j in range(w.shape[1]):
            y, z = row + i * dilation[0], column + j * dilation[1]
            if y >= 0 and y < x.shape[1] and z >= 0 and z < x.shape[2]:
                for channel in range(w.shape[2]):
                    total += x[image, y, z, first + channel] * w[i, j, channel, output]
    return total


@kernel(f"void({_IMAGES}, {_IMAGES}, float32[::1], {_IMAGES}, {_PAIR}, {_PAIR}, {_PAIR}, int32, int32)")
def conv2d_textbook_kernel(x, w, b, y, stride, padding, dilation, group_outputs, has_bias):
    """The fast form is a product in tiles, whose left side is gathered from the windows of the image."""
    i = cuda.grid(1)
    if i < y.size:
        pixel, output = divided(i, y.shape[3])
        line, column = divided(pixel, y.shape[2])
        image, row = divided(line, y.shape[1])
        top, left = row * stride[0] - padding[0], column * stride[1] - padding[1]
        first = output // group_outputs * w.shape[2]
        total = _window(x, w, image, top, left, output, first, dilation)
        y[image, row, column, output] = total + b[output] if has_bias else total


# --- attention -----------------------------------------------------------------------------------


@inner
def _match(q, k, image, query, key, first, depth):
    """How well a query and a key match: the sum of the products of one head's features."""
    total = _ZERO
    for feature in range(first, first + depth):
        total += q[image, query, feature] * k[image, key, feature]
    return total


@inner
def _softmax(weights, image, head, query):
    """Softmax of the weights of one query, in place."""
    keys, top, total = weights.shape[3], weights[image, head, query, 0], _ZERO
    for key in range(1, keys):
        if weights[image, head, query, key] > top:
            top = weights[image, head, query, key]
    for key in range(keys):
        e = math.exp(weights[image, head, query, key] - top)
        weights[image, head, query, key] = e
        total += e
    for key in range(keys):
        weights[image, head, query, key] /= total


@inner
def _mean(weights, v, image, head, query, feature):
    """The mean of one feature of the values, weighted."""
    total = _ZERO
    for key in range(weights.shape[3]):
        total += weights[image, head, query, key] * v[image, key, feature]
    return total


@kernel(f"void({', '.join([_TOKENS] * 4)}, {_IMAGES}, float32, int32)")
def attention_textbook_kernel(q, k, v, y, weights, scale, softmax):
    """The fast form multiplies in tiles, which read a key for 64 queries at once, and gives each softmax a block."""
    i, heads, queries, keys = cuda.grid(1), weights.shape[1], weights.shape[2], weights.shape[3]
    if i < weights.shape[0] * heads * queries:
        rest, query = divided(i, queries)
        image, head = divided(rest, heads)
        depth, width = q.shape[2] // heads, v.shape[2] // heads
        for key in range(keys):
            weights[image, head, query, key] = scale * _match(q, k, image, query, key, head * depth, depth)
        if softmax:
            _softmax(weights, image, head, query)
        for feature in range(head * width, (head + 1) * width):
            y[image, query, feature] = _mean(weights, v, image, head, query, feature)


# --- the functions -------------------------------------------------------------------------------


def matmul_textbook(a: Any, b: Any, c: Any) -> None:
    """``c = a @ b``, with a thread for each number of c.

    Parameters
    ----------
    a : device array (M, K)
    b : device array (K, N)
    c : device array (M, N)
        Output.
    """
    if c.size:
        matmul_textbook_kernel(over(c.size), a, b, c)


def _numbers(pair: Pair) -> tuple[np.int32, ...]:
    return tuple(np.int32(each) for each in pair)


def conv2d_textbook_forward(
    x: Any, w: Any, b: Any, y: Any, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> None:
    """Convolution with a thread for each number of y: the formula of :func:`kernels.cuda.conv.conv2d_forward`.

    Parameters
    ----------
    x : device array (N, H, W, C_in)
    w : device array (KH, KW, C_in / groups, C_out)
    b : device array (C_out,) or None
    y : device array (N, OH, OW, C_out)
        Output.
    stride, padding, dilation : (int, int)
        Vertical and horizontal, in pixels.
    groups : int
        Divides C_in and C_out.
    """
    if y.size:
        bias = y.reshape(y.size) if b is None else b
        geometry = _numbers(stride), _numbers(padding), _numbers(dilation)
        conv2d_textbook_kernel(over(y.size), x, w, bias, y, *geometry, y.shape[3] // groups, b is not None)


def attention_textbook_forward(
    q: Any, k: Any, v: Any, y: Any, weights: Any, heads: int, scale: float, softmax: bool
) -> None:
    """Attention with a thread for each query of each head: :func:`kernels.cuda.attention.attention_forward`.

    Parameters
    ----------
    q : device array (N, T, D)
    k : device array (N, S, D)
    v : device array (N, S, E)
    y : device array (N, T, E)
        Output.
    weights : device array (N, heads, T, S)
        Output.
    heads : int
        Divides D and E.
    scale : float
        Usually ``1 / sqrt(D / heads)``.
    softmax : bool
        False leaves it out.
    """
    if weights.size:
        threads = weights.shape[0] * heads * weights.shape[2]
        attention_textbook_kernel(over(threads), q, k, v, y, weights, scale, softmax)
