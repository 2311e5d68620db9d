"""Conditional convolution: each example mixes filters of its own from those of several experts.

Yang et al., "CondConv: Conditionally Parameterized Convolutions for Efficient Inference", 2019, section 3.
"""

from __future__ import annotations

from nnvis.blocks.chains import chain, channels_of
from nnvis.blocks.registry import register
from nnvis.blocks.residual import finish
from nnvis.graph import Graph, Node
from nnvis.layers import Add, BatchNorm2d, CondConv2d, GlobalAvgPool2d, Linear, ReLU, ReLU6, Sigmoid


def routing(g: Graph, x: Node, prefix: str, experts: int) -> Node:
    """How much each expert has to say on this example."""
    layers = {"routing_pool": GlobalAvgPool2d(), "routing_fn": Linear(experts), "routing": Sigmoid()}
    return chain(g, x, layers, prefix)


@register("CondConv unit", "convolution", "conditional dynamic experts mixture routing")
def condconv(
    g: Graph,
    x: Node,
    channels: int | None = None,
    kernel_size: int = 3,
    stride: int = 1,
    experts: int = 4,
    *,
    name: str = "",
) -> Node:
    """Mixes its filters for each image from those of several experts, with batch normalisation and ReLU.

    Parameters
    ----------
    g : Graph
    x : Node
        Image (H, W, C).
    channels : int, optional
        Of the output; C times the stride without it.
    kernel_size, stride : int
    experts : int
        Sets of filters.
    name : str

    Notes
    -----
    Equation 1 and figure 1; the routing is a mean over the image, a linear layer and a sigmoid.
    """
    layer = CondConv2d(
        channels or channels_of(g, x) * stride, experts, kernel_size, stride, padding=kernel_size // 2, bias=False
    )
    y = g.add(layer, [x, routing(g, x, name, experts)], name=f"{name}.conv")
    return chain(g, y, {"bn": BatchNorm2d(), "relu": ReLU()}, name)


@register("CondConv, separable", "convolution", "conditional dynamic experts mixture routing mobilenet depthwise")
def condconv_separable(
    g: Graph, x: Node, channels: int | None = None, stride: int = 1, experts: int = 4, *, name: str = ""
) -> Node:
    """A depthwise 3x3 and a 1x1 convolution that mix their filters for each image with one routing.

    Parameters
    ----------
    g : Graph
    x : Node
        Image (H, W, C).
    channels : int, optional
        Of the output; C times the stride without it.
    stride : int
    experts : int
        Sets of filters of each convolution.
    name : str

    Notes
    -----
    Section 4.1, CondConv-MobileNet. Nodes are named as in :func:`depthwise_separable`, the routing as timm's
    ``routing_fn``.
    """
    inputs, shares = channels_of(g, x), routing(g, x, name, experts)
    depthwise = CondConv2d(inputs, experts, 3, stride, padding=1, groups=inputs, bias=False)
    y = g.add(depthwise, [x, shares], name=f"{name}.conv_dw")
    y = chain(g, y, {"bn1": BatchNorm2d(), "act1": ReLU()}, name)
    pointwise = CondConv2d(channels or inputs * stride, experts, 1, bias=False)
    y = g.add(pointwise, [y, shares], name=f"{name}.conv_pw")
    return chain(g, y, {"bn2": BatchNorm2d(), "act2": ReLU()}, name)


@register("CondConv inverted residual", "residual", "conditional dynamic experts mixture routing mobilenet shortcut")
def condconv_inverted(
    g: Graph, x: Node, channels: int | None = None, stride: int = 1, experts: int = 4, *, name: str = ""
) -> Node:
    """An inverted residual, six times as wide within, that mixes its filters for each image with one routing.

    Parameters
    ----------
    g : Graph
    x : Node
        Image (H, W, C).
    channels, stride
        As of :func:`inverted_residual`.
    experts : int
        Sets of filters of each convolution.
    name : str

    Notes
    -----
    Section 4.1. Nodes are named as in :func:`inverted_residual`, the routing as timm's ``routing_fn``.
    """
    inputs, shares = channels_of(g, x), routing(g, x, name, experts)
    channels, hidden = channels or inputs, 6 * inputs
    y = _mixed(g, x, shares, f"{name}.conv.0", hidden, 1)
    y = _mixed(g, g.add(ReLU6(), y, name=f"{name}.conv.0.2"), shares, f"{name}.conv.1", hidden, 3, stride, hidden)
    y = g.add(ReLU6(), y, name=f"{name}.conv.1.2")
    y = g.add(CondConv2d(channels, experts, 1, bias=False), [y, shares], name=f"{name}.conv.2")
    y = g.add(BatchNorm2d(), y, name=f"{name}.conv.3")
    return g.add(Add(), [y, x], name=f"{name}.add") if stride == 1 and inputs == channels else y


def _mixed(
    g: Graph, x: Node, shares: Node, prefix: str, channels: int, kernel: int, stride: int = 1, groups: int = 1
) -> Node:
    """A conditional convolution and batch normalisation, ``<prefix>.0`` and ``<prefix>.1``."""
    experts = g.shape_of(shares)[0]
    layer = CondConv2d(channels, experts, kernel, stride, kernel // 2, groups=groups, bias=False)
    return g.add(BatchNorm2d(), g.add(layer, [x, shares], name=f"{prefix}.0"), name=f"{prefix}.1")


@register("CondConv residual", "residual", "conditional dynamic experts mixture routing resnet basic skip shortcut")
def condconv_residual(
    g: Graph,
    x: Node,
    channels: int | None = None,
    stride: int = 1,
    experts: int = 4,
    shortcut: str = "B",
    *,
    name: str = "",
) -> Node:
    """A residual block whose two 3x3 convolutions mix their filters for each image with one routing.

    Parameters
    ----------
    g : Graph
    x : Node
        Image (H, W, C).
    channels, stride, shortcut
        As of :func:`basic_residual`.
    experts : int
        Sets of filters of each convolution.
    name : str

    Notes
    -----
    Section 4.1 has bottleneck blocks. Nodes are named as in :func:`basic_residual`, the routing as timm's
    ``routing_fn``.
    """
    channels, shares = channels or channels_of(g, x) * stride, routing(g, x, name, experts)
    first = CondConv2d(channels, experts, 3, stride, padding=1, bias=False)
    y = g.add(first, [x, shares], name=f"{name}.conv1")
    y = chain(g, y, {"bn1": BatchNorm2d(), "relu1": ReLU()}, name)
    y = g.add(CondConv2d(channels, experts, 3, padding=1, bias=False), [y, shares], name=f"{name}.conv2")
    return finish(g, x, g.add(BatchNorm2d(), y, name=f"{name}.bn2"), name, "relu2", stride, shortcut)
