"""Neighbours that are computed in one go: what a plan runs instead of the nodes of the graph.

Batch normalisation, the addition of a shortcut and an activation behind it are bound by memory: computed one after the
other each reads and writes the whole activation. Fused, the activation is written once, and the values between are
never stored. They stay observable: a plan that is asked for one of them leaves its neighbours apart, and computes the
same bits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import ClassVar

from nnvis.layers.activation import ReLU, ReLU6
from nnvis.layers.base import Buffer, Cache, Flow, Layer, Parameter, Shape, rows
from nnvis.layers.merge import Add
from nnvis.layers.norm import BatchNorm2d
from nnvis.node import Node


@dataclass(frozen=True)
class FusedNode(Node):
    """Several nodes in one, under the name of the last.

    Attributes
    ----------
    home : str
        The node that parameters, buffers and caches belong to.
    covers : tuple of str
        All of them, in order.
    """

    home: str
    covers: tuple[str, ...]


@dataclass(frozen=True)
class _BatchNormActivation(Layer):
    """Batch normalisation, perhaps the addition of a second input, and an activation."""

    in_place_backward: ClassVar[bool] = True
    backward_reads: ClassVar[frozenset[str]] = frozenset({"x", "y", "dy"})

    norm: BatchNorm2d
    added: bool
    activation: str

    def reads_back(self, number: int) -> bool:
        return number == 0  # not the shortcut

    @property
    def kind(self) -> str:
        return " + ".join([self.norm.kind, *["Add"] * self.added, _KINDS[self.activation]])

    def parameters(self, *shapes: Shape) -> dict[str, Parameter]:
        return self.norm.parameters(*shapes)

    def state(self, *shapes: Shape) -> dict[str, Buffer]:
        return self.norm.state(*shapes)

    def caches(self, *shapes: Shape) -> dict[str, Cache]:
        return self.norm.caches(*shapes) | {"offset": Cache((shapes[0][-1],), per_example=False)}

    def forward(self, at: Flow) -> None:
        x, y, gamma, beta = rows(at.xs[0]), rows(at.y), at.params["weight"], at.params["bias"]
        shortcut = rows(at.xs[1]) if self.added else None
        running = at.buffers["running_mean"], at.buffers["running_var"]
        if not at.training:
            at.kernels.batch_norm_activation_forward_inference(
                x, gamma, beta, *running, shortcut, y, self.norm.eps, self.activation
            )
            return
        batch = at.caches["mean"], at.caches["inv_std"], at.caches["offset"]
        rates = 0.0 if at.replay else self.norm.momentum, self.norm.eps
        at.kernels.batch_norm_activation_forward_train(
            x, gamma, beta, shortcut, y, *batch, *running, *rates, self.activation
        )

    def backward(self, at: Flow) -> None:
        batch = at.caches["mean"], at.caches["inv_std"], at.caches["offset"]
        dx = rows(at.dxs[0] if at.dxs[0] is not None else at.dy)
        shortcut = (rows(at.y), rows(at.dxs[1])) if self.added else (None, None)  # type: ignore[arg-type]
        at.kernels.batch_norm_activation_backward_train(
            rows(at.xs[0]), at.params["weight"], *batch, shortcut[0], rows(at.dy), dx, shortcut[1],
            at.grads["weight"], at.grads["bias"], self.activation,
        )  # fmt: skip


#: Activations that batch normalisation can have behind it.
_ACTIVATIONS: dict[type[Layer], str] = {ReLU: "relu", ReLU6: "relu6"}
_KINDS = {word: layer.__name__ for layer, word in _ACTIVATIONS.items()}


def fuse(nodes: list[Node], shapes: Mapping[str, Shape], apart: Collection[str], needed: Collection[str]) -> list[Node]:
    """The nodes, with those that go together replaced by one.

    Parameters
    ----------
    nodes : list of Node
        In the order of execution.
    shapes : dict of str to tuple
        Of all nodes' outputs.
    apart : collection of str
        Nodes whose output must be there: watched ones and outputs.
    needed : collection of str
        Nodes (and perhaps the input) that a gradient flows to; of a shortcut it must.
    """
    by_name = {node.name: node for node in nodes}
    readers = Counter(name for node in nodes for name in node.inputs)
    hidden = {name for name in by_name if readers[name] == 1 and name not in apart}
    fused: dict[str, FusedNode] = {}
    for node in nodes:
        if type(node.layer) in _ACTIVATIONS and (found := _fused(node, by_name, hidden, shapes, needed)):
            fused[node.name] = found
    covered = {name for each in fused.values() for name in each.covers[:-1]}
    return [fused.get(node.name, node) for node in nodes if node.name not in covered]


def _fused(
    last: Node, nodes: Mapping[str, Node], hidden: set[str], shapes: Mapping[str, Shape], needed: Collection[str]
) -> FusedNode | None:
    """What ends with the activation `last`, if it can be computed in one go."""
    before = nodes.get(last.inputs[0])
    if before is None or before.name not in hidden:
        return None
    if isinstance(before.layer, BatchNorm2d):
        return _together(before, (), last, (before.name, last.name))
    if type(before.layer) is Add and len(before.inputs) == 2:
        for name, other in (before.inputs, before.inputs[::-1]):
            norm = nodes.get(name)
            fits = norm is not None and name in hidden and isinstance(norm.layer, BatchNorm2d)
            if fits and shapes[other] == shapes[name] and other in needed:
                return _together(norm, (other,), last, (name, before.name, last.name))  # type: ignore[arg-type]
    return None


def _together(norm: Node, shortcut: tuple[str, ...], last: Node, covers: tuple[str, ...]) -> FusedNode:
    layer = _BatchNormActivation(norm.layer, bool(shortcut), _ACTIVATIONS[type(last.layer)])  # type: ignore[arg-type]
    return FusedNode(last.name, layer, (*norm.inputs, *shortcut), norm.name, covers)
