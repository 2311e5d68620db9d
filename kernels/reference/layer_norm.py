"""Normalisation within each example: over the features of one row, or over groups of channels of one image.

With the mean and the variance of the values that are normalised together, ``xhat = (x - mean) / sqrt(var + eps)`` and
``y = gamma xhat + beta``. Backward, with ``g = gamma dy``,
``dx = inv_std (g - mean(g) - xhat mean(g xhat))``.

Sources: Ba, Kiros and Hinton, "Layer Normalization" (2016), section 3; Wu and He, "Group Normalization" (2018),
section 3.1.
"""

from __future__ import annotations

import numpy as np


def group_norm_forward(
    x: np.ndarray,
    gamma: np.ndarray | None,
    beta: np.ndarray | None,
    y: np.ndarray,
    mean: np.ndarray,
    inv_std: np.ndarray,
    eps: float,
) -> None:
    """Normalise each group of channels over all pixels of its image.

    Parameters
    ----------
    x : ndarray (N, P, C)
        P counts the pixels.
    gamma, beta : ndarray (C,) or None
        None for a factor of one, an offset of zero.
    y : ndarray (N, P, C)
        Output.
    mean, inv_std : ndarray (N, G)
        Outputs, kept for the backward pass; G groups of C / G channels.
    eps : float
    """
    images, pixels, channels = x.shape
    groups = x.astype(np.float64).reshape(images, pixels, mean.shape[1], -1)
    center = groups.mean(axis=(1, 3), keepdims=True)
    scale = 1.0 / np.sqrt(groups.var(axis=(1, 3), keepdims=True) + eps)
    normalised = ((groups - center) * scale).reshape(images, pixels, channels)
    y[...] = normalised * (1.0 if gamma is None else gamma) + (0.0 if beta is None else beta)
    mean[...] = center[:, 0, :, 0]
    inv_std[...] = scale[:, 0, :, 0]


def group_norm_backward(
    x: np.ndarray,
    gamma: np.ndarray | None,
    mean: np.ndarray,
    inv_std: np.ndarray,
    dy: np.ndarray,
    dx: np.ndarray,
    dgamma: np.ndarray | None,
    dbeta: np.ndarray | None,
) -> None:
    """Gradient through the normalisation, the mean and the variance.

    Parameters
    ----------
    x : ndarray (N, P, C)
    gamma : ndarray (C,) or None
    mean, inv_std : ndarray (N, G)
        As the forward pass wrote them.
    dy : ndarray (N, P, C)
    dx : ndarray (N, P, C)
        Output; may be `dy` itself.
    dgamma, dbeta : ndarray (C,) or None
        Outputs; None where there is no factor and no offset.
    """
    grouped = (*x.shape[:2], mean.shape[1], -1)
    scale = inv_std.astype(np.float64)[:, None, :, None]
    normalised = (x.reshape(grouped) - mean.astype(np.float64)[:, None, :, None]) * scale
    upstream = dy.astype(np.float64)
    g = (upstream * (1.0 if gamma is None else gamma)).reshape(grouped)
    through_variance = normalised * (g * normalised).mean(axis=(1, 3), keepdims=True)
    slope = scale * (g - g.mean(axis=(1, 3), keepdims=True) - through_variance)
    if dgamma is not None and dbeta is not None:
        dgamma[...] = (upstream * normalised.reshape(x.shape)).sum(axis=(0, 1))
        dbeta[...] = upstream.sum(axis=(0, 1))
    dx[...] = slope.reshape(x.shape)


def layer_norm_forward(
    x: np.ndarray,
    gamma: np.ndarray | None,
    beta: np.ndarray | None,
    y: np.ndarray,
    mean: np.ndarray,
    inv_std: np.ndarray,
    eps: float,
) -> None:
    """Normalise each row.

    Parameters
    ----------
    x : ndarray (M, C)
    gamma, beta : ndarray (C,) or None
        None for a factor of one, an offset of zero.
    y : ndarray (M, C)
        Output.
    mean, inv_std : ndarray (M,)
        Outputs, kept for the backward pass.
    eps : float
    """
    group_norm_forward(x[:, None], gamma, beta, y[:, None], mean[:, None], inv_std[:, None], eps)


def layer_norm_backward(
    x: np.ndarray,
    gamma: np.ndarray | None,
    mean: np.ndarray,
    inv_std: np.ndarray,
    dy: np.ndarray,
    dx: np.ndarray,
    dgamma: np.ndarray | None,
    dbeta: np.ndarray | None,
) -> None:
    """Gradient through the normalisation, the mean and the variance of each row.

    Parameters
    ----------
    x : ndarray (M, C)
    gamma : ndarray (C,) or None
    mean, inv_std : ndarray (M,)
        As the forward pass wrote them.
    dy : ndarray (M, C)
    dx : ndarray (M, C)
        Output; may be `dy` itself.
    dgamma, dbeta : ndarray (C,) or None
        Outputs; None where there is no factor and no offset.
    """
    saved = mean[:, None], inv_std[:, None]
    group_norm_backward(x[:, None], gamma, *saved, dy[:, None], dx[:, None], dgamma, dbeta)
