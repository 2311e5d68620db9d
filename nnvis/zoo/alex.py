"""AlexNet, in the form that torchvision made common and in that of the paper.

Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", 2012, section 3 and
figure 2. Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014, section 4 ("one tower").
"""

from __future__ import annotations

from typing import Any

from nnvis.errors import ConfigError
from nnvis.graph import Graph, Node
from nnvis.layers import (
    AdaptiveAvgPool2d,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
)
from nnvis.layers.base import Layer, Shape
from nnvis.zoo.blocks import SMALL_IMAGES, chain, is_small, scaled, sequential
from nnvis.zoo.registry import register


def _one_tower(small: bool, width: float) -> list[Layer]:
    widths = [scaled(channels, width) for channels in (64, 192, 384, 256, 256)]
    first = Conv2d(widths[0], 3, padding=1) if small else Conv2d(widths[0], 11, 4, padding=2)
    return [
        first, ReLU(), MaxPool2d(3, 2), Conv2d(widths[1], 5, padding=2), ReLU(), MaxPool2d(3, 2),
        Conv2d(widths[2], 3, padding=1), ReLU(), Conv2d(widths[3], 3, padding=1), ReLU(),
        Conv2d(widths[4], 3, padding=1), ReLU(), MaxPool2d(3, 2),
    ]  # fmt: skip


def _two_towers(small: bool, width: float) -> dict[str, Layer]:
    """The two halves of the channels lay on two GPUs, which saw each other in the third convolution only."""
    widths = [scaled(channels, width) for channels in (96, 256, 384, 384, 256)]
    init: dict[str, Any] = {"weight_init": "normal:0.01"}
    ones = init | {"bias_init": "constant:1"}
    norm = LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)
    first = Conv2d(widths[0], 3, padding=1, **init) if small else Conv2d(widths[0], 11, 4, padding=2, **init)
    return {
        "conv1": first, "relu1": ReLU(), "norm1": norm, "pool1": MaxPool2d(3, 2),
        "conv2": Conv2d(widths[1], 5, padding=2, groups=2, **ones), "relu2": ReLU(), "norm2": norm,
        "pool2": MaxPool2d(3, 2), "conv3": Conv2d(widths[2], 3, padding=1, **init), "relu3": ReLU(),
        "conv4": Conv2d(widths[3], 3, padding=1, groups=2, **ones), "relu4": ReLU(),
        "conv5": Conv2d(widths[4], 3, padding=1, groups=2, **ones), "relu5": ReLU(), "pool5": MaxPool2d(3, 2),
    }  # fmt: skip


def _classifier(g: Graph, x: Node, num_classes: int, hidden: int, dropout: float) -> Node:
    """Dropout in front of the first two of three linear layers, as in torchvision."""
    x = chain(g, x, {"avgpool": AdaptiveAvgPool2d(6), "flatten": Flatten()})
    for position in (0, 3):
        x = g.add(Dropout(dropout), x, name=f"classifier.{position}") if dropout else x
        x = sequential(g, x, [Linear(hidden), ReLU()], "classifier", position + 1)
    return g.add(Linear(num_classes), x, name="classifier.6")


def _paper_classifier(g: Graph, x: Node, num_classes: int, hidden: int, dropout: float) -> Node:
    """Dropout behind the first two of three linear layers."""
    x = g.add(Flatten(), x, name="flatten")
    for number in (6, 7):
        linear = Linear(hidden, weight_init="normal:0.01", bias_init="constant:1")
        x = chain(g, x, {f"fc{number}": linear, f"relu{number}": ReLU()})
        x = g.add(Dropout(dropout), x, name=f"drop{number}") if dropout else x
    return g.add(Linear(num_classes, weight_init="normal:0.01"), x, name="fc8")


@register(**SMALL_IMAGES | {"lr": 0.01, "weight_decay": 5e-4})
def alexnet(
    num_classes: int = 1000,
    input_shape: Shape = (224, 224, 3),
    form: str = "torchvision",
    dropout: float = 0.5,
    width_mult: float = 1.0,
    hidden: int = 4096,
) -> Graph:
    """AlexNet: five convolutions and three linear layers, whose win of 2012 began the age of deep learning.

    Parameters
    ----------
    num_classes : int
    input_shape : (H, W, C)
        Below 64 pixels, as for 32x32 images, the first convolution is 3x3 with stride 1 and one linear layer takes the
        place of the three: the three poolings leave 3x3 pixels.
    form : str
        "torchvision": one tower of 2014, without normalisation. "2012": the paper's, with local response normalisation
        and two groups of channels.
    dropout : float
        Rate at the first two linear layers; 0 for none.
    width_mult : float
        Channels of every convolution, rounded to multiples of 8.
    hidden : int
        Width of the first two linear layers.

    Notes
    -----
    61,100,840 parameters, with torchvision's names; 60,965,224 in the form of 2012, with Caffe's (``conv1`` to
    ``fc8``) and the paper's initial weights (section 5). That form pads 224x224 images by two pixels, without which the
    first convolution would not have the paper's 55x55 positions. Krizhevsky et al., "ImageNet Classification with Deep
    Convolutional Neural Networks", 2012, section 3 and figure 2; "torchvision": Krizhevsky, "One weird trick for
    parallelizing convolutional neural networks", 2014, section 4, without its normalisation.
    """
    if form not in ("torchvision", "2012"):
        raise ConfigError(f"alexnet has the forms 'torchvision' and '2012', not {form!r}.")
    g = Graph(input_shape, name="alexnet")
    small, paper = is_small(g), form == "2012"
    if paper:
        y = chain(g, g.input, _two_towers(small, width_mult))
    else:
        y = sequential(g, g.input, _one_tower(small, width_mult), "features")
    if small:
        g.output = chain(g, y, {"flatten": Flatten(), "classifier": Linear(num_classes)})
    else:
        g.output = (_paper_classifier if paper else _classifier)(g, y, num_classes, hidden, dropout)
    return g
