"""MobileNet V1 with conditional convolution.

Yang et al., "CondConv: Conditionally Parameterized Convolutions for Efficient Inference", 2019, sections 3 and 4.1.
"""

from __future__ import annotations

from nnvis.graph import Graph, Node
from nnvis.layers import (
    AdaptiveAvgPool2d,
    BatchNorm2d,
    CondConv2d,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Linear,
    ReLU,
    Sigmoid,
)
from nnvis.layers.base import Shape
from nnvis.zoo.blocks import SMALL_IMAGES, chain, is_small, scaled
from nnvis.zoo.mobilenet import STAGES_V1, separable
from nnvis.zoo.registry import register

#: Blocks in front of the first conditional one.
_PLAIN = 5


def _routing(g: Graph, x: Node, prefix: str, experts: int) -> Node:
    """How much each expert has to say on this example."""
    layers = {"routing_pool": GlobalAvgPool2d(), "routing_fn": Linear(experts), "routing": Sigmoid()}
    return chain(g, x, layers, prefix)


def _block(g: Graph, x: Node, prefix: str, channels: int, stride: int, experts: int) -> Node:
    """Both convolutions share one routing."""
    inputs, routing = g.shape_of(x)[2], _routing(g, x, prefix, experts)
    depthwise = CondConv2d(inputs, experts, 3, stride, padding=1, groups=inputs, bias=False)
    y = g.add(depthwise, [x, routing], name=f"{prefix}.conv_dw")
    y = chain(g, y, {"bn1": BatchNorm2d(), "act1": ReLU()}, prefix)
    y = g.add(CondConv2d(channels, experts, 1, bias=False), [y, routing], name=f"{prefix}.conv_pw")
    return chain(g, y, {"bn2": BatchNorm2d(), "act2": ReLU()}, prefix)


def _classifier(g: Graph, x: Node, num_classes: int, experts: int, dropout: float) -> Node:
    """A linear layer of several experts: a 1x1 convolution on the only pixel left."""
    routing = _routing(g, x, "classifier", experts)
    x = g.add(AdaptiveAvgPool2d(1), x, name="global_pool")
    x = g.add(Dropout(dropout), x, name="dropout") if dropout else x
    y = g.add(CondConv2d(num_classes, experts, 1), [x, routing], name="classifier")
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
    for stage, (channels, blocks, stride) in enumerate(STAGES_V1):
        for block in range(blocks):
            step = stride if not block and not (small and stage == 1) else 1
            name, width = f"blocks.{stage}.{block}", scaled(channels, width_mult)
            plain, count = count < _PLAIN, count + 1
            y = separable(g, y, name, width, step) if plain else _block(g, y, name, width, step, experts)
    g.output = _classifier(g, y, num_classes, experts, dropout)
    return g
