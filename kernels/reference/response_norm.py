"""Local response normalisation: neighbouring channels inhibit each other.

Source: Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural networks" (2012),
section 3.3; alpha is divided by the size of the window, as in Caffe and PyTorch.
"""

from __future__ import annotations

import numpy as np


def _window_sums(values: np.ndarray, before: int, after: int) -> np.ndarray:
    """Sum over the channels from c - before to c + after; those outside count as zero."""
    channels = values.shape[1]
    padded = np.pad(values, ((0, 0), (before, after)))
    return sum(padded[:, i : i + channels] for i in range(before + after + 1))  # type: ignore[return-value]


def local_response_norm_forward(
    x: np.ndarray, y: np.ndarray, scale: np.ndarray, size: int, alpha: float, beta: float, k: float
) -> None:
    """``s[c] = k + alpha / size sum x^2`` over the channels from ``c - size // 2`` on, and ``y = x s^-beta``.

    Parameters
    ----------
    x : ndarray (M, C)
    y : ndarray (M, C)
        Output.
    scale : ndarray (M, C)
        Output, kept for the backward pass: s.
    size : int
        Number of channels in a window.
    alpha, beta, k : float
    """
    values = x.astype(np.float64)
    s = k + alpha / size * _window_sums(values**2, size // 2, (size - 1) // 2)
    y[...] = values * s**-beta
    scale[...] = s


def local_response_norm_backward(
    x: np.ndarray, scale: np.ndarray, dy: np.ndarray, dx: np.ndarray, size: int, alpha: float, beta: float
) -> None:
    """``dx = dy s^-beta - 2 beta alpha / size x sum dy x s^(-beta - 1)``, over the windows that channel c is in.

    Parameters
    ----------
    x : ndarray (M, C)
    scale : ndarray (M, C)
        As the forward pass wrote it.
    dy : ndarray (M, C)
    dx : ndarray (M, C)
        Output.
    size : int
    alpha, beta : float
    """
    values, s = x.astype(np.float64), scale.astype(np.float64)
    through = _window_sums(dy * values * s ** (-beta - 1.0), (size - 1) // 2, size // 2)
    dx[...] = dy * s**-beta - 2.0 * beta * alpha / size * values * through
