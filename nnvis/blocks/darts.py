"""The cells that DARTS found. Liu, Simonyan and Yang, "DARTS: Differentiable Architecture Search", 2019, figures 4, 5.

A cell reads the two cells before it. Each of its four nodes adds up two of: the inputs and the nodes before, each
through an operation; all four nodes together are the cell's output.
"""

from __future__ import annotations

from nnvis.blocks.chains import chain, channels_of, conv, sequential
from nnvis.blocks.registry import preset, register
from nnvis.graph import Graph, Node
from nnvis.layers import Add, BatchNorm2d, Concat, Conv2d, MaxPool2d, ReLU, Reshape, Split, StochasticDepth
from nnvis.layers.base import Layer

#: Operation and input of each edge, two for each node: DARTS_V2, the second-order search.
_NORMAL = (
    ("sep_conv_3x3", 0), ("sep_conv_3x3", 1), ("sep_conv_3x3", 0), ("sep_conv_3x3", 1),
    ("sep_conv_3x3", 1), ("skip_connect", 0), ("skip_connect", 0), ("dil_conv_3x3", 2),
)  # fmt: skip
_REDUCE = (
    ("max_pool_3x3", 0), ("max_pool_3x3", 1), ("skip_connect", 2), ("max_pool_3x3", 1),
    ("max_pool_3x3", 0), ("skip_connect", 2), ("skip_connect", 2), ("max_pool_3x3", 1),
)  # fmt: skip


def _separable(channels: int, stride: int, dilation: int = 1) -> list[Layer]:
    depthwise = Conv2d(channels, 3, stride, padding=dilation, dilation=dilation, groups=channels, bias=False)
    return [ReLU(), depthwise, conv(channels), BatchNorm2d()]


def _odd_pixels(g: Graph, x: Node, prefix: str) -> Node:
    """Every second pixel, from the second row and column on: rows in pairs, then columns in pairs."""
    height, width, channels = g.shape_of(x)
    rows: dict[str, Layer] = {"row_pairs": Reshape((height // 2, 2 * width * channels)), "rows": Split(2, 1)}
    pairs = Reshape((height // 2, width // 2, 2 * channels))
    columns: dict[str, Layer] = {"column_pairs": pairs, "columns": Split(2, 1)}
    return chain(g, x, {**rows, **columns}, prefix)


def _factorized_reduce(g: Graph, x: Node, prefix: str, channels: int) -> Node:
    """Half the size without losing pixels: two 1x1 convolutions with stride 2, one pixel apart."""
    x = g.add(ReLU(), x, name=f"{prefix}.relu")
    even = g.add(conv(channels // 2, 1, 2), x, name=f"{prefix}.conv_1")
    odd = g.add(conv(channels - channels // 2), _odd_pixels(g, x, prefix), name=f"{prefix}.conv_2")
    return chain(g, g.add(Concat(), [even, odd], name=f"{prefix}.concat"), {"bn": BatchNorm2d()}, prefix)


def _preprocess(g: Graph, x: Node, prefix: str, channels: int) -> Node:
    return sequential(g, x, [ReLU(), conv(channels), BatchNorm2d()], f"{prefix}.op")


def _operation(g: Graph, x: Node, prefix: str, kind: str, channels: int, stride: int, drop_path: float) -> Node:
    if kind == "skip_connect" and stride == 1:
        return x
    if kind == "skip_connect":
        x = _factorized_reduce(g, x, prefix, channels)
    elif kind == "max_pool_3x3":
        x = g.add(MaxPool2d(3, stride, padding=1), x, name=prefix)
    else:
        dilated = kind == "dil_conv_3x3"
        layers = _separable(channels, stride, 2 if dilated else 1)
        x = sequential(g, x, layers if dilated else [*layers, *_separable(channels, 1)], f"{prefix}.op")
    return g.add(StochasticDepth(drop_path), x, name=f"{prefix}.drop_path") if drop_path else x


@register("DARTS cell", "convolution", "architecture search nas normal")
def darts_cell(
    g: Graph,
    x: Node,
    channels: int | None = None,
    before: Node | None = None,
    reduction: bool = False,
    drop_path: float = 0.0,
    *,
    name: str = "",
) -> Node:
    """A cell whose wiring was found by gradient descent: four sums of two operations each, side by side.

    Parameters
    ----------
    g : Graph
    x : Node
        Image (H, W, C): the cell before.
    channels : int, optional
        Of each of the four nodes; a quarter of C without it, and twice that with `reduction`.
    before : Node, optional
        The cell before that, still of twice the size if that one was a reduction; `x` without it.
    reduction : bool
        The other of the two cells, which halves the size.
    drop_path : float
        Probability of dropping an operation's output in training; 0 for none.
    name : str

    Notes
    -----
    Figures 4 and 5; the genotype is the authors' ``DARTS_V2``, and nodes are named as in their code.
    """
    channels = channels or max(1, channels_of(g, x) // (2 if reduction else 4))
    before = before or x
    halve = g.shape_of(before)[0] != g.shape_of(x)[0]
    first = (_factorized_reduce if halve else _preprocess)(g, before, f"{name}.preprocess0", channels)
    states, left = [first, _preprocess(g, x, f"{name}.preprocess1", channels)], x
    for number, (kind, source) in enumerate(_REDUCE if reduction else _NORMAL):
        stride = 2 if reduction and source < 2 else 1
        made = _operation(g, states[source], f"{name}._ops.{number}", kind, channels, stride, drop_path)
        if number % 2:
            states.append(g.add(Add(), [left, made], name=f"{name}.node{number // 2}"))
        left = made
    return g.add(Concat(), states[2:], name=f"{name}.concat")


preset("darts_reduction_cell", "DARTS cell, half size", darts_cell,
       "The cell that halves the image, its wiring found by gradient descent", "reduction", reduction=True)  # fmt: skip
