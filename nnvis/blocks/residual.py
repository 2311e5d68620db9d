"""Residual blocks. He et al., "Deep Residual Learning for Image Recognition", 2015, section 3 and figure 5."""

from __future__ import annotations

from nnvis.blocks.chains import chain, channels_of, conv
from nnvis.blocks.deformable import bent_convolution
from nnvis.blocks.gates import squeeze_excite
from nnvis.blocks.registry import preset, register
from nnvis.errors import ConfigError
from nnvis.graph import Graph, Node
from nnvis.layers import Add, AvgPool2d, BatchNorm2d, PadChannels, ReLU
from nnvis.layers.base import Layer


@register("Residual block", "residual", "resnet basic skip shortcut")
def basic_residual(
    g: Graph,
    x: Node,
    channels: int | None = None,
    stride: int = 1,
    shortcut: str = "B",
    skip: bool = True,
    *,
    name: str = "",
) -> Node:
    """Two 3x3 convolutions and a shortcut around them.

    Parameters
    ----------
    g : Graph
    x : Node
        Image (H, W, C).
    channels : int, optional
        Of the output; C times the stride without it.
    stride : int
        Of the first convolution.
    shortcut : {"A", "B"}
        Where the size changes. "A": picks pixels and adds channels of zeros. "B": a 1x1 convolution.
    skip : bool
        False leaves the shortcut out: the paper's plain network.
    name : str

    Notes
    -----
    Section 3.3 and figure 5, left. Nodes are named as in torchvision, but for the ReLUs.
    """
    y = _two_convolutions(g, x, channels or channels_of(g, x) * stride, stride, name)
    return finish(g, x, y, name, "relu2", stride, shortcut, skip)


preset("half_size_residual", "Residual block, half size", basic_residual,
       "Halves the image and doubles the channels, with a shortcut", "downsampling stride", stride=2)  # fmt: skip


@register("Bottleneck block", "residual", "resnet50 skip shortcut")
def bottleneck_residual(
    g: Graph, x: Node, channels: int | None = None, stride: int = 1, skip: bool = True, *, name: str = ""
) -> Node:
    """1x1 convolution to few channels, 3x3, 1x1 to four times as many, and a shortcut around them.

    Parameters
    ----------
    g : Graph
    x : Node
        Image (H, W, C).
    channels : int, optional
        Of the narrow part, a quarter of the output's; the output has C times the stride without it.
    stride : int
        Of the 3x3 convolution.
    skip : bool
        False leaves the shortcut out.
    name : str

    Notes
    -----
    Section 4.1 and figure 5, right; the paper has the stride in the first 1x1 convolution. Nodes are named as in
    torchvision, but for the ReLUs.
    """
    y = _narrow_convolution(g, x, channels or _quarter(g, x, stride), stride, name)
    return finish(g, x, y, name, "relu3", stride, "B", skip)


