"""Batch normalisation of the channels (last axis), and its folding into the layer before it.

Source: Ioffe and Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing
Internal Covariate Shift" (2015), algorithm 1 (forward), section 3 (backward), algorithm 2
(inference).
"""

from __future__ import annotations

import numpy as np

from kernels.reference.activations import _activate, relu6_backward, relu_backward


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


def _pass_on(y: np.ndarray, dy: np.ndarray, activation: str) -> np.ndarray:
    """The gradient behind an activation whose output is `y`, float64."""
    gradient = dy.astype(np.float64)
    if activation != "none":
        {"relu": relu_backward, "relu6": relu6_backward}[activation](y, gradient, gradient)
    return gradient


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
    """Normalise with the batch's statistics, add a shortcut, and apply an activation.

    The end of a residual block; see He et al., "Deep Residual Learning" (2015), section 3.2.

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
        Output: `beta`, and what rounding took from the mean, times the factor of the channel. With it the backward pass
        finds the activation's argument again.
    running_mean, running_var : ndarray (C,)
        Updated in place.
    momentum, eps : float
    activation : {"none", "relu", "relu6"}
    """
    values = np.empty(x.shape)
    batch_norm_forward_train(x, gamma, beta, values, mean, inv_std, running_mean, running_var, momentum, eps)
    lost = mean.astype(np.float64) - x.astype(np.float64).mean(axis=0)
    offset[...] = beta + lost * gamma * inv_std
    _activate(values if shortcut is None else values + shortcut, y, activation)


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
    batch = mean, inv_std, offset, running_mean, running_var
    batch_norm_activation_forward_train(x, gamma, beta, None, np.empty(x.shape), *batch, momentum, eps, "none")


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
    """Normalise with the running statistics, add a shortcut, and apply an activation.

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
    values = np.empty(x.shape)
    batch_norm_forward_inference(x, gamma, beta, running_mean, running_var, values, eps)
    _activate(values if shortcut is None else values + shortcut, y, activation)


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
        Output: `dy` where the activation lets it pass. May be `dy` itself, unless `dx` is. None
        without a shortcut.
    dgamma, dbeta : ndarray (C,)
        Outputs.
    activation : {"none", "relu", "relu6"}
    """
    found = (x.astype(np.float64) - mean) * inv_std * gamma + offset if y is None or dshortcut is None else y
    gradient = _pass_on(found, dy, activation)
    if dshortcut is not None:
        dshortcut[...] = gradient
    batch_norm_backward_train(x, gamma, mean, inv_std, gradient, dx, dgamma, dbeta)


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
