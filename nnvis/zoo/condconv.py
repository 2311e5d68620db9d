"""MobileNet V1 and V2, and ResNet for CIFAR, with conditional convolution.

Yang et al., "CondConv: Conditionally Parameterized Convolutions for Efficient Inference", 2019, sections 3 and 4.1.
"""

from __future__ import annotations

from nnvis.graph import Graph, Node
from nnvis.layers import (
    AdaptiveAvgPool2d,
    Add,
    BatchNorm2d,
    CondConv2d,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Linear,
    ReLU,
    ReLU6,
    Sigmoid,
)
from nnvis.layers.base import Shape
from nnvis.zoo.blocks import SMALL_IMAGES, chain, is_small, scaled, sequential
from nnvis.zoo.cifar import LAST_STAGE, body
from nnvis.zoo.mobilenet import _STAGES_V2, STAGES_V1, _conv_bn_relu6, _inverted_residual, separable
from nnvis.zoo.registry import register
from nnvis.zoo.resnet_cifar import CIFAR, _shortcut

#: Blocks of V1 in front of the first conditional one, and conditional ones at the end of V2.
_PLAIN = 5
_LAST = 6


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


def _classifier(
    g: Graph, x: Node, num_classes: int, experts: int, dropout: float = 0.0, name: str = "classifier"
) -> Node:
    """A linear layer of several experts: a 1x1 convolution on the only pixel left."""
    routing = _routing(g, x, name, experts)
    x = g.add(AdaptiveAvgPool2d(1), x, name="global_pool")
    x = g.add(Dropout(dropout), x, name="dropout") if dropout else x
    y = g.add(CondConv2d(num_classes, experts, 1), [x, routing], name=name)
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
    for stage, (channels, blocks, stride) in enumerate(STAGES_V1):
        for block in range(blocks):
            step = stride if not block and not (small and stage == 1) else 1
            name, width = f"blocks.{stage}.{block}", scaled(channels, width_mult)
            plain, count = count < _PLAIN, count + 1
            y = separable(g, y, name, width, step) if plain else _block(g, y, name, width, step, experts)
    g.output = _classifier(g, y, num_classes, experts, dropout)
    return g


def _conditional(
    g: Graph, x: Node, routing: Node, prefix: str, channels: int, kernel: int, stride: int = 1, groups: int = 1
) -> Node:
    """A conditional convolution and batch normalisation, ``<prefix>.0`` and ``<prefix>.1``."""
    experts = g.shape_of(routing)[0]
    conv = CondConv2d(channels, experts, kernel, stride, kernel // 2, groups=groups, bias=False)
    return g.add(BatchNorm2d(), g.add(conv, [x, routing], name=f"{prefix}.0"), name=f"{prefix}.1")


def _inverted_block(g: Graph, x: Node, prefix: str, channels: int, stride: int, experts: int) -> Node:
    """An inverted residual of V2, expanded six times; all three convolutions share one routing."""
    inputs, routing = g.shape_of(x)[2], _routing(g, x, prefix, experts)
    hidden = 6 * inputs
    y = _conditional(g, x, routing, f"{prefix}.conv.0", hidden, 1)
    y = g.add(ReLU6(), y, name=f"{prefix}.conv.0.2")
    y = _conditional(g, y, routing, f"{prefix}.conv.1", hidden, 3, stride, hidden)
    y = g.add(ReLU6(), y, name=f"{prefix}.conv.1.2")
    y = g.add(CondConv2d(channels, experts, 1, bias=False), [y, routing], name=f"{prefix}.conv.2")
    y = g.add(BatchNorm2d(), y, name=f"{prefix}.conv.3")
    return g.add(Add(), [y, x], name=f"{prefix}.add") if stride == 1 and inputs == channels else y


@register(**SMALL_IMAGES)
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
        for stage, (expansion, channels, blocks, stride) in enumerate(_STAGES_V2)
        for block in range(blocks)
    ]
    y = sequential(g, g.input, _conv_bn_relu6(scaled(32, width_mult), 3, 1 if is_small(g) else 2), "features.0")
    for number, (expansion, channels, stride) in enumerate(steps, 1):
        name, plain = f"features.{number}", number <= len(steps) - _LAST
        if plain:
            y = _inverted_residual(g, y, name, expansion, channels, stride)
        else:
            y = _inverted_block(g, y, name, channels, stride, experts)
    y = sequential(g, y, _conv_bn_relu6(scaled(1280, max(1.0, width_mult)), 1), f"features.{len(steps) + 1}")
    g.output = _classifier(g, y, num_classes, experts, dropout)
    return g


def _residual_block(g: Graph, x: Node, prefix: str, channels: int, stride: int, experts: int) -> Node:
    """A basic residual block, both convolutions of which share one routing."""
    routing = _routing(g, x, prefix, experts)
    conv1 = CondConv2d(channels, experts, 3, stride, padding=1, bias=False)
    y = g.add(conv1, [x, routing], name=f"{prefix}.conv1")
    y = chain(g, y, {"bn1": BatchNorm2d(), "relu1": ReLU()}, prefix)
    y = g.add(CondConv2d(channels, experts, 3, padding=1, bias=False), [y, routing], name=f"{prefix}.conv2")
    y = g.add(BatchNorm2d(), y, name=f"{prefix}.bn2")
    grows = channels - g.shape_of(x)[2]
    shortcut = _shortcut(g, x, prefix, channels, grows, stride, "A")
    return chain(g, g.add(Add(), [y, shortcut], name=f"{prefix}.add"), {"relu2": ReLU()}, prefix)


@register("condconv_resnet20_cifar", **CIFAR)
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
    ``resnet20`` and, for the routing, as timm's ``routing_fn``.
    """
    g = Graph(input_shape, name="condconv_resnet20")

    def block(g: Graph, x: Node, prefix: str, channels: int, stride: int) -> Node:
        return _residual_block(g, x, prefix, channels, stride, experts)

    g.output = _classifier(g, body(g, width, block, LAST_STAGE), num_classes, experts, name="fc")
    return g