@register("SE residual block", "residual", "squeeze excitation senet se_resnet gate attention skip shortcut")
def se_residual(
    g: Graph,
    x: Node,
    channels: int | None = None,
    stride: int = 1,
    squeezed: int | None = None,
    bottleneck: bool = False,
    shortcut: str = "B",
    skip: bool = True,
    *,
    name: str = "",
) -> Node:
    """A residual block that weighs its channels by a gate that sees the whole image.

    Parameters
    ----------
    g : Graph
    x : Node
        Image (H, W, C).
    channels, stride, shortcut, skip
        As of :func:`basic_residual`, or with `bottleneck` of :func:`bottleneck_residual`.
    squeezed : int, optional
        Channels within the gate; a sixteenth of the output's without it.
    bottleneck : bool
    name : str

    Notes
    -----
    Hu et al., "Squeeze-and-Excitation Networks", 2018, section 3.3 and figure 3.
    """
    if bottleneck:
        y = _narrow_convolution(g, x, channels or _quarter(g, x, stride), stride, name)
    else:
        y = _two_convolutions(g, x, channels or channels_of(g, x) * stride, stride, name)
    y = squeeze_excite(g, y, squeezed or max(1, channels_of(g, y) // 16), name=f"{name}.se")
    return finish(g, x, y, name, "relu3" if bottleneck else "relu2", stride, shortcut, skip)


@register("Deformable bottleneck", "residual", "dcn deformable offset resnet50 skip shortcut")
def deformable_residual(
    g: Graph, x: Node, channels: int | None = None, stride: int = 1, version: int = 2, *, name: str = ""
) -> Node:
    """A bottleneck block whose 3x3 windows bend to what the image shows.

    Parameters
    ----------
    g : Graph
    x : Node
        Image (H, W, C).
    channels, stride
        As of :func:`bottleneck_residual`.
    version : {1, 2}
        As of :func:`deformable_conv`.
    name : str

    Notes
    -----
    Dai et al., "Deformable Convolutional Networks", 2017, section 4.1; Zhu et al., "Deformable ConvNets v2", 2019.
    """
    channels = channels or _quarter(g, x, stride)
    y = chain(g, x, {"conv1": conv(channels), "bn1": BatchNorm2d(), "relu1": ReLU()}, name)
    y = bent_convolution(g, y, channels, stride, version, f"{name}.conv2")
    y = chain(g, y, {"bn2": BatchNorm2d(), "relu2": ReLU(), "conv3": conv(4 * channels), "bn3": BatchNorm2d()}, name)
    return finish(g, x, y, name, "relu3", stride, "B")


@register("Deformable residual", "residual", "dcn deformable offset resnet basic skip shortcut")
def deformable_basic_residual(
    g: Graph,
    x: Node,
    channels: int | None = None,
    stride: int = 1,
    version: int = 2,
    shortcut: str = "B",
    *,
    name: str = "",
) -> Node:
    """A residual block whose second 3x3 windows bend to what the image shows.

    Parameters
    ----------
    g : Graph
    x : Node
        Image (H, W, C).
    channels, stride, shortcut
        As of :func:`basic_residual`.
    version : {1, 2}
        As of :func:`deformable_conv`.
    name : str

    Notes
    -----
    Dai et al., "Deformable Convolutional Networks", 2017, section 2.1; the paper has bottleneck blocks only.
    """
    channels = channels or channels_of(g, x) * stride
    y = chain(g, x, {"conv1": conv(channels, 3, stride), "bn1": BatchNorm2d(), "relu1": ReLU()}, name)
    y = g.add(BatchNorm2d(), bent_convolution(g, y, channels, 1, version, f"{name}.conv2"), name=f"{name}.bn2")
    return finish(g, x, y, name, "relu2", stride, shortcut)


def _quarter(g: Graph, x: Node, stride: int) -> int:
    return max(1, channels_of(g, x) * stride // 4)


def _two_convolutions(g: Graph, x: Node, channels: int, stride: int, name: str) -> Node:
    first: dict[str, Layer] = {"conv1": conv(channels, 3, stride), "bn1": BatchNorm2d(), "relu1": ReLU()}
    return chain(g, x, {**first, "conv2": conv(channels, 3), "bn2": BatchNorm2d()}, name)


def _narrow_convolution(g: Graph, x: Node, channels: int, stride: int, name: str) -> Node:
    first: dict[str, Layer] = {"conv1": conv(channels), "bn1": BatchNorm2d(), "relu1": ReLU()}
    second: dict[str, Layer] = {"conv2": conv(channels, 3, stride), "bn2": BatchNorm2d(), "relu2": ReLU()}
    return chain(g, x, {**first, **second, "conv3": conv(4 * channels), "bn3": BatchNorm2d()}, name)


def finish(g: Graph, x: Node, y: Node, name: str, relu: str, stride: int, shortcut: str, skip: bool = True) -> Node:
    """The sum with the shortcut, and the last ReLU."""
    if skip:
        y = g.add(Add(), [y, _shortcut(g, x, name, channels_of(g, y), stride, shortcut)], name=f"{name}.add")
    return g.add(ReLU(), y, name=f"{name}.{relu}")


def _shortcut(g: Graph, x: Node, name: str, channels: int, stride: int, option: str) -> Node:
    if option not in ("A", "B"):
        raise ConfigError(f"The shortcut is 'A' (zero channels) or 'B' (1x1 convolution), not {option!r}.")
    grows = channels - channels_of(g, x)
    if stride == 1 and not grows:
        return x
    if option == "B":
        return chain(g, x, {"downsample.0": conv(channels, 1, stride), "downsample.1": BatchNorm2d()}, name)
    # A 1x1 window with a stride picks every second pixel; the new channels are zero.
    picked = g.add(AvgPool2d(1, stride=stride), x, name=f"{name}.downsample.pick") if stride > 1 else x
    return g.add(PadChannels((grows // 2, grows - grows // 2)), picked, name=f"{name}.downsample.pad")
