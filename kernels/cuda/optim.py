"""Parameter updates on flat arrays, in place, in one pass; and the reductions that training needs.

The formulas are in :mod:`kernels.reference.optim`. A reduction takes two kernels: each block adds up a share of the
array, then one block adds up what they found. How many blocks there are depends on the size of the array alone, and
nobody adds to what another adds to, so the order of the sum never changes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import float32, float64

from kernels.cuda import launch, toolkit
from kernels.cuda.formulas import clamp
from kernels.cuda.jit import Kernel, inner, kernel
from kernels.cuda.maps import flat, flatten, map_one
from kernels.cuda.reduce import ROOM, total
from kernels.cuda.scratch import room
from kernels.cuda.toolkit import cuda

_ZERO = np.float32(0)
#: The most blocks of a reduction, and elements that a thread should have at least.
_BLOCKS, _TERMS = 1024, 8

# --- updates: a thread for each weight -----------------------------------------------------------


@inner
def _penalised(w, g, l1, l2, grad_scale):
    """``g' = grad_scale g + l1 sign(w) + l2 w``."""
    sign = _ZERO
    if w > _ZERO:
        sign = l1
    elif w < _ZERO:
        sign = -l1
    return g * grad_scale + (w * l2 + sign)


@kernel("void(float32[::1], float32[::1], float32, float32, float32, float32)")
def sgd_kernel(w, g, lr, l1, l2, grad_scale):
    """One step of gradient descent."""
    i = cuda.grid(1)
    if i < w.size:
        w[i] -= lr * _penalised(w[i], g[i], l1, l2, grad_scale)


@kernel(f"void(float32[::1], float32[::1], float32[::1]{7 * ', float32'})")
def momentum_kernel(w, g, v, lr, momentum, own, past, l1, l2, grad_scale):
    """The step is ``own g' + past v``: (0, 1) for plain momentum, (1, momentum) for Nesterov's."""
    i = cuda.grid(1)
    if i < w.size:
        gradient = _penalised(w[i], g[i], l1, l2, grad_scale)
        velocity = v[i] * momentum + gradient
        v[i] = velocity
        w[i] -= lr * (velocity * past + gradient * own)


@kernel(f"void(float32[::1], float32[::1], float32[::1]{7 * ', float32'})")
def rmsprop_kernel(w, g, s, lr, alpha, rest, eps, l1, l2, grad_scale):
    """One step of RMSprop; `rest` is ``1 - alpha``."""
    i = cuda.grid(1)
    if i < w.size:
        gradient = _penalised(w[i], g[i], l1, l2, grad_scale)
        square = s[i] * alpha + gradient * gradient * rest
        s[i] = square
        w[i] -= lr * (gradient / (math.sqrt(square) + eps))


@kernel(f"void(float32[::1], float32[::1], float32[::1], float32[::1]{10 * ', float32'})")
def adam_kernel(w, g, m, v, rate, keep, beta1, rest1, beta2, rest2, eps, l1, l2, grad_scale):
    """One step of Adam with the bias corrections folded into `rate` and `eps`."""
    i = cuda.grid(1)
    if i < w.size:
        gradient = _penalised(w[i], g[i], l1, l2, grad_scale)
        first = m[i] * beta1 + gradient * rest1
        second = v[i] * beta2 + gradient * gradient * rest2
        m[i], v[i] = first, second
        w[i] = w[i] * keep - rate * (first / (math.sqrt(second) + eps))


def _update(compiled: Kernel, arrays: tuple, *numbers: float) -> None:
    vectors = flatten(*arrays)
    if vectors[0].size:
        compiled(launch.over(vectors[0].size), *vectors, *numbers)


def _clip_formula(x, limit):
    return clamp(x, -limit, limit)


_clip = map_one("clip_kernel", _clip_formula)

# --- reductions ----------------------------------------------------------------------------------


def _sums(name: str, term: Callable, kind: Any, total_kind: Any) -> Kernel:
    """Kernel ``sums[block] = sum of term(x)`` over a block's share; floats of one kind, sums of another."""
    function = inner(term)

    def body(x, sums):
        shared = cuda.shared.array(ROOM, total_kind)
        own = total_kind(0)
        for i in range(cuda.grid(1), x.size, cuda.gridsize(1)):
            own += function(x[i])
        own = total(shared, own, 1)
        if cuda.threadIdx.x == 0:
            sums[cuda.blockIdx.x] = own

    body.__name__, body.__doc__ = name, term.__doc__
    return kernel(f"void({kind}[::1], {total_kind}[::1])")(body)


