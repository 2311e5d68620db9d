"""What a graph is made of: nodes, blocks of nodes, and what may be wrong with them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nnvis.errors import GraphError, NnvisError, ShapeError
from nnvis.layers.base import Layer, Shape

#: Name of the graph's input, in the `inputs` of nodes.
INPUT = "input"


@dataclass(frozen=True)
class Node:
    """One layer in its place.

    Attributes
    ----------
    name : str
        Unique in the graph.
    layer : Layer
    inputs : tuple of str
        Names of the nodes it reads, or "input".
    """

    name: str
    layer: Layer
    inputs: tuple[str, ...]


@dataclass(frozen=True)
class Block:
    """Nodes that belong together, such as a residual block; it changes nothing in what they compute.

    Attributes
    ----------
    nodes : tuple of str
        Those of blocks within this one, too.
    kind : str
        Name in :mod:`nnvis.blocks`, or "".
    """

    nodes: tuple[str, ...]
    kind: str = ""


@dataclass(frozen=True)
class Fault:
    """Something that keeps a graph from working: the node it sits on and one sentence."""

    node: str | None
    message: str


def infer_shape(node: Node, shapes: Mapping[str, Shape]) -> Shape:
    """Output shape of a node from those of the input and of other nodes; GraphError or ShapeError, naming the node."""
    layer = node.layer
    for name in node.inputs:
        if name not in shapes:
            raise GraphError(
                f"Node {node.name!r} reads {name!r}, which does not exist{similar(name, shapes)}.", node.name
            )
    if layer.arity is None and len(node.inputs) < 2:
        raise GraphError(
            f"Node {node.name!r}: {layer.kind} joins two or more inputs but has {len(node.inputs)}.", node.name
        )
    if layer.arity is not None and len(node.inputs) != layer.arity:
        raise GraphError(
            f"Node {node.name!r}: {layer.kind} takes {layer.arity} input(s) but has {len(node.inputs)}.", node.name
        )
    try:
        return layer.output_shape(*(shapes[i] for i in node.inputs))
    except NnvisError as error:
        raise ShapeError(f"Node {node.name!r}: {error}", node.name) from None


def checked_shape(shape: Iterable[int]) -> Shape:
    """`shape` if it can be that of an input, else ShapeError."""
    try:
        sizes = tuple(int(size) for size in shape)
    except (TypeError, ValueError):
        sizes = ()
    if not 1 <= len(sizes) <= 3 or min(sizes) < 1:
        raise ShapeError(f"input_shape must be (H, W, C), (T, D) or (D,) with sizes of at least 1, not {shape!r}.")
    return sizes


def similar(name: str, known: Iterable[str]) -> str:
    """A hint at the known name that is closest, if one is close."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
