"""What builders share: chains of named layers, and channel counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nnvis.graph import Graph, Node
from nnvis.layers import Conv2d
from nnvis.layers.base import Layer, image_shape


def chain(g: Graph, x: Node, layers: Mapping[str, Layer], prefix: str = "") -> Node:
    """Add layers one behind the other, called ``<prefix>.<key>``; return the last node."""
    for key, layer in layers.items():
        x = g.add(layer, x, name=f"{prefix}.{key}" if prefix else key)
    return x


def sequential(g: Graph, x: Node, layers: Iterable[Layer], prefix: str, first: int = 0) -> Node:
    """Add layers one behind the other, numbered as in PyTorch's ``Sequential``: ``<prefix>.0``, ``<prefix>.1``..."""
    return chain(g, x, {str(number): layer for number, layer in enumerate(layers, first)}, prefix)


def conv(channels: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> Conv2d:
    """A convolution as it stands before batch normalisation: it has no bias and, with stride 1, keeps the size."""
    return Conv2d(channels, kernel, stride, padding=kernel // 2, groups=groups, bias=False)


def channels_of(g: Graph, x: Node) -> int:
    """Channels of an image; ShapeError if `x` is none."""
    return image_shape("This block", g.shape_of(x))[2]


def scaled(channels: float, factor: float = 1.0, divisor: int = 8) -> int:
    """`channels` times a width multiplier, as the nearest multiple of `divisor` that is not below 90 % of it.

    The rule of the authors' code of Sandler et al., "MobileNetV2", 2018.
    """
    wanted = channels * factor
    rounded = max(divisor, int(wanted + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * wanted else rounded + divisor
