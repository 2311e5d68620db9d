"""ResNet for CIFAR. He et al., "Deep Residual Learning for Image Recognition", 2015, section 4.2 and table 6.

Squeeze-and-excitation: Hu et al., "Squeeze-and-Excitation Networks", 2018, section 3.
"""

from __future__ import annotations

from collections.abc import Callable

from nnvis.errors import ConfigError
from nnvis.graph import Graph, Node
from nnvis.layers import Add, AvgPool2d, BatchNorm2d, Conv2d, GlobalAvgPool2d, Linear, PadChannels, ReLU
from nnvis.layers.base import Shape
from nnvis.zoo.blocks import squeeze_excite
from nnvis.zoo.registry import register

#: Training settings of a ResNet for CIFAR (section 4.2).
CIFAR = {
    "lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4, "epochs": 10, "batch_size": 128, "schedule": "warmup:1+cosine",
    "augment": "crop4,flip", "data": "shapes",
}  # fmt: skip


def _shortcut(g: Graph, x: Node, prefix: str, channels: int, grows: int, stride: int, option: str) -> Node:
    if stride == 1 and not grows:
        return x
    if option == "A":
        # A 1x1 window with a stride picks every second pixel; the new channels are zero.
        picked = g.add(AvgPool2d(1, stride=stride), x, name=f"{prefix}.downsample.pick") if stride > 1 else x
        return g.add(PadChannels((grows // 2, grows - grows // 2)), picked, name=f"{prefix}.downsample.pad")
    conv = g.add(Conv2d(channels, 1, stride=stride, bias=False), x, name=f"{prefix}.downsample.0")
    return g.add(BatchNorm2d(), conv, name=f"{prefix}.downsample.1")


def _basic_block(
    g: Graph, x: Node, prefix: str, channels: int, grows: int, stride: int, option: str, skip: bool, se: bool
) -> Node:
    y = g.add(Conv2d(channels, 3, stride=stride, padding=1, bias=False), x, name=f"{prefix}.conv1")
    y = g.add(ReLU(), g.add(BatchNorm2d(), y, name=f"{prefix}.bn1"), name=f"{prefix}.relu1")
    y = g.add(Conv2d(channels, 3, padding=1, bias=False), y, name=f"{prefix}.conv2")
    y = g.add(BatchNorm2d(), y, name=f"{prefix}.bn2")
    if se:
        y = squeeze_excite(g, y, f"{prefix}.se", max(1, channels // 16))
    if skip:
        y = g.add(Add(), [y, _shortcut(g, x, prefix, channels, grows, stride, option)], name=f"{prefix}.add")
    return g.add(ReLU(), y, name=f"{prefix}.relu2")


def _resnet(depth: int, num_classes: int, input_shape: Shape, option: str, width: int, skip: bool, se: bool) -> Graph:
    if option not in ("A", "B"):
        raise ConfigError(f"The shortcut option is 'A' (zero channels) or 'B' (1x1 convolution), not {option!r}.")
    g = Graph(input_shape, name=("se_" if se else "") + f"resnet{depth}" if skip else f"plain{depth}")
    y = g.add(Conv2d(width, 3, padding=1, bias=False), g.input, name="conv1")
    y = g.add(ReLU(), g.add(BatchNorm2d(), y, name="bn1"), name="relu")
    channels = width
    for stage in range(3):
        for block in range((depth - 2) // 6):
            out, stride = width * 2**stage, 2 if stage and not block else 1
            y = _basic_block(g, y, f"layer{stage + 1}.{block}", out, out - channels, stride, option, skip, se)
            channels = out
    g.output = g.add(Linear(num_classes), g.add(GlobalAvgPool2d(), y, name="avgpool"), name="fc")
    return g


_NOTES = """ResNet-{depth} for CIFAR-10: {blocks} basic residual blocks on 16, 32 and 64 channels.

    Parameters
    ----------
    num_classes : int
    input_shape : (H, W, C)
        Strides are the same at any size: 4 in all.
    option : str
        Shortcut where the size changes: "A" picks every second pixel and adds zero channels (the paper's choice for
        CIFAR); "B" is a 1x1 convolution with batch normalisation.
    width : int
        Channels of the first stage.
    skip : bool
        False leaves the shortcuts out: the paper's plain network.
    se : bool
        Squeeze-and-excitation in every block, to a sixteenth of the channels.

    Notes
    -----
    {parameters} parameters, with option A. He et al., "Deep Residual Learning for Image Recognition", 2015, section
    4.2; table 6 gives {published}. The paper trains for 64,000 steps from a learning rate of 0.1.
    """
_PARAMETERS = {
    20: ("269,722", "0.27 M"), 32: ("464,154", "0.46 M"), 44: ("658,586", "0.66 M"), 56: ("853,018", "0.85 M"),
    110: ("1,727,962", "1.7 M"), 1202: ("19,421,274", "19.4 M"),
}  # fmt: skip


def _define(depth: int) -> Callable[..., Graph]:
    def build(
        num_classes: int = 10,
        input_shape: Shape = (32, 32, 3),
        option: str = "A",
        width: int = 16,
        skip: bool = True,
        se: bool = False,
    ) -> Graph:
        return _resnet(depth, num_classes, input_shape, option, width, skip, se)

    build.__name__ = build.__qualname__ = f"resnet{depth}"
    parameters, published = _PARAMETERS[depth]
    build.__doc__ = _NOTES.format(depth=depth, blocks=(depth - 2) // 2, parameters=parameters, published=published)
    return register(f"resnet{depth}_cifar", **CIFAR)(build)


for _depth in (20, 32, 44, 56, 110, 1202):
    _define(_depth)
