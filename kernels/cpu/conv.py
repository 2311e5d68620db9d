"""Two-dimensional convolution: forward, data gradient and weight gradient.

The arrays are channels-last. Depthwise convolutions have kernels of their own; all others, grouped or not, run on
the engines of :mod:`conv_data` and :mod:`conv_weights`.
"""

from __future__ import annotations

import numpy as np

from kernels.cpu import conv_data, conv_tables, conv_weights, depthwise
from kernels.cpu.conv_plan import Pair, convolution


def conv2d_forward(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None,
    y: np.ndarray,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> None:
    """Convolution: ``y[n, oh, ow, o] = b[o] + sum x[n, oh s + i d - p, ow s + j d - p, c] w[i, j, c, o]``.

    Parameters
    ----------
    x : ndarray (N, H, W, C_in)
    w : ndarray (KH, KW, C_in / groups, C_out)
    b : ndarray (C_out,) or None
    y : ndarray (N, OH, OW, C_out)
        Output.
    stride, padding, dilation : (int, int)
        Vertical and horizontal, in pixels.
    groups : int
        Divides C_in and C_out.
    """
    g = convolution(x.shape, y.shape, w.shape[:2], stride, padding, dilation, groups)
    if depthwise.handles(g):
        depthwise.run(g, False, x, w, b, y)
    else:
        conv_data.run(conv_tables.forward_plan(g), x, w, b, y)


def conv2d_backward_data(
    dy: np.ndarray,
    w: np.ndarray,
    dx: np.ndarray,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> None:
    """Gradient with respect to the input.

    Parameters
    ----------
    dy : ndarray (N, OH, OW, C_out)
    w : ndarray (KH, KW, C_in / groups, C_out)
    dx : ndarray (N, H, W, C_in)
        Output; zero where no window looked.
    stride, padding, dilation : (int, int)
    groups : int
    """
    g = convolution(dx.shape, dy.shape, w.shape[:2], stride, padding, dilation, groups)
    if depthwise.handles(g):
        depthwise.run(g, True, dy, w, None, dx)
    else:
        conv_data.run(conv_tables.backward_plan(g), dy, w, None, dx)


def conv2d_backward_weights(
    x: np.ndarray,
    dy: np.ndarray,
    dw: np.ndarray,
    db: np.ndarray | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> None:
    """Gradient with respect to the parameters.

    Parameters
    ----------
    x : ndarray (N, H, W, C_in)
    dy : ndarray (N, OH, OW, C_out)
    dw : ndarray (KH, KW, C_in / groups, C_out)
        Output.
    db : ndarray (C_out,) or None
        Output; None for a layer without bias.
    stride, padding, dilation : (int, int)
    groups : int
    """
    g = convolution(x.shape, dy.shape, dw.shape[:2], stride, padding, dilation, groups)
    if depthwise.handles(g):
        depthwise.backward_weights(g, x, dy, dw, db)
    else:
        conv_weights.run(g, x, dy, dw, db)
