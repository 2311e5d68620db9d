"""Batch normalisation in training and the convolution behind it in one: what lies between them is never written.

Backward, the convolution's weight gradient normalises its input again. The gradient of the normalisation needs nothing
else: it reads that input, not what became of it.
"""

from __future__ import annotations

import numpy as np

from kernels.cpu import (
    conv_choice,
    conv_data,
    conv_tables,
    conv_weights,
    depthwise,
    depthwise_rows,
    pointwise_weights,
    scratch,
)
from kernels.cpu.conv_plan import Geometry, Pair, convolution, from_shapes
from kernels.cpu.normalised import Norm

#: Smaller arrays stay in the caches between the two anyway.
FEWEST_FLOATS = 64 * 1024
#: Groups of pixels: fewer are too few jobs for all threads, unless several jobs normalised the same pixels.
FEWEST_JOBS = 8


def conv2d_normalised_applies(
    x_shape: tuple, w_shape: tuple, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> bool:
    """Whether a convolution should be computed together with the normalisation in front of it.

    Parameters
    ----------
    x_shape : (N, H, W, C_in)
    w_shape : (KH, KW, C_in / groups, C_out)
    stride, padding, dilation : (int, int)
    groups : int
    """
    g = from_shapes(tuple(x_shape), tuple(w_shape), stride, padding, dilation, groups)
    if g.images * np.prod(g.input) < FEWEST_FLOATS:
        return False
    if depthwise.handles(g):
        return depthwise_rows.handles(g) and depthwise_rows.normalises(g)
    if not conv_weights.is_pointwise(g) or conv_choice.choose(g, "forward") != "direct":
        return False
    return bool(conv_tables.forward_plan(g)[conv_tables.IMAGE_GROUPS] >= FEWEST_JOBS)


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

    Raises
    ------
    ValueError
        For a convolution of which :func:`conv2d_normalised_applies` says that it is not computed so.
    """
    g = convolution(x.shape, y.shape, w.shape[:2], stride, padding, dilation, groups)
    norm = Norm(gamma, mean, inv_std, offset, between)
    if depthwise.handles(g):
        _check(depthwise_rows.handles(g), g)
        depthwise_rows.run(g, False, x, w, b if b is not None else scratch.zeros(g.output[2]), y, norm=norm)
    else:
        _check(g.is_product, g)
        conv_data.run(conv_tables.forward_plan(g, normalised=True), x, w, b, y, norm)


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

    Raises
    ------
    ValueError
        As the forward pass.
    """
    g = convolution(x.shape, dy.shape, dw.shape[:2], stride, padding, dilation, groups)
    norm = Norm(gamma, mean, inv_std, offset, between)
    if depthwise.handles(g):
        _check(depthwise_rows.handles(g), g)
        depthwise_rows.backward_weights(g, x, dy, dw, db, norm)
    else:
        _check(conv_weights.is_pointwise(g), g)
        pointwise_weights.run(g, x, dy, dw, db, norm)


def _check(applies: bool, g: Geometry) -> None:
    if not applies:
        raise ValueError(
            f"no kernel normalises the input {g.input} of a convolution with kernel {g.kernel}, stride {g.stride}, "
            f"padding {g.padding}, {g.groups} groups and {g.images} images on the way."
        )
