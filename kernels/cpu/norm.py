"""Batch normalisation of the channels (last axis), and its folding into the layer before it.

The formulas are in :mod:`kernels.reference.norm`. The array (M, C) is read as *wide rows* of ``lcm(C, 16)`` floats,
in which the channels repeat, so that two vectors at a time fit for every C; the few elements after the last wide row
are treated on their own. Coefficients of the channels are repeated to the same width.
"""

from __future__ import annotations

import math

import numpy as np

from kernels.cpu import simd
from kernels.cpu.jit import inner, kernel
from kernels.cpu.jobs import CHUNK, SMALL, run_jobs
from kernels.cpu.simd import add, address, fma, load, mul, splat, store, sub
from kernels.cpu.tails import read, write, zero_floats

_ZERO = np.float32(0)
_BLOCK = 16
_REDUCTION_JOBS = 16


@inner
def _job_count(size, most):
    return max(1, min(most, size // CHUNK))


@inner
def _tile_rows(width):
    """Wide rows that are read in one go: they fit the first-level cache."""
    return max(8, min(256, 8192 // width))


@inner
def _repeated(values, width):
    """Coefficients of the channels, repeated to a wide row."""
    out = np.empty(width, np.float32)
    for i in range(width):
        out[i] = values[i % values.size]
    return out


# --- sums over the rows --------------------------------------------------------------------------


@inner
def _add_at(place, vector):
    store(place, add(load(place), vector))


@inner
def _moments_job(x, shift, partial, width, rows, jobs, job):
    """``sum x - shift`` and ``sum (x - shift)^2`` of one block of wide rows."""
    sums = partial + 8 * width * job
    zero_floats(sums, 2 * width)
    step, stop = _tile_rows(width), rows * (job + 1) // jobs
    for first in range(rows * job // jobs, stop, step):
        count = min(step, stop - first)
        for c in range(0, 4 * width, 64):
            place, k0, k1 = x + 4 * first * width + c, load(shift + c), load(shift + c + 32)
            s0, s1, q0, q1 = splat(_ZERO), splat(_ZERO), splat(_ZERO), splat(_ZERO)
            for _ in range(count):
                u, v = sub(load(place), k0), sub(load(place + 32), k1)
                s0, s1, q0, q1 = add(s0, u), add(s1, v), fma(u, u, q0), fma(v, v, q1)
                place += 4 * width
            _add_at(sums + c, s0)
            _add_at(sums + c + 32, s1)
            _add_at(sums + 4 * width + c, q0)
            _add_at(sums + 4 * width + c + 32, q1)


@inner
def _slopes_job(x, dy, mean, partial, width, rows, jobs, job):
    """``sum dy`` and ``sum dy (x - mean)`` of one block of wide rows."""
    sums = partial + 8 * width * job
    zero_floats(sums, 2 * width)
    step, stop = _tile_rows(width), rows * (job + 1) // jobs
    for first in range(rows * job // jobs, stop, step):
        count = min(step, stop - first)
        for c in range(0, 4 * width, 64):
            place, m0, m1 = 4 * first * width + c, load(mean + c), load(mean + c + 32)
            s0, s1, q0, q1 = splat(_ZERO), splat(_ZERO), splat(_ZERO), splat(_ZERO)
            for _ in range(count):
                u, v = load(dy + place), load(dy + place + 32)
                s0, s1 = add(s0, u), add(s1, v)
                q0 = fma(u, sub(load(x + place), m0), q0)
                q1 = fma(v, sub(load(x + place + 32), m1), q1)
                place += 4 * width
            _add_at(sums + c, s0)
            _add_at(sums + c + 32, s1)
            _add_at(sums + 4 * width + c, q0)
            _add_at(sums + 4 * width + c + 32, q1)


@inner
def _totals(partial, channels):
    """The partial sums (jobs, 2, width) added up in order, float64 (2, channels)."""
    totals = np.zeros((2, channels))
    for job in range(partial.shape[0]):
        for i in range(partial.shape[2]):
            totals[0, i % channels] += partial[job, 0, i]
            totals[1, i % channels] += partial[job, 1, i]
    return totals


# --- forward -------------------------------------------------------------------------------------


@inner
def _normalise_row(x, y, mean, scale, beta, count):
    for c in range(0, count, 8):
        v = sub(read(x + 4 * c, count - c), load(mean + 4 * c))
        write(y + 4 * c, fma(v, load(scale + 4 * c), load(beta + 4 * c)), count - c)


@inner
def _normalise_job(x, y, mean, scale, beta, width, rows, rest, jobs, job):
    """``y = (x - mean) scale + beta``."""
    step, stop = _tile_rows(width), rows * (job + 1) // jobs
    for first in range(rows * job // jobs, stop, step):
        count = min(step, stop - first)
        for c in range(0, 4 * width, 64):
            m0, a0, b0 = load(mean + c), load(scale + c), load(beta + c)
            m1, a1, b1 = load(mean + c + 32), load(scale + c + 32), load(beta + c + 32)
            place = 4 * first * width + c
            for _ in range(count):
                store(y + place, fma(sub(load(x + place), m0), a0, b0))
                store(y + place + 32, fma(sub(load(x + place + 32), m1), a1, b1))
                place += 4 * width
    if job == jobs - 1:
        end = 4 * rows * width
        _normalise_row(x + end, y + end, mean, scale, beta, rest)


@inner
def _normalise(x, y, mean, scale, beta, width):
    """Run the jobs of ``y = (x - mean) scale + beta``, coefficients of the channels."""
    mean, scale, beta = _repeated(mean, width), _repeated(scale, width), _repeated(beta, width)
    jobs, rows = _job_count(x.size, 64), x.size // width
    arguments = (
        address(x), address(y), address(mean), address(scale), address(beta),
        width, rows, x.size - rows * width, jobs,
    )  # fmt: skip
    run_jobs(_normalise_job, arguments, jobs, x.size < SMALL)


@inner
def _moments(x, width):
    """Mean and biased variance of each column, float64 (2, C). Shifted by the first row, against cancellation."""
    samples, channels = x.shape
    shift = _repeated(x[0], width)
    jobs, rows = _job_count(x.size, _REDUCTION_JOBS), x.size // width
    partial = np.empty((jobs, 2, width), np.float32)
    arguments = (address(x), address(shift), address(partial), width, rows, jobs)
    run_jobs(_moments_job, arguments, jobs, x.size < SMALL)
    totals = _totals(partial, channels)
    for row in range(rows * width // channels, samples):
        for c in range(channels):
            value = np.float64(x[row, c] - shift[c])
            totals[0, c] += value
            totals[1, c] += value * value
    for c in range(channels):
        mean = totals[0, c] / samples
        variance = totals[1, c] / samples - mean * mean
        totals[0, c] = mean + shift[c]
        totals[1, c] = 0.0 if variance < 0.0 else variance
    return totals


@kernel(
    "void(f4[:,::1], f4[::1], f4[::1], f4[:,::1], f4[::1], f4[::1], f4[::1], f4[::1], f8, f8, i8)",
    parallel=False,
)
def batch_norm_train_kernel(
    x, gamma, beta, y, mean, inv_std, running_mean, running_var, momentum, eps, width
):
    samples, channels = x.shape
    moments = _moments(x, width)
    scale = np.empty(channels, np.float32)
    unbiased = samples / max(samples - 1, 1)
    for c in range(channels):
        inverse = 1.0 / math.sqrt(moments[1, c] + eps)
        mean[c], inv_std[c], scale[c] = moments[0, c], inverse, gamma[c] * inverse
        if momentum != 0.0:
            variance = moments[1, c] * unbiased
            running_mean[c] = (1.0 - momentum) * running_mean[c] + momentum * moments[0, c]
            running_var[c] = (1.0 - momentum) * running_var[c] + momentum * variance
    _normalise(x, y, mean, scale, beta, width)


@kernel("void(f4[:,::1], f4[:,::1], f4[::1], f4[::1], f4[::1], i8)", parallel=False)
def batch_norm_inference_kernel(x, y, mean, scale, beta, width):
    _normalise(x, y, mean, scale, beta, width)


# --- backward ------------------------------------------------------------------------------------


@inner
def _slope_row(x, dy, dx, mean, a, b, k, count):
    for c in range(0, count, 8):
        v = fma(sub(read(x + 4 * c, count - c), load(mean + 4 * c)), load(b + 4 * c), load(k + 4 * c))
        write(dx + 4 * c, fma(read(dy + 4 * c, count - c), load(a + 4 * c), v), count - c)


@inner
def _slope_job(x, dy, dx, mean, a, b, k, width, rows, rest, jobs, job):
    """``dx = a dy + b (x - mean) + k``."""
    step, stop = _tile_rows(width), rows * (job + 1) // jobs
    for first in range(rows * job // jobs, stop, step):
        count = min(step, stop - first)
        for c in range(0, 4 * width, 64):
            m0, a0, b0, k0 = load(mean + c), load(a + c), load(b + c), load(k + c)
            d = c + 32
            m1, a1, b1, k1 = load(mean + d), load(a + d), load(b + d), load(k + d)
            place = 4 * first * width + c
            for _ in range(count):
                u = fma(sub(load(x + place), m0), b0, k0)
                v = fma(sub(load(x + place + 32), m1), b1, k1)
                store(dx + place, fma(load(dy + place), a0, u))
                store(dx + place + 32, fma(load(dy + place + 32), a1, v))
                place += 4 * width
    if job == jobs - 1:
        end = 4 * rows * width
        _slope_row(x + end, dy + end, dx + end, mean, a, b, k, rest)


@inner
def _slope_sums(x, dy, mean, width):
    """``sum dy`` and ``sum dy (x - mean)`` of each column, float64 (2, C)."""
    channels = x.shape[1]
    wide_mean = _repeated(mean, width)
    jobs, rows = _job_count(x.size, _REDUCTION_JOBS), x.size // width
    partial = np.empty((jobs, 2, width), np.float32)
    arguments = (address(x), address(dy), address(wide_mean), address(partial), width, rows, jobs)
    run_jobs(_slopes_job, arguments, jobs, x.size < SMALL)
    totals = _totals(partial, channels)
    for row in range(rows * width // channels, len(x)):
        for c in range(channels):
            totals[0, c] += dy[row, c]
            totals[1, c] += np.float64(dy[row, c]) * np.float64(x[row, c] - mean[c])
    return totals


@kernel(
    "void(f4[:,::1], f4[::1], f4[::1], f4[::1], f4[:,::1], f4[:,::1], f4[::1], f4[::1], i8, b1)",
    parallel=False,
)
def batch_norm_backward_kernel(x, gamma, mean, inv_std, dy, dx, dgamma, dbeta, width, train):
    """Through the batch's statistics if `train`, else the statistics are constants."""
    sums = _slope_sums(x, dy, mean, width)
    coefficients = np.zeros((3, gamma.size), np.float32)
    for c in range(gamma.size):
        inverse = np.float64(inv_std[c])
        dgamma[c], dbeta[c] = sums[1, c] * inverse, sums[0, c]
        coefficients[0, c] = gamma[c] * inverse
        if train:
            share = gamma[c] * inverse / len(x)
            coefficients[1, c] = -share * inverse * inverse * sums[1, c]
            coefficients[2, c] = -share * sums[0, c]
    wide_mean, a = _repeated(mean, width), _repeated(coefficients[0], width)
    b, k = _repeated(coefficients[1], width), _repeated(coefficients[2], width)
    jobs, rows = _job_count(x.size, 64), x.size // width
    arguments = (
        address(x), address(dy), address(dx), address(wide_mean), address(a), address(b),
        address(k), width, rows, x.size - rows * width, jobs,
    )  # fmt: skip
    run_jobs(_slope_job, arguments, jobs, x.size < SMALL)


# --- the functions -------------------------------------------------------------------------------


def _width(x: np.ndarray, *others: np.ndarray) -> int:
    """Floats in a wide row, after a check of the shapes: arrays (M, C) like `x` and vectors (C,)."""
    for each in others:
        if each.shape != (x.shape if each.ndim == 2 else x.shape[1:]) or not len(x):
            shapes = ", ".join(str(other.shape) for other in (x, *others))
            raise ValueError(f"batch normalisation needs arrays (M, C) and (C,), M >= 1, got {shapes}")
    return math.lcm(x.shape[1], _BLOCK)


def batch_norm_forward_train(
    x: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    y: np.ndarray,
    mean: np.ndarray,
    inv_std: np.ndarray,
    running_mean: np.ndarray,
    running_var: np.ndarray,
    momentum: float,
    eps: float,
) -> None:
    """Normalise with the batch's statistics: ``y = gamma (x - mean) / sqrt(var + eps) + beta``.

    Parameters
    ----------
    x : ndarray (M, C)
        M counts every image and pixel.
    gamma, beta : ndarray (C,)
    y : ndarray (M, C)
        Output.
    mean, inv_std : ndarray (C,)
        Outputs, kept for the backward pass: mean and ``1 / sqrt(var + eps)`` with the biased variance (over M).
    running_mean, running_var : ndarray (C,)
        Updated in place, ``r = (1 - momentum) r + momentum statistic``, with the unbiased variance (over M - 1; over M
        where M is 1).
    momentum : float
        0 leaves the running statistics untouched.
    eps : float
    """
    width = _width(x, gamma, beta, y, mean, inv_std, running_mean, running_var)
    batch_norm_train_kernel(
        x, gamma, beta, y, mean, inv_std, running_mean, running_var, momentum, eps, width
    )


def _inverse_deviation(var: np.ndarray, eps: float) -> np.ndarray:
    return 1.0 / np.sqrt(var.astype(np.float64) + eps)


def batch_norm_forward_inference(
    x: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    running_mean: np.ndarray,
    running_var: np.ndarray,
    y: np.ndarray,
    eps: float,
) -> None:
    """Normalise with the running statistics.

    Parameters
    ----------
    x : ndarray (M, C)
    gamma, beta, running_mean, running_var : ndarray (C,)
    y : ndarray (M, C)
        Output; may be `x` itself.
    eps : float
    """
    width = _width(x, gamma, beta, running_mean, running_var, y)
    scale = (gamma * _inverse_deviation(running_var, eps)).astype(np.float32)
    batch_norm_inference_kernel(x, y, running_mean, scale, beta, width)


def batch_norm_backward_train(
    x: np.ndarray,
    gamma: np.ndarray,
    mean: np.ndarray,
    inv_std: np.ndarray,
    dy: np.ndarray,
    dx: np.ndarray,
    dgamma: np.ndarray,
    dbeta: np.ndarray,
) -> None:
    """Gradient through the normalisation, the mean and the variance.

    Parameters
    ----------
    x : ndarray (M, C)
    gamma : ndarray (C,)
    mean, inv_std : ndarray (C,)
        As the forward pass wrote them.
    dy : ndarray (M, C)
    dx : ndarray (M, C)
        Output; may be `dy` itself.
    dgamma, dbeta : ndarray (C,)
        Outputs.
    """
    width = _width(x, gamma, mean, inv_std, dy, dx, dgamma, dbeta)
    batch_norm_backward_kernel(x, gamma, mean, inv_std, dy, dx, dgamma, dbeta, width, True)


def batch_norm_backward_inference(
    x: np.ndarray,
    gamma: np.ndarray,
    running_mean: np.ndarray,
    running_var: np.ndarray,
    dy: np.ndarray,
    dx: np.ndarray,
    dgamma: np.ndarray,
    dbeta: np.ndarray,
    eps: float,
) -> None:
    """Gradient where the statistics are constants: ``dx = dy gamma inv_std``.

    Parameters
    ----------
    x : ndarray (M, C)
    gamma, running_mean, running_var : ndarray (C,)
    dy : ndarray (M, C)
    dx : ndarray (M, C)
        Output; may be `dy` itself.
    dgamma, dbeta : ndarray (C,)
        Outputs: ``sum dy (x - running_mean) inv_std`` and ``sum dy``.
    eps : float
    """
    width = _width(x, gamma, running_mean, running_var, dy, dx, dgamma, dbeta)
    inv_std = _inverse_deviation(running_var, eps).astype(np.float32)
    batch_norm_backward_kernel(
        x, gamma, running_mean, inv_std, dy, dx, dgamma, dbeta, width, False
    )


def fold_batch_norm(
    w: np.ndarray,
    b: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    mean: np.ndarray,
    var: np.ndarray,
    eps: float,
    w_folded: np.ndarray,
    b_folded: np.ndarray,
) -> None:
    """Parameters of the one layer that does what a layer and the inference batch norm after it do.

    Runs once for a network, not once for a batch, and is therefore plain NumPy.

    Parameters
    ----------
    w : ndarray (..., C_out)
        Weights of a convolution or of a linear layer.
    b : ndarray (C_out,)
        Its bias; zeros if it has none.
    gamma, beta, mean, var : ndarray (C_out,)
        Parameters and running statistics of the batch norm.
    eps : float
    w_folded : ndarray (..., C_out)
        Output.
    b_folded : ndarray (C_out,)
        Output.
    """
    scale = gamma * _inverse_deviation(var, eps)
    w_folded[...] = w * scale
    b_folded[...] = (b - mean) * scale + beta
