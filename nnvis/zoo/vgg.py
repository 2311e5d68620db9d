"""VGG. Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", 2014, table 1."""

from __future__ import annotations

from collections.abc import Callable

from nnvis.graph import Graph, Node
from nnvis.layers import AdaptiveAvgPool2d, BatchNorm2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU
from nnvis.layers.base import Layer, Shape
from nnvis.zoo.blocks import SMALL_IMAGES, chain, is_small, scaled, sequential
from nnvis.zoo.registry import register

#: Convolutions of the five stages, on 64, 128, 256, 512 and 512 channels: configurations A, B, D and E of table 1.
_STAGES = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
_CHANNELS = (64, 128, 256, 512, 512)


def _features(depth: int, batch_norm: bool, width_mult: float) -> list[Layer]:
    layers: list[Layer] = []
    for convolutions, channels in zip(_STAGES[depth], _CHANNELS, strict=True):
        norm: list[Layer] = [BatchNorm2d()] * batch_norm
        layers += [Conv2d(scaled(channels, width_mult), 3, padding=1), *norm, ReLU()] * convolutions
        layers.append(MaxPool2d(2))
    return layers


def _small_classifier(g: Graph, x: Node, num_classes: int, dropout: float) -> Node:
    x = g.add(Flatten(), x, name="flatten")
    if dropout:
        x = g.add(Dropout(dropout), x, name="dropout")
    return g.add(Linear(num_classes), x, name="classifier")


def _classifier(g: Graph, x: Node, num_classes: int, dropout: float, hidden: int) -> Node:
    """The paper's three linear layers, on 7x7 pixels whatever the size of the image."""
    x = chain(g, x, {"avgpool": AdaptiveAvgPool2d(7), "flatten": Flatten()})
    for position in (0, 3):
        x = chain(g, x, {str(position): Linear(hidden), str(position + 1): ReLU()}, "classifier")
        x = g.add(Dropout(dropout), x, name=f"classifier.{position + 2}") if dropout else x
    return g.add(Linear(num_classes), x, name="classifier.6")


_NOTES = """{title}: {count} 3x3 convolutions, the channels doubled where the size is halved.

    Parameters
    ----------
    num_classes : int
    input_shape : (H, W, C)
        Below 64 pixels, as for 32x32 images, a single linear layer takes the place of the paper's three (4096, 4096,
        1000), since five poolings leave one pixel; strides stay as they are.
    {batch_norm}dropout : float, optional
        Rate in front of linear layers; 0 for none. Unless given 0.5, and 0 for small images.
    width_mult : float
        Channels of every convolution, rounded to multiples of 8.
    hidden : int
        Width of the first two of the three linear layers.

    Notes
    -----
    {parameters} parameters. Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
    Recognition", 2014, configuration {letter} of table 1. Nodes are named as in torchvision's ``{name}``, and like
    there the last feature map is averaged to 7x7 pixels where the image is not 224x224. The paper has no batch
    normalisation.
    """
_BATCH_NORM = """batch_norm : bool
        Batch normalisation after each convolution.
    """
_PARAMETERS = {
    "vgg11": "132,863,336", "vgg13": "133,047,848", "vgg16": "138,357,544", "vgg19": "143,667,240",
    "vgg11_bn": "132,868,840", "vgg13_bn": "133,053,736", "vgg16_bn": "138,365,992", "vgg19_bn": "143,678,248",
}  # fmt: skip


def _vgg(
    g: Graph, depth: int, num_classes: int, batch_norm: bool, dropout: float | None, width: float, hidden: int
) -> Graph:
    y = sequential(g, g.input, _features(depth, batch_norm, width), "features")
    if is_small(g):
        g.output = _small_classifier(g, y, num_classes, dropout or 0.0)
    else:
        g.output = _classifier(g, y, num_classes, 0.5 if dropout is None else dropout, hidden)
    return g


def _define(depth: int) -> Callable[..., Graph]:
    def build(
        num_classes: int = 1000,
        input_shape: Shape = (224, 224, 3),
        batch_norm: bool = False,
        dropout: float | None = None,
        width_mult: float = 1.0,
        hidden: int = 4096,
    ) -> Graph:
        g = Graph(input_shape, name=f"vgg{depth}")
        return _vgg(g, depth, num_classes, batch_norm, dropout, width_mult, hidden)

    return _register(build, f"vgg{depth}", depth, f"VGG-{depth}", _BATCH_NORM)


def _define_with_batch_norm(depth: int) -> Callable[..., Graph]:
    def build(
        num_classes: int = 1000,
        input_shape: Shape = (224, 224, 3),
        dropout: float | None = None,
        width_mult: float = 1.0,
        hidden: int = 4096,
    ) -> Graph:
        g = Graph(input_shape, name=f"vgg{depth}_bn")
        return _vgg(g, depth, num_classes, True, dropout, width_mult, hidden)

    return _register(build, f"vgg{depth}_bn", depth, f"VGG-{depth} with batch normalisation", "")


def _register(build: Callable[..., Graph], name: str, depth: int, title: str, batch_norm: str) -> Callable[..., Graph]:
    build.__name__ = build.__qualname__ = name
    build.__doc__ = _NOTES.format(
        title=title,
        count=sum(_STAGES[depth]),
        batch_norm=batch_norm,
        parameters=_PARAMETERS[name],
        letter={11: "A", 13: "B", 16: "D", 19: "E"}[depth],
        name=name,
    )
    return register(**SMALL_IMAGES | {"lr": 0.02, "weight_decay": 5e-4, "epochs": 15})(build)


for _depth in _STAGES:
    _define(_depth)
    _define_with_batch_norm(_depth)
