"""Convolution and the maximum pool over 2x2 tiles behind it in one: nothing of the size of its output is kept.

Forward, the sums of some rows or images are pooled while they are in a cache; backward, gradients go from the pixels
that won straight to the sums over such pixels (:mod:`conv_sparse`, :mod:`conv_sparse_data`).
"""

from __future__ import annotations

import math

import numpy as np

from kernels.cpu import conv, conv_choice, conv_planes, conv_sparse, conv_sparse_data, max_pooling, scratch
from kernels.cpu.conv_plan import Pair, even_parts, from_shapes

_TILES = (2, 2), (2, 2), (0, 0)
#: Floats of the outputs of some images that are pooled at a time.
BLOCK_FLOATS = 256 * 1024


def conv2d_pool_applies(
    x_shape: tuple, w_shape: tuple, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> bool:
    """Whether a convolution should be computed together with the pool behind it: if it is one over few pixels.

    Parameters
    ----------
    x_shape : (N, H, W, C_in)
    w_shape : (KH, KW, C_in / groups, C_out)
    stride, padding, dilation : (int, int)
    groups : int
    """
    g = from_shapes(tuple(x_shape), tuple(w_shape), stride, padding, dilation, groups)
    return (
        conv_choice.choose(g, "forward") in ("direct", "planes")
        and conv_choice.choose(g, "weights", pooled=True) == "sparse"
    )


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
    g = from_shapes(x.shape, w.shape, stride, padding, dilation, groups)
    algorithm = conv_choice.choose(g, "forward")
    if algorithm == "planes":
        conv_planes.run(g, False, x, w, b, y, "relu" if rectified else "none", argmax)
        return
    size = math.prod(g.output)
    for first, last in even_parts(len(x), max(1, BLOCK_FLOATS // size)):
        sums = scratch.floats("sums to be pooled", (last - first) * size)[: (last - first) * size]
        sums = sums.reshape(last - first, *g.output)
        conv.conv2d_forward(x[first:last], w, b, sums, stride, padding, dilation, groups, algorithm)
        max_pooling.max_pool2d_forward(sums, y[first:last], argmax[first:last], *_TILES, rectified)


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
    g = from_shapes(x.shape, w.shape, stride, padding, dilation, groups)
    weights, data = (conv_choice.choose(g, which, pooled=True) for which in ("weights", "data"))
    if weights == "sparse":
        conv_sparse.backward_weights(g, x, dy, dw, db, argmax)
    if dx is not None and data == "sparse":
        conv_sparse_data.backward_data(g, dy, w, dx, argmax)
    if weights == "sparse" and (dx is None or data == "sparse"):
        return
    size, how = len(x) * math.prod(g.output), (stride, padding, dilation, groups)
    slopes = scratch.floats("gradients behind a pool", size)[:size].reshape(len(x), *g.output)
    max_pooling.max_pool2d_backward(dy, argmax, slopes, *_TILES)
    if weights != "sparse":
        conv.conv2d_backward_weights(x, slopes, dw, db, *how, weights, True)
    if dx is not None and data != "sparse":
        conv.conv2d_backward_data(slopes, w, dx, *how, data, True)
