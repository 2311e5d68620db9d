"""Local response normalisation; the formulas are in :mod:`kernels.reference.response_norm`.

A thread does one float, and reads those of its window, which the cache holds.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kernels.cuda import launch
from kernels.cuda.indices import divided, smaller
from kernels.cuda.jit import inner, kernel
from kernels.cuda.maps import flat
from kernels.cuda.toolkit import cuda

_ZERO = np.float32(0)


@inner
def _power(s, exponent):
    return math.exp(math.log(s) * exponent)


@inner
def _window(i, channels, before, after):
    """First float of the window of float i, and the one behind its last; both in the same row."""
    _, channel = divided(i, channels)
    return i - smaller(before, channel), i + smaller(after, channels - 1 - channel) + 1


@kernel("void(float32[::1], float32[::1], float32[::1], int32, int32, float32, float32, float32)")
def response_norm_forward_kernel(x, y, scale, channels, size, share, beta, k):
    """``s = k + share sum x^2`` and ``y = x s^-beta``."""
    i = cuda.grid(1)
    if i < x.size:
        first, last = _window(i, channels, size // 2, (size - 1) // 2)
        square = _ZERO
        for place in range(first, last):
            square += x[place] * x[place]
        s = k + share * square
        scale[i] = s
        y[i] = x[i] * _power(s, -beta)


@kernel("void(float32[::1], float32[::1], float32[::1], float32[::1], int32, int32, float32, float32)")
def response_norm_backward_kernel(x, scale, dy, dx, channels, size, factor, beta):
    """``dx = dy s^-beta - factor x sum dy x s^(-beta - 1)``."""
    i = cuda.grid(1)
    if i < x.size:
        first, last = _window(i, channels, (size - 1) // 2, size // 2)
        through = _ZERO
        for place in range(first, last):
            through += dy[place] * x[place] * _power(scale[place], -beta) / scale[place]
        dx[i] = dy[i] * _power(scale[i], -beta) - factor * x[i] * through


def _check(x: Any, size: int, *others: Any) -> None:
    if any(tuple(each.shape) != tuple(x.shape) for each in others) or size < 1:
        shapes = ", ".join(str(tuple(each.shape)) for each in (x, *others))
        raise ValueError(f"local response normalisation needs arrays of one shape and a window, got {shapes}, {size}")


def local_response_norm_forward(x: Any, y: Any, scale: Any, size: int, alpha: float, beta: float, k: float) -> None:
    """``s[c] = k + alpha / size sum x^2`` over the channels from ``c - size // 2`` on, and ``y = x s^-beta``.

    Parameters
    ----------
    x : device array (M, C)
    y : device array (M, C)
        Output.
    scale : device array (M, C)
        Output, kept for the backward pass: s.
    size : int
        Number of channels in a window.
    alpha, beta, k : float
    """
    _check(x, size, y, scale)
    if x.size:
        arrays = flat(x), flat(y), flat(scale)
        response_norm_forward_kernel(launch.over(x.size), *arrays, x.shape[1], size, alpha / size, beta, k)


def local_response_norm_backward(x: Any, scale: Any, dy: Any, dx: Any, size: int, alpha: float, beta: float) -> None:
    """``dx = dy s^-beta - 2 beta alpha / size x sum dy x s^(-beta - 1)``, over the windows that channel c is in.

    Parameters
    ----------
    x : device array (M, C)
    scale : device array (M, C)
        As the forward pass wrote it.
    dy : device array (M, C)
    dx : device array (M, C)
        Output.
    size : int
    alpha, beta : float
    """
    _check(x, size, scale, dy, dx)
    if x.size:
        arrays, factor = (flat(x), flat(scale), flat(dy), flat(dx)), 2.0 * beta * alpha / size
        response_norm_backward_kernel(launch.over(x.size), *arrays, x.shape[1], size, factor, beta)
