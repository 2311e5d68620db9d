"""What is known about a network under construction: shapes, sizes, and what is wrong with it."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace

from nnvis.errors import NnvisError
from nnvis.graph import INPUT, Graph
from nnvis.layers.base import Layer, Shape, describe
from ui.document.state import DocumentState, NodeState, to_graph


@dataclass(frozen=True)
class Fault:
    """One sentence about what keeps a network from working, and the node it sits on (None: the whole)."""

    node: str | None
    message: str


@dataclass(frozen=True)
class Analysis:
    """A judgement of one state.

    Attributes
    ----------
    shapes : mapping of str to Shape or None
        Output shape of "input" and of every node; None where it cannot be known.
    parameters : mapping of str to int
        Trainable values of every node whose input shapes are known.
    faults : tuple of Fault
    output : str or None
        The node whose output is the network's, if that is clear.
    """

    shapes: Mapping[str, Shape | None]
    parameters: Mapping[str, int]
    faults: tuple[Fault, ...]
    output: str | None

    @property
    def works(self) -> bool:
        """Whether the network can be trained."""
        return self.output is not None and not self.faults

    @functools.cached_property
    def fault_of(self) -> dict[str, str]:
        """The sentence on each faulty node."""
        return {f.node: f.message for f in self.faults if f.node is not None}

    @property
    def total_parameters(self) -> int:
        """Trainable values of the whole network."""
        return sum(self.parameters.values())


def analyse(state: DocumentState) -> Analysis:
    """Shapes and faults of `state`; never raises."""
    order, stuck = _order(state)
    shapes: dict[str, Shape | None] = {INPUT: state.input_shape}
    parameters: dict[str, int] = {}
    faults = []
    for name in order:
        shapes[name], sentence = judge(name, state.nodes[name], shapes)
        if sentence:
            faults.append(Fault(name, sentence))
        elif shapes[name] is not None:
            parameters[name] = _count(state.nodes[name].layer, tuple(shapes[i] for i in state.nodes[name].inputs))
    for name in stuck:
        shapes[name] = None
        faults.append(Fault(name, f"{name} is part of a cycle; cut one of its wires."))
    output, sentence = _output(state)
    if sentence:
        faults.append(Fault(None, sentence))
    elif output is not None:
        faults += _aux_faults(state, shapes, output)
    return Analysis(shapes, parameters, tuple(faults), output)


def judge(name: str, node: NodeState, shapes: Mapping[str, Shape | None]) -> tuple[Shape | None, str]:
    """Output shape of one node, or what is wrong with it; neither where an input's shape is unknown."""
    missing = [slot for slot, source in enumerate(node.inputs) if source is None]
    if missing:
        which = "its input" if len(node.inputs) == 1 else f"input {missing[0] + 1} of {len(node.inputs)}"
        return None, f"Connect {which}."
    if any(shapes.get(i) is None for i in node.inputs):
        return None, ""
    return _shape_or_sentence(node.layer, tuple(shapes[i] for i in node.inputs))  # type: ignore[arg-type]


@functools.lru_cache(maxsize=4096)
def _shape_or_sentence(layer: Layer, shapes: tuple[Shape, ...]) -> tuple[Shape | None, str]:
    try:
        return layer.output_shape(*shapes), ""
    except NnvisError as error:
        return None, str(error)


@functools.lru_cache(maxsize=4096)
def _count(layer: Layer, shapes: tuple[Shape, ...]) -> int:
    return sum(parameter.size for parameter in layer.parameters(*shapes).values())


def _order(state: DocumentState) -> tuple[list[str], list[str]]:
    """All nodes, each after its inputs; and those that a cycle keeps from having a place."""
    waiting = {n: sum(i in state.nodes for i in node.inputs) for n, node in state.nodes.items()}
    readers: dict[str, list[str]] = {}
    for source, target, _ in state.wires():
        readers.setdefault(source, []).append(target)
    order = [name for name, count in waiting.items() if count == 0]
    for name in order:  # grows while it is walked
        for reader in readers.get(name, ()):
            waiting[reader] -= 1
            if waiting[reader] == 0:
                order.append(reader)
    placed = set(order)
    return order, [name for name in state.nodes if name not in placed]


def _output(state: DocumentState) -> tuple[str | None, str]:
    if not state.nodes:
        return None, "The network is empty: drag a layer onto the canvas."
    if state.output in state.nodes:
        return state.output, ""
    ends = _ends(state)
    if len(ends) == 1:
        return ends[0], ""
    found = ", ".join(ends[:3]) + (", ..." if len(ends) > 3 else "")
    return None, f"The network has {len(ends)} ends ({found}); mark one as its output or delete the others."


def _ends(state: DocumentState) -> list[str]:
    """Nodes that nothing reads; those of them that are auxiliary outputs only where there are no others."""
    read = {source for source, _, _ in state.wires()}
    ends = [name for name in state.nodes if name not in read]
    return [name for name in ends if name not in state.aux_outputs] or ends


def _aux_faults(state: DocumentState, shapes: Mapping[str, Shape | None], output: str) -> list[Fault]:
    """Auxiliary outputs that cannot be trained on with the labels of the output."""
    expected = shapes.get(output)
    return [
        Fault(name, f"Auxiliary output {name} has shape {describe(found)}, but the output {describe(expected)}.")
        for name in state.aux_outputs
        if (found := shapes.get(name)) is not None and expected is not None and found != expected
    ]


def working_graph(state: DocumentState) -> Graph:
    """The engine's graph of a network that works, without nodes that do not lead to the output.

    Raises
    ------
    GraphError, ShapeError
        The network does not work.
    """
    graph = to_graph(state, _output(state)[0])
    needed = {node.name for node in graph.order()}
    for name in [n for n in graph.nodes if n not in needed]:
        del graph.nodes[name]
    left = {name: replace(b, nodes=tuple(n for n in b.nodes if n in needed)) for name, b in graph.blocks.items()}
    graph.blocks = {name: block for name, block in left.items() if block.nodes}
    graph.validate()
    return graph
