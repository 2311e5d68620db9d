"""Conditional convolution: each example mixes filters of its own from those of several experts.

Yang et al., "CondConv: Conditionally Parameterized Convolutions for Efficient Inference", 2019, section 3.
"""

from __future__ import annotations

from nnvis.blocks.chains import chain, channels_of
from nnvis.blocks.registry import register
from nnvis.graph import Graph, Node
from nnvis.layers import BatchNorm2d, CondConv2d, GlobalAvgPool2d, Linear, ReLU, Sigmoid


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
