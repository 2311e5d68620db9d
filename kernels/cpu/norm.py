"""Batch normalisation of the channels (last axis), with what may follow it, and its folding into the layer before it.

The formulas are in :mod:`kernels.reference.norm`, the kernels in :mod:`kernels.cpu.norm_kernels`.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numba
import numpy as np

from kernels.cpu import scratch
from kernels.cpu.jit import not_noted
from kernels.cpu.jobs import CHUNK
from kernels.cpu.norm_kernels import (
    WORK_ROWS,
    batch_norm_backward_kernel,
    batch_norm_inference_kernel,
    batch_norm_train_kernel,
)

#: Wide rows are multiples of two vectors.
_VECTORS, _MOST_JOBS = 32, 16
_NONE = math.nan
#: Lower and upper bound of each activation.
BOUNDS = {"none": (_NONE, _NONE), "relu": (0.0, _NONE), "relu6": (0.0, 6.0)}


@dataclass(frozen=True)
class _WideRows:
    """How an array (M, C) falls into wide rows."""

    #: Floats in a wide row.
    width: int
    #: Wide rows of one job: at most sixteen jobs, none of them tiny.
    block: int
    jobs: int

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Work memory of a kernel: rows of coefficients, and two sums for each job and the samples after the last."""
        work, sums = WORK_ROWS * self.width, 2 * (self.jobs + 1) * self.width
        floats = scratch.floats("batch norm", work + sums)
        return floats[:work].reshape(-1, self.width), floats[work : work + sums].reshape(-1, 2, self.width)

    def share(self) -> int:
        """Jobs of each thread."""
        return max(1, -(self.jobs // -numba.get_num_threads()))


@functools.lru_cache(maxsize=1024)
def _wide_rows(samples: int, channels: int) -> _WideRows:
    width = math.lcm(channels, _VECTORS)
    rows = samples * channels // width
    block = max(1, -(rows // -_MOST_JOBS), CHUNK // width)
    return _WideRows(width, block, -(rows // -block))


def _check(x: np.ndarray, *others: np.ndarray | None) -> None:
    for each in others:
        if each is not None and (each.shape != (x.shape if each.ndim == 2 else x.shape[1:]) or not len(x)):
            shapes = ", ".join(str(other.shape) for other in (x, *others) if other is not None)
            raise ValueError(f"batch normalisation needs arrays (M, C) and (C,), M >= 1, got {shapes}")


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
    offset = scratch.floats("batch norm offset", beta.size)[: beta.size]
    running = running_mean, running_var, momentum, eps
    batch_norm_activation_forward_train(x, gamma, beta, None, y, mean, inv_std, offset, *running, "none")


def batch_norm_activation_forward_train(
    x: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    shortcut: np.ndarray | None,
    y: np.ndarray,
    mean: np.ndarray,
    inv_std: np.ndarray,
    offset: np.ndarray,
    running_mean: np.ndarray,
    running_var: np.ndarray,
    momentum: float,
    eps: float,
    activation: str,
) -> None:
    """Normalise with the batch's statistics, add a shortcut, and apply an activation, in one pass.

    Parameters
    ----------
    x : ndarray (M, C)
    gamma, beta : ndarray (C,)
    shortcut : ndarray (M, C) or None
        What is added between normalisation and activation.
    y : ndarray (M, C)
        Output; may be `shortcut` itself.
    mean, inv_std : ndarray (C,)
        Outputs, as of :func:`batch_norm_forward_train`.
    offset : ndarray (C,)
        Output: `beta`, and what rounding took from the mean, times the factor of the channel. With it the backward
        pass finds the activation's argument again, to the last bit.
    running_mean, running_var : ndarray (C,)
        Updated in place.
    momentum, eps : float
    activation : {"none", "relu", "relu6"}
    """
    _check(x, gamma, beta, y, shortcut, mean, inv_std, offset, running_mean, running_var)
    wide, added = _wide_rows(*x.shape), shortcut is not None
    statistics = mean, inv_std, offset, running_mean, running_var, momentum, eps, BOUNDS[activation]
    other = x if shortcut is None else shortcut
    batch_norm_train_kernel(
        x, gamma, beta, other, y, *statistics, added, True, *wide.arrays(), wide.block, wide.share()
    )


def batch_norm_statistics(
    x: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    mean: np.ndarray,
    inv_std: np.ndarray,
    offset: np.ndarray,
    running_mean: np.ndarray,
    running_var: np.ndarray,
    momentum: float,
    eps: float,
) -> None:
    """What :func:`batch_norm_activation_forward_train` finds out about a batch, without the normalisation.

    Parameters
    ----------
    x : ndarray (M, C)
    gamma, beta : ndarray (C,)
    mean, inv_std, offset : ndarray (C,)
        Outputs.
    running_mean, running_var : ndarray (C,)
        Updated in place.
    momentum, eps : float
    """
    _check(x, gamma, beta, mean, inv_std, offset, running_mean, running_var)
    wide = _wide_rows(*x.shape)
    statistics = mean, inv_std, offset, running_mean, running_var, momentum, eps, BOUNDS["none"]
    batch_norm_train_kernel(x, gamma, beta, x, x, *statistics, False, False, *wide.arrays(), wide.block, wide.share())


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
    batch_norm_activation_forward_inference(x, gamma, beta, running_mean, running_var, None, y, eps, "none")


def batch_norm_activation_forward_inference(
    x: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    running_mean: np.ndarray,
    running_var: np.ndarray,
    shortcut: np.ndarray | None,
    y: np.ndarray,
    eps: float,
    activation: str,
) -> None:
    """Normalise with the running statistics, add a shortcut, and apply an activation, in one pass.

    Parameters
    ----------
    x : ndarray (M, C)
    gamma, beta, running_mean, running_var : ndarray (C,)
    shortcut : ndarray (M, C) or None
        What is added between normalisation and activation.
    y : ndarray (M, C)
        Output; may be `x` or `shortcut` itself.
    eps : float
    activation : {"none", "relu", "relu6"}
    """
    _check(x, gamma, beta, running_mean, running_var, shortcut, y)
    wide, added = _wide_rows(*x.shape), shortcut is not None
    other, bounds = x if shortcut is None else shortcut, BOUNDS[activation]
    statistics = running_mean, running_var, other, y, eps, bounds, added
    batch_norm_inference_kernel(x, gamma, beta, *statistics, wide.arrays()[0], wide.block)


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
    batch_norm_activation_backward_train(x, gamma, mean, inv_std, gamma, None, dy, dx, None, dgamma, dbeta, "none")


def batch_norm_activation_backward_train(
    x: np.ndarray,
    gamma: np.ndarray,
    mean: np.ndarray,
    inv_std: np.ndarray,
    offset: np.ndarray,
    y: np.ndarray | None,
    dy: np.ndarray,
    dx: np.ndarray,
    dshortcut: np.ndarray | None,
    dgamma: np.ndarray,
    dbeta: np.ndarray,
    activation: str,
) -> None:
    """Gradient of :func:`batch_norm_activation_forward_train`.

    Parameters
    ----------
    x : ndarray (M, C)
    gamma : ndarray (C,)
    mean, inv_std, offset : ndarray (C,)
        As the forward pass wrote them.
    y : ndarray (M, C) or None
        The forward pass's output; read only where there was a shortcut.
    dy : ndarray (M, C)
    dx : ndarray (M, C)
        Output; may be `dy` itself.
    dshortcut : ndarray (M, C) or None
        Output: `dy` where the activation lets it pass. May be `dy` itself, unless `dx` is. None without a shortcut.
    dgamma, dbeta : ndarray (C,)
        Outputs.
    activation : {"none", "relu", "relu6"}
    """
    _check(x, gamma, mean, inv_std, offset, y, dy, dx, dshortcut, dgamma, dbeta)
    wide, added = _wide_rows(*x.shape), dshortcut is not None
    other, ds = (y, dshortcut) if added else (x, dx)
    outputs = other, dy, dx, ds, dgamma, dbeta, BOUNDS[activation], added, True
    batch_norm_backward_kernel(x, gamma, mean, inv_std, offset, *outputs, *wide.arrays(), wide.block, wide.share())


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
    _check(x, gamma, running_mean, running_var, dy, dx, dgamma, dbeta)
    not_noted()
    inv_std, wide = _inverse_deviation(running_var, eps).astype(np.float32), _wide_rows(*x.shape)
    outputs = x, dy, dx, dx, dgamma, dbeta, BOUNDS["none"], False, False
    batch_norm_backward_kernel(
        x, gamma, running_mean, inv_std, gamma, *outputs, *wide.arrays(), wide.block, wide.share()
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
