"""The network that DARTS found.

Liu, Simonyan and Yang, "DARTS: Differentiable Architecture Search", 2019, figures 4 and 5.
"""

from __future__ import annotations

from nnvis import blocks
from nnvis.blocks.chains import conv
from nnvis.graph import Graph, Node
from nnvis.layers import AvgPool2d, BatchNorm2d, Conv2d, Flatten, GlobalAvgPool2d, Linear, ReLU
from nnvis.layers.base import Layer, Shape
from nnvis.zoo.blocks import SMALL_IMAGES, chain, is_small, scaled, sequential
from nnvis.zoo.registry import register


def _stems(g: Graph, channels: int) -> tuple[Node, Node]:
    """The two inputs of the first cell."""
    if is_small(g):
        y = sequential(g, g.input, [conv(3 * channels, 3), BatchNorm2d()], "stem")
        return y, y
    first = [conv(channels // 2, 3, 2), BatchNorm2d(), ReLU(), conv(channels, 3, 2), BatchNorm2d()]
    y = sequential(g, g.input, first, "stem0")
    return y, sequential(g, y, [ReLU(), conv(channels, 3, 2), BatchNorm2d()], "stem1")


def _auxiliary_head(g: Graph, x: Node, num_classes: int) -> None:
    """A classifier on 8x8 pixels (7x7 for ImageNet) behind the second reduction, which counts for 0.4 of the loss."""
    small = is_small(g)
    pool = AvgPool2d(5, 3 if small else 2, count_include_pad=False)
    layers: list[Layer] = [ReLU(), pool, conv(128), BatchNorm2d(), ReLU(), Conv2d(768, 2, bias=False)]
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
        cell = blocks.darts_cell(g, last, channels, before, reduction, drop_path, name=f"cells.{number}")
        before, last = last, cell
        if aux and number == 2 * count // 3:
            with g.block("auxiliary_head"):
                _auxiliary_head(g, last, num_classes)
    g.output = chain(g, last, {"global_pooling": GlobalAvgPool2d(), "classifier": Linear(num_classes)})
    return g
