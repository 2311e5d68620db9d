"""Local response normalisation; the formulas are in :mod:`kernels.reference.response_norm`.

The terms of a row's window sums are written into a row of scratch with zeros on both sides, so that a window is so many
shifted reads.
"""

from __future__ import annotations

import numpy as np

from kernels.cpu import vmath
from kernels.cpu.jit import inner, kernel
from kernels.cpu.jobs import CHUNK, SMALL_TRANSCENDENTAL, run_chunks
from kernels.cpu.lanes import compiled
from kernels.cpu.simd import add, address, fma, mul, splat
from kernels.cpu.tails import read, write, zero_floats

_ZERO = np.float32(0)

_power = compiled(lambda s, exponent: vmath.exp(vmath.log(s) * exponent))
_inverse_power = compiled(lambda s, exponent: vmath.exp(vmath.log(s) * exponent) / s)


@inner
def _window_sum(place, size, count):
    total = splat(_ZERO)
    for i in range(size):
        total = add(total, read(place + 4 * i, count))
    return total


@inner
def _forward_rows(x, y, scale, terms, channels, size, factors, step, start, stop):
    share, beta, k = splat(factors[0]), splat(-factors[1]), splat(factors[2])
    padded = channels + size - 1
    terms += 4 * (start // step) * padded
    zero_floats(terms, padded)
    inside = terms + 4 * (size // 2)
    for row in range(start, stop):
        first = 4 * row * channels
        for c in range(0, channels, 8):
            value = read(x + first + 4 * c, channels - c)
            write(inside + 4 * c, mul(value, value), channels - c)
        for c in range(0, channels, 8):
            place, count = first + 4 * c, channels - c
            s = fma(_window_sum(terms + 4 * c, size, count), share, k)
            write(scale + place, s, count)
            write(y + place, mul(read(x + place, count), _power(s, beta)), count)


@inner
def _backward_rows(x, scale, dy, dx, terms, channels, size, factors, step, start, stop):
    share, beta = splat(np.float32(-2.0) * factors[0] * factors[1]), splat(-factors[1])
    padded = channels + size - 1
    terms += 4 * (start // step) * padded
    zero_floats(terms, padded)
    inside = terms + 4 * ((size - 1) // 2)
    for row in range(start, stop):
        first = 4 * row * channels
        for c in range(0, channels, 8):
            place, count = first + 4 * c, channels - c
            product = mul(read(x + place, count), read(dy + place, count))
            write(inside + 4 * c, mul(product, _inverse_power(read(scale + place, count), beta)), count)
        for c in range(0, channels, 8):
            place, count = first + 4 * c, channels - c
            through = mul(mul(read(x + place, count), share), _window_sum(terms + 4 * c, size, count))
            write(dx + place, fma(read(dy + place, count), _power(read(scale + place, count), beta), through), count)


@kernel("void(f4[:,::1], f4[:,::1], f4[:,::1], f4[:,::1], i8, f4, f4, f4, i8)", parallel=False)
def response_norm_forward_kernel(x, y, scale, terms, size, share, beta, k, step):
    """Normalise, `step` rows in a job."""
    factors = (share, beta, k)
    arguments = (address(x), address(y), address(scale), address(terms), x.shape[1], size, factors, step)
    run_chunks(_forward_rows, arguments, x.shape[0], step, x.size < SMALL_TRANSCENDENTAL)


@kernel("void(f4[:,::1], f4[:,::1], f4[:,::1], f4[:,::1], f4[:,::1], i8, f4, f4, i8)", parallel=False)
def response_norm_backward_kernel(x, scale, dy, dx, terms, size, share, beta, step):
    """The gradient, `step` rows in a job."""
    factors = (share, beta)
    arguments = (address(x), address(scale), address(dy), address(dx), address(terms), x.shape[1], size, factors, step)
    run_chunks(_backward_rows, arguments, x.shape[0], step, x.size < SMALL_TRANSCENDENTAL)


def _plan(x: np.ndarray, size: int, *others: np.ndarray) -> tuple[np.ndarray, int]:
    """Scratch for the terms of each job, and the rows of a job."""
    if any(each.shape != x.shape for each in others) or size < 1:
        shapes = ", ".join(str(each.shape) for each in (x, *others))
        raise ValueError(f"local response normalisation needs arrays of one shape and a window, got {shapes}, {size}")
    rows, channels = x.shape
    step = max(CHUNK // max(channels, 1), rows // 64) + 1
    return np.empty((-(rows // -step), channels + size - 1), np.float32), step


def local_response_norm_forward(
    x: np.ndarray, y: np.ndarray, scale: np.ndarray, size: int, alpha: float, beta: float, k: float
) -> None:
    """``s[c] = k + alpha / size sum x^2`` over the channels from ``c - size // 2`` on, and ``y = x s^-beta``.

    Parameters
    ----------
    x : ndarray (M, C)
    y : ndarray (M, C)
        Output.
    scale : ndarray (M, C)
        Output, kept for the backward pass: s.
    size : int
        Number of channels in a window.
    alpha, beta, k : float
    """
    terms, step = _plan(x, size, y, scale)
    response_norm_forward_kernel(x, y, scale, terms, size, alpha / size, beta, k, step)


def local_response_norm_backward(
    x: np.ndarray, scale: np.ndarray, dy: np.ndarray, dx: np.ndarray, size: int, alpha: float, beta: float
) -> None:
    """``dx = dy s^-beta - 2 beta alpha / size x sum dy x s^(-beta - 1)``, over the windows that channel c is in.

    Parameters
    ----------
    x : ndarray (M, C)
    scale : ndarray (M, C)
        As the forward pass wrote it.
    dy : ndarray (M, C)
    dx : ndarray (M, C)
        Output.
    size : int
    alpha, beta : float
    """
    terms, step = _plan(x, size, scale, dy, dx)
    response_norm_backward_kernel(x, scale, dy, dx, terms, size, alpha / size, beta, step)
