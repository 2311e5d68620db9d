"""The network that DARTS found.

Liu, Simonyan and Yang, "DARTS: Differentiable Architecture Search", 2019, figures 4 and 5.

A cell reads the two cells before it. Each of its four nodes adds up two of: the inputs and the nodes before, each
through an operation; all four nodes together are the cell's output.
"""

from __future__ import annotations

from nnvis.graph import Graph, Node
from nnvis.layers import (
    Add,
    AvgPool2d,
    BatchNorm2d,
    Concat,
    Conv2d,
    Flatten,
    GlobalAvgPool2d,
    Linear,
    MaxPool2d,
    ReLU,
    Reshape,
    Split,
    StochasticDepth,
)
from nnvis.layers.base import Layer, Shape
from nnvis.zoo.blocks import SMALL_IMAGES, chain, is_small, scaled, sequential
from nnvis.zoo.registry import register

#: Operation and input of each edge, two for each node: DARTS_V2, the second-order search.
_NORMAL = (
    ("sep_conv_3x3", 0), ("sep_conv_3x3", 1), ("sep_conv_3x3", 0), ("sep_conv_3x3", 1),
    ("sep_conv_3x3", 1), ("skip_connect", 0), ("skip_connect", 0), ("dil_conv_3x3", 2),
)  # fmt: skip
_REDUCE = (
    ("max_pool_3x3", 0), ("max_pool_3x3", 1), ("skip_connect", 2), ("max_pool_3x3", 1),
    ("max_pool_3x3", 0), ("skip_connect", 2), ("skip_connect", 2), ("max_pool_3x3", 1),
)  # fmt: skip


def _conv(channels: int, kernel: int = 1, stride: int = 1) -> Conv2d:
    return Conv2d(channels, kernel, stride, padding=kernel // 2, bias=False)


def _separable(channels: int, stride: int, dilation: int = 1) -> list[Layer]:
    depthwise = Conv2d(channels, 3, stride, padding=dilation, dilation=dilation, groups=channels, bias=False)
    return [ReLU(), depthwise, _conv(channels), BatchNorm2d()]


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
    even = g.add(_conv(channels // 2, 1, 2), x, name=f"{prefix}.conv_1")
    odd = g.add(_conv(channels - channels // 2), _odd_pixels(g, x, prefix), name=f"{prefix}.conv_2")
    return chain(g, g.add(Concat(), [even, odd], name=f"{prefix}.concat"), {"bn": BatchNorm2d()}, prefix)


def _preprocess(g: Graph, x: Node, prefix: str, channels: int) -> Node:
    return sequential(g, x, [ReLU(), _conv(channels), BatchNorm2d()], f"{prefix}.op")


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


def _cell(g: Graph, before: Node, last: Node, prefix: str, channels: int, reduction: bool, drop_path: float) -> Node:
    """One cell; if the cell in front halved the size, `before` is still the larger one."""
    if g.shape_of(before)[0] != g.shape_of(last)[0]:
        first = _factorized_reduce(g, before, f"{prefix}.preprocess0", channels)
    else:
        first = _preprocess(g, before, f"{prefix}.preprocess0", channels)
    states, left = [first, _preprocess(g, last, f"{prefix}.preprocess1", channels)], last
    for number, (kind, source) in enumerate(_REDUCE if reduction else _NORMAL):
        stride = 2 if reduction and source < 2 else 1
        made = _operation(g, states[source], f"{prefix}._ops.{number}", kind, channels, stride, drop_path)
        if number % 2:
            states.append(g.add(Add(), [left, made], name=f"{prefix}.node{number // 2}"))
        left = made
    return g.add(Concat(), states[2:], name=f"{prefix}.concat")


def _stems(g: Graph, channels: int) -> tuple[Node, Node]:
    """The two inputs of the first cell."""
    if is_small(g):
        y = sequential(g, g.input, [_conv(3 * channels, 3), BatchNorm2d()], "stem")
        return y, y
    first = [_conv(channels // 2, 3, 2), BatchNorm2d(), ReLU(), _conv(channels, 3, 2), BatchNorm2d()]
    y = sequential(g, g.input, first, "stem0")
    return y, sequential(g, y, [ReLU(), _conv(channels, 3, 2), BatchNorm2d()], "stem1")


def _auxiliary_head(g: Graph, x: Node, num_classes: int) -> None:
    """A classifier on 8x8 pixels (7x7 for ImageNet) behind the second reduction, which counts for 0.4 of the loss."""
    small = is_small(g)
    pool = AvgPool2d(5, 3 if small else 2, count_include_pad=False)
    layers: list[Layer] = [ReLU(), pool, _conv(128), BatchNorm2d(), ReLU(), Conv2d(768, 2, bias=False)]
    norm: list[Layer] = [BatchNorm2d()] * small
    y = sequential(g, x, [*layers, *norm, ReLU()], "auxiliary_head.features")
    y = chain(g, y, {"flatten": Flatten(), "classifier": Linear(num_classes)}, "auxiliary_head")
    g.add_aux_output(y, 0.4)


@register(**SMALL_IMAGES | {"lr": 0.025, "weight_decay": 3e-4, "clip_norm": 5.0})
def darts_v2(
    num_classes: int = 1000,
    input_shape: Shape = (224, 224, 3),
    aux: bool = False,
    drop_path: float = 0.0,
    num_layers: int | None = None,
    width_mult: float = 1.0,
) -> Graph:
    """DARTS V2: cells whose wiring was found by gradient descent.

    Parameters
    ----------
    num_classes : int
    input_shape : (H, W, C)
        Below 64 pixels, as for 32x32 images, the paper's network for CIFAR-10: 20 cells that begin with 36 channels,
        behind one convolution with stride 1. Else that for ImageNet: 14 cells, 48 channels, three strides before.
    aux : bool
        The auxiliary classifier two thirds of the way, which training alone has.
    drop_path : float
        Probability of dropping an operation's output in training; the authors raise it to 0.2 (CIFAR-10).
    num_layers : int, optional
        Number of cells, if not those above.
    width_mult : float
        Channels of every cell, rounded to multiples of 4.

    Notes
    -----
    3,349,342 parameters for ten classes of 32x32 images (3,825,768 with the auxiliary classifier) and 4,718,752 for
    ImageNet. Liu et al., "DARTS: Differentiable Architecture Search", 2019, table 1 (3.3 M). The genotype is the
    authors' ``DARTS_V2`` (figures 4 and 5), and nodes are named as in their code. Drop path is the same throughout the
    training, where the authors let it grow with the epochs; an image's size must halve without rest.
    """
    g = Graph(input_shape, name="darts_v2")
    small = is_small(g)
    count = num_layers or (20 if small else 14)
    channels = scaled(36 if small else 48, width_mult, 4)
    before, last = _stems(g, channels)
    for number in range(count):
        reduction = number in (count // 3, 2 * count // 3)
        channels *= 2 if reduction else 1
        before, last = last, _cell(g, before, last, f"cells.{number}", channels, reduction, drop_path)
        if aux and number == 2 * count // 3:
            _auxiliary_head(g, last, num_classes)
    g.output = chain(g, last, {"global_pooling": GlobalAvgPool2d(), "classifier": Linear(num_classes)})
    return g
