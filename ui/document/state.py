"""What the user edits, as one immutable value.

Every edit makes a new :class:`DocumentState` that shares with the old one whatever stayed as it was. So undo is
keeping the value before, and a view sees what changed by comparing with ``is``. Mappings are never changed in place.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import nnvis.graph
from nnvis.graph import INPUT, Graph, Node
from nnvis.init import Initializer
from nnvis.layers.base import Layer, Shape
from nnvis.optim import SGD
from nnvis.options import TrainOptions

#: Position on the canvas, in canvas units (pixels at zoom 1), of a node's top left corner.
Point = tuple[float, float]
#: One connection: (source node or "input", target node, number of the target's input).
Wire = tuple[str, str, int]
#: In a network of more nodes than this, blocks are collapsed when it is opened.
MANY = 100


@dataclass(frozen=True)
class NodeState:
    """A layer on the canvas; an input that is not connected is None.

    `born` is a number that no other layer has. It stays through every edit of this one, so that trained weights follow
    a layer that is renamed, and come back with one whose deletion is undone.
    """

    layer: Layer
    inputs: tuple[str | None, ...] = (None,)
    position: Point = (0.0, 0.0)
    born: int = field(default_factory=itertools.count(1).__next__, compare=False, repr=False)


@dataclass(frozen=True)
class Block:
    """Nodes that are drawn as one when collapsed. A block may hold others; `kind` is a name in :mod:`nnvis.blocks`."""

    members: frozenset[str]
    collapsed: bool = False
    kind: str = ""

    def __post_init__(self):
        object.__setattr__(self, "members", frozenset(self.members))  # from any collection of names


@dataclass(frozen=True)
class Settings:
    """How the network is trained: what the toolbar and the training panel edit.

    Attributes
    ----------
    data : str
        A name or path for :func:`nnvis.data.load`.
    validation : float
        Share of the training examples held out; 0: each epoch is evaluated on the test data.
    options : TrainOptions
    device : str
    """

    data: str = "mnist"
    validation: float = 0.1
    options: TrainOptions = field(
        default_factory=lambda: TrainOptions(epochs=5, optimizer=SGD(lr=0.05, momentum=0.9), clip_norm=1.0)
    )
    device: str = "cpu"

    def config(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "data": self.data, "validation": self.validation,
            "options": self.options.config(), "device": self.device,
        }  # fmt: skip

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Settings:
        """The settings whose :meth:`config` this is."""
        return cls(**{**config, "options": TrainOptions.from_config(config["options"])})


@dataclass(frozen=True)
class DocumentState:
    """A network being built, with its layout and its training settings.

    Attributes
    ----------
    nodes : mapping of str to NodeState
        By name, in the order of insertion.
    blocks : mapping of str to Block
    output : str or None
        The node whose output is the network's; None: the only node that nothing reads.
    aux_outputs : mapping of str to float
        Weight of the loss at each auxiliary output; see :meth:`nnvis.Graph.add_aux_output`.
    """

    name: str = "net"
    input_shape: Shape = (28, 28, 1)
    init: Initializer | None = None
    nodes: Mapping[str, NodeState] = field(default_factory=lambda: MappingProxyType({}))
    blocks: Mapping[str, Block] = field(default_factory=lambda: MappingProxyType({}))
    output: str | None = None
    input_position: Point = (0.0, 0.0)
    settings: Settings = field(default_factory=Settings)
    aux_outputs: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    def with_nodes(self, nodes: Mapping[str, NodeState], **changes: Any) -> DocumentState:
        """This state with other nodes."""
        return replace(self, nodes=MappingProxyType(dict(nodes)), **changes)

    def with_node(self, name: str, node: NodeState) -> DocumentState:
        """This state with one node added or replaced."""
        return self.with_nodes({**self.nodes, name: node})

    def wires(self) -> list[Wire]:
        """Every connection."""
        return [
            (source, target, slot)
            for target, node in self.nodes.items()
            for slot, source in enumerate(node.inputs)
            if source is not None
        ]

    def readers(self, name: str) -> list[tuple[str, int]]:
        """(node, number of its input) wherever the output of `name` is read."""
        return [(target, slot) for source, target, slot in self.wires() if source == name]

    def position(self, name: str) -> Point:
        """Where a node, or the input, lies."""
        return self.input_position if name == INPUT else self.nodes[name].position

    def free_name(self, stem: str) -> str:
        """`stem`, with a number if it is taken."""
        taken, count, name = {*self.nodes, *self.blocks, INPUT}, 1, stem
        while name in taken:
            count += 1
            name = f"{stem}_{count}"
        return name


def to_graph(state: DocumentState, output: str | None = None) -> Graph:
    """The engine's graph, faulty or not; unconnected inputs are left out, so such nodes fail validation."""
    graph = Graph(state.input_shape, state.init, state.name)
    for name, node in state.nodes.items():
        graph.nodes[name] = Node(name, node.layer, tuple(i for i in node.inputs if i is not None))
    chosen = output or state.output
    if chosen is not None and chosen in graph.nodes:
        graph.output = chosen
    graph.aux_outputs = {name: weight for name, weight in state.aux_outputs.items() if name in graph.nodes}
    place = {name: number for number, name in enumerate(state.nodes)}
    for name, block in state.blocks.items():
        graph.blocks[name] = nnvis.graph.Block(tuple(sorted(block.members, key=place.__getitem__)), block.kind)
    return graph


def from_graph(graph: Graph, settings: Settings | None = None) -> DocumentState:
    """A state that holds this graph, all nodes at the origin; see :mod:`ui.document.layout` for places."""
    nodes = {node.name: NodeState(node.layer, slots(node.layer, node.inputs)) for node in graph}
    return DocumentState(
        graph.name, graph.input_shape, graph.init, MappingProxyType(nodes),
        output=graph.output.name if nodes else None, settings=settings or Settings(),
        aux_outputs=MappingProxyType(dict(graph.aux_outputs)), blocks=MappingProxyType(_blocks(graph)),
    )  # fmt: skip


def _blocks(graph: Graph) -> dict[str, Block]:
    """Collapsed at first where nobody could read all nodes at once."""
    kept = {name: frozenset(block.nodes) & graph.nodes.keys() for name, block in graph.blocks.items()}
    many = len(graph) > MANY
    return {name: Block(members, many, graph.blocks[name].kind) for name, members in kept.items() if members}


def slots(layer: Layer, inputs: tuple[str | None, ...] = ()) -> tuple[str | None, ...]:
    """`inputs`, filled up with None to as many as `layer` needs."""
    wanted = 2 if layer.arity is None else layer.arity
    return inputs + (None,) * (wanted - len(inputs))
