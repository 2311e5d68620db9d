"""Blocks that weigh channels by what they see in the whole image."""

from __future__ import annotations

from nnvis.blocks.chains import chain, channels_of, conv, scaled
from nnvis.blocks.registry import register
from nnvis.graph import Graph, Node
from nnvis.layers import AdaptiveAvgPool2d, Add, BatchNorm2d, BranchSoftmax, Conv2d, Multiply, ReLU, Sigmoid, Split
from nnvis.layers.base import Layer


@register("Squeeze and excite", "attention", "senet gate channel attention")
def squeeze_excite(
    g: Graph,
    x: Node,
    squeezed: int | None = None,
    names: tuple[str, str] = ("fc1", "fc2"),
    *,
    name: str = "",
) -> Node:
    """Weighs each channel by a gate that sees the whole image (SENet).

    Parameters
    ----------
    g : Graph
    x : Node
        Image (H, W, C).
    squeezed : int, optional
        Channels between the two 1x1 convolutions of the gate; a quarter of C without it.
    names : (str, str)
        Of the two convolutions.
    name : str

    Notes
    -----
    Hu et al., "Squeeze-and-Excitation Networks", 2018, section 3 and figure 1.
    """
    channels = channels_of(g, x)
    reduce, expand = Conv2d(squeezed or max(1, channels // 4), 1), Conv2d(channels, 1)
    gate = {"pool": AdaptiveAvgPool2d(1), names[0]: reduce, "relu": ReLU(), names[1]: expand, "gate": Sigmoid()}
    return g.add(Multiply(), [x, chain(g, x, gate, name)], name=f"{name}.scale")


def _conv_bn(channels: int, kernel: int = 1, stride: int = 1, dilation: int = 1, groups: int = 1) -> dict[str, Layer]:
    padding = dilation * (kernel // 2)
    return {"conv": Conv2d(channels, kernel, stride, padding, dilation, groups, bias=False), "bn": BatchNorm2d()}


@register("Selective kernel", "attention", "sknet gate branches dilated attention")
def selective_kernel(
    g: Graph,
    x: Node,
    channels: int | None = None,
    stride: int = 1,
    groups: int = 1,
    squeezed: int | None = None,
    split: bool = False,
    *,
    name: str = "",
) -> Node:
    """Chooses, channel by channel, between a window of 3x3 and one of 5x5 (SKNet).

    Parameters
    ----------
    g : Graph
    x : Node
        Image (H, W, C).
    channels : int, optional
        Of the output; C times the stride without it.
    stride : int
    groups : int
        Of the two convolutions that are chosen from.
    squeezed : int, optional
        Channels between the two 1x1 convolutions that choose. Without it a sixteenth of the output's, 32 at least.
    split : bool
        Whether each convolution reads one half of the channels, so that both are as large as one.
    name : str

    Notes
    -----
    Li et al., "Selective Kernel Networks", 2019, section 3.1 and figure 1: split, fuse, select. The window of 5x5 is a
    dilated one of 3x3. Nodes are named as in timm's ``skresnext50_32x4d``.
    """
    channels = channels or channels_of(g, x) * stride
    inputs = [g.add(Split(2, half), x, name=f"{name}.split{half}") for half in (0, 1)] if split else [x, x]
    paths = [
        chain(g, inputs[i], {**_conv_bn(channels, 3, stride, i + 1, groups), "act": ReLU()}, f"{name}.paths.{i}")
        for i in (0, 1)
    ]
    joint = g.add(Add(), paths, name=f"{name}.fuse")
    gates = _shares(g, joint, f"{name}.attn", squeezed or scaled(channels / 16, divisor=32))
    weighed = []
    for number, path in enumerate(paths):
        gate = g.add(Split(2, number), gates, name=f"{name}.gate{number}")
        weighed.append(g.add(Multiply(), [path, gate], name=f"{name}.weighed{number}"))
    return g.add(Add(), weighed, name=f"{name}.select")


def _shares(g: Graph, x: Node, prefix: str, squeezed: int) -> Node:
    """For each channel of both paths its share of one."""
    squeeze: dict[str, Layer] = {
        "pool": AdaptiveAvgPool2d(1), "fc_reduce": conv(squeezed), "bn": BatchNorm2d(), "act": ReLU(),
        "fc_select": conv(2 * channels_of(g, x)), "softmax": BranchSoftmax(2),
    }  # fmt: skip
    return chain(g, x, squeeze, prefix)


@register("SK bottleneck", "residual", "selective kernel sknet unit skip shortcut")
def sk_residual(
    g: Graph, x: Node, channels: int | None = None, stride: int = 1, groups: int = 1, *, name: str = ""
) -> Node:
    """1x1 convolution, selective kernel, 1x1 to twice the channels, and a shortcut around them.

    Parameters
    ----------
    g : Graph
    x : Node
        Image (H, W, C).
    channels : int, optional
        Within the block, half of the output's; the output has C times the stride without it.
    stride, groups
        As of :func:`selective_kernel`.
    name : str

    Notes
    -----
    Li et al., "Selective Kernel Networks", 2019, section 3.2 and table 1.
    """
    channels = channels or max(1, channels_of(g, x) * stride // 2)
    y = chain(g, x, {**_conv_bn(channels), "act": ReLU()}, f"{name}.conv1")
    y = selective_kernel(g, y, channels, stride, groups, name=f"{name}.conv2")
    return _finish(g, x, chain(g, y, _conv_bn(2 * channels), f"{name}.conv3"), stride, name)


@register("SK residual block", "residual", "selective kernel sknet basic skip shortcut")
def sk_basic_residual(g: Graph, x: Node, channels: int | None = None, stride: int = 1, *, name: str = "") -> Node:
    """Selective kernel, each of its windows on half of the channels, 3x3 convolution, and a shortcut.

    Parameters
    ----------
    g : Graph
    x : Node
        Image (H, W, C).
    channels : int, optional
        Of the output; C times the stride without it.
    stride : int
    name : str

    Notes
    -----
    Li et al., "Selective Kernel Networks", 2019, section 3, has bottleneck blocks only; this is that of timm's
    ``skresnet18``.
    """
    channels = channels or channels_of(g, x) * stride
    squeezed = scaled(channels / 8, divisor=16)
    y = selective_kernel(g, x, channels, stride, squeezed=squeezed, split=True, name=f"{name}.conv1")
    return _finish(g, x, chain(g, y, _conv_bn(channels, 3), f"{name}.conv2"), stride, name)


def _finish(g: Graph, x: Node, y: Node, stride: int, name: str) -> Node:
    """The branch `y` plus `x`, which a 1x1 convolution brings to its size where they differ, and ReLU."""
    outputs = channels_of(g, y)
    if stride > 1 or channels_of(g, x) != outputs:
        x = chain(g, x, {"0": conv(outputs, 1, stride), "1": BatchNorm2d()}, f"{name}.downsample")
    return g.add(ReLU(), g.add(Add(), [y, x], name=f"{name}.add"), name=f"{name}.act")
