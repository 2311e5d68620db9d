"""MobileNet V1 with conditional convolution.

Yang et al., "CondConv: Conditionally Parameterized Convolutions for Efficient Inference", 2019, sections 3 and 4.1.
"""

from __future__ import annotations

from nnvis import blocks
from nnvis.blocks.experts import routing
from nnvis.graph import Graph, Node
from nnvis.layers import (
    AdaptiveAvgPool2d,
    BatchNorm2d,
    CondConv2d,
    Conv2d,
    Dropout,
    Flatten,
    ReLU,
)
from nnvis.layers.base import Shape
from nnvis.zoo.blocks import SMALL_IMAGES, chain, is_small, scaled
from nnvis.zoo.mobilenet import STAGES_V1
from nnvis.zoo.registry import register

#: Blocks in front of the first conditional one.
_PLAIN = 5


def _classifier(g: Graph, x: Node, num_classes: int, experts: int, dropout: float) -> Node:
    """A linear layer of several experts: a 1x1 convolution on the only pixel left."""
    shares = routing(g, x, "classifier", experts)
    x = g.add(AdaptiveAvgPool2d(1), x, name="global_pool")
    x = g.add(Dropout(dropout), x, name="dropout") if dropout else x
    y = g.add(CondConv2d(num_classes, experts, 1), [x, shares], name="classifier")
    return g.add(Flatten(), y, name="flatten")


@register(**SMALL_IMAGES)
def condconv_mobilenet_v1(
    num_classes: int = 1000,
    input_shape: Shape = (224, 224, 3),
    experts: int = 8,
    dropout: float = 0.001,
    width_mult: float = 1.0,
) -> Graph:
    """CondConv MobileNet V1: each image mixes filters of its own from those of several experts.

    Parameters
    ----------
    num_classes : int
    input_shape : (H, W, C)
        Small images as for ``mobilenet_v1``.
    experts : int
        Sets of filters of each conditional convolution.
    dropout : float
        Rate in front of the classifier; 0 for none.
    width_mult : float
        Channels of every layer, rounded to multiples of 8.

    Notes
    -----
    32,826,824 parameters, but the multiply-adds of ``mobilenet_v1`` plus 6 % (601 M). Conditional are, as in section
    4.1, the blocks from the sixth on and the classifier; both convolutions of a block share their routing. Nodes are
    named as those of ``mobilenet_v1`` and, for the routing, as timm's ``routing_fn``. Dropout of experts and the mixing
    of training images are left out.
    """
    g = Graph(input_shape, name="condconv_mobilenet_v1")
    small, count = is_small(g), 0
    stem = Conv2d(scaled(32, width_mult), 3, 1 if small else 2, padding=1, bias=False)
    y = chain(g, g.input, {"conv_stem": stem, "bn1": BatchNorm2d(), "act1": ReLU()})
    for stage, (channels, units, stride) in enumerate(STAGES_V1):
        for block in range(units):
            step = stride if not block and not (small and stage == 1) else 1
            name, width = f"blocks.{stage}.{block}", scaled(channels, width_mult)
            plain, count = count < _PLAIN, count + 1
            if plain:
                y = blocks.depthwise_separable(g, y, width, step, name=name)
            else:
                y = blocks.condconv_separable(g, y, width, step, experts, name=name)
    g.output = _classifier(g, y, num_classes, experts, dropout)
    return g
