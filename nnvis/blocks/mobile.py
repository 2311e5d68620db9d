"""Blocks of networks for phones."""

from __future__ import annotations

from nnvis.blocks.chains import channels_of, conv, sequential
from nnvis.blocks.registry import preset, register
from nnvis.graph import Graph, Node
from nnvis.layers import Add, BatchNorm2d, ChannelShuffle, Concat, ReLU, ReLU6, Split
from nnvis.layers.base import Layer


@register("Inverted residual", "residual", "mobilenet depthwise expansion skip shortcut")
def inverted_residual(
    g: Graph, x: Node, channels: int | None = None, stride: int = 1, expansion: int = 6, *, name: str = ""
) -> Node:
    """Widens by a 1x1 convolution, convolves depthwise, narrows by a linear 1x1 convolution (MobileNet V2).

    Parameters
    ----------
    g : Graph
    x : Node
        Image (H, W, C).
    channels : int, optional
        Of the output; C without it. There is a shortcut where the size stays.
    stride : int
        Of the depthwise convolution.
    expansion : int
        Factor of the channels within; 1 leaves the first convolution out.
    name : str

    Notes
    -----
    Sandler et al., "MobileNetV2", 2018, section 3.3 and table 1. Nodes are named as in torchvision's ``mobilenet_v2``.
    """
    inputs = channels_of(g, x)
    channels, hidden, y, position = channels or inputs, inputs * expansion, x, 0
    if expansion > 1:
        y, position = sequential(g, y, [conv(hidden), BatchNorm2d(), ReLU6()], f"{name}.conv.0"), 1
    depthwise = [conv(hidden, 3, stride, groups=hidden), BatchNorm2d(), ReLU6()]
    y = sequential(g, y, depthwise, f"{name}.conv.{position}")
    y = sequential(g, y, [conv(channels), BatchNorm2d()], f"{name}.conv", position + 1)
    return g.add(Add(), [y, x], name=f"{name}.add") if stride == 1 and inputs == channels else y


def _pointwise(channels: int) -> list[Layer]:
    return [conv(channels), BatchNorm2d(), ReLU()]


def _depthwise(channels: int, stride: int) -> list[Layer]:
    return [conv(channels, 3, stride, groups=channels), BatchNorm2d()]


@register("Shuffle unit", "convolution", "shufflenet channel shuffle split depthwise")
def shuffle_unit(g: Graph, x: Node, channels: int | None = None, stride: int = 1, *, name: str = "") -> Node:
    """Half of the channels passes by, the other goes through three convolutions; a shuffle mixes them.

    Parameters
    ----------
    g : Graph
    x : Node
        Image (H, W, C).
    channels : int, optional
        Of the output, an even number; C times the stride without it, and always C with stride 1.
    stride : int
        With 2 both branches read all channels, and the first one is halved in size by convolutions of its own.
    name : str

    Notes
    -----
    Ma et al., "ShuffleNet V2", 2018, figure 3 (c) and (d). Nodes are named as in torchvision's ``shufflenet_v2_x1_0``.
    """
    inputs = channels_of(g, x)
    half = (channels or inputs * stride) // 2
    if stride == 1:
        left, right = (g.add(Split(2, part), x, name=f"{name}.split{part + 1}") for part in (0, 1))
    else:
        left = sequential(g, x, [*_depthwise(inputs, stride), *_pointwise(half)], f"{name}.branch1")
        right = x
    branch = [*_pointwise(half), *_depthwise(half, stride), *_pointwise(half)]
    right = sequential(g, right, branch, f"{name}.branch2")
    joined = g.add(Concat(), [left, right], name=f"{name}.concat")
    return g.add(ChannelShuffle(2), joined, name=f"{name}.shuffle")


preset("half_size_shuffle_unit", "Shuffle unit, half size", shuffle_unit,
       "Halves the image and doubles the channels in two branches; a shuffle mixes them", "stride downsampling",
       stride=2)  # fmt: skip