def _square(x):
    """The square, in float64: float32 ends at 3e38."""
    return np.float64(x) * np.float64(x)


def _itself(x):
    """The number itself."""
    return x


def _poison(x):
    """0 if the number is finite, not-a-number if not: that is what zero times infinity is, and it stays in a sum."""
    return x * _ZERO


square_sum_kernel = _sums("square_sum_kernel", _square, float32, float64)
sum_kernel = _sums("sum_kernel", _itself, float64, float64)
poison_kernel = _sums("poison_kernel", _poison, float32, float32)


def _total(share: Kernel, whole: Kernel, x: Any, dtype: Any) -> float:
    """What `whole` makes of what `share` makes of an array; waits for it."""
    if x.size == 0:
        return 0.0
    blocks = min(_BLOCKS, launch.over(x.size, _TERMS).blocks[0])
    sums, total = room("sums of blocks", blocks, dtype), room("sum", 1, dtype)
    share(launch.blocks(blocks, threads=launch.THREADS), flat(x), sums)
    whole(launch.blocks(1, threads=launch.THREADS), sums, total)
    return float(toolkit.to_host(total)[0])


# --- the functions -------------------------------------------------------------------------------


def sgd_update(w: Any, g: Any, lr: float, l1: float, l2: float, grad_scale: float) -> None:
    """Gradient descent: ``w -= lr g'``.

    Parameters
    ----------
    w : device array (P,)
        Weights, changed in place.
    g : device array (P,)
        Gradient.
    lr : float
    l1, l2 : float
        Penalty strengths.
    grad_scale : float
        Factor on `g` (clipping by norm, loss scaling).
    """
    _update(sgd_kernel, (w, g), lr, l1, l2, grad_scale)


def momentum_update(
    w: Any,
    g: Any,
    v: Any,
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
    w : device array (P,)
        Weights, changed in place.
    g : device array (P,)
        Gradient.
    v : device array (P,)
        Velocity, changed in place; zeros before the first step.
    lr, momentum : float
    nesterov : bool
    l1, l2, grad_scale : float
        As in :func:`sgd_update`.
    """
    own, past = (1.0, momentum) if nesterov else (0.0, 1.0)
    _update(momentum_kernel, (w, g, v), lr, momentum, own, past, l1, l2, grad_scale)


def rmsprop_update(
    w: Any,
    g: Any,
    s: Any,
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
    w : device array (P,)
        Weights, changed in place.
    g : device array (P,)
        Gradient.
    s : device array (P,)
        Running mean square, changed in place; zeros before the first step.
    lr, alpha, eps : float
    l1, l2, grad_scale : float
        As in :func:`sgd_update`.
    """
    _update(rmsprop_kernel, (w, g, s), lr, alpha, 1.0 - alpha, eps, l1, l2, grad_scale)


def adam_update(
    w: Any,
    g: Any,
    m: Any,
    v: Any,
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
    w : device array (P,)
        Weights, changed in place.
    g : device array (P,)
        Gradient.
    m, v : device array (P,)
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
    keep = 1.0 - lr * decoupled_decay
    _update(adam_kernel, (w, g, m, v), rate, keep, *betas, eps * root, l1, l2, grad_scale)


def sum_of_squares(g: Any) -> float:
    """``sum_i g[i]^2``, accumulated in float64; the same bits on any GPU.

    Parameters
    ----------
    g : device array (P,)

    Returns
    -------
    float
    """
    return _total(square_sum_kernel, sum_kernel, g, np.float64)


def clip_by_value(g: Any, limit: float) -> None:
    """Clip into ``[-limit, limit]`` in place; NaN stays.

    Parameters
    ----------
    g : device array (P,)
        Changed in place.
    limit : float
    """
    _clip(g, g, limit)


def all_finite(x: Any) -> bool:
    """Whether no element is infinite or NaN.

    Parameters
    ----------
    x : device array (P,)

    Returns
    -------
    bool
    """
    return _total(poison_kernel, poison_kernel, x, np.float32) == 0.0
