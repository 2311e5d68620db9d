"""Convolution, batch normalisation with running statistics and activation: one layer of a network at inference.

Backends multiply the weights by the factors of the normalisation (Jacob et al., "Quantization and Training of Neural
Networks for Efficient Integer-Arithmetic-Only Inference", 2018, section 3.2); the textbook does one after the other.
"""

from __future__ import annotations

import numpy as np

from kernels.reference.conv import Pair, conv2d_forward
from kernels.reference.norm import batch_norm_activation_forward_inference


def conv2d_norm_forward(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None,
    gamma: np.ndarray,
    beta: np.ndarray,
    mean: np.ndarray,
    var: np.ndarray,
    y: np.ndarray,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    eps: float,
    algorithm: str = "auto",
    activation: str = "none",
) -> None:
    """``y = activation(gamma (conv(x, w) + b - mean) / sqrt(var + eps) + beta)``.

    Parameters
    ----------
    x : ndarray (N, H, W, C_in)
    w : ndarray (KH, KW, C_in / groups, C_out)
    b : ndarray (C_out,) or None
    gamma, beta, mean, var : ndarray (C_out,)
        Parameters and running statistics of the batch normalisation.
    y : ndarray (N, OH, OW, C_out)
        Output.
    stride, padding, dilation : (int, int)
    groups : int
    eps : float
    algorithm : str
        How fast backends shall compute it; the textbook has one way.
    activation : {"none", "relu", "relu6"}
    """
    sums = np.empty(y.shape)
    conv2d_forward(x, w, b, sums, stride, padding, dilation, groups, algorithm)
    rows, normalised = sums.reshape(-1, gamma.size), np.empty((sums.size // gamma.size, gamma.size))
    batch_norm_activation_forward_inference(rows, gamma, beta, mean, var, None, normalised, eps, activation)
    y[...] = normalised.reshape(y.shape)
