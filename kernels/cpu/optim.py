"""Parameter updates on flat arrays, in place, in one pass; and the reductions that training needs.

The formulas are in :mod:`kernels.reference.optim`.
"""

from __future__ import annotations

import math

import numpy as np

from kernels.cpu.jit import inner, kernel
from kernels.cpu.jobs import CHUNK, SMALL, run_chunks
from kernels.cpu.maps import flatten, map_one
from kernels.cpu.simd import (
    add,
    address,
    div,
    fma,
    lane_total,
    load_scalar,
    mul,
    select_gt,
    select_lt,
    splat,
    square_root,
)
from kernels.cpu.tails import read, write

_ZERO = np.float32(0)
# Updates read and write more than maps do.
_SMALL_UPDATE = SMALL // 3


@inner
def _penalised(w, g, l1, l2, grad_scale):
    """``g' = grad_scale g + l1 sign(w) + l2 w``."""
    zero, strength = splat(_ZERO), splat(l1)
    sign = select_lt(w, zero, splat(-l1), select_gt(w, zero, strength, zero))
    return fma(g, splat(grad_scale), fma(w, splat(l2), sign))


@inner
def _sgd_chunk(w, g, lr, l1, l2, grad_scale, start, stop):
    for i in range(start, stop, 8):
        weights = read(w + 4 * i, stop - i)
        step = _penalised(weights, read(g + 4 * i, stop - i), l1, l2, grad_scale)
        write(w + 4 * i, fma(step, splat(-lr), weights), stop - i)


@kernel("void(f4[::1], f4[::1], f4, f4, f4, f4)", parallel=False)
def sgd_kernel(w, g, lr, l1, l2, grad_scale):
    """One pass of gradient descent."""
    arguments = (address(w), address(g), lr, l1, l2, grad_scale)
    run_chunks(_sgd_chunk, arguments, w.size, CHUNK, w.size < _SMALL_UPDATE)


@inner
def _momentum_chunk(w, g, v, lr, momentum, own, past, l1, l2, grad_scale, start, stop):
    for i in range(start, stop, 8):
        weights = read(w + 4 * i, stop - i)
        gradient = _penalised(weights, read(g + 4 * i, stop - i), l1, l2, grad_scale)
        velocity = fma(read(v + 4 * i, stop - i), splat(momentum), gradient)
        step = fma(velocity, splat(past), mul(gradient, splat(own)))
        write(v + 4 * i, velocity, stop - i)
        write(w + 4 * i, fma(step, splat(-lr), weights), stop - i)


@kernel("void(f4[::1], f4[::1], f4[::1], f4, f4, f4, f4, f4, f4, f4)", parallel=False)
def momentum_kernel(w, g, v, lr, momentum, own, past, l1, l2, grad_scale):
    """The step is ``own g' + past v``: (0, 1) for plain momentum, (1, momentum) for Nesterov's."""
    arguments = (address(w), address(g), address(v), lr, momentum, own, past, l1, l2, grad_scale)
    run_chunks(_momentum_chunk, arguments, w.size, CHUNK, w.size < _SMALL_UPDATE)


@inner
def _rmsprop_chunk(w, g, s, lr, alpha, rest, eps, l1, l2, grad_scale, start, stop):
    for i in range(start, stop, 8):
        weights = read(w + 4 * i, stop - i)
        gradient = _penalised(weights, read(g + 4 * i, stop - i), l1, l2, grad_scale)
        square = mul(mul(gradient, gradient), splat(rest))
        square = fma(read(s + 4 * i, stop - i), splat(alpha), square)
        step = div(gradient, add(square_root(square), splat(eps)))
        write(s + 4 * i, square, stop - i)
        write(w + 4 * i, fma(step, splat(-lr), weights), stop - i)


@kernel("void(f4[::1], f4[::1], f4[::1], f4, f4, f4, f4, f4, f4, f4)", parallel=False)
def rmsprop_kernel(w, g, s, lr, alpha, rest, eps, l1, l2, grad_scale):
    """One pass of RMSprop; `rest` is ``1 - alpha``."""
    arguments = (address(w), address(g), address(s), lr, alpha, rest, eps, l1, l2, grad_scale)
    run_chunks(_rmsprop_chunk, arguments, w.size, CHUNK, w.size < _SMALL_UPDATE)


