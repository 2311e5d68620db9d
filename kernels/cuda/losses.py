"""Losses: one number per example, and the gradient with respect to the network's output.

The formulas are in :mod:`kernels.reference.losses`. A block of threads reads the row of one example side by side; each
thread adds up its share, and the block adds up the shares as in a tournament.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import float32

from kernels.cuda import launch
from kernels.cuda.formulas import sigmoid, softplus
from kernels.cuda.indices import divided
from kernels.cuda.jit import Kernel, inner, kernel
from kernels.cuda.maps import flatten, map_two
from kernels.cuda.reduce import ROOM, largest, row_blocks, total
from kernels.cuda.toolkit import cuda

_ZERO, _ONE, _TWO = np.float32(0), np.float32(1), np.float32(2)
_LOWEST, _NAN = np.float32(-math.inf), np.float32(math.nan)

# --- softmax and cross-entropy -------------------------------------------------------------------


@kernel("void(float32[::1], int64[::1], float32[::1], float32[::1], int32, float32)")
def cross_entropy_forward_kernel(logits, labels, probs, losses, width, smoothing):
    """Softmax and loss, a block for each row."""
    shared = cuda.shared.array(ROOM, float32)
    row, thread, threads = cuda.blockIdx.x, cuda.threadIdx.x, cuda.blockDim.x
    start = row * width
    top = _LOWEST
    for c in range(start + thread, start + width, threads):
        if logits[c] > top:
            top = logits[c]
    top = largest(shared, top)
    mass, distance = _ZERO, _ZERO
    for c in range(start + thread, start + width, threads):
        below = logits[c] - top
        e = math.exp(below)
        probs[c] = e
        mass += e
        distance -= below
    mass, distance = total(shared, mass, 1), total(shared, distance, 1)
    for c in range(start + thread, start + width, threads):
        probs[c] /= mass
    if thread == 0:
        surprise, label = math.log(mass), labels[row]
        loss = top - logits[start + label] + surprise if label >= 0 and label < width else _NAN
        if smoothing != _ZERO:  # a class of probability zero must not give 0 * infinity where nothing is smoothed
            loss += smoothing * (distance / np.float32(width) + surprise - loss)
        losses[row] = loss


@kernel("void(float32[::1], int64[::1], float32[::1], int32, float32, float32)")
def cross_entropy_backward_kernel(probs, labels, dlogits, width, smoothing, scale):
    """``(probs - target) scale``, a thread for each element."""
    i = cuda.grid(1)
    if i < dlogits.size:
        row, column = divided(i, width)
        hit = _ONE - smoothing if column == labels[row] else _ZERO
        dlogits[i] = (probs[i] - hit) * scale - scale * smoothing / np.float32(width)


# --- losses between the output and a target of the same shape ------------------------------------


def _bce_formula(x, t):
    """``log(1 + exp(x)) - t x``, the mean of a row."""
    return softplus(x) - t * x


def _bce_slope(x, t, scale):
    return (sigmoid(x) - t) * scale


def _mse_formula(y, t):
    """``(y - t)^2``, the mean of a row."""
    return (y - t) * (y - t)


def _mse_slope(y, t, scale):
    return (y - t) * (_TWO * scale)


def _mean_kernel(name: str, formula: Callable) -> Kernel:
    """Kernel ``losses[n] = mean_k formula(a, b)[n, k]``, a block for each row."""
    function = inner(formula)

    def body(a, b, losses, width):
        shared = cuda.shared.array(ROOM, float32)
        row = cuda.blockIdx.x
        own = _ZERO
        for i in range(row * width + cuda.threadIdx.x, (row + 1) * width, cuda.blockDim.x):
            own += function(a[i], b[i])
        own = total(shared, own, 1)
        if cuda.threadIdx.x == 0:
            losses[row] = own / np.float32(width)

    body.__name__, body.__doc__ = name, formula.__doc__
    return kernel("void(float32[::1], float32[::1], float32[::1], int32)")(body)


bce_forward_kernel = _mean_kernel("bce_forward_kernel", _bce_formula)
mse_forward_kernel = _mean_kernel("mse_forward_kernel", _mse_formula)
_bce_backward = map_two("bce_backward_kernel", _bce_slope)
_mse_backward = map_two("mse_backward_kernel", _mse_slope)

# --- the functions -------------------------------------------------------------------------------


def _check(first: Any, second: Any, per_example: Any) -> None:
    shapes = [tuple(each.shape) for each in (first, second, per_example)]
    if shapes[0] != shapes[1] or shapes[0][:1] != shapes[2]:
        raise ValueError(f"a loss needs two arrays of one shape (N, ...) and N numbers, got {shapes}")


def _row_means(compiled: Kernel, a: Any, b: Any, losses: Any) -> None:
    _check(a, b, losses)
    if a.size:
        width = a.size // losses.size
        compiled(row_blocks(losses.size, width), *flatten(a, b), losses, width)


def softmax_cross_entropy_forward(logits: Any, labels: Any, probs: Any, losses: Any, smoothing: float) -> None:
    """``losses[n] = -sum_k target[n, k] log softmax(logits)[n, k]``.

    Parameters
    ----------
    logits : device array (N, K)
    labels : device array (N,), int64
        Classes in 0 ... K - 1. An example whose label is no class has a loss of not-a-number: to refuse it here, the
        host would have to wait.
    probs : device array (N, K)
        Output: softmax of the logits.
    losses : device array (N,)
        Output, in nats.
    smoothing : float
        The target is ``1 - smoothing`` on the label plus ``smoothing / K`` on every class.
    """
    _check(logits, probs, labels)
    _check(logits, probs, losses)
    if logits.size:
        rows, classes = logits.shape
        x, y = flatten(logits, probs)
        cross_entropy_forward_kernel(row_blocks(rows, classes), x, labels, y, losses, classes, smoothing)


def softmax_cross_entropy_backward(probs: Any, labels: Any, dlogits: Any, smoothing: float, scale: float) -> None:
    """``dlogits = (probs - target) scale``.

    Parameters
    ----------
    probs : device array (N, K)
        As the forward pass wrote them.
    labels : device array (N,), int64
    dlogits : device array (N, K)
        Output; may be `probs` itself.
    smoothing : float
        As in the forward pass.
    scale : float
        Derivative of the total with respect to one example's loss.
    """
    _check(probs, dlogits, labels)
    if probs.size:
        classes = probs.shape[1]
        p, d = flatten(probs, dlogits)
        cross_entropy_backward_kernel(launch.over(p.size), p, labels, d, classes, smoothing, scale)


def bce_with_logits_forward(logits: Any, targets: Any, losses: Any) -> None:
    """Binary cross-entropy: ``losses[n] = mean_k log(1 + exp(x)) - t x``.

    Parameters
    ----------
    logits, targets : device array (N, K)
        Targets in [0, 1].
    losses : device array (N,)
        Output, in nats.
    """
    _row_means(bce_forward_kernel, logits, targets, losses)


def bce_with_logits_backward(logits: Any, targets: Any, dlogits: Any, scale: float) -> None:
    """``dlogits = (sigmoid(logits) - targets) scale``.

    Parameters
    ----------
    logits, targets : device array (N, K)
    dlogits : device array (N, K)
        Output.
    scale : float
        Derivative of the total with respect to one example's loss, over K.
    """
    _bce_backward(logits, targets, dlogits, scale)


def mse_forward(y: Any, targets: Any, losses: Any) -> None:
    """Mean squared error: ``losses[n] = mean_k (y - t)^2``.

    Parameters
    ----------
    y, targets : device array (N, K)
    losses : device array (N,)
        Output.
    """
    _row_means(mse_forward_kernel, y, targets, losses)


def mse_backward(y: Any, targets: Any, dy: Any, scale: float) -> None:
    """``dy = 2 (y - t) scale``.

    Parameters
    ----------
    y, targets : device array (N, K)
    dy : device array (N, K)
        Output.
    scale : float
        Derivative of the total with respect to one example's loss, over K.
    """
    _mse_backward(y, targets, dy, scale)
