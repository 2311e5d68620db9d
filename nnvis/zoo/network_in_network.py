"""Network in Network. Lin, Chen and Yan, "Network In Network", 2013, sections 3 and 4."""

from __future__ import annotations

from nnvis import blocks
from nnvis.graph import Graph, Node
from nnvis.layers import AvgPool2d, Conv2d, Dropout, GlobalAvgPool2d, MaxPool2d
from nnvis.layers.base import Shape
from nnvis.zoo.blocks import SMALL_IMAGES, is_small, scaled
from nnvis.zoo.registry import register


def _mlpconv(
    g: Graph, x: Node, first: Conv2d, number: int, widths: tuple[int, int], last: Conv2d | None = None
) -> Node:
    """With Caffe's names: the second block has ``conv2``, ``cccp3`` and ``cccp4``."""
    low, high = 2 * number - 1, 2 * number
    names = (f"conv{number}", f"relu{number}", f"cccp{low}", f"relu_cccp{low}", f"cccp{high}", f"relu_cccp{high}")
    return blocks.mlpconv(g, x, first, widths, names, last, name=f"mlpconv{number}")


def _scores(num_classes: int, std: float) -> Conv2d:
    """The last convolution. A ReLU follows: biases of one let no class begin, and so die, behind it."""
    return Conv2d(num_classes, 1, weight_init=f"normal:{std:g}", bias_init="constant:1")


def _dropped(g: Graph, x: Node, name: str, dropout: float) -> Node:
    return g.add(Dropout(dropout), x, name=name) if dropout else x


def _small(g: Graph, num_classes: int, dropout: float, width: float) -> Node:
    w192, w160, w96 = (scaled(channels, width) for channels in (192, 160, 96))
    y = _mlpconv(g, g.input, Conv2d(w192, 5, padding=2), 1, (w160, w96))
    y = _dropped(g, g.add(MaxPool2d(3, 2, ceil_mode=True), y, name="pool1"), "drop1", dropout)
    y = _mlpconv(g, y, Conv2d(w192, 5, padding=2), 2, (w192, w192))
    y = _dropped(g, g.add(AvgPool2d(3, 2, ceil_mode=True), y, name="pool2"), "drop2", dropout)
    return _mlpconv(g, y, Conv2d(w192, 3, padding=1), 3, (w192, num_classes), _scores(num_classes, 0.05))


def _large(g: Graph, num_classes: int, dropout: float, width: float) -> Node:
    w96, w256, w384, w1024 = (scaled(channels, width) for channels in (96, 256, 384, 1024))
    y = _mlpconv(g, g.input, Conv2d(w96, 11, 4), 1, (w96, w96))
    y = g.add(MaxPool2d(3, 2, ceil_mode=True), y, name="pool1")
    y = _mlpconv(g, y, Conv2d(w256, 5, padding=2), 2, (w256, w256))
    y = g.add(MaxPool2d(3, 2, ceil_mode=True), y, name="pool2")
    y = _mlpconv(g, y, Conv2d(w384, 3, padding=1), 3, (w384, w384))
    y = _dropped(g, g.add(MaxPool2d(3, 2, ceil_mode=True), y, name="pool3"), "drop3", dropout)
    return _mlpconv(g, y, Conv2d(w1024, 3, padding=1), 4, (w1024, num_classes), _scores(num_classes, 0.01))


@register(**SMALL_IMAGES | {"optimizer": "adam", "lr": 3e-4})
def nin(
    num_classes: int = 1000, input_shape: Shape = (224, 224, 3), dropout: float = 0.5, width_mult: float = 1.0
) -> Graph:
    """Network in Network: 1x1 convolutions behind each convolution, and a mean over the image instead of linear layers.

    Parameters
    ----------
    num_classes : int
    input_shape : (H, W, C)
        Below 64 pixels, as for 32x32 images, the network of three blocks that the paper has for CIFAR-10: 5x5 windows
        with stride 1 and two poolings. Else the authors' network of four blocks for ImageNet.
    dropout : float
        Rate between blocks; 0 for none.
    width_mult : float
        Channels of every layer but the last, rounded to multiples of 8.

    Notes
    -----
    966,986 parameters for ten classes of 32x32 images, 7,595,176 for ImageNet. Lin, Chen and Yan, "Network In Network",
    2013, sections 3 and 4. The paper gives the principle (figure 2); sizes are those of the authors' Caffe models, and
    so are names. The last convolution starts with weights as small as theirs (a deviation of 0.05 for small images,
    0.01 for ImageNet), but with biases of one instead of zero: a ReLU follows, and a class that it cuts off on all
    images would not learn again. What all classes share does not change their probabilities. Krizhevsky et al., 2012,
    section 5, starts biases in front of ReLUs so.
    """
    g = Graph(input_shape, name="nin")
    y = (_small if is_small(g) else _large)(g, num_classes, dropout, width_mult)
    g.output = g.add(GlobalAvgPool2d(), y, name="global_pool")
    return g