@inner
def _adam_chunk(w, g, m, v, rate, keep, betas, eps, penalties, start, stop):
    beta1, rest1, beta2, rest2 = betas
    l1, l2, grad_scale = penalties
    for i in range(start, stop, 8):
        weights = read(w + 4 * i, stop - i)
        gradient = _penalised(weights, read(g + 4 * i, stop - i), l1, l2, grad_scale)
        first = fma(read(m + 4 * i, stop - i), splat(beta1), mul(gradient, splat(rest1)))
        square = mul(mul(gradient, gradient), splat(rest2))
        second = fma(read(v + 4 * i, stop - i), splat(beta2), square)
        step = div(first, add(square_root(second), splat(eps)))
        write(m + 4 * i, first, stop - i)
        write(v + 4 * i, second, stop - i)
        write(w + 4 * i, fma(step, splat(-rate), mul(weights, splat(keep))), stop - i)


@kernel(
    "void(f4[::1], f4[::1], f4[::1], f4[::1], f4, f4, UniTuple(f4, 4), f4, UniTuple(f4, 3))",
    parallel=False,
)
def adam_kernel(w, g, m, v, rate, keep, betas, eps, penalties):
    """One pass of Adam with the bias corrections folded into `rate` and `eps`."""
    arguments = (address(w), address(g), address(m), address(v), rate, keep, betas, eps, penalties)
    run_chunks(_adam_chunk, arguments, w.size, CHUNK, w.size < _SMALL_UPDATE)


