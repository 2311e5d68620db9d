"""Losses: one number per example, and the gradient with respect to the network's output.

The formulas are in :mod:`kernels.reference.losses`.
"""

from __future__ import annotations

import math

import numpy as np

from kernels.cpu import simd, vmath
from kernels.cpu.jit import inner, kernel
from kernels.cpu.jobs import SMALL, SMALL_TRANSCENDENTAL, chunk_count, run_jobs
from kernels.cpu.maps import flatten, map_two
from kernels.cpu.simd import add, address, fma, lane_sum, load, mul, select_gt, splat, store, sub
from kernels.cpu.softmax import exp_row, row_jobs, row_max, rows_per_job, scale_row
from kernels.cpu.tails import first_lanes, load_first, store_first

_ZERO, _ONE, _TWO = np.float32(0), np.float32(1), np.float32(2)

# --- softmax and cross-entropy -------------------------------------------------------------------


@inner
def _row_mean(x, width):
    total = splat(_ZERO)
    whole = width - width % 8
    for k in range(0, 4 * whole, 32):
        total = add(total, load(x + k))
    if whole < width:
        total = add(total, load_first(x + 4 * whole, width - whole, splat(_ZERO)))
    return lane_sum(total) / np.float32(width)


@inner
def _cross_entropy_job(logits, labels, probs, losses, width, smoothing, job):
    step = rows_per_job(width)
    for row in range(job * step, min(labels.size, (job + 1) * step)):
        x, y = logits + 4 * row * width, probs + 4 * row * width
        top = row_max(x, width)
        total = exp_row(x, y, width, top)
        scale_row(y, width, _ONE / total)
        surprise = np.float32(math.log(total))
        loss = top - simd.load_scalar(x + 4 * labels[row]) + surprise
        if smoothing != _ZERO:
            even = top - _row_mean(x, width) + surprise
            loss = (_ONE - smoothing) * loss + smoothing * even
        losses[row] = loss


@inner
def _labels_fit(labels, classes):
    for label in labels:
        if label < 0 or label >= classes:
            return False
    return True


@kernel("b1(f4[:,::1], i8[::1], f4[:,::1], f4[::1], f4)", parallel=False)
def cross_entropy_forward_kernel(logits, labels, probs, losses, smoothing):
    """False, and nothing done, if a label is not a class."""
    rows, width = logits.shape
    if not _labels_fit(labels, width):
        return False
    arguments = (address(logits), labels, address(probs), losses, width, smoothing)
    serial = logits.size < SMALL_TRANSCENDENTAL
    run_jobs(_cross_entropy_job, arguments, row_jobs(rows, width), serial)
    return True


@inner
def _cross_entropy_slope_job(probs, labels, dlogits, width, smoothing, scale, job):
    factor, rest = splat(scale), splat(-scale * smoothing / np.float32(width))
    step, whole = rows_per_job(width), width - width % 8
    for row in range(job * step, min(labels.size, (job + 1) * step)):
        p, d = probs + 4 * row * width, dlogits + 4 * row * width
        label = 4 * labels[row]
        hit = (simd.load_scalar(p + label) - (_ONE - smoothing)) * scale
        for k in range(0, 4 * whole, 32):
            store(d + k, fma(load(p + k), factor, rest))
        if whole < width:
            tail = fma(load_first(p + 4 * whole, width - whole, rest), factor, rest)
            store_first(d + 4 * whole, tail, width - whole)
        simd.store_scalar(d + label, hit - scale * smoothing / np.float32(width))


@kernel("b1(f4[:,::1], i8[::1], f4[:,::1], f4, f4)", parallel=False)
def cross_entropy_backward_kernel(probs, labels, dlogits, smoothing, scale):
    """False, and nothing done, if a label is not a class."""
    rows, width = probs.shape
    if not _labels_fit(labels, width):
        return False
    arguments = (address(probs), labels, address(dlogits), width, smoothing, scale)
    run_jobs(_cross_entropy_slope_job, arguments, row_jobs(rows, width), probs.size < SMALL)
    return True


# --- losses between the output and a target of the same shape ------------------------------------


