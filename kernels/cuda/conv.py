"""Two-dimensional convolution: forward, data gradient and weight gradient, as products whose sides are gathered.

Forward, a row of the left side holds the window of one output pixel: (taps x channels) floats of the image, which are
fetched as the tile needs them and never stored (implicit GEMM). The data gradient gathers output gradients around an
input pixel, and the weight gradient sums over pixels. Depthwise convolutions have kernels of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kernels.cuda import depthwise
from kernels.cuda.jit import inner
from kernels.cuda.maps import flat
from kernels.cuda.matmul import run_split, splits_of
from kernels.cuda.sums import column_sums
from kernels.cuda.tiles import COLUMNS, INNER, OWN, ROWS, Operand, Product, Sizes, at_or_zero

Pair = tuple[int, int]

_ZERO = np.float32(0)
#: A convolution's own numbers: sizes of the image and of the output, channels of both, all and those of a group,
#: columns of the window, and its geometry by axis.
(
    HEIGHT, WIDTH, OUT_HEIGHT, OUT_WIDTH, CHANNELS, OUTPUTS, GROUP_CHANNELS, GROUP_OUTPUTS, WINDOW,
    STRIDE_H, STRIDE_W, PAD_H, PAD_W, STEP_H, STEP_W,
) = range(OWN, OWN + 15)  # fmt: skip


# --- where the operands lie ------------------------------------------------------------------------------------


@inner
def seen(pixel, place, group, sizes):
    """Where the image begins to be seen by an output pixel through the tap of `place`, and whether it is there."""
    tap, channel = place // sizes[GROUP_CHANNELS], place % sizes[GROUP_CHANNELS]
    column, rest = pixel % sizes[OUT_WIDTH], pixel // sizes[OUT_WIDTH]
    row, image = rest % sizes[OUT_HEIGHT], rest // sizes[OUT_HEIGHT]
    y = row * sizes[STRIDE_H] - sizes[PAD_H] + tap // sizes[WINDOW] * sizes[STEP_H]
    x = column * sizes[STRIDE_W] - sizes[PAD_W] + tap % sizes[WINDOW] * sizes[STEP_W]
    there = y >= 0 and y < sizes[HEIGHT] and x >= 0 and x < sizes[WIDTH]
    at = ((image * sizes[HEIGHT] + y) * sizes[WIDTH] + x) * sizes[CHANNELS]
    return at + group * sizes[GROUP_CHANNELS] + channel, there


@inner
def seen_back(pixel, place, group, sizes):
    """Where the output pixel lies that saw an input pixel through the tap of `place`, and whether there is one."""
    tap, output = place // sizes[GROUP_OUTPUTS], place % sizes[GROUP_OUTPUTS]
    column, rest = pixel % sizes[WIDTH], pixel // sizes[WIDTH]
    row, image = rest % sizes[HEIGHT], rest // sizes[HEIGHT]
    y = row + sizes[PAD_H] - tap // sizes[WINDOW] * sizes[STEP_H]
    x = column + sizes[PAD_W] - tap % sizes[WINDOW] * sizes[STEP_W]
    there = y >= 0 and x >= 0 and y % sizes[STRIDE_H] == 0 and x % sizes[STRIDE_W] == 0
    y, x = y // sizes[STRIDE_H], x // sizes[STRIDE_W]
    there = there and y < sizes[OUT_HEIGHT] and x < sizes[OUT_WIDTH]
    at = ((image * sizes[OUT_HEIGHT] + y) * sizes[OUT_WIDTH] + x) * sizes[OUTPUTS]
    return at + group * sizes[GROUP_OUTPUTS] + output, there


@inner
def weight_back(channel, place, group, sizes):
    """Where the weight of an input channel lies, by tap and output, and that it is there."""
    tap, output = place // sizes[GROUP_OUTPUTS], place % sizes[GROUP_OUTPUTS]
    at = (tap * sizes[GROUP_CHANNELS] + channel) * sizes[OUTPUTS]
    return at + group * sizes[GROUP_OUTPUTS] + output, True


def gathered(find: Callable, run: int, lines: int, places: int) -> Callable:
    """Fetch four places of a line, found one by one unless they follow each other.

    `run`, `lines` and `places` are numbers of sizes: how many places follow each other in memory, and how many lines
    and places there are.
    """

    @inner
    def one(array, line, place, group, sizes):
        if place >= sizes[places]:
            return _ZERO
        at, there = find(line, place, group, sizes)
        return array[at] if there else _ZERO

    @inner
    def fetch(array, line, place, group, sizes):
        if line >= sizes[lines] or place >= sizes[places]:
            return _ZERO, _ZERO, _ZERO, _ZERO
        if sizes[run] % 4 == 0:
            at, there = find(line, place, group, sizes)
            return at_or_zero(array, at, 0, 4 if there else 0)
        return (
            one(array, line, place, group, sizes),
            one(array, line, place + 1, group, sizes),
            one(array, line, place + 2, group, sizes),
            one(array, line, place + 3, group, sizes),
        )

    return fetch


@inner
def _outputs(array, line, position, group, sizes):
    """Weights (taps x channels, outputs) or output gradients (pixels, outputs): lines of the inner size."""
    if line >= sizes[INNER]:
        return _ZERO, _ZERO, _ZERO, _ZERO
    return at_or_zero(array, line * sizes[OUTPUTS] + group * sizes[GROUP_OUTPUTS], position, sizes[COLUMNS])


_FORWARD = Product(
    "conv_forward",
    Operand(gathered(seen, GROUP_CHANNELS, ROWS, INNER), across=False),
    Operand(_outputs, across=True),
)
_DATA = Product(
    "conv_data",
    Operand(gathered(seen_back, GROUP_OUTPUTS, ROWS, INNER), across=False),
    Operand(gathered(weight_back, GROUP_OUTPUTS, COLUMNS, INNER), across=False),
)
_WEIGHTS = Product(
    "conv_weights",
    Operand(gathered(seen, GROUP_CHANNELS, INNER, ROWS), across=True),
    Operand(_outputs, across=True),
)


def own_numbers(x: Any, w: Any, y: Any, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> tuple[int, ...]:
    """A convolution's own numbers, of image, weights and output (of their shapes alone)."""
    channels = x.shape[3], y.shape[3], x.shape[3] // groups, y.shape[3] // groups
    return (*x.shape[1:3], *y.shape[1:3], *channels, w.shape[len(w.shape) - 3], *stride, *padding, *dilation)


