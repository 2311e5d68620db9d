"""Losses: one number per example, and the gradient with respect to the network's output.

The formulas are in :mod:`kernels.reference.losses`.
"""

from __future__ import annotations

import math

import numpy as np

from kernels.cpu import vmath
from kernels.cpu.jit import inner, kernel
from kernels.cpu.jobs import CHUNK, SMALL, SMALL_TRANSCENDENTAL, run_chunks
from kernels.cpu.lanes import compiled
from kernels.cpu.maps import flatten, map_two
from kernels.cpu.simd import add, address, fma, lane_total, load_scalar, splat, store_scalar, sub
from kernels.cpu.softmax import rows_per_job, softmax_row
from kernels.cpu.tails import read, read_filled, write

_ZERO, _ONE = np.float32(0), np.float32(1)
# A logit so low that its binary cross-entropy with the target 0 is 0.
_FAR = np.float32(-100)

# --- softmax and cross-entropy -------------------------------------------------------------------


@inner
def _cross_entropy_rows(logits, labels, probs, losses, width, smoothing, start, stop):
    for row in range(start, stop):
        x = logits + 4 * row * width
        top, total = softmax_row(x, probs + 4 * row * width, width)
        # float64, since fast math may reorder the sum, and the logits may be large.
        surprise = math.log(np.float64(total))
        loss = np.float64(top) - np.float64(load_scalar(x + 4 * labels[row])) + surprise
        if smoothing != _ZERO:
            shift, sums = splat(top), splat(_ZERO)
            for c in range(0, width, 8):
                sums = add(sums, sub(shift, read_filled(x + 4 * c, width - c, shift)))
            loss += smoothing * (np.float64(lane_total(sums)) / width + surprise - loss)
        losses[row] = loss


@kernel("i8(f4[:,::1], i8[::1], f4[:,::1], f4[::1], f4, i8)", parallel=False)
def cross_entropy_forward_kernel(logits, labels, probs, losses, smoothing, step):
    """Softmax and losses, `step` rows in a job; or nothing, and the number of labels that are not classes."""
    wrong = 0
    for label in labels:
        if label < 0 or label >= logits.shape[1]:
            wrong += 1
    if wrong == 0:
        arguments = (address(logits), labels, address(probs), losses, logits.shape[1], smoothing)
        run_chunks(_cross_entropy_rows, arguments, labels.size, step, logits.size < SMALL_TRANSCENDENTAL)
    return wrong


@inner
def _cross_entropy_slope_rows(probs, labels, dlogits, width, smoothing, scale, start, stop):
    share = scale * smoothing / np.float32(width)
    factor, rest = splat(scale), splat(-share)
    for row in range(start, stop):
        p, d = probs + 4 * row * width, dlogits + 4 * row * width
        label = 4 * labels[row]
        hit = (load_scalar(p + label) - (_ONE - smoothing)) * scale - share
        for c in range(0, width, 8):
            write(d + 4 * c, fma(read(p + 4 * c, width - c), factor, rest), width - c)
        store_scalar(d + label, hit)


@kernel("i8(f4[:,::1], i8[::1], f4[:,::1], f4, f4, i8)", parallel=False)
def cross_entropy_backward_kernel(probs, labels, dlogits, smoothing, scale, step):
    """Gradient, `step` rows in a job; or nothing, and the number of labels that are not classes."""
    wrong = 0
    for label in labels:
        if label < 0 or label >= probs.shape[1]:
            wrong += 1
    if wrong == 0:
        arguments = (address(probs), labels, address(dlogits), probs.shape[1], smoothing, scale)
        run_chunks(_cross_entropy_slope_rows, arguments, labels.size, step, probs.size < SMALL)
    return wrong


# --- losses between the output and a target of the same shape ------------------------------------


def _bce(x, t):
    """``log(1 + exp(x)) - t x``, written so that the exponential never overflows."""
    positive = (x <= 0.0).where(0.0, x)
    return positive - t * x + vmath.log1p_unit(vmath.exp_falling(-abs(x)))


def _bce_slope_formula(x, t, scale):
    return (vmath.sigmoid(x) - t) * scale


def _squared_error(y, t):
    return (y - t) * (y - t)


def _squared_error_slope(y, t, scale):
    return (y - t) * (scale + scale)


def _row_means(formula):
    """Body of ``losses[n] = mean_k formula(a, b)[n, k]``; unused lanes are filled so that they give 0."""
    function = compiled(formula)

    @inner
    def body(a, b, losses, width, fill, start, stop):
        for row in range(start, stop):
            first, total, filled = 4 * row * width, splat(_ZERO), splat(fill)
            for c in range(0, width, 8):
                u = read_filled(a + first + 4 * c, width - c, filled)
                total = add(total, function(u, read(b + first + 4 * c, width - c)))
            losses[row] = lane_total(total) / np.float32(width)

    return body


_bce_rows, _bce_slope = _row_means(_bce), map_two(_bce_slope_formula)
_mse_rows, _mse_slope = _row_means(_squared_error), map_two(_squared_error_slope)


@kernel("void(f4[:,::1], f4[:,::1], f4[::1], i8)", parallel=False)
def bce_forward_kernel(logits, targets, losses, step):
    """Binary cross-entropy of rows, `step` rows in a job."""
    arguments = (address(logits), address(targets), losses, logits.shape[1], _FAR)
    run_chunks(_bce_rows, arguments, losses.size, step, logits.size < SMALL_TRANSCENDENTAL)


