"""Convolution and the maximum pool over 2x2 tiles behind it: here one after the other, through scratch memory."""

from __future__ import annotations

from typing import Any

from kernels.cuda.conv import Pair, conv2d_backward_data, conv2d_backward_weights, conv2d_forward
from kernels.cuda.max_pooling import max_pool2d_backward, max_pool2d_forward
from kernels.cuda.scratch import room

_TILES = (2, 2), (2, 2), (0, 0)


def _sums(x: Any, w: Any, stride: Pair, padding: Pair, dilation: Pair) -> Any:
    """Memory for what the convolution gives, (N, OH, OW, C_out), until the next call."""
    reach = (dilation[axis] * (w.shape[axis] - 1) + 1 for axis in (0, 1))
    height, width = ((x.shape[1 + i] + 2 * padding[i] - r) // stride[i] + 1 for i, r in enumerate(reach))
    shape = x.shape[0], height, width, w.shape[3]
    return room("convolution behind a pool", x.shape[0] * height * width * w.shape[3]).reshape(shape)


def conv2d_pool_applies(
    x_shape: tuple, w_shape: tuple, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> bool:
    """Whether a convolution should be computed together with the pool behind it: here never.

    A CPU pools the sums that it still has in its caches. The tile of a GPU's product is 64 or 128 pixels in reading
    order, which seldom has both rows of a pool's tile, and the pool by itself takes one pass at the memory's rate.

    Parameters
    ----------
    x_shape : (N, H, W, C_in)
    w_shape : (KH, KW, C_in / groups, C_out)
    stride, padding, dilation : (int, int)
    groups : int
    """
    return False


def conv2d_pool_forward(
    x: Any,
    w: Any,
    b: Any,
    y: Any,
    argmax: Any,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    rectified: bool = False,
) -> None:
    """Largest value of each 2x2 tile of a convolution's output, and which of the four it was.

    Parameters
    ----------
    x : device array (N, H, W, C_in)
    w : device array (KH, KW, C_in / groups, C_out)
    b : device array (C_out,) or None
    y : device array (N, OH // 2, OW // 2, C_out)
        Output.
    argmax : device array (N, OH // 2, OW // 2, C_out), uint8
        Output, as :func:`kernels.cuda.max_pooling.max_pool2d_forward` writes it.
    stride, padding, dilation : (int, int)
        Of the convolution.
    groups : int
    rectified : bool
        Whether what is pooled is ``max(0, sum)``.
    """
    sums = _sums(x, w, stride, padding, dilation)
    conv2d_forward(x, w, b, sums, stride, padding, dilation, groups)
    max_pool2d_forward(sums, y, argmax, *_TILES, rectified)


def conv2d_pool_backward(
    x: Any,
    w: Any,
    dy: Any,
    argmax: Any,
    dw: Any,
    db: Any,
    dx: Any,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> None:
    """Gradients of :func:`conv2d_pool_forward` with respect to the parameters and, unless `dx` is None, the input.

    Parameters
    ----------
    x : device array (N, H, W, C_in)
    w : device array (KH, KW, C_in / groups, C_out)
    dy : device array (N, OH // 2, OW // 2, C_out)
    argmax : device array (N, OH // 2, OW // 2, C_out), uint8
        As the forward pass wrote it.
    dw : device array (KH, KW, C_in / groups, C_out)
        Output.
    db : device array (C_out,) or None
        Output; None for a layer without bias.
    dx : device array (N, H, W, C_in) or None
        Output.
    stride, padding, dilation : (int, int)
    groups : int
    """
    slopes = _sums(x, w, stride, padding, dilation)
    max_pool2d_backward(dy, argmax, slopes, *_TILES)
    conv2d_backward_weights(x, slopes, dw, db, stride, padding, dilation, groups)
    if dx is not None:
        conv2d_backward_data(slopes, w, dx, stride, padding, dilation, groups)
