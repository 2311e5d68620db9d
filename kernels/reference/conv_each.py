"""Convolution in which each example has filters of its own: a convolution of one image after the other.

Source: Yang et al., "CondConv: conditionally parameterized convolutions for efficient inference" (2019), section 3.
"""

from __future__ import annotations

import numpy as np

from kernels.reference.conv import Pair, conv2d_backward_data, conv2d_backward_weights, conv2d_forward


def conv2d_each_forward(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None,
    y: np.ndarray,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    algorithm: str = "auto",
) -> None:
    """``y[n] = conv2d(x[n], w[n], b[n])``.

    Parameters
    ----------
    x : ndarray (N, H, W, C_in)
    w : ndarray (N, KH, KW, C_in / groups, C_out)
    b : ndarray (N, C_out) or None
    y : ndarray (N, OH, OW, C_out)
        Output.
    stride, padding, dilation : (int, int)
        Vertical and horizontal, in pixels.
    groups : int
        Divides C_in and C_out.
    algorithm : str
        As in :func:`kernels.reference.conv.conv2d_forward`.
    """
    for n, filters in enumerate(w):
        one, bias = slice(n, n + 1), None if b is None else b[n]
        conv2d_forward(x[one], filters, bias, y[one], stride, padding, dilation, groups, algorithm)


def conv2d_each_backward_data(
    dy: np.ndarray,
    w: np.ndarray,
    dx: np.ndarray,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    algorithm: str = "auto",
) -> None:
    """Gradient with respect to the input.

    Parameters
    ----------
    dy : ndarray (N, OH, OW, C_out)
    w : ndarray (N, KH, KW, C_in / groups, C_out)
    dx : ndarray (N, H, W, C_in)
        Output; zero where no window looked.
    stride, padding, dilation : (int, int)
    groups : int
    algorithm : str
    """
    for n, filters in enumerate(w):
        one = slice(n, n + 1)
        conv2d_backward_data(dy[one], filters, dx[one], stride, padding, dilation, groups, algorithm)


def conv2d_each_backward_weights(
    x: np.ndarray,
    dy: np.ndarray,
    dw: np.ndarray,
    db: np.ndarray | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    algorithm: str = "auto",
) -> None:
    """Gradient with respect to the filters and biases of each example.

    Parameters
    ----------
    x : ndarray (N, H, W, C_in)
    dy : ndarray (N, OH, OW, C_out)
    dw : ndarray (N, KH, KW, C_in / groups, C_out)
        Output.
    db : ndarray (N, C_out) or None
        Output; None for a layer without bias.
    stride, padding, dilation : (int, int)
    groups : int
    algorithm : str
    """
    for n, slope in enumerate(dw):
        one, bias = slice(n, n + 1), None if db is None else db[n]
        conv2d_backward_weights(x[one], dy[one], slope, bias, stride, padding, dilation, groups, algorithm)
