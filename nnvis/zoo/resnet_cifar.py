"""ResNet for CIFAR. He et al., "Deep Residual Learning for Image Recognition", 2015, section 4.2 and table 6.

Squeeze-and-excitation: Hu et al., "Squeeze-and-Excitation Networks", 2018, section 3.
"""

from __future__ import annotations

from collections.abc import Callable

from nnvis import blocks
from nnvis.errors import ConfigError
from nnvis.graph import Graph, Node
from nnvis.layers import BatchNorm2d, Conv2d, GlobalAvgPool2d, Linear, ReLU
from nnvis.layers.base import Shape
from nnvis.zoo.registry import register

#: Training settings of a ResNet for CIFAR (section 4.2).
CIFAR = {
    "lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4, "epochs": 10, "batch_size": 128, "schedule": "warmup:1+cosine",
    "augment": "crop4,flip", "data": "shapes",
}  # fmt: skip


def _block(g: Graph, x: Node, name: str, channels: int, stride: int, option: str, skip: bool, se: bool) -> Node:
    if se:
        return blocks.se_residual(g, x, channels, stride, shortcut=option, skip=skip, name=name)
    return blocks.basic_residual(g, x, channels, stride, option, skip, name=name)


def _resnet(depth: int, num_classes: int, input_shape: Shape, option: str, width: int, skip: bool, se: bool) -> Graph:
    if option not in ("A", "B"):
        raise ConfigError(f"The shortcut option is 'A' (zero channels) or 'B' (1x1 convolution), not {option!r}.")
    g = Graph(input_shape, name=("se_" if se else "") + f"resnet{depth}" if skip else f"plain{depth}")
    y = g.add(Conv2d(width, 3, padding=1, bias=False), g.input, name="conv1")
    y = g.add(ReLU(), g.add(BatchNorm2d(), y, name="bn1"), name="relu")
    for stage in range(3):
        for block in range((depth - 2) // 6):
            out, stride = width * 2**stage, 2 if stage and not block else 1
            y = _block(g, y, f"layer{stage + 1}.{block}", out, stride, option, skip, se)
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
