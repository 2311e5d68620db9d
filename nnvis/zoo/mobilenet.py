"""MobileNet V1 and V2.

V1: Howard et al., "MobileNets: Efficient CNNs for Mobile Vision Applications", 2017, table 1.
V2: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018, table 2.
"""

from __future__ import annotations

from nnvis import blocks
from nnvis.blocks.chains import conv
from nnvis.errors import ConfigError
from nnvis.graph import Graph
from nnvis.layers import BatchNorm2d, Conv2d, Dropout, GlobalAvgPool2d, Linear, ReLU, ReLU6
from nnvis.layers.base import Layer, Shape
from nnvis.zoo.blocks import SMALL_IMAGES, chain, is_small, scaled, sequential
from nnvis.zoo.registry import register

#: Output channels, number of blocks and first stride of each stage.
STAGES_V1 = ((64, 1, 1), (128, 2, 2), (256, 2, 2), (512, 6, 2), (1024, 2, 2))


def _resolution(input_shape: Shape, factor: float) -> Shape:
    if not factor > 0:
        raise ConfigError(f"resolution_mult must be above 0, not {factor!r}.")
    height, width, channels = input_shape
    return round(height * factor), round(width * factor), channels


@register(**SMALL_IMAGES)
def mobilenet_v1(
    num_classes: int = 1000,
    input_shape: Shape = (224, 224, 3),
    width_mult: float = 1.0,
    resolution_mult: float = 1.0,
    dropout: float = 0.001,
    relu6: bool = False,
) -> Graph:
    """MobileNet V1: a depthwise 3x3 convolution and a 1x1 convolution take the place of a full one.

    Parameters
    ----------
    num_classes : int
    input_shape : (H, W, C)
        Below 64 pixels, as for 32x32 images, the first convolution and the first block with stride 2
        (``blocks.1.0``) keep the size: stride 8 in all instead of 32.
    width_mult : float
        The paper's alpha: channels of every layer, rounded to multiples of 8.
    resolution_mult : float
        The paper's rho: height and width of the input, such as 0.857 for 192 pixels.
    dropout : float
        Rate in front of the classifier; 0 for none.
    relu6 : bool
        Cut activations off at 6, as the authors' code does; published weights expect it. The paper has ReLU.

    Notes
    -----
    4,231,976 parameters and 569 M multiply-adds. Howard et al., "MobileNets: Efficient CNNs for Mobile Vision
    Applications", 2017, table 1 (table 4: 4.2 M and 569 M). Nodes are named as in timm's
    ``mobilenetv1_100``. Table 1 gives the last depthwise convolution a stride of 2 at 7x7 pixels; it is 1 here, as in
    the authors' code, since the size stays.
    """
    g = Graph(_resolution(input_shape, resolution_mult), name="mobilenet_v1")
    small = is_small(g)
    stem = Conv2d(scaled(32, width_mult), 3, 1 if small else 2, padding=1, bias=False)
    y = chain(g, g.input, {"conv_stem": stem, "bn1": BatchNorm2d(), "act1": ReLU6() if relu6 else ReLU()})
    for stage, (channels, count, stride) in enumerate(STAGES_V1):
        for block in range(count):
            step = stride if not block and not (small and stage == 1) else 1
            width, name = scaled(channels, width_mult), f"blocks.{stage}.{block}"
            y = blocks.depthwise_separable(g, y, width, step, relu6, name=name)
    y = g.add(GlobalAvgPool2d(), y, name="global_pool")
    if dropout:
        y = g.add(Dropout(dropout), y, name="dropout")
    g.output = g.add(Linear(num_classes), y, name="classifier")
    return g


#: Expansion t, output channels c, number of blocks n and first stride s, as in table 2.
STAGES_V2 = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
)  # fmt: skip


def conv_bn_relu6(channels: int, kernel: int, stride: int = 1, groups: int = 1) -> list[Layer]:
    """A convolution with batch normalisation and ReLU6."""
    return [conv(channels, kernel, stride, groups), BatchNorm2d(), ReLU6()]


@register(**SMALL_IMAGES)
def mobilenet_v2(
    num_classes: int = 1000,
    input_shape: Shape = (224, 224, 3),
    width_mult: float = 1.0,
    dropout: float = 0.2,
) -> Graph:
    """MobileNet V2: inverted residual blocks, wide inside and narrow where they meet.

    Parameters
    ----------
    num_classes : int
    input_shape : (H, W, C)
        Below 64 pixels, as for 32x32 images, the first convolution and the first block with stride 2 (``features.2``)
        keep the size: stride 8 in all instead of 32.
    width_mult : float
        Channels of every layer, rounded to multiples of 8; the last convolution never has less than 1280.
    dropout : float
        Rate in front of the classifier; 0 for none.

    Notes
    -----
    3,504,872 parameters and 301 M multiply-adds. Sandler et al., "MobileNetV2: Inverted Residuals and Linear
    Bottlenecks", 2018, table 2 (table 4: 3.4 M and 300 M). Nodes are named as in torchvision's ``mobilenet_v2``.
    """
    g = Graph(input_shape, name="mobilenet_v2")
    small, number = is_small(g), 1
    y = sequential(g, g.input, conv_bn_relu6(scaled(32, width_mult), 3, 1 if small else 2), "features.0")
    for stage, (expansion, channels, count, stride) in enumerate(STAGES_V2):
        for block in range(count):
            step = stride if not block and not (small and stage == 1) else 1
            width, name = scaled(channels, width_mult), f"features.{number}"
            y = blocks.inverted_residual(g, y, width, step, expansion, name=name)
            number += 1
    y = sequential(g, y, conv_bn_relu6(scaled(1280, max(1.0, width_mult)), 1), f"features.{number}")
    y = g.add(GlobalAvgPool2d(), y, name="avgpool")
    if dropout:
        y = g.add(Dropout(dropout), y, name="classifier.0")
    g.output = g.add(Linear(num_classes, weight_init="normal:0.01"), y, name="classifier.1")
    return g
