"""GoogLeNet. Szegedy et al., "Going Deeper with Convolutions", 2015, figure 3 and table 1.

With the batch normalisation of Ioffe and Szegedy, "Batch Normalization", 2015.
"""

from __future__ import annotations

from nnvis import blocks
from nnvis.graph import Graph, Node
from nnvis.layers import (
    AdaptiveAvgPool2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Linear,
    MaxPool2d,
    ReLU,
)
from nnvis.layers.base import Shape
from nnvis.zoo.blocks import SMALL_IMAGES, chain, is_small, scaled
from nnvis.zoo.registry import register

#: Channels of each module's convolutions, as in table 1: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection.
_MODULES = {
    "inception3a": (64, 96, 128, 16, 32, 32), "inception3b": (128, 128, 192, 32, 96, 64),
    "inception4a": (192, 96, 208, 16, 48, 64), "inception4b": (160, 112, 224, 24, 64, 64),
    "inception4c": (128, 128, 256, 24, 64, 64), "inception4d": (112, 144, 288, 32, 64, 64),
    "inception4e": (256, 160, 320, 32, 128, 128), "inception5a": (256, 160, 320, 32, 128, 128),
    "inception5b": (384, 192, 384, 48, 128, 128),
}  # fmt: skip
#: Poolings behind modules, and auxiliary heads on top of them.
_POOLS = {"inception3b": ("maxpool3", 3), "inception4e": ("maxpool4", 2)}
_HEADS = {"inception4a": "aux1", "inception4d": "aux2"}
#: Of the batch normalisations, as in torchvision.
_EPS = 1e-3


def _conv(g: Graph, x: Node, name: str, channels: int, kernel: int = 1, stride: int = 1) -> Node:
    return blocks.conv_bn_relu(g, x, channels, kernel, stride, _EPS, name=name)


def _head(g: Graph, x: Node, prefix: str, num_classes: int, width: float, dropout: float) -> None:
    """An auxiliary classifier, which counts for 0.3 of the loss."""
    y = g.add(AdaptiveAvgPool2d(4), x, name=f"{prefix}.pool")
    y = _conv(g, y, f"{prefix}.conv", scaled(128, width))
    y = chain(g, y, {"flatten": Flatten(), "fc1": Linear(scaled(1024, width)), "relu": ReLU()}, prefix)
    y = g.add(Dropout(dropout), y, name=f"{prefix}.dropout") if dropout else y
    g.add_aux_output(g.add(Linear(num_classes), y, name=f"{prefix}.fc2"), 0.3)


def _stem(g: Graph, width: float) -> Node:
    w64, w192 = scaled(64, width), scaled(192, width)
    if is_small(g):
        y = _conv(g, g.input, "conv1", w64, 3)
    else:
        y = _conv(g, g.input, "conv1", w64, 7, 2)
        y = g.add(MaxPool2d(3, 2, ceil_mode=True), y, name="maxpool1")
    y = _conv(g, _conv(g, y, "conv2", w64), "conv3", w192, 3)
    return g.add(MaxPool2d(3, 2, ceil_mode=True), y, name="maxpool2")


@register(**SMALL_IMAGES)
def googlenet(
    num_classes: int = 1000,
    input_shape: Shape = (224, 224, 3),
    aux: bool = True,
    dropout: float = 0.2,
    aux_dropout: float = 0.7,
    width_mult: float = 1.0,
) -> Graph:
    """GoogLeNet (Inception V1) with batch normalisation: nine modules of four branches side by side.

    Parameters
    ----------
    num_classes : int
    input_shape : (H, W, C)
        Below 64 pixels, as for 32x32 images, the first convolution is 3x3 with stride 1 and the first pooling is left
        out: stride 8 in all instead of 32. Auxiliary classifiers then see 8x8 pixels (14x14 for ImageNet).
    aux : bool
        Two auxiliary classifiers half-way, which training alone has (section 5). Their losses count for 0.3 each, so
        the training loss is larger than that of the classifier.
    dropout, aux_dropout : float
        Rates in front of the classifier and within the auxiliary ones; 0 for none.
    width_mult : float
        Channels of every layer, rounded to multiples of 8.

    Notes
    -----
    13,004,888 parameters; 6,624,904 without auxiliary classifiers, which inference leaves out. Szegedy et al., "Going
    Deeper with Convolutions", 2015, figure 3 and table 1. Nodes are named as in torchvision's ``googlenet``. As there,
    and unlike the paper, convolutions have batch normalisation, the branch of 5x5 windows has 3x3 ones, local response
    normalisation is left out, auxiliary classifiers average to 4x4 pixels whatever the size, and dropout is 0.2 instead
    of 0.4.
    """
    g = Graph(input_shape, name="googlenet")
    y = _stem(g, width_mult)
    for name, widths in _MODULES.items():
        y = blocks.inception(g, y, [scaled(channels, width_mult) for channels in widths], _EPS, name=name)
        if aux and name in _HEADS:
            with g.block(_HEADS[name]) as head:
                _head(g, y, head, num_classes, width_mult, aux_dropout)
        if name in _POOLS:
            pool, kernel = _POOLS[name]
            y = g.add(MaxPool2d(kernel, 2, ceil_mode=True), y, name=pool)
    y = g.add(GlobalAvgPool2d(), y, name="avgpool")
    y = g.add(Dropout(dropout), y, name="dropout") if dropout else y
    g.output = g.add(Linear(num_classes), y, name="fc")
    return g