# --- what networks call ----------------------------------------------------------------------------------------


def conv2d_forward(
    x: Any,
    w: Any,
    b: Any,
    y: Any,
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
    x : device array (N, H, W, C_in)
    w : device array (KH, KW, C_in / groups, C_out)
    b : device array (C_out,) or None
    y : device array (N, OH, OW, C_out)
        Output.
    stride, padding, dilation : (int, int)
        Vertical and horizontal, in pixels.
    groups : int
        Divides C_in and C_out.
    algorithm : str
        There is one: "auto" and "direct" are the same.
    activation : {"none", "relu", "relu6"}
        Applied to the sums.
    """
    if y.size == 0:
        return
    if depthwise.handles(x, y, groups):
        depthwise.forward(x, w, b, y, stride, padding, dilation, activation)
        return
    rows, outputs = y.size // y.shape[3], y.shape[3]
    width, inner_size = outputs // groups, w.shape[0] * w.shape[1] * w.shape[2]
    sizes = Sizes(rows, width, inner_size, outputs, width, groups)
    own = own_numbers(x, w, y, stride, padding, dilation, groups)
    _FORWARD.run(flat(x), flat(w), b, flat(y), sizes, own, activation)


def conv2d_backward_data(
    dy: Any,
    w: Any,
    dx: Any,
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
    dy : device array (N, OH, OW, C_out)
    w : device array (KH, KW, C_in / groups, C_out)
    dx : device array (N, H, W, C_in)
        Output; zero where no window looked.
    stride, padding, dilation : (int, int)
    groups : int
    algorithm : str
    pooled : bool
        What the CPU's kernels make use of; here it changes nothing.
    """
    if dx.size == 0:
        return
    if depthwise.handles(dx, dy, groups):
        depthwise.backward_data(dy, w, dx, stride, padding, dilation)
        return
    rows, channels = dx.size // dx.shape[3], dx.shape[3]
    width, inner_size = channels // groups, w.shape[0] * w.shape[1] * (dy.shape[3] // groups)
    sizes = Sizes(rows, width, inner_size, channels, width, groups)
    _DATA.run(flat(dy), flat(w), None, flat(dx), sizes, own_numbers(dx, w, dy, stride, padding, dilation, groups))


def conv2d_backward_weights(
    x: Any,
    dy: Any,
    dw: Any,
    db: Any,
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
    x : device array (N, H, W, C_in)
    dy : device array (N, OH, OW, C_out)
    dw : device array (KH, KW, C_in / groups, C_out)
        Output.
    db : device array (C_out,) or None
        Output; None for a layer without bias.
    stride, padding, dilation : (int, int)
    groups : int
    algorithm : str
    pooled : bool
        What the CPU's kernels make use of; here it changes nothing.
    """
    pixels, outputs = dy.size // dy.shape[3], dy.shape[3]
    if db is not None:
        column_sums(flat(dy), db, pixels, outputs)
    if dw.size == 0:
        return
    if depthwise.handles(x, dy, groups):
        depthwise.backward_weights(x, dy, dw, stride, padding, dilation)
        return
    rows, width = dw.size // outputs, outputs // groups
    splits = splits_of(rows, outputs, pixels)
    sizes = Sizes(rows, width, pixels, outputs, width, groups, splits)
    own = own_numbers(x, dw, dy, stride, padding, dilation, groups)
    run_split(_WEIGHTS, flat(x), flat(dy), flat(dw), sizes, own)