@inner
def _bce(x, t):
    """``log(1 + exp(x)) - t x``, written so that the exponential never overflows."""
    zero = splat(_ZERO)
    positive = simd.select_le(x, zero, zero, x)
    rest = vmath.log1p_unit(vmath.exp(sub(zero, simd.absolute(x))))
    return add(sub(positive, mul(t, x)), rest)


@inner
def _bce_slope(x, t, scale):
    return mul(sub(vmath.sigmoid(x), t), scale)


@inner
def _squared_error(y, t):
    difference = sub(y, t)
    return mul(difference, difference)


@inner
def _squared_error_slope(y, t, scale):
    return mul(sub(y, t), add(scale, scale))


def _row_mean_job(function):
    """Job body of ``losses[n] = mean_k function(a, b)[n, k]``."""

    @inner
    def body(a, b, losses, width, job):
        step, whole = rows_per_job(width), width - width % 8
        zero = splat(_ZERO)
        for row in range(job * step, min(losses.size, (job + 1) * step)):
            place, total = 4 * row * width, zero
            for k in range(place, place + 4 * whole, 32):
                total = add(total, function(load(a + k), load(b + k)))
            if whole < width:
                k, count = place + 4 * whole, width - whole
                last = function(load_first(a + k, count, zero), load_first(b + k, count, zero))
                total = add(total, first_lanes(last, count, zero))
            losses[row] = lane_sum(total) / np.float32(width)

    return body


_bce_job, _bce_slope_job = _row_mean_job(_bce), map_two(_bce_slope)
_mse_job, _mse_slope_job = _row_mean_job(_squared_error), map_two(_squared_error_slope)


@kernel("void(f4[:,::1], f4[:,::1], f4[::1])", parallel=False)
def bce_forward_kernel(logits, targets, losses):
    rows, width = logits.shape
    arguments = (address(logits), address(targets), losses, width)
    run_jobs(_bce_job, arguments, row_jobs(rows, width), logits.size < SMALL_TRANSCENDENTAL)


@kernel("void(f4[::1], f4[::1], f4[::1], f4)", parallel=False)
def bce_backward_kernel(logits, targets, dlogits, scale):
    size = logits.size
    arguments = (address(logits), address(targets), address(dlogits), size, scale)
    run_jobs(_bce_slope_job, arguments, chunk_count(size), size < SMALL_TRANSCENDENTAL)


@kernel("void(f4[:,::1], f4[:,::1], f4[::1])", parallel=False)
def mse_forward_kernel(y, targets, losses):
    rows, width = y.shape
    arguments = (address(y), address(targets), losses, width)
    run_jobs(_mse_job, arguments, row_jobs(rows, width), y.size < SMALL)


@kernel("void(f4[::1], f4[::1], f4[::1], f4)", parallel=False)
def mse_backward_kernel(y, targets, dy, scale):
    arguments = (address(y), address(targets), address(dy), y.size, scale)
    run_jobs(_mse_slope_job, arguments, chunk_count(y.size), y.size < SMALL)


# --- the functions -------------------------------------------------------------------------------


def _check(first: np.ndarray, second: np.ndarray, per_example: np.ndarray) -> None:
    if first.shape != second.shape or len(first) != len(per_example):
        shapes = f"{first.shape}, {second.shape} and {per_example.shape}"
        raise ValueError(f"a loss needs two arrays of one shape (N, ...) and N numbers, got {shapes}")


def _check_labels(fit: bool, labels: np.ndarray, classes: int) -> None:
    if not fit:
        found = f"{labels.min()} to {labels.max()}"
        raise ValueError(f"labels must lie between 0 and {classes - 1}, found {found}")


def _rows(array: np.ndarray) -> np.ndarray:
    return array.reshape(len(array), -1)


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
    fit = cross_entropy_forward_kernel(logits, labels, probs, losses, smoothing)
    _check_labels(fit, labels, logits.shape[1])


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
    fit = cross_entropy_backward_kernel(probs, labels, dlogits, smoothing, scale)
    _check_labels(fit, labels, probs.shape[1])


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
    bce_forward_kernel(_rows(logits), _rows(targets), losses)


def bce_with_logits_backward(
    logits: np.ndarray, targets: np.ndarray, dlogits: np.ndarray, scale: float
) -> None:
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
    mse_forward_kernel(_rows(y), _rows(targets), losses)


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
