"""ResNet for ImageNet, also with squeeze-and-excitation.

He et al., "Deep Residual Learning for Image Recognition", 2015, table 1. Hu et al., "Squeeze-and-Excitation Networks",
2018, section 3 and table 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nnvis.graph import Graph, Node
from nnvis.layers import Add, BatchNorm2d, Conv2d, GlobalAvgPool2d, Linear, MaxPool2d, ReLU
from nnvis.layers.base import Layer, Shape
from nnvis.zoo.blocks import SMALL_IMAGES, chain, is_small, scaled, squeeze_excite
from nnvis.zoo.registry import register


@dataclass(frozen=True)
class _Form:
    """Blocks of the four stages; bottleneck or basic ones, with or without shortcut and squeeze-and-excitation."""

    blocks: tuple[int, int, int, int]
    bottleneck: bool
    skip: bool = True
    se: bool = False


_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def _conv(channels: int, kernel: int, stride: int = 1) -> Conv2d:
    return Conv2d(channels, kernel, stride, padding=kernel // 2, bias=False)


def _branch(channels: int, stride: int, bottleneck: bool) -> dict[str, Layer]:
    """Two 3x3 convolutions, or 1x1 to fewer channels, 3x3, and 1x1 to four times as many."""
    if not bottleneck:
        first = {"conv1": _conv(channels, 3, stride), "bn1": BatchNorm2d(), "relu1": ReLU()}
        return {**first, "conv2": _conv(channels, 3), "bn2": BatchNorm2d()}
    first = {"conv1": _conv(channels, 1), "bn1": BatchNorm2d(), "relu1": ReLU()}
    second = {"conv2": _conv(channels, 3, stride), "bn2": BatchNorm2d(), "relu2": ReLU()}
    return {**first, **second, "conv3": _conv(4 * channels, 1), "bn3": BatchNorm2d()}


def _shortcut(g: Graph, x: Node, prefix: str, outputs: int, stride: int) -> Node:
    if stride == 1 and g.shape_of(x)[2] == outputs:
        return x
    return chain(g, x, {"downsample.0": _conv(outputs, 1, stride), "downsample.1": BatchNorm2d()}, prefix)


def _block(g: Graph, x: Node, prefix: str, channels: int, stride: int, form: _Form) -> Node:
    y = chain(g, x, _branch(channels, stride, form.bottleneck), prefix)
    outputs = g.shape_of(y)[2]
    if form.se:
        y = squeeze_excite(g, y, f"{prefix}.se", scaled(outputs / 16))
    if form.skip:
        y = g.add(Add(), [y, _shortcut(g, x, prefix, outputs, stride)], name=f"{prefix}.add")
    return g.add(ReLU(), y, name=f"{prefix}.relu")


def _stem(g: Graph, width_mult: float) -> Node:
    small, channels = is_small(g), scaled(64, width_mult)
    conv = _conv(channels, 3) if small else _conv(channels, 7, 2)
    y = chain(g, g.input, {"conv1": conv, "bn1": BatchNorm2d(), "relu": ReLU()})
    return y if small else g.add(MaxPool2d(3, 2, padding=1), y, name="maxpool")


def _resnet(g: Graph, num_classes: int, width_mult: float, form: _Form) -> Graph:
    y = _stem(g, width_mult)
    for stage, blocks in enumerate(form.blocks):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            y = _block(g, y, f"layer{stage + 1}.{block}", scaled(64 * 2**stage, width_mult), stride, form)
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
    {parameters} parameters. Nodes are named as in torchvision's ``resnet{depth}``, shortcuts that change the size are
    1x1 convolutions (option B){deviation}.
    """
_DEVIATION = ", and the stride of a bottleneck is in\n    its 3x3 convolution; the paper has it in the first 1x1"
_PARAMETERS = {18: "11,689,512", 34: "21,797,672", 50: "25,557,032", 101: "44,549,160", 152: "60,192,808"}


def _define(depth: int) -> Callable[..., Graph]:
    blocks, bottleneck = _BLOCKS[depth], depth >= 50

    def build(
        num_classes: int = 1000,
        input_shape: Shape = (224, 224, 3),
        width_mult: float = 1.0,
        skip: bool = True,
    ) -> Graph:
        g = Graph(input_shape, name=f"resnet{depth}" if skip else f"plain{depth}")
        return _resnet(g, num_classes, width_mult, _Form(blocks, bottleneck, skip))

    build.__name__ = build.__qualname__ = f"resnet{depth}"
    build.__doc__ = _NOTES.format(
        depth=depth,
        count=sum(blocks),
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
    28,088,024 parameters; gates squeeze to a sixteenth of the channels. Nodes are named as in timm's ``seresnet50``. As
    in ``resnet50``, the stride of a bottleneck is in its 3x3 convolution.
    """
    g = Graph(input_shape, name="se_resnet50")
    return _resnet(g, num_classes, width_mult, _Form(_BLOCKS[50], bottleneck=True, se=True))