@kernel("void(f4[::1], f4[::1], f4[::1], f4)", parallel=False)
def bce_backward_kernel(logits, targets, dlogits, scale):
    """``(sigmoid(logits) - targets) scale``."""
    arguments = (address(logits), address(targets), address(dlogits), scale)
    run_chunks(_bce_slope, arguments, logits.size, CHUNK, logits.size < SMALL_TRANSCENDENTAL)


@kernel("void(f4[:,::1], f4[:,::1], f4[::1], i8)", parallel=False)
def mse_forward_kernel(y, targets, losses, step):
    """Mean squared error of rows, `step` rows in a job."""
    arguments = (address(y), address(targets), losses, y.shape[1], _ZERO)
    run_chunks(_mse_rows, arguments, losses.size, step, y.size < SMALL)


@kernel("void(f4[::1], f4[::1], f4[::1], f4)", parallel=False)
def mse_backward_kernel(y, targets, dy, scale):
    """``2 (y - targets) scale``."""
    run_chunks(_mse_slope, (address(y), address(targets), address(dy), scale), y.size, CHUNK, y.size < SMALL)


# --- the functions -------------------------------------------------------------------------------


def _check(first: np.ndarray, second: np.ndarray, per_example: np.ndarray) -> None:
    if first.shape != second.shape or first.shape[:1] != per_example.shape:
        shapes = f"{first.shape}, {second.shape} and {per_example.shape}"
        raise ValueError(f"a loss needs two arrays of one shape (N, ...) and N numbers, got {shapes}")


def _refuse(labels: np.ndarray, classes: int) -> None:
    found = f"{labels.min()} to {labels.max()}"
    raise ValueError(f"labels must lie between 0 and {classes - 1}, found {found}")


def _rows(*arrays: np.ndarray) -> list[np.ndarray]:
    return [each.reshape(len(each), -1) for each in arrays]


def softmax_cross_entropy_forward(
    logits: np.ndarray, labels: np.ndarray, probs: np.ndarray, losses: np.ndarray, smoothing: float
) -> None:
    """``losses[n] = -sum_k target[n, k] log softmax(logits)[n, k]``.

    Parameters
    ----------
    logits : ndarray (N, K)
    labels : ndarray (N,), int64
        Classes in 0 ... K - 1.
    probs : ndarray (N, K)
        Output: softmax of the logits.
    losses : ndarray (N,)
        Output, in nats.
    smoothing : float
        The target is ``1 - smoothing`` on the label plus ``smoothing / K`` on every class.

    Raises
    ------
    ValueError
        If a label is not a class.
    """
    _check(logits, probs, labels)
    _check(logits, probs, losses)
    step = rows_per_job(logits.shape[1])
    if cross_entropy_forward_kernel(logits, labels, probs, losses, smoothing, step):
        _refuse(labels, logits.shape[1])


def softmax_cross_entropy_backward(
    probs: np.ndarray, labels: np.ndarray, dlogits: np.ndarray, smoothing: float, scale: float
) -> None:
    """``dlogits = (probs - target) scale``.

    Parameters
    ----------
    probs : ndarray (N, K)
        As the forward pass wrote them.
    labels : ndarray (N,), int64
    dlogits : ndarray (N, K)
        Output; may be `probs` itself.
    smoothing : float
        As in the forward pass.
    scale : float
        Derivative of the total with respect to one example's loss.

    Raises
    ------
    ValueError
        If a label is not a class.
    """
    _check(probs, dlogits, labels)
    step = rows_per_job(probs.shape[1])
    if cross_entropy_backward_kernel(probs, labels, dlogits, smoothing, scale, step):
        _refuse(labels, probs.shape[1])


def bce_with_logits_forward(logits: np.ndarray, targets: np.ndarray, losses: np.ndarray) -> None:
    """Binary cross-entropy: ``losses[n] = mean_k log(1 + exp(x)) - t x``.

    Parameters
    ----------
    logits, targets : ndarray (N, K)
        Targets in [0, 1].
    losses : ndarray (N,)
        Output, in nats.
    """
    _check(logits, targets, losses)
    bce_forward_kernel(*_rows(logits, targets), losses, rows_per_job(logits[0].size))


def bce_with_logits_backward(logits: np.ndarray, targets: np.ndarray, dlogits: np.ndarray, scale: float) -> None:
    """``dlogits = (sigmoid(logits) - targets) scale``.

    Parameters
    ----------
    logits, targets : ndarray (N, K)
    dlogits : ndarray (N, K)
        Output.
    scale : float
        Derivative of the total with respect to one example's loss, over K.
    """
    bce_backward_kernel(*flatten(logits, targets, dlogits), scale)


def mse_forward(y: np.ndarray, targets: np.ndarray, losses: np.ndarray) -> None:
    """Mean squared error: ``losses[n] = mean_k (y - t)^2``.

    Parameters
    ----------
    y, targets : ndarray (N, K)
    losses : ndarray (N,)
        Output.
    """
    _check(y, targets, losses)
    mse_forward_kernel(*_rows(y, targets), losses, rows_per_job(y[0].size))


def mse_backward(y: np.ndarray, targets: np.ndarray, dy: np.ndarray, scale: float) -> None:
    """``dy = 2 (y - t) scale``.

    Parameters
    ----------
    y, targets : ndarray (N, K)
    dy : ndarray (N, K)
        Output.
    scale : float
        Derivative of the total with respect to one example's loss, over K.
    """
    mse_backward_kernel(*flatten(y, targets, dy), scale)
