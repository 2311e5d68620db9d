"""Two-dimensional convolution: forward, data gradient and weight gradient.

The arrays are channels-last. Depthwise convolutions have kernels of their own; all others, grouped or not, run on
the engines of :mod:`conv_data` and :mod:`conv_weights`, or as Winograd tiles, on planes or over few pixels where
:mod:`conv_choice` says so.
"""

from __future__ import annotations

import numpy as np

from kernels.cpu import (
    conv_choice,
    conv_data,
    conv_folded,
    conv_planes,
    conv_sparse,
    conv_sparse_data,
    conv_tables,
    conv_weights,
    depthwise,
    winograd,
    winograd_weights,
)
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
    algorithm: str = "auto",
    activation: str = "none",
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
    algorithm : str
        "auto" is the quickest for the shape; "direct" sums over the taps, as the formula says; "winograd2" and
        "winograd4" transform tiles of so many outputs a side, for 3x3 convolutions with stride 1; "planes" sums
        many pixels of one channel at a time, for few channels and stride 1; "folded" is for data gradients of such.
    activation : {"none", "relu", "relu6"}
        Applied to the sums.

    Raises
    ------
    ValueError
        For an algorithm that is not known or cannot do this convolution.
    """
    g = convolution(x.shape, y.shape, w.shape[:2], stride, padding, dilation, groups)
    chosen = conv_choice.resolve(g, "forward", algorithm)
    if outputs := conv_choice.OUTPUTS[chosen]:
        winograd.run(g, outputs, False, x, w, b, y, activation)
    elif chosen == "planes":
        conv_planes.run(g, False, x, w, b, y, activation)
    elif depthwise.handles(g):
        depthwise.run(g, False, x, w, b, y, activation)
    else:
        conv_data.run(conv_tables.forward_plan(g, activation), x, w, b, y)


def conv2d_backward_data(
    dy: np.ndarray,
    w: np.ndarray,
    dx: np.ndarray,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    algorithm: str = "auto",
    pooled: bool = False,
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
    algorithm : str
        As in :func:`conv2d_forward`; and "sparse" if `pooled`.
    pooled : bool
        A promise that `dy` is what a maximum over 2x2 tiles handed back: of every tile at most one value of a channel
        is not 0, and an odd last row and column are 0.
    """
    g = convolution(dx.shape, dy.shape, w.shape[:2], stride, padding, dilation, groups)
    chosen = conv_choice.resolve(g, "data", algorithm, pooled)
    if outputs := conv_choice.OUTPUTS[chosen]:
        winograd.run(g, outputs, True, dy, w, None, dx)
    elif chosen == "planes":
        conv_planes.run(g, True, dy, w, None, dx)
    elif chosen == "folded":
        conv_folded.backward_data(g, dy, w, dx)
    elif chosen == "sparse":
        conv_sparse_data.backward_data(g, dy, w, dx)
    elif depthwise.handles(g):
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
    algorithm: str = "auto",
    pooled: bool = False,
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
    algorithm : str
        As in :func:`conv2d_forward`; and "sparse" if `pooled`.
    pooled : bool
        As in :func:`conv2d_backward_data`.
    """
    g = convolution(x.shape, dy.shape, dw.shape[:2], stride, padding, dilation, groups)
    chosen = conv_choice.resolve(g, "weights", algorithm, pooled)
    if outputs := conv_choice.OUTPUTS[chosen]:
        winograd_weights.run(g, outputs, x, dy, dw, db)
    elif chosen == "planes":
        conv_planes.backward_weights(g, x, dy, dw, db)
    elif chosen == "sparse":
        conv_sparse.backward_weights(g, x, dy, dw, db)
    elif depthwise.handles(g):
        depthwise.backward_weights(g, x, dy, dw, db)
    else:
        conv_weights.run(g, x, dy, dw, db)
