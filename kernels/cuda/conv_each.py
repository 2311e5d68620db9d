"""Convolution in which each example has filters of its own: one launch for the whole batch.

The products are those of :mod:`kernels.cuda.conv`, once for each image and each of its groups. Arrays are told apart by
places alone, since views of single images need not begin where four floats can be read at once.
"""

from __future__ import annotations

from typing import Any

from kernels.cuda import depthwise
from kernels.cuda.conv import (
    GROUP_CHANNELS,
    GROUP_OUTPUTS,
    HEIGHT,
    OUT_HEIGHT,
    OUT_WIDTH,
    OUTPUTS,
    WIDTH,
    Pair,
    gathered,
    own_numbers,
    seen,
    seen_back,
    weight_back,
)
from kernels.cuda.indices import divided
from kernels.cuda.jit import inner
from kernels.cuda.maps import flat
from kernels.cuda.sums import column_sums_of_splits
from kernels.cuda.tiles import COLUMNS, GROUPS, INNER, ROWS, Operand, Product, Sizes, at_or_zero

# --- where the operands lie: as in a convolution, of which each has its image ----------------------------------


@inner
def _seen(pixel, place, group, sizes):
    image, part = divided(group, sizes[GROUPS])
    return seen(image * sizes[OUT_HEIGHT] * sizes[OUT_WIDTH] + pixel, place, part, sizes)


@inner
def _seen_back(pixel, place, group, sizes):
    image, part = divided(group, sizes[GROUPS])
    return seen_back(image * sizes[HEIGHT] * sizes[WIDTH] + pixel, place, part, sizes)


@inner
def _weight_back(channel, place, group, sizes):
    image, part = divided(group, sizes[GROUPS])
    at, there = weight_back(channel, place, part, sizes)
    taps = sizes[INNER] // sizes[GROUP_OUTPUTS]
    return image * taps * sizes[GROUP_CHANNELS] * sizes[OUTPUTS] + at, there


@inner
def _outputs(array, line, position, group, sizes):
    """Filters (N, taps x channels, outputs) or output gradients (N, pixels, outputs): lines of the inner size."""
    image, part = divided(group, sizes[GROUPS])
    size = sizes[COLUMNS] if line < sizes[INNER] else 0
    begin = (image * sizes[INNER] + line) * sizes[OUTPUTS] + part * sizes[GROUP_OUTPUTS]
    return at_or_zero(array, begin, position, size)


_FORWARD = Product(
    "conv_each_forward",
    Operand(gathered(_seen, GROUP_CHANNELS, ROWS, INNER), across=False),
    Operand(_outputs, across=True),
)
_DATA = Product(
    "conv_each_data",
    Operand(gathered(_seen_back, GROUP_OUTPUTS, ROWS, INNER), across=False),
    Operand(gathered(_weight_back, GROUP_OUTPUTS, COLUMNS, INNER), across=False),
)
_WEIGHTS = Product(
    "conv_each_weights",
    Operand(gathered(_seen, GROUP_CHANNELS, INNER, ROWS), across=True),
    Operand(_outputs, across=True),
)


def _run(product: Product, left: Any, right: Any, bias: Any, result: Any, inner_size: int, groups: int, own) -> None:
    """A product for each image and group, whose result is (N, ..., channels) with the groups side by side."""
    images, channels = result.shape[0], result.shape[len(result.shape) - 1]
    image, width = result.size // images, channels // groups
    sizes = Sizes(image // channels, width, inner_size, channels, width, groups, images=images, image=image)
    product.run(flat(left), flat(right), bias if bias is None else flat(bias), flat(result), sizes, own)


# --- what networks call ----------------------------------------------------------------------------------------


def conv2d_each_forward(
    x: Any,
    w: Any,
    b: Any,
    y: Any,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    algorithm: str = "auto",
) -> None:
    """``y[n] = conv2d(x[n], w[n], b[n])``.

    Parameters
    ----------
    x : device array (N, H, W, C_in)
    w : device array (N, KH, KW, C_in / groups, C_out)
    b : device array (N, C_out) or None
    y : device array (N, OH, OW, C_out)
        Output.
    stride, padding, dilation : (int, int)
        Vertical and horizontal, in pixels.
    groups : int
        Divides C_in and C_out.
    algorithm : str
        There is one: "auto" and "direct" are the same.
    """
    if y.size == 0:
        return
    if depthwise.handles(x, y, groups):
        depthwise.forward(x, w, b, y, stride, padding, dilation)
        return
    own = own_numbers(x, w, y, stride, padding, dilation, groups)
    _run(_FORWARD, x, w, b, y, w.shape[1] * w.shape[2] * w.shape[3], groups, own)


def conv2d_each_backward_data(
    dy: Any,
    w: Any,
    dx: Any,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    algorithm: str = "auto",
) -> None:
    """Gradient with respect to the input.

    Parameters
    ----------
    dy : device array (N, OH, OW, C_out)
    w : device array (N, KH, KW, C_in / groups, C_out)
    dx : device array (N, H, W, C_in)
        Output; zero where no window looked.
    stride, padding, dilation : (int, int)
    groups : int
    algorithm : str
    """
    if dx.size == 0:
        return
    if depthwise.handles(dx, dy, groups):
        depthwise.backward_data(dy, w, dx, stride, padding, dilation)
        return
    own = own_numbers(dx, w, dy, stride, padding, dilation, groups)
    _run(_DATA, dy, w, None, dx, w.shape[1] * w.shape[2] * (dy.shape[3] // groups), groups, own)


def conv2d_each_backward_weights(
    x: Any,
    dy: Any,
    dw: Any,
    db: Any,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    algorithm: str = "auto",
) -> None:
    """Gradient with respect to the filters and biases of each example.

    Parameters
    ----------
    x : device array (N, H, W, C_in)
    dy : device array (N, OH, OW, C_out)
    dw : device array (N, KH, KW, C_in / groups, C_out)
        Output.
    db : device array (N, C_out) or None
        Output; None for a layer without bias.
    stride, padding, dilation : (int, int)
    groups : int
    algorithm : str
    """
    if db is not None and db.size:
        column_sums_of_splits(flat(dy), flat(db), dy.size // dy.shape[3], dy.shape[3], dy.shape[0])
    if dw.size == 0:
        return
    if depthwise.handles(x, dy, groups):
        depthwise.backward_weights_each(x, dy, dw, stride, padding, dilation)
        return
    own = own_numbers(x, dw, dy, stride, padding, dilation, groups)
    _run(_WEIGHTS, x, dy, None, dw, dy.shape[1] * dy.shape[2], groups, own)
