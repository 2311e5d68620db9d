"""ResNet for ImageNet, also with squeeze-and-excitation, non-local blocks and deformable convolution.

He et al., "Deep Residual Learning for Image Recognition", 2015, table 1. Hu et al., "Squeeze-and-Excitation Networks",
2018, section 3 and table 1. Wang et al., "Non-local Neural Networks", 2018, section 3. Dai et al., "Deformable
Convolutional Networks", 2017, section 2.1; Zhu et al., "Deformable ConvNets v2", 2019, section 4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from nnvis import blocks
from nnvis.blocks.chains import conv
from nnvis.errors import ConfigError
from nnvis.graph import Graph, Node
from nnvis.layers import BatchNorm2d, GlobalAvgPool2d, Linear, MaxPool2d, ReLU
from nnvis.layers.base import Shape
from nnvis.zoo.blocks import SMALL_IMAGES, chain, is_small, scaled
from nnvis.zoo.registry import register


@dataclass(frozen=True)
class _Form:
    """Blocks of the four stages, bottleneck or basic ones, and what they have beside the usual."""

    blocks: tuple[int, int, int, int]
    bottleneck: bool
    skip: bool = True
    se: bool = False
    non_local: bool = False
    deformable: int = 0

    def of_stage(self, stage: int) -> _Form:
        """Deformable are the last stage in version 1, and all but the first in version 2."""
        return self if stage >= {0: 0, 1: 3, 2: 1}[self.deformable] else replace(self, deformable=0)


_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def _block(g: Graph, x: Node, name: str, channels: int, stride: int, form: _Form) -> Node:
    if form.deformable:
        return blocks.deformable_residual(g, x, channels, stride, form.deformable, name=name)
    if form.se:
        squeezed = scaled(channels * (4 if form.bottleneck else 1) / 16)
        return blocks.se_residual(g, x, channels, stride, squeezed, form.bottleneck, skip=form.skip, name=name)
    build = blocks.bottleneck_residual if form.bottleneck else blocks.basic_residual
    return build(g, x, channels, stride, skip=form.skip, name=name)


def _stem(g: Graph, width_mult: float) -> Node:
    small, channels = is_small(g), scaled(64, width_mult)
    first = conv(channels, 3) if small else conv(channels, 7, 2)
    y = chain(g, g.input, {"conv1": first, "bn1": BatchNorm2d(), "relu": ReLU()})
    return y if small else g.add(MaxPool2d(3, 2, padding=1), y, name="maxpool")


def _resnet(g: Graph, num_classes: int, width_mult: float, form: _Form) -> Graph:
    y = _stem(g, width_mult)
    for stage, count in enumerate(form.blocks):
        for block in range(count):
            stride = 2 if stage and not block else 1
            name, channels = f"layer{stage + 1}.{block}", scaled(64 * 2**stage, width_mult)
            y = _block(g, y, name, channels, stride, form.of_stage(stage))
            if form.non_local and stage in (1, 2) and block % 2:
                y = blocks.non_local(g, y, name=f"{name}.nl")
    g.output = chain(g, y, {"avgpool": GlobalAvgPool2d(), "fc": Linear(num_classes)})
    return g


_NOTES = """ResNet-{depth}: {count} {kind} residual blocks on 64, 128, 256 and 512 channels.

    Parameters
    ----------
    num_classes : int
    input_shape : (H, W, C)
        Below 64 pixels, as for 32x32 images, the first convolution is 3x3 with stride 1 and the max pooling is left
        out: stride 8 in all instead of 32.
    width_mult : float
        Channels of every layer, rounded to multiples of 8.
    skip : bool
        False leaves the shortcuts out: the paper's plain network, and its twin where depth does harm.

    Notes
    -----
    {parameters} parameters. He et al., "Deep Residual Learning for Image Recognition", 2015, table 1. Nodes are named
    as in torchvision's ``resnet{depth}``, shortcuts that change the size are 1x1 convolutions (option B){deviation}.
    """
_DEVIATION = ", and the stride of\n    a bottleneck is in its 3x3 convolution; the paper has it in the first 1x1"
_PARAMETERS = {18: "11,689,512", 34: "21,797,672", 50: "25,557,032", 101: "44,549,160", 152: "60,192,808"}


def _define(depth: int) -> Callable[..., Graph]:
    counts, bottleneck = _BLOCKS[depth], depth >= 50

    def build(
        num_classes: int = 1000,
        input_shape: Shape = (224, 224, 3),
        width_mult: float = 1.0,
        skip: bool = True,
    ) -> Graph:
        g = Graph(input_shape, name=f"resnet{depth}" if skip else f"plain{depth}")
        return _resnet(g, num_classes, width_mult, _Form(counts, bottleneck, skip))

    build.__name__ = build.__qualname__ = f"resnet{depth}"
    build.__doc__ = _NOTES.format(
        depth=depth,
        count=sum(counts),
        kind="bottleneck" if bottleneck else "basic",
        parameters=_PARAMETERS[depth],
        deviation=_DEVIATION if bottleneck else "",
    )
    return register(**SMALL_IMAGES)(build)


for _depth in _BLOCKS:
    _define(_depth)


@register(**SMALL_IMAGES)
def se_resnet50(num_classes: int = 1000, input_shape: Shape = (224, 224, 3), width_mult: float = 1.0) -> Graph:
    """SE-ResNet-50: every residual branch weighs its channels by a gate that sees the whole image.

    Parameters
    ----------
    num_classes : int
    input_shape : (H, W, C)
        Small images as for ``resnet50``.
    width_mult : float
        Channels of every layer, rounded to multiples of 8.

    Notes
    -----
    28,088,024 parameters; gates squeeze to a sixteenth of the channels. Hu et al., "Squeeze-and-Excitation Networks",
    2018, section 3 and table 1; unlike the paper, the layers of gates are 1x1 convolutions with biases. Nodes are named
    as in timm's ``seresnet50``. As in ``resnet50``, the stride of a bottleneck is in its 3x3 convolution.
    """
    g = Graph(input_shape, name="se_resnet50")
    return _resnet(g, num_classes, width_mult, _Form(_BLOCKS[50], bottleneck=True, se=True))


@register(**SMALL_IMAGES)
def nonlocal_resnet50(num_classes: int = 1000, input_shape: Shape = (224, 224, 3), width_mult: float = 1.0) -> Graph:
    """Non-local ResNet-50: five blocks of attention let distant pixels look at each other.

    Parameters
    ----------
    num_classes : int
    input_shape : (H, W, C)
        Small images as for ``resnet50``.
    width_mult : float
        Channels of every layer, rounded to multiples of 8.

    Notes
    -----
    32,907,304 parameters. Wang et al., "Non-local Neural Networks", 2018, section 3. Behind every other block of the
    second and third stage, as the 5-block form of the paper's table 2c, here for single images. Embedded Gaussian form
    on half the channels, keys and values from 2x2 pooled pixels. Unlike the paper's equation, products are divided by
    the root of the channels, as in the authors' code; and not batch normalisation, but the last 1x1 convolution itself
    starts at zero (section 3.3).
    """
    g = Graph(input_shape, name="nonlocal_resnet50")
    return _resnet(g, num_classes, width_mult, _Form(_BLOCKS[50], bottleneck=True, non_local=True))


@register(**SMALL_IMAGES)
def deform_resnet50(
    num_classes: int = 1000, input_shape: Shape = (224, 224, 3), version: int = 2, width_mult: float = 1.0
) -> Graph:
    """ResNet-50 with deformable convolution: where each window looks is learned from the image.

    Parameters
    ----------
    num_classes : int
    input_shape : (H, W, C)
        Small images as for ``resnet50``.
    version : int
        1: offsets, in the 3x3 convolutions of the last stage. 2: offsets and factors, in those of the last three.
    width_mult : float
        Channels of every layer, rounded to multiples of 8.

    Notes
    -----
    25,805,918 parameters in version 1, 26,428,295 in version 2. Dai et al., "Deformable Convolutional Networks", 2017,
    section 2.1; Zhu et al., "Deformable ConvNets v2", 2019, section 4. The convolution that makes offsets is called
    ``conv2.conv_offset``, as in MMDetection, and starts at zero: windows are regular at first. The papers use the
    network for detection and segmentation, with a dilated last stage; here it classifies, with the strides of
    ``resnet50``.
    """
    if version not in (1, 2):
        raise ConfigError(f"Deformable convolution has the versions 1 and 2, not {version!r}.")
    g = Graph(input_shape, name="deform_resnet50")
    return _resnet(g, num_classes, width_mult, _Form(_BLOCKS[50], bottleneck=True, deformable=version))
