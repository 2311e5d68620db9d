"""Blocks of plain and of separable convolutions."""

from __future__ import annotations

from collections.abc import Sequence

from nnvis.blocks.chains import chain, channels_of, conv
from nnvis.blocks.registry import register
from nnvis.graph import Graph, Node
from nnvis.layers import BatchNorm2d, Conv2d, ReLU, ReLU6


@register("Conv-BN-ReLU", "convolution", "batchnorm stem")
def conv_bn_relu(
    g: Graph,
    x: Node,
    channels: int | None = None,
    kernel_size: int = 3,
    stride: int = 1,
    eps: float = 1e-5,
    *,
    name: str = "",
) -> Node:
    """Convolution, batch normalisation and ReLU in a row.

    Parameters
    ----------
    g : Graph
    x : Node
        Image (H, W, C).
    channels : int, optional
        Of the output; C times the stride without it.
    kernel_size, stride : int
    eps : float
        Of the batch normalisation.
    name : str
        Nodes are ``conv``, ``bn`` and ``relu`` behind it.

    Notes
    -----
    Ioffe and Szegedy, "Batch Normalization", 2015, section 3.2.
    """
    channels = channels or channels_of(g, x) * stride
    layers = {"conv": conv(channels, kernel_size, stride), "bn": BatchNorm2d(eps=eps), "relu": ReLU()}
    return chain(g, x, layers, name)


@register("Depthwise separable", "convolution", "mobilenet xception depthwise pointwise")
def depthwise_separable(
    g: Graph, x: Node, channels: int | None = None, stride: int = 1, relu6: bool = False, *, name: str = ""
) -> Node:
    """A 3x3 convolution within each channel, then a 1x1 convolution across them (MobileNet V1).

    Parameters
    ----------
    g : Graph
    x : Node
        Image (H, W, C).
    channels : int, optional
        Of the output; C times the stride without it.
    stride : int
    relu6 : bool
        Whether activations are cut off at 6, as in published weights.
    name : str

    Notes
    -----
    Howard et al., "MobileNets", 2017, section 3.1 and figure 3. Nodes are named as in timm's ``mobilenetv1_100``.
    """
    inputs, activation = channels_of(g, x), ReLU6() if relu6 else ReLU()
    layers = {
        "conv_dw": conv(inputs, 3, stride, groups=inputs), "bn1": BatchNorm2d(), "act1": activation,
        "conv_pw": conv(channels or inputs * stride), "bn2": BatchNorm2d(), "act2": activation,
    }  # fmt: skip
    return chain(g, x, layers, name)


@register("NIN mlpconv", "convolution", "network in network 1x1 cccp")
def mlpconv(
    g: Graph,
    x: Node,
    first: Conv2d | None = None,
    widths: tuple[int, int] | None = None,
    names: Sequence[str] = (),
    last: Conv2d | None = None,
    *,
    name: str = "",
) -> Node:
    """A convolution and a small perceptron that slides with it: two 1x1 convolutions (Network in Network).

    Parameters
    ----------
    g : Graph
    x : Node
        Image (H, W, C).
    first : Conv2d, optional
        3x3 to C channels without it.
    widths : (int, int), optional
        Channels of the 1x1 convolutions; as many as of the first without it.
    names : sequence of str
        Whole names of the six nodes, if not ``conv``, ``relu0``, ``cccp1``, ``relu1``... behind `name`.
    last : Conv2d, optional
        In place of the second 1x1 convolution.
    name : str

    Notes
    -----
    Lin, Chen and Yan, "Network In Network", 2013, section 3.1 and figure 2.
    """
    first = first or Conv2d(channels_of(g, x), 3, padding=1)
    middle, end = widths or (first.out_channels,) * 2
    layers = [first, ReLU(), Conv2d(middle, 1), ReLU(), last or Conv2d(end, 1), ReLU()]
    names = names or [f"{name}.{part}" for part in ("conv", "relu0", "cccp1", "relu1", "cccp2", "relu2")]
    return chain(g, x, dict(zip(names, layers, strict=True)))
