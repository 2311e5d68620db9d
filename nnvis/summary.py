"""A graph in numbers, node by node."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nnvis.layers.base import Shape

if TYPE_CHECKING:
    from nnvis.graph import Graph, Node


@dataclass(frozen=True)
class SummaryRow:
    """One node in numbers.

    Attributes
    ----------
    name, kind : str
    inputs : tuple of str
    shape : tuple of int
        Of one output example.
    parameters, multiply_adds : int
        The latter for one example, forward.
    activation_bytes : int
        Memory of one output example in float32.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    shape: Shape
    parameters: int
    multiply_adds: int
    activation_bytes: int


def summary(graph: Graph, aux: bool = True) -> list[SummaryRow]:
    """One row for each node, in execution order; with `aux` also for those that lead to auxiliary outputs alone."""
    shapes = graph.shapes()
    return [_row(node, shapes) for node in graph.order(aux)]


def depth(graph: Graph) -> int:
    """Layers with weights on the longest path from the input to the output.

    A layer with weights has parameters and multiplies by them: a convolution, a linear or an attention layer.
    """
    shapes = graph.shapes()
    layers: dict[str, int] = {}
    for node in graph.order(aux=False):
        inputs = [shapes[name] for name in node.inputs]
        weighs = bool(node.layer.multiply_adds(*inputs) and node.layer.parameters(*inputs))
        layers[node.name] = weighs + max(layers.get(name, 0) for name in node.inputs)
    return layers[graph.output.name]


def block_summary(graph: Graph, aux: bool = True) -> list[SummaryRow]:
    """As :func:`summary`, but one row for each block that lies in no other."""
    outer: dict[str, str] = {}
    for name, block in sorted(graph.blocks.items(), key=lambda pair: len(pair[1].nodes)):
        outer |= dict.fromkeys(block.nodes, name)
    rows: dict[str, list[SummaryRow]] = {}
    for row in summary(graph, aux):
        rows.setdefault(outer.get(row.name, row.name), []).append(row)
    return [_joined(name, some, graph) if name in graph.blocks else some[0] for name, some in rows.items()]


def _joined(name: str, rows: list[SummaryRow], graph: Graph) -> SummaryRow:
    inside = {row.name for row in rows}
    inputs = tuple(dict.fromkeys(i for row in rows for i in row.inputs if i not in inside))
    parameters, work, memory = (
        sum(getattr(row, key) for row in rows) for key in ("parameters", "multiply_adds", "activation_bytes")
    )
    return SummaryRow(name, graph.blocks[name].kind or "block", inputs, rows[-1].shape, parameters, work, memory)


def _row(node: Node, shapes: dict[str, Shape]) -> SummaryRow:
    inputs = [shapes[i] for i in node.inputs]
    return SummaryRow(
        node.name,
        node.layer.kind,
        node.inputs,
        shapes[node.name],
        sum(p.size for p in node.layer.parameters(*inputs).values()),
        node.layer.multiply_adds(*inputs),
        0 if node.layer.is_view else 4 * math.prod(shapes[node.name]),
    )