@inner
def _square_sum_chunk(g, partial, start, stop):
    total = 0.0
    for place in range(g + 4 * start, g + 4 * stop, 4):
        value = np.float64(load_scalar(place))
        total += value * value
    partial[start // CHUNK] = total


@kernel("f8(f4[::1], f8[::1])", parallel=False)
def sum_of_squares_kernel(g, partial):
    """One partial sum for each chunk, added up in order."""
    run_chunks(_square_sum_chunk, (address(g), partial), g.size, CHUNK, g.size < SMALL)
    total = 0.0
    for i in range(partial.size):
        total += partial[i]
    return total


def _clip(x, limit):
    x = (x > limit).where(limit, x)
    return (x < -limit).where(-limit, x)


_clip_body = map_one(_clip)


@kernel("void(f4[::1], f4)", parallel=False)
def clip_kernel(g, limit):
    """Clip in place."""
    run_chunks(_clip_body, (address(g), address(g), limit), g.size, CHUNK, g.size < SMALL)


@inner
def _poison_chunk(x, partial, start, stop):
    """0 if the chunk is finite, NaN if not: zero times infinity is NaN, and NaN stays."""
    total, zero = splat(_ZERO), splat(_ZERO)
    for i in range(start, stop, 8):
        total = fma(read(x + 4 * i, stop - i), zero, total)
    partial[start // CHUNK] = lane_total(total)


@kernel("b1(f4[::1], f8[::1])", parallel=False)
def all_finite_kernel(x, partial):
    """Whether all elements times zero add up to zero."""
    run_chunks(_poison_chunk, (address(x), partial), x.size, CHUNK, x.size < SMALL)
    total = 0.0
    for i in range(partial.size):
        total += partial[i]
    return total == 0.0


def _partial(x: np.ndarray) -> np.ndarray:
    """Room for one number from each chunk of `x`."""
    return np.empty(-(x.size // -CHUNK))


def sgd_update(w: np.ndarray, g: np.ndarray, lr: float, l1: float, l2: float, grad_scale: float) -> None:
    """Gradient descent: ``w -= lr g'``.

    Parameters
    ----------
    w : ndarray (P,)
        Weights, changed in place.
    g : ndarray (P,)
        Gradient.
    lr : float
    l1, l2 : float
        Penalty strengths.
    grad_scale : float
        Factor on `g` (clipping by norm, loss scaling).
    """
    sgd_kernel(*flatten(w, g), lr, l1, l2, grad_scale)


def momentum_update(
    w: np.ndarray,
    g: np.ndarray,
    v: np.ndarray,
    lr: float,
    momentum: float,
    nesterov: bool,
    l1: float,
    l2: float,
    grad_scale: float,
) -> None:
    """Momentum: ``v = momentum v + g'``, then ``w -= lr v``, or Nesterov's ``w -= lr (g' + momentum v)``.

    Parameters
    ----------
    w : ndarray (P,)
        Weights, changed in place.
    g : ndarray (P,)
        Gradient.
    v : ndarray (P,)
        Velocity, changed in place; zeros before the first step.
    lr, momentum : float
    nesterov : bool
    l1, l2, grad_scale : float
        As in :func:`sgd_update`.
    """
    own, past = (1.0, momentum) if nesterov else (0.0, 1.0)
    momentum_kernel(*flatten(w, g, v), lr, momentum, own, past, l1, l2, grad_scale)


def rmsprop_update(
    w: np.ndarray,
    g: np.ndarray,
    s: np.ndarray,
    lr: float,
    alpha: float,
    eps: float,
    l1: float,
    l2: float,
    grad_scale: float,
) -> None:
    """RMSprop: ``s = alpha s + (1 - alpha) g'^2``, then ``w -= lr g' / (sqrt(s) + eps)``.

    Parameters
    ----------
    w : ndarray (P,)
        Weights, changed in place.
    g : ndarray (P,)
        Gradient.
    s : ndarray (P,)
        Running mean square, changed in place; zeros before the first step.
    lr, alpha, eps : float
    l1, l2, grad_scale : float
        As in :func:`sgd_update`.
    """
    rmsprop_kernel(*flatten(w, g, s), lr, alpha, 1.0 - alpha, eps, l1, l2, grad_scale)


def adam_update(
    w: np.ndarray,
    g: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    step: int,
    decoupled_decay: float,
    l1: float,
    l2: float,
    grad_scale: float,
) -> None:
    """Adam, and AdamW where `decoupled_decay` is not zero.

    Parameters
    ----------
    w : ndarray (P,)
        Weights, changed in place.
    g : ndarray (P,)
        Gradient.
    m, v : ndarray (P,)
        Running means of g' and of its square, changed in place; zeros before the first step.
    lr, beta1, beta2, eps : float
    step : int
        Counts from 1.
    decoupled_decay : float
        AdamW's weight decay, which does not pass through m and v.
    l1, l2, grad_scale : float
        As in :func:`sgd_update`.
    """
    # lr (m / c1) / (sqrt(v / c2) + eps) = (lr sqrt(c2) / c1) m / (sqrt(v) + eps sqrt(c2))
    root = math.sqrt(1.0 - beta2**step)
    rate = lr * root / (1.0 - beta1**step)
    betas = (beta1, 1.0 - beta1, beta2, 1.0 - beta2)
    keep, penalties = 1.0 - lr * decoupled_decay, (l1, l2, grad_scale)
    adam_kernel(*flatten(w, g, m, v), rate, keep, betas, eps * root, penalties)


def sum_of_squares(g: np.ndarray) -> float:
    """``sum_i g[i]^2``, accumulated in float64; the same bits for any number of threads.

    Parameters
    ----------
    g : ndarray (P,)

    Returns
    -------
    float
    """
    return sum_of_squares_kernel(*flatten(g), _partial(g))


def clip_by_value(g: np.ndarray, limit: float) -> None:
    """Clip into ``[-limit, limit]`` in place; NaN stays.

    Parameters
    ----------
    g : ndarray (P,)
        Changed in place.
    limit : float
    """
    clip_kernel(*flatten(g), limit)


def all_finite(x: np.ndarray) -> bool:
    """Whether no element is infinite or NaN.

    Parameters
    ----------
    x : ndarray (P,)

    Returns
    -------
    bool
    """
    return bool(all_finite_kernel(*flatten(x), _partial(x)))
