"""What the builders share beside :mod:`nnvis.blocks`: settings and the rule for small images."""

from __future__ import annotations

from nnvis.blocks.chains import chain, scaled, sequential
from nnvis.graph import Graph

__all__ = ["SMALL_IMAGES", "chain", "is_small", "scaled", "sequential"]

#: Training settings that suit the 32x32 form of an image network.
SMALL_IMAGES = {
    "lr": 0.05, "momentum": 0.9, "epochs": 10, "batch_size": 64, "schedule": "warmup:1+cosine",
    "augment": "crop4,flip", "data": "shapes",
}  # fmt: skip


def is_small(g: Graph) -> bool:
    """Whether the images call for the 32x32 form of a network: less than 64 pixels high or wide."""
    return min(g.input_shape[:2]) < 64
