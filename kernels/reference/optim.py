"""Parameter updates on flat arrays, in place, and the reductions that training needs.

All updates see the same gradient, ``g' = grad_scale g + l1 sign(w) + l2 w``, with w from before the
step.

Sources: Sutskever et al., "On the importance of initialization and momentum in deep learning"
(2013) (momentum, Nesterov); Tieleman and Hinton, "Lecture 6.5: rmsprop" (2012); Kingma and Ba,
"Adam" (2015), algorithm 1; Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (2019),
algorithm 2. Variants as in PyTorch.
"""

from __future__ import annotations

import numpy as np


def _penalised(weights: np.ndarray, g: np.ndarray, l1: float, l2: float, grad_scale: float) -> np.ndarray:
    """``g' = grad_scale g + l1 sign(w) + l2 w`` in float64."""
    return grad_scale * g.astype(np.float64) + l1 * np.sign(weights) + l2 * weights


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
    weights = w.astype(np.float64)
    w[...] = weights - lr * _penalised(weights, g, l1, l2, grad_scale)


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
    """Momentum: ``v = momentum v + g'``, then ``w -= lr v``.

    With Nesterov's look-ahead ``w -= lr (g' + momentum v)``.

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
    weights = w.astype(np.float64)
    gradient = _penalised(weights, g, l1, l2, grad_scale)
    velocity = momentum * v.astype(np.float64) + gradient
    v[...] = velocity
    w[...] = weights - lr * (gradient + momentum * velocity if nesterov else velocity)


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
    weights = w.astype(np.float64)
    gradient = _penalised(weights, g, l1, l2, grad_scale)
    square = alpha * s.astype(np.float64) + (1.0 - alpha) * gradient**2
    s[...] = square
    w[...] = weights - lr * gradient / (np.sqrt(square) + eps)


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

    ``m = beta1 m + (1 - beta1) g'``, ``v = beta2 v + (1 - beta2) g'^2``, then
    ``w = (1 - lr decoupled_decay) w - lr mhat / (sqrt(vhat) + eps)`` with
    ``mhat = m / (1 - beta1^step)`` and ``vhat = v / (1 - beta2^step)``.

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
    weights = w.astype(np.float64)
    gradient = _penalised(weights, g, l1, l2, grad_scale)
    first = beta1 * m.astype(np.float64) + (1.0 - beta1) * gradient
    second = beta2 * v.astype(np.float64) + (1.0 - beta2) * gradient**2
    m[...] = first
    v[...] = second
    mean, square = first / (1.0 - beta1**step), second / (1.0 - beta2**step)
    w[...] = (1.0 - lr * decoupled_decay) * weights - lr * mean / (np.sqrt(square) + eps)


def sum_of_squares(g: np.ndarray) -> float:
    """``sum_i g[i]^2``, the square of a gradient's norm.

    Parameters
    ----------
    g : ndarray (P,)

    Returns
    -------
    float
    """
    return float(np.square(g.astype(np.float64)).sum())


def clip_by_value(g: np.ndarray, limit: float) -> None:
    """Clip into ``[-limit, limit]`` in place; NaN stays.

    Parameters
    ----------
    g : ndarray (P,)
        Changed in place.
    limit : float
    """
    g[...] = np.clip(g, -limit, limit)


def all_finite(x: np.ndarray) -> bool:
    """Whether no element is infinite or NaN.

    Parameters
    ----------
    x : ndarray (P,)

    Returns
    -------
    bool
    """
    return bool(np.isfinite(x).all())
