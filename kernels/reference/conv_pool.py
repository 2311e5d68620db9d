"""Convolution and the maximum pool over 2x2 tiles behind it, one after the other."""

from __future__ import annotations

import numpy as np

from kernels.reference.conv import conv2d_backward_data, conv2d_backward_weights, conv2d_forward
from kernels.reference.pooling import max_pool2d_backward, max_pool2d_forward

Pair = tuple[int, int]
_TILES = (2, 2), (2, 2), (0, 0)


def _sums_shape(x_shape: tuple, w_shape: tuple, stride: Pair, padding: Pair, dilation: Pair) -> tuple:
    """Shape of what the convolution gives."""
    height, width = (
        (x_shape[1 + i] + 2 * padding[i] - dilation[i] * (w_shape[i] - 1) - 1) // stride[i] + 1 for i in range(2)
    )
    return x_shape[0], height, width, w_shape[3]


def conv2d_pool_applies(
    x_shape: tuple, w_shape: tuple, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> bool:
    """Whether a convolution should be computed together with the pool behind it: the textbook has one way.

    Parameters
    ----------
    x_shape : (N, H, W, C_in)
    w_shape : (KH, KW, C_in / groups, C_out)
    stride, padding, dilation : (int, int)
    groups : int
    """
    return True


def conv2d_pool_forward(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None,
    y: np.ndarray,
    argmax: np.ndarray,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    rectified: bool = False,
) -> None:
    """Largest value of each 2x2 tile of a convolution's output, and which of the four it was.

    Parameters
    ----------
    x : ndarray (N, H, W, C_in)
    w : ndarray (KH, KW, C_in / groups, C_out)
    b : ndarray (C_out,) or None
    y : ndarray (N, OH // 2, OW // 2, C_out)
        Output.
    argmax : ndarray (N, OH // 2, OW // 2, C_out), uint8
        Output, as :func:`max_pool2d_forward` writes it.
    stride, padding, dilation : (int, int)
        Of the convolution.
    groups : int
    rectified : bool
        Whether what is pooled is ``max(0, sum)``.
    """
    sums = np.zeros(_sums_shape(x.shape, w.shape, stride, padding, dilation))
    conv2d_forward(x, w, b, sums, stride, padding, dilation, groups)
    max_pool2d_forward(sums, y, argmax, *_TILES, rectified)


def conv2d_pool_backward(
    x: np.ndarray,
    w: np.ndarray,
    dy: np.ndarray,
    argmax: np.ndarray,
    dw: np.ndarray,
    db: np.ndarray | None,
    dx: np.ndarray | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> None:
    """Gradients of :func:`conv2d_pool_forward` with respect to the parameters and, unless `dx` is None, the input.

    Parameters
    ----------
    x : ndarray (N, H, W, C_in)
    w : ndarray (KH, KW, C_in / groups, C_out)
    dy : ndarray (N, OH // 2, OW // 2, C_out)
    argmax : ndarray (N, OH // 2, OW // 2, C_out), uint8
        As the forward pass wrote it.
    dw : ndarray (KH, KW, C_in / groups, C_out)
        Output.
    db : ndarray (C_out,) or None
        Output; None for a layer without bias.
    dx : ndarray (N, H, W, C_in) or None
        Output.
    stride, padding, dilation : (int, int)
    groups : int
    """
    slopes = np.zeros(_sums_shape(x.shape, w.shape, stride, padding, dilation))
    max_pool2d_backward(dy, argmax, slopes, *_TILES)
    conv2d_backward_weights(x, slopes, dw, db, stride, padding, dilation, groups)
    if dx is not None:
        conv2d_backward_data(slopes, w, dx, stride, padding, dilation, groups)
