"""Batch normalisation and the convolution behind it, one after the other."""

from __future__ import annotations

import numpy as np

from kernels.reference.activations import _activate
from kernels.reference.conv import conv2d_backward_weights, conv2d_forward

Pair = tuple[int, int]


def _normalised(
    x: np.ndarray, gamma: np.ndarray, mean: np.ndarray, inv_std: np.ndarray, offset: np.ndarray, activation: str
) -> np.ndarray:
    """``activation((x - mean) gamma inv_std + offset)``, float64."""
    values = (x.astype(np.float64) - mean) * (gamma.astype(np.float64) * inv_std) + offset
    _activate(values, values, activation)
    return values


def conv2d_normalised_applies(
    x_shape: tuple, w_shape: tuple, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> bool:
    """Whether a convolution should be computed together with the normalisation in front of it: here never.

    Parameters
    ----------
    x_shape : (N, H, W, C_in)
    w_shape : (KH, KW, C_in / groups, C_out)
    stride, padding, dilation : (int, int)
    groups : int
    """
    return False


def conv2d_normalised_forward(
    x: np.ndarray,
    gamma: np.ndarray,
    mean: np.ndarray,
    inv_std: np.ndarray,
    offset: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None,
    y: np.ndarray,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    between: str = "none",
) -> None:
    """Convolution of ``between((x - mean) gamma inv_std + offset)``.

    Parameters
    ----------
    x : ndarray (N, H, W, C_in)
    gamma, mean, inv_std, offset : ndarray (C_in,)
        Of the normalisation, as :func:`batch_norm_statistics` wrote them.
    w : ndarray (KH, KW, C_in / groups, C_out)
    b : ndarray (C_out,) or None
    y : ndarray (N, OH, OW, C_out)
        Output.
    stride, padding, dilation : (int, int)
    groups : int
    between : {"none", "relu", "relu6"}
        The activation.
    """
    conv2d_forward(_normalised(x, gamma, mean, inv_std, offset, between), w, b, y, stride, padding, dilation, groups)


def conv2d_normalised_backward_weights(
    x: np.ndarray,
    gamma: np.ndarray,
    mean: np.ndarray,
    inv_std: np.ndarray,
    offset: np.ndarray,
    dy: np.ndarray,
    dw: np.ndarray,
    db: np.ndarray | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    between: str = "none",
) -> None:
    """Gradient of :func:`conv2d_normalised_forward` with respect to weights and bias.

    Parameters
    ----------
    x : ndarray (N, H, W, C_in)
    gamma, mean, inv_std, offset : ndarray (C_in,)
        As in the forward pass.
    dy : ndarray (N, OH, OW, C_out)
    dw : ndarray (KH, KW, C_in / groups, C_out)
        Output.
    db : ndarray (C_out,) or None
        Output; None for a layer without bias.
    stride, padding, dilation : (int, int)
    groups : int
    between : {"none", "relu", "relu6"}
    """
    normalised = _normalised(x, gamma, mean, inv_std, offset, between)
    conv2d_backward_weights(normalised, dy, dw, db, stride, padding, dilation, groups)
