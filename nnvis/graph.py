"""A network as data: named nodes, each a layer with its inputs. Building, validation, order, shapes."""

from __future__ import annotations

import contextlib
import copy
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from nnvis import graph_json
from nnvis.errors import ConfigError, GraphError, ShapeError, UnknownNameError
from nnvis.init import Initializer, initializer
from nnvis.layers.base import Buffer, Layer, Parameter, Shape, describe
from nnvis.node import INPUT, Block, Fault, Node, checked_shape, infer_shape, similar
from nnvis.summary import SummaryRow, depth, summary

__all__ = ["INPUT", "Block", "Fault", "Graph", "Node", "Sequential", "SummaryRow"]


class Graph:
    """A directed acyclic graph of layers with one input and one output, and perhaps auxiliary ones for training.

    Parameters
    ----------
    input_shape : tuple of int
        Shape of one example, channels last, without the batch axis: ``(28, 28, 1)``, ``(2,)``.
    init : Initializer or str, optional
        Initialiser of all weights whose layer does not choose its own. Without it each layer has its default
        (He for convolutions and linear layers).
    name : str
        What the network is called in summaries and run folders.

    Examples
    --------
    >>> g = Graph((32, 32, 3))
    >>> c = g.add(Conv2d(16, 3, padding=1), g.input, name="conv1")
    >>> g.output = g.add(Linear(10), g.add(GlobalAvgPool2d(), g.add(ReLU(), c)), name="fc")
    """

    def __init__(self, input_shape: Iterable[int], init: Initializer | str | None = None, name: str = "net"):
        self.input_shape = checked_shape(input_shape)
        self.init = None if init is None else initializer(init)
        self.name = name
        self.nodes: dict[str, Node] = {}
        self._output: str | None = None
        #: Nodes that belong together, by the block's name; see :meth:`block`.
        self.blocks: dict[str, Block] = {}
        #: Weight of the loss at each auxiliary output, by node; see :meth:`add_aux_output`.
        self.aux_outputs: dict[str, float] = {}
        self._shapes: dict[str, Shape] = {INPUT: self.input_shape}

    # --- building -----------------------------------------------------------------------------------------

    @property
    def input(self) -> Node:
        """The graph's input, to be handed to :meth:`add`."""
        return Node(INPUT, Layer(), ())

    @property
    def output(self) -> Node:
        """The node whose output is the network's; the one added last unless it is set."""
        name = self._output or next(reversed(self.nodes), None)
        if name is None:
            raise GraphError("The graph has no nodes yet; add a layer.")
        if name not in self.nodes:
            raise GraphError(f"The graph's output {name!r} is not one of its nodes.")
        return self.nodes[name]

    @output.setter
    def output(self, node: Node | str) -> None:
        name = _name_of(node)
        if name not in self.nodes:
            raise GraphError(f"The output {name!r} is not a node of this graph{similar(name, self.nodes)}.")
        self._output = name

    def add_aux_output(self, node: Node | str, weight: float) -> None:
        """Train on this node's output too: deep supervision, which gives early layers a gradient of their own.

        Training adds `weight` times the loss at the node. Inference leaves out what leads to no other output.

        Parameters
        ----------
        node : Node or str
            Its output has the shape of the network's.
        weight : float

        Notes
        -----
        Lee et al., "Deeply-Supervised Nets", 2015; Szegedy et al., "Going Deeper with Convolutions", 2015, section 5.
        """
        name = _name_of(node)
        if not isinstance(weight, int | float) or not 0 < weight < math.inf:
            raise ConfigError(f"The weight of an auxiliary output must be a number above 0, not {weight!r}.")
        if name not in self.nodes:
            raise GraphError(f"The auxiliary output {name!r} is not a node of this graph{similar(name, self.nodes)}.")
        self.aux_outputs[name] = float(weight)

    def add(self, layer: Layer, inputs: Node | str | Iterable[Node | str], name: str | None = None) -> Node:
        """Add a layer that reads `inputs` and return its node.

        Parameters
        ----------
        layer : Layer
        inputs : Node, str, or a list of these
        name : str, optional
            Without it the node is called after its kind: ``relu``, ``relu_2``.

        Raises
        ------
        GraphError, ShapeError
            The name is taken, an input does not exist, or its shape does not fit the layer.
        """
        if not isinstance(layer, Layer):
            raise ConfigError(f"add() takes a layer such as ReLU(), not {layer!r}.")
        names = [inputs] if isinstance(inputs, Node | str) else list(inputs)
        name = self.free_name(layer.kind.lower()) if name is None else name
        self.check_name(name)
        node = Node(name, layer, tuple(map(_name_of, names)))
        self._shapes[name] = infer_shape(node, self._shapes)
        self.nodes[name] = node
        return node

    @contextlib.contextmanager
    def block(self, name: str | None = None, kind: str = "") -> Iterator[str]:
        """Nodes added within ``with g.block("layer1.0"):`` form a block, which may hold further blocks.

        If something in it raises, all that was added within is taken back.

        Parameters
        ----------
        name : str, optional
            No node's name. Without it the block is called after its kind.
        kind : str
            Name in :mod:`nnvis.blocks`, if it is one of those.

        Yields
        ------
        str
            The block's name.
        """
        name = self.free_name(kind or "block", prefix=True) if name is None else name
        self.check_name(name)
        before = {key: copy.copy(value) for key, value in vars(self).items()}
        self.blocks[name] = Block((), kind)  # in front of those within it
        try:
            yield name
        except BaseException:
            vars(self).update(before)
            raise
        self.blocks[name] = Block(tuple(self.nodes)[len(before["nodes"]) :], kind)

    def group(self, name: str, nodes: Iterable[Node | str], kind: str = "") -> None:
        """Make a block of nodes that are there already.

        Raises
        ------
        GraphError
            The name is taken, a node does not exist, or another block holds some of the nodes but not all, and others.
        """
        self.check_name(name)
        names = tuple(map(_name_of, nodes))
        for missing in [n for n in names if n not in self.nodes]:
            raise GraphError(f"Block {name!r} holds {missing!r}, which is no node{similar(missing, self.nodes)}.")
        for other, block in self.blocks.items():
            if len({*names, *block.nodes}) not in (len(names), len(block.nodes), len(names) + len(block.nodes)):
                raise GraphError(f"Blocks {name!r} and {other!r} share nodes, and neither holds the other; cut one.")
        self.blocks[name] = Block(names, kind)

    def free_name(self, stem: str, prefix: bool = False) -> str:
        """`stem`, with a number if it is taken; with `prefix` it also begins no name such as ``stem.conv``."""
        taken, count, name = {*self.nodes, *self.blocks, INPUT}, 1, stem
        while name in taken or (prefix and any(other.startswith(f"{name}.") for other in taken)):
            count += 1
            name = f"{stem}_{count}"
        return name

    def check_name(self, name: str) -> None:
        """Raise GraphError if no node or block can have this name."""
        if not name or name == INPUT:
            raise GraphError(f"A node cannot be called {name!r}.")
        if name in self.nodes:
            raise GraphError(f"Two nodes are called {name!r}; names must be unique.", name)
        if name in self.blocks:
            raise GraphError(f"A block is called {name!r}; nodes and other blocks need other names.", name)

    # --- looking ------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.nodes)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes.values())

    def __repr__(self) -> str:
        return f"Graph({self.name!r}, input {describe(self.input_shape)}, {len(self)} nodes)"

    def __getitem__(self, name: str) -> Node:
        if name not in self.nodes:
            raise UnknownNameError(f"There is no node {name!r} in {self.name}{similar(name, self.nodes)}.")
        return self.nodes[name]

    def outputs(self, aux: bool = True) -> list[str]:
        """Names of the output and (with `aux`) of the auxiliary ones; GraphError if one is missing."""
        names = [self.output.name, *(self.aux_outputs if aux else ())]
        for name in names:
            if name not in self.nodes:
                raise GraphError(f"The auxiliary output {name!r} is not a node of this graph.")
        return names

    def order(self, aux: bool = True) -> list[Node]:
        """The nodes that lead to the output, each after its inputs; GraphError on a cycle or a missing node.

        With `aux`, as in training, those that lead to auxiliary outputs too.
        """
        ordered: list[Node] = []
        state: dict[str, str] = {INPUT: "done"}
        stack = [(name, "") for name in reversed(self.outputs(aux))]
        while stack:
            name, reader = stack[-1]
            if state.get(name) == "done":
                stack.pop()
                continue
            if name not in self.nodes:
                raise GraphError(
                    f"Node {reader!r} reads {name!r}, which does not exist{similar(name, self.nodes)}.", reader
                )
            state[name] = "open"
            waiting = [i for i in self.nodes[name].inputs if state.get(i) != "done"]
            if any(state.get(i) == "open" for i in waiting):
                raise GraphError(f"Node {name!r} is part of a cycle; cut one of its connections.", name)
            if waiting:
                stack.extend((i, name) for i in reversed(waiting))
                continue
            state[name] = "done"
            ordered.append(self.nodes[name])
            stack.pop()
        return ordered

    def shapes(self) -> dict[str, Shape]:
        """Output shape of the input and of every node that leads to the output, by name."""
        shapes = {INPUT: self.input_shape}
        for node in self.order():
            shapes[node.name] = infer_shape(node, shapes)
        for fault in self._aux_faults(shapes):
            raise ShapeError(fault.message, fault.node)
        return shapes

    def _aux_faults(self, shapes: Mapping[str, Shape | None]) -> list[Fault]:
        """Auxiliary outputs whose shape is not that of the output."""
        expected = shapes[self.output.name]
        return [
            Fault(name, f"Auxiliary output {name!r} has shape {describe(found)}, but the output {describe(expected)}.")
            for name in self.aux_outputs
            if (found := shapes[name]) is not None and expected is not None and found != expected
        ]

    def shape_of(self, node: Node | str) -> Shape:
        """Output shape of a node, or of the input, while the graph is being built."""
        return self._shapes[_name_of(node)]

    def validate(self) -> None:
        """Raise GraphError or ShapeError, naming the faulty node, unless the graph can work."""
        self.shapes()

    def faults(self) -> list[Fault]:
        """All that is wrong, without raising: what an editor marks on the nodes.

        A node behind a faulty one is not judged, since its input shape is not known.
        """
        found: list[Fault] = []
        shapes: dict[str, Shape | None] = {INPUT: self.input_shape}
        try:
            ordered = self.order()
        except GraphError as error:
            return [Fault(error.node, str(error))]
        for node in ordered:
            shapes[node.name] = None
            if any(shapes[i] is None for i in node.inputs):
                continue
            try:
                shapes[node.name] = infer_shape(node, shapes)  # type: ignore[arg-type]
            except GraphError as error:
                found.append(Fault(node.name, str(error)))
        return found + self._aux_faults(shapes)

    # --- counting -----------------------------------------------------------------------------------------

    def parameter_specs(self) -> dict[str, Parameter]:
        """Every trainable array by its full name, such as ``conv1.weight``."""
        shapes = self.shapes()
        return {
            f"{node.name}.{key}": spec
            for node in self.order()
            for key, spec in node.layer.parameters(*(shapes[i] for i in node.inputs)).items()
        }

    def buffer_specs(self) -> dict[str, Buffer]:
        """Every saved array without gradient by its full name, such as ``bn1.running_mean``."""
        shapes = self.shapes()
        return {
            f"{node.name}.{key}": spec
            for node in self.order()
            for key, spec in node.layer.state(*(shapes[i] for i in node.inputs)).items()
        }

    def num_parameters(self) -> int:
        """Number of trainable values."""
        return sum(spec.size for spec in self.parameter_specs().values())

    def multiply_adds(self) -> int:
        """Multiply-accumulate operations of one forward pass over one example, without auxiliary outputs."""
        return sum(row.multiply_adds for row in self.summary(aux=False))

    def activation_bytes(self) -> int:
        """Memory of all activations of one example in float32, without those of auxiliary outputs."""
        return sum(row.activation_bytes for row in self.summary(aux=False))

    def depth(self) -> int:
        """Layers with weights on the longest path from the input to the output, as papers count them.

        Convolutions, linear and attention layers count; normalisation and embeddings do not.
        """
        return depth(self)

    def summary(self, aux: bool = True) -> list[SummaryRow]:
        """One row for each node, in execution order; with `aux` also for those of auxiliary outputs alone."""
        return summary(self, aux)

    # --- as data ------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return graph_json.to_dict(self)

    def to_json(self) -> str:
        """As JSON text; :meth:`from_json` gives the same graph back."""
        return json.dumps(self.to_dict(), indent=1)

    @classmethod
    def from_json(cls, text: str, check: bool = True) -> Graph:
        """The graph in this JSON text.

        Parameters
        ----------
        text : str
        check : bool
            Raise on a faulty graph. An editor passes False and shows :meth:`faults`.

        Raises
        ------
        GraphError
            The text is not a graph, or (with `check`) the graph cannot work.
        """
        graph = graph_json.build(cls, graph_json.parse(text))
        graph._shapes = _known_shapes(graph)
        if check:
            graph.validate()
        return graph

    def fingerprint(self) -> str:
        """A short hash of the nodes and the input shape: two graphs with one fingerprint share checkpoints."""
        return graph_json.fingerprint(self)

    def copy(self) -> Graph:
        """An independent copy."""
        return copy.deepcopy(self)


def Sequential(  # noqa: N802 - reads as in PyTorch and Keras
    layers: Iterable[Layer], input_shape: Iterable[int], init: Initializer | str | None = None, name: str = "net"
) -> Graph:
    """A graph that is one chain of layers, named ``0``, ``1``, ... as PyTorch names them.

    Examples
    --------
    >>> Sequential([Flatten(), Linear(64), ReLU(), Linear(10)], input_shape=(28, 28, 1))
    """
    graph = Graph(input_shape, init, name)
    last = graph.input
    for position, layer in enumerate(layers):
        last = graph.add(layer, last, name=str(position))
    return graph


def _known_shapes(graph: Graph) -> dict[str, Shape]:
    """Shapes of whatever can be inferred, so that a loaded graph can be built upon."""
    try:
        return graph.shapes()
    except GraphError:
        return {INPUT: graph.input_shape}


def _name_of(node: Node | str) -> str:
    return node if isinstance(node, str) else node.name
