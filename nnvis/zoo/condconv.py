"""MobileNet V1 and V2, and ResNet for CIFAR, with conditional convolution.

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
from nnvis.zoo.blocks import SMALL_IMAGES, chain, is_small, scaled, sequential
from nnvis.zoo.cifar import LAST_STAGE, body
from nnvis.zoo.mobilenet import STAGES_V1, STAGES_V2, conv_bn_relu6
from nnvis.zoo.registry import register
from nnvis.zoo.resnet_cifar import CIFAR

#: Training settings of networks with experts. Gradients of the routing and of the filters differ much in size. At rates
#: that suit the filters, gradient descent shuts off all experts of the classifier within ten steps, whereafter no
#: gradient passes the sigmoid. The paper trains with RMSProp, which divides by that size as Adam does.
_ADAM = {"optimizer": "adam", "lr": 1e-3}
#: Blocks of V1 in front of the first conditional one, and conditional ones at the end of V2.
_PLAIN = 5
_LAST = 6


def _classifier(
    g: Graph, x: Node, num_classes: int, experts: int, dropout: float = 0.0, name: str = "classifier"
) -> Node:
    """A linear layer of several experts: a 1x1 convolution on the only pixel left."""
    shares = routing(g, x, name, experts)
    x = g.add(AdaptiveAvgPool2d(1), x, name="global_pool")
    x = g.add(Dropout(dropout), x, name="dropout") if dropout else x
    y = g.add(CondConv2d(num_classes, experts, 1), [x, shares], name=name)
    return g.add(Flatten(), y, name="flatten")


@register(**SMALL_IMAGES | _ADAM)
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
    Yang et al., "CondConv: Conditionally Parameterized Convolutions for Efficient Inference", 2019, sections 3 and 4.1.
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


@register(**SMALL_IMAGES | _ADAM)
def condconv_mobilenet_v2(
    num_classes: int = 1000,
    input_shape: Shape = (224, 224, 3),
    experts: int = 8,
    dropout: float = 0.2,
    width_mult: float = 1.0,
) -> Graph:
    """CondConv MobileNet V2: inverted residuals whose filters each image mixes from those of several experts.

    Parameters
    ----------
    num_classes : int
    input_shape : (H, W, C)
        Small images as for ``mobilenet_v2``.
    experts : int
        Sets of filters of each conditional convolution.
    dropout : float
        Rate in front of the classifier; 0 for none.
    width_mult : float
        Channels of every layer, rounded to multiples of 8; the last convolution never has less than 1280.

    Notes
    -----
    Yang et al., "CondConv: Conditionally Parameterized Convolutions for Efficient Inference", 2019, sections 3 and 4.1.
    22,885,496 parameters, but the multiply-adds of ``mobilenet_v2`` plus 7 % (323 M). Conditional are, as in section
    4.1, the last six inverted residuals and the classifier; the convolutions of a block share their routing. Nodes are
    named as those of ``mobilenet_v2`` and, for the routing, as timm's ``routing_fn``. Dropout of experts and the mixing
    of training images are left out.
    """
    g = Graph(input_shape, name="condconv_mobilenet_v2")
    steps = [
        (expansion, scaled(channels, width_mult), 1 if block or (is_small(g) and stage == 1) else stride)
        for stage, (expansion, channels, count, stride) in enumerate(STAGES_V2)
        for block in range(count)
    ]
    y = sequential(g, g.input, conv_bn_relu6(scaled(32, width_mult), 3, 1 if is_small(g) else 2), "features.0")
    for number, (expansion, channels, stride) in enumerate(steps, 1):
        name, plain = f"features.{number}", number <= len(steps) - _LAST
        if plain:
            y = blocks.inverted_residual(g, y, channels, stride, expansion, name=name)
        else:
            y = blocks.condconv_inverted(g, y, channels, stride, experts, name=name)
    y = sequential(g, y, conv_bn_relu6(scaled(1280, max(1.0, width_mult)), 1), f"features.{len(steps) + 1}")
    g.output = _classifier(g, y, num_classes, experts, dropout)
    return g


@register("condconv_resnet20_cifar", **CIFAR | _ADAM)
def condconv_resnet20(
    num_classes: int = 10, input_shape: Shape = (32, 32, 3), experts: int = 8, width: int = 16
) -> Graph:
    """CondConv ResNet-20 for CIFAR-10: in the last stage each image mixes filters from those of several experts.

    Parameters
    ----------
    num_classes : int
    input_shape : (H, W, C)
        Strides as for ``resnet20``, at any size.
    experts : int
        Sets of filters of each conditional convolution.
    width : int
        Channels of the first stage.

    Notes
    -----
    1,695,360 parameters. Yang et al., "CondConv: Conditionally Parameterized Convolutions for Efficient Inference",
    2019, has no network for CIFAR; as in its ResNet-50 (section 4.1), the last three residual
    blocks and the classifier are conditional. Convolutions of a block share their routing. Nodes are named as those of
    ``resnet20`` and, for the routing, as timm's ``routing_fn``. Its own training settings have Adam: gradient descent
    at the 0.1 of ``resnet20`` shuts off the classifier's experts.
    """
    g = Graph(input_shape, name="condconv_resnet20")

    def block(g: Graph, x: Node, prefix: str, channels: int, stride: int) -> Node:
        return blocks.condconv_residual(g, x, channels, stride, experts, shortcut="A", name=prefix)

    g.output = _classifier(g, body(g, width, block, LAST_STAGE), num_classes, experts, name="fc")
    return g
