"""Batch normalisation of the channels (last axis), and its folding into the layer before it.

Source: Ioffe and Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing
Internal Covariate Shift" (2015), algorithm 1 (forward), section 3 (backward), algorithm 2
(inference).
"""

from __future__ import annotations

import numpy as np


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
        Outputs, kept for the backward pass: mean and ``1 / sqrt(var + eps)`` with the biased
        variance (over M).
    running_mean, running_var : ndarray (C,)
        Updated in place, ``r = (1 - momentum) r + momentum statistic``, with the unbiased variance
        (over M - 1; over M where M is 1).
    momentum : float
        0 leaves the running statistics untouched.
    eps : float
    """
    values = x.astype(np.float64)
    rows = len(values)
    center, variance = values.mean(axis=0), values.var(axis=0)
    scale = 1.0 / np.sqrt(variance + eps)
    y[...] = (values - center) * scale * gamma + beta
    mean[...] = center
    inv_std[...] = scale
    if momentum:
        unbiased = variance * rows / max(rows - 1, 1)
        running_mean[...] = (1.0 - momentum) * running_mean.astype(np.float64) + momentum * center
        running_var[...] = (1.0 - momentum) * running_var.astype(np.float64) + momentum * unbiased


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

    ``y = gamma (x - running_mean) / sqrt(running_var + eps) + beta``.

    Parameters
    ----------
    x : ndarray (M, C)
    gamma, beta, running_mean, running_var : ndarray (C,)
    y : ndarray (M, C)
        Output.
    eps : float
    """
    inv_std = 1.0 / np.sqrt(running_var.astype(np.float64) + eps)
    y[...] = (x.astype(np.float64) - running_mean) * inv_std * gamma + beta


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

    With ``xhat = (x - mean) inv_std``: ``dgamma = sum dy xhat``, ``dbeta = sum dy`` and
    ``dx = gamma inv_std (dy - dbeta / M - xhat dgamma / M)``.

    Parameters
    ----------
    x : ndarray (M, C)
    gamma : ndarray (C,)
    mean, inv_std : ndarray (C,)
        As the forward pass wrote them.
    dy : ndarray (M, C)
    dx : ndarray (M, C)
        Output.
    dgamma, dbeta : ndarray (C,)
        Outputs.
    """
    gradient = dy.astype(np.float64)
    factor = inv_std.astype(np.float64)
    normalised = (x.astype(np.float64) - mean) * factor
    gamma_sum = (gradient * normalised).sum(axis=0)
    beta_sum = gradient.sum(axis=0)
    through_statistics = (beta_sum + normalised * gamma_sum) / len(x)
    dx[...] = gamma * factor * (gradient - through_statistics)
    dgamma[...] = gamma_sum
    dbeta[...] = beta_sum


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
        Output.
    dgamma, dbeta : ndarray (C,)
        Outputs: ``sum dy (x - running_mean) inv_std`` and ``sum dy``.
    eps : float
    """
    gradient = dy.astype(np.float64)
    inv_std = 1.0 / np.sqrt(running_var.astype(np.float64) + eps)
    normalised = (x.astype(np.float64) - running_mean) * inv_std
    dx[...] = gradient * gamma * inv_std
    dgamma[...] = (gradient * normalised).sum(axis=0)
    dbeta[...] = gradient.sum(axis=0)


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

    With ``scale = gamma / sqrt(var + eps)``: ``w_folded = w scale`` and ``b_folded = (b - mean)
    scale + beta``.

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
    scale = gamma.astype(np.float64) / np.sqrt(var.astype(np.float64) + eps)
    w_folded[...] = w * scale
    b_folded[...] = (b.astype(np.float64) - mean) * scale + beta
