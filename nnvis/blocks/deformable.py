"""Convolution whose windows bend to the image.

Dai et al., "Deformable Convolutional Networks", 2017, section 2.1; Zhu et al., "Deformable ConvNets v2", 2019, section
4.
"""

from __future__ import annotations

from nnvis.blocks.chains import chain, channels_of
from nnvis.blocks.registry import preset, register
from nnvis.errors import ConfigError
from nnvis.graph import Graph, Node
from nnvis.layers import BatchNorm2d, Conv2d, DeformConv2d, ReLU, Sigmoid, Split


def bent_convolution(g: Graph, x: Node, channels: int, stride: int, version: int, name: str) -> Node:
    """A deformable 3x3 convolution called `name`, and in front of it another one that makes its offsets.

    Offsets are two values for each of the nine places of a window; version 2 has a factor for each, too. They start at
    zero: windows are regular at first.
    """
    if version not in (1, 2):
        raise ConfigError(f"Deformable convolution has the versions 1 and 2, not {version!r}.")
    bends = Conv2d(18 if version == 1 else 27, 3, stride, padding=1, weight_init="zeros")
    found = g.add(bends, x, name=f"{name}.conv_offset")
    inputs = [x, found]
    if version == 2:
        offsets = g.add(Split((18, 9), 0), found, name=f"{name}.offset")
        inputs = [x, offsets, chain(g, found, {"factor": Split((18, 9), 1), "mask": Sigmoid()}, name)]
    return g.add(DeformConv2d(channels, 3, stride, padding=1, bias=False), inputs, name=name)


@register("Deformable convolution v2", "convolution", "dcn offset mask modulated")
def deformable_conv(
    g: Graph, x: Node, channels: int | None = None, stride: int = 1, version: int = 2, *, name: str = ""
) -> Node:
    """Where each window looks, and how much each of its places counts, is learned from the image.

    Parameters
    ----------
    g : Graph
    x : Node
        Image (H, W, C).
    channels : int, optional
        Of the output; C times the stride without it.
    stride : int
    version : {1, 2}
        1: offsets of the places. 2: factors of the places, too.
    name : str
        Nodes are ``conv``, with its offsets as ``conv.conv_offset``, ``bn`` and ``relu`` behind it.

    Notes
    -----
    Dai et al., 2017, figure 2; Zhu et al., 2019, section 4.2.
    """
    y = bent_convolution(g, x, channels or channels_of(g, x) * stride, stride, version, f"{name}.conv")
    return chain(g, y, {"bn": BatchNorm2d(), "relu": ReLU()}, name)


preset("deformable_conv_v1", "Deformable convolution v1", deformable_conv,
       "Where each window looks is learned from the image", version=1)  # fmt: skip
