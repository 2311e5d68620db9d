"""What the builders share: chains of named layers, channel counts, and the rule for small images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nnvis.graph import Graph, Node
from nnvis.layers import AdaptiveAvgPool2d, Conv2d, Multiply, ReLU, Sigmoid
from nnvis.layers.base import Layer

#: Training settings that suit the 32x32 form of an image network.
SMALL_IMAGES = {
    "lr": 0.05, "momentum": 0.9, "epochs": 10, "batch_size": 64, "schedule": "warmup:1+cosine",
    "augment": "crop4,flip", "data": "shapes",
}  # fmt: skip


def is_small(g: Graph) -> bool:
    """Whether the images call for the 32x32 form of a network: less than 64 pixels high or wide."""
    return min(g.input_shape[:2]) < 64


def chain(g: Graph, x: Node, layers: Mapping[str, Layer], prefix: str = "") -> Node:
    """Add layers one behind the other, called ``<prefix>.<key>``; return the last node."""
    for key, layer in layers.items():
        x = g.add(layer, x, name=f"{prefix}.{key}" if prefix else key)
    return x


def sequential(g: Graph, x: Node, layers: Iterable[Layer], prefix: str, first: int = 0) -> Node:
    """Add layers one behind the other, numbered as in PyTorch's ``Sequential``: ``<prefix>.0``, ``<prefix>.1``..."""
    return chain(g, x, {str(number): layer for number, layer in enumerate(layers, first)}, prefix)


def scaled(channels: float, factor: float = 1.0, divisor: int = 8) -> int:
    """`channels` times a width multiplier, as the nearest multiple of `divisor` that is not below 90 % of it.

    The rule of the authors' code of Sandler et al., "MobileNetV2", 2018.
    """
    wanted = channels * factor
    rounded = max(divisor, int(wanted + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * wanted else rounded + divisor


def squeeze_excite(g: Graph, x: Node, prefix: str, squeezed: int, names: tuple[str, str] = ("fc1", "fc2")) -> Node:
    """Weigh each channel by a gate: means of all channels, two 1x1 convolutions, `squeezed` channels between them.

    Hu et al., "Squeeze-and-Excitation Networks", 2018, section 3.
    """
    reduce, expand = Conv2d(squeezed, 1), Conv2d(g.shape_of(x)[2], 1)
    gate = {"pool": AdaptiveAvgPool2d(1), names[0]: reduce, "relu": ReLU(), names[1]: expand, "gate": Sigmoid()}
    return g.add(Multiply(), [x, chain(g, x, gate, prefix)], name=f"{prefix}.scale")
