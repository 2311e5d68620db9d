"""Batch normalisation in training and the convolution behind it: here one after the other, through scratch memory."""

from __future__ import annotations

from typing import Any

from kernels.cuda.conv import Pair, conv2d_backward_weights, conv2d_forward
from kernels.cuda.norm import normalise
from kernels.cuda.scratch import room


def _normalised(x: Any, gamma: Any, mean: Any, inv_std: Any, offset: Any, between: str) -> Any:
    """``between((x - mean) gamma inv_std + offset)``, (N, H, W, C_in), in memory that the next call uses again."""
    values = room("normalised input", x.size).reshape(x.shape)
    if x.size:
        shape = x.size // gamma.size, gamma.size
        normalise(x.reshape(shape), gamma, mean, inv_std, offset, None, values.reshape(shape), between)
    return values


def conv2d_normalised_applies(
    x_shape: tuple, w_shape: tuple, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> bool:
    """Whether a convolution should be computed together with the normalisation in front of it: here never.

    On a CPU it saves a pass over an array that has left the caches. A GPU's product fetches each float of its input
    once for every tile of outputs, and through every tap, and would normalise it as often, in the loop that should do
    nothing but multiply and add.

    Parameters
    ----------
    x_shape : (N, H, W, C_in)
    w_shape : (KH, KW, C_in / groups, C_out)
    stride, padding, dilation : (int, int)
    groups : int
    """
    return False


def conv2d_normalised_forward(
    x: Any,
    gamma: Any,
    mean: Any,
    inv_std: Any,
    offset: Any,
    w: Any,
    b: Any,
    y: Any,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    between: str = "none",
) -> None:
    """Convolution of ``between((x - mean) gamma inv_std + offset)``.

    Parameters
    ----------
    x : device array (N, H, W, C_in)
    gamma, mean, inv_std, offset : device array (C_in,)
        Of the normalisation, as :func:`kernels.cuda.norm.batch_norm_statistics` wrote them.
    w : device array (KH, KW, C_in / groups, C_out)
    b : device array (C_out,) or None
    y : device array (N, OH, OW, C_out)
        Output.
    stride, padding, dilation : (int, int)
    groups : int
    between : {"none", "relu", "relu6"}
        The activation.
    """
    values = _normalised(x, gamma, mean, inv_std, offset, between)
    conv2d_forward(values, w, b, y, stride, padding, dilation, groups)


def conv2d_normalised_backward_weights(
    x: Any,
    gamma: Any,
    mean: Any,
    inv_std: Any,
    offset: Any,
    dy: Any,
    dw: Any,
    db: Any,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    between: str = "none",
) -> None:
    """Gradient of :func:`conv2d_normalised_forward` with respect to weights and bias.

    Parameters
    ----------
    x : device array (N, H, W, C_in)
    gamma, mean, inv_std, offset : device array (C_in,)
        As in the forward pass.
    dy : device array (N, OH, OW, C_out)
    dw : device array (KH, KW, C_in / groups, C_out)
        Output.
    db : device array (C_out,) or None
        Output; None for a layer without bias.
    stride, padding, dilation : (int, int)
    groups : int
    between : {"none", "relu", "relu6"}
    """
    values = _normalised(x, gamma, mean, inv_std, offset, between)
    conv2d_backward_weights(values, dy, dw, db, stride, padding, dilation, groups)
