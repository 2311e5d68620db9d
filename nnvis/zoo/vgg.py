"""VGG. Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", 2014, table 1."""

from __future__ import annotations

from nnvis.graph import Graph
from nnvis.layers import BatchNorm2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU
from nnvis.layers.base import Layer, Shape
from nnvis.zoo.registry import register

#: Output channels of each convolution; "M" is a 2x2 max pooling.
_LAYERS_11 = (64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M")


def _stage(channels: int | str, batch_norm: bool) -> list[Layer]:
    if isinstance(channels, str):
        return [MaxPool2d(2)]
    norm: list[Layer] = [BatchNorm2d()] * batch_norm
    return [Conv2d(channels, 3, padding=1), *norm, ReLU()]


def _vgg(name: str, layers: tuple, num_classes: int, input_shape: Shape, batch_norm: bool, dropout: float) -> Graph:
    g = Graph(input_shape, name=name)
    last, position = g.input, 0
    for channels in layers:
        for layer in _stage(channels, batch_norm):
            last = g.add(layer, last, name=f"features.{position}")
            position += 1
    last = g.add(Flatten(), last, name="flatten")
    if dropout:
        last = g.add(Dropout(dropout), last, name="dropout")
    g.output = g.add(Linear(num_classes), last, name="classifier")
    return g


@register(lr=0.02, momentum=0.9, weight_decay=5e-4, epochs=15, batch_size=64, schedule="warmup:1+cosine",
          augment="crop4,flip", data="shapes")  # fmt: skip
def vgg11(
    num_classes: int = 10,
    input_shape: Shape = (32, 32, 3),
    batch_norm: bool = False,
    dropout: float = 0.0,
) -> Graph:
    """VGG-11 for 32x32 images: eight 3x3 convolutions and one linear layer.

    Parameters
    ----------
    num_classes : int
    input_shape : (H, W, C)
    batch_norm : bool
        Batch normalisation after each convolution.
    dropout : float
        Rate of dropout in front of the classifier; 0 for none.

    Notes
    -----
    Configuration A of table 1. For 32x32 images five poolings leave one pixel, so a single linear layer of 512 inputs
    takes the place of the paper's three (4096, 4096, 1000). The convolutions are named as in torchvision.
    """
    return _vgg("vgg11", _LAYERS_11, num_classes, input_shape, batch_norm, dropout)
