"""Batch normalisation of the channels (last axis), and its folding into the layer before it.

The formulas are in :mod:`kernels.reference.norm`. The kernels of :mod:`kernels.cpu.norm_kernels` treat the samples in
wide rows; the few after the last wide row are left to NumPy.
"""

from __future__ import annotations

import math

import numpy as np

from kernels.cpu.jobs import CHUNK
from kernels.cpu.norm_kernels import (
    SHIFT,
    batch_norm_backward_kernel,
    batch_norm_inference_kernel,
    batch_norm_train_kernel,
)

_BLOCK, _MOST_JOBS = 16, 16


class _WideRows:
    """How an array (M, C) falls into wide rows, and the scratch that its kernels need."""

    def __init__(self, x: np.ndarray, *others: np.ndarray):
        _check(x, *others)
        samples, channels = x.shape
        self.width = math.lcm(channels, _BLOCK)
        self.rows = x.size // self.width
        #: Wide rows that are read in one go, so that they fit the first-level cache.
        self.step = max(8, min(256, 2048 // self.width))
        #: Wide rows of one job: at most sixteen jobs, none of them tiny.
        self.block = max(1, -(self.rows // -_MOST_JOBS), CHUNK // self.width)
        #: Samples after the last wide row.
        self.rest = samples - self.rows * self.width // channels

    def table(self, rows: int) -> np.ndarray:
        """Coefficients, each row repeating those of the channels."""
        return np.empty((rows, self.width), np.float32)

    def partial(self) -> np.ndarray:
        """Two sums for each job and, last, for the samples after the last wide row."""
        jobs = -(self.rows // -self.block)
        partial = np.empty((jobs + 1, 2, self.width), np.float32)
        partial[jobs] = 0.0
        return partial


def _check(x: np.ndarray, *others: np.ndarray) -> None:
    for each in others:
        if each.shape != (x.shape if each.ndim == 2 else x.shape[1:]) or not len(x):
            shapes = ", ".join(str(other.shape) for other in (x, *others))
            raise ValueError(f"batch normalisation needs arrays (M, C) and (C,), M >= 1, got {shapes}")


def _fill(row: np.ndarray, values: np.ndarray) -> None:
    """Repeat the coefficients of the channels along a row of the table."""
    row.reshape(-1, values.size)[...] = values


def _normalise_rest(x: np.ndarray, y: np.ndarray, table: np.ndarray, rest: int) -> None:
    mean, factor, offset = table[:3, : x.shape[1]]
    y[-rest:] = (x[-rest:] - mean) * factor + offset


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
    wide = _WideRows(x, gamma, beta, y, mean, inv_std, running_mean, running_var)
    table, partial, rest = wide.table(3), wide.partial(), wide.rest
    _fill(table[SHIFT], x[0])
    if rest:
        shifted = x[-rest:] - x[0]
        partial[-1, :, : x.shape[1]] = shifted.sum(axis=0), np.square(shifted).sum(axis=0)
    statistics = (mean, inv_std, running_mean, running_var, momentum, eps)
    batch_norm_train_kernel(x, gamma, beta, y, *statistics, partial, table, wide.rows, wide.step, wide.block)
    if rest:
        _normalise_rest(x, y, table, rest)


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
    wide = _WideRows(x, gamma, beta, running_mean, running_var, y)
    table = wide.table(3)
    for row, values in zip(table, (running_mean, gamma * _inverse_deviation(running_var, eps), beta), strict=True):
        _fill(row, values)
    batch_norm_inference_kernel(x, y, table, wide.rows, wide.step, wide.block)
    if wide.rest:
        _normalise_rest(x, y, table, wide.rest)


def _backward(
    x: np.ndarray,
    gamma: np.ndarray,
    mean: np.ndarray,
    inv_std: np.ndarray,
    dy: np.ndarray,
    dx: np.ndarray,
    dgamma: np.ndarray,
    dbeta: np.ndarray,
    through_statistics: bool,
) -> None:
    wide = _WideRows(x, gamma, mean, inv_std, dy, dx, dgamma, dbeta)
    table, partial, rest = wide.table(4), wide.partial(), wide.rest
    _fill(table[SHIFT], mean)
    if rest:
        products = dy[-rest:] * (x[-rest:] - mean)
        partial[-1, :, : x.shape[1]] = dy[-rest:].sum(axis=0), products.sum(axis=0)
    sums = (dgamma, dbeta, through_statistics, partial, table, wide.rows, wide.step, wide.block)
    batch_norm_backward_kernel(x, gamma, mean, inv_std, dy, dx, *sums)
    if rest:
        _, factor, offset, slope = table[:, : x.shape[1]]
        dx[-rest:] = dy[-rest:] * factor + (x[-rest:] - mean) * slope + offset


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
    _backward(x, gamma, mean, inv_std, dy, dx, dgamma, dbeta, True)


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
    inv_std = _inverse_deviation(running_var, eps).astype(np.float32)
    _backward(x, gamma, running_mean, inv_std, dy, dx, dgamma, dbeta, False)


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
