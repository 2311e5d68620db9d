"""Channels that are read in parts.

The gradient of a value of which every reader takes channels of its own is written in parts: otherwise each reader would
write an array of zeros around its part, and the arrays would have to be added up. And channels that are joined,
shuffled and split again need to be moved but once, from where they were to where they are read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nnvis.layers.base import Flow, Layer, Shape, rows
from nnvis.layers.merge import Split
from nnvis.node import Node


def read_in_parts(nodes: Iterable[Node], shapes: Mapping[str, Shape]) -> set[str]:
    """Names of the values whose channels all have exactly one reader.

    Parameters
    ----------
    nodes : iterable of Node
        All that read.
    shapes : dict of str to tuple
        Of all nodes' outputs and the input.
    """
    parts: dict[str, list[tuple[int, int] | None]] = defaultdict(list)
    for node in nodes:
        inputs = [shapes[name] for name in node.inputs]
        for number, name in enumerate(node.inputs):
            parts[name].append(node.layer.reads_part(number, *inputs))
    return {name for name, found in parts.items() if _cover(found, shapes[name][-1])}


def _cover(parts: list[tuple[int, int] | None], channels: int) -> bool:
    """Whether the parts (first channel, channels) lie side by side, and nothing is left."""
    known = sorted(part for part in parts if part is not None)
    starts, ends = [first for first, _ in known], [first + width for first, width in known]
    return len(known) == len(parts) and [*starts, channels] == [0, *ends]


@dataclass(frozen=True)
class _ShuffledPair(Layer):
    """Two inputs of equal width side by side, a shuffle of their channels, and perhaps a part of the outcome.

    Attributes
    ----------
    part : tuple of int or None
        The first channel of each input that is read, and how many are; None for all.
    """

    arity: ClassVar[int | None] = 2
    backward_reads: ClassVar[frozenset[str]] = frozenset({"dy"})

    part: tuple[int, int] | None = None

    @property
    def kind(self) -> str:
        return "Concat + ChannelShuffle" + " + Split" * (self.part is not None)

    def reads_part(self, number: int, *shapes: Shape) -> tuple[int, int] | None:
        return self.part

    def forward(self, at: Flow) -> None:
        start, _ = self.part or (0, 0)
        at.kernels.interleave_forward(*map(rows, at.xs), rows(at.y), start)

    def backward(self, at: Flow) -> None:
        start, width = self.part or (0, at.xs[0].shape[-1])
        dxs: list[np.ndarray] = at.dxs  # type: ignore[assignment]  # both inputs get a gradient, or neither
        for number, dx in enumerate(dxs):
            if number not in at.parts and width < dx.shape[-1]:
                dx.fill(0)
        at.kernels.interleave_backward(rows(at.dy), *map(rows, dxs), start)


def shuffled_pair(part: tuple[int, int] | None) -> Layer:
    """Joins two inputs and shuffles their channels; of each only the `part` (first channel, channels) unless None."""
    return _ShuffledPair(part)


def pairs_of(split: Node, shapes: Mapping[str, Shape]) -> tuple[int, int] | None:
    """The pairs of channels (first pair, pairs) that a split takes; None if `split` is none, or divides a pair."""
    if type(split.layer) is not Split:
        return None
    start, width = split.layer.section(shapes[split.inputs[0]][-1])
    return None if start % 2 or width % 2 else (start // 2, width // 2)
