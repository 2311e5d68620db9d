"""Neighbours that are computed in one go: what a plan runs instead of the nodes of the graph.

Batch normalisation, the addition of a shortcut and an activation behind it are bound by memory: computed one after the
other each reads and writes the whole activation. Fused, the activation is written once, and the values between are
never stored. The same goes for the activation of a sum (a convolution, a linear layer, an addition), which is applied
before the sum leaves the registers; and in front of a maximum pool it is applied to what wins, a quarter of the values.
They stay observable: a plan that is asked for one of them leaves its neighbours apart, and computes the same bits.

Channels that are joined, shuffled and split again are moved but once, from where they were to where they are read.

At inference, batch normalisation is a linear map with constants, and becomes a part of the convolution before it, whose
weights are multiplied by its factors on their way into the registers. That rounds in another way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import ClassVar

from nnvis.layers.activation import ReLU, ReLU6
from nnvis.layers.base import Buffer, Cache, Flow, Layer, Parameter, Shape, rows
from nnvis.layers.channels import ChannelShuffle
from nnvis.layers.conv import Conv2d
from nnvis.layers.linear import Linear
from nnvis.layers.merge import Add, Concat
from nnvis.layers.norm import BatchNorm2d
from nnvis.layers.pooling import MaxPool2d
from nnvis.node import Node
from nnvis.parts import pairs_of, shuffled_pair


@dataclass(frozen=True)
class FusedNode(Node):
    """Several nodes in one, under the name of the last.

    Attributes
    ----------
    home : str
        The node that parameters, buffers and caches belong to.
    covers : tuple of str
        All of them, in order.
    norm : str
        The node that those called ``norm.…`` belong to, if there are any.
    """

    home: str
    covers: tuple[str, ...]
    norm: str = ""

    def full_name(self, key: str) -> str:
        """What the network calls a parameter or buffer of the layer."""
        return f"{self.norm}.{key[len(_NORM) :]}" if key.startswith(_NORM) else f"{self.home}.{key}"


#: How names of parameters and buffers of a second node begin.
_NORM = "norm."


def full_name(node: Node, key: str) -> str:
    """What the network calls a parameter or buffer of a node."""
    return node.full_name(key) if isinstance(node, FusedNode) else f"{node.name}.{key}"


def covers(node: Node) -> tuple[str, ...]:
    """Names of the nodes of the graph that a node of a plan computes."""
    return node.covers if isinstance(node, FusedNode) else (node.name,)


def home(node: Node) -> str:
    """The node of the graph that the parameters of a node of a plan belong to."""
    return node.home if isinstance(node, FusedNode) else node.name


def main_layer(node: Node) -> Layer:
    """The layer of a node, without what is fused with it."""
    if isinstance(node.layer, _FoldedConv):
        return node.layer.conv
    return node.layer.inner if isinstance(node.layer, _Around) else node.layer


@dataclass(frozen=True)
class _BatchNormActivation(Layer):
    """Batch normalisation, perhaps the addition of a second input, and an activation."""

    repeats: ClassVar[bool] = True
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


@dataclass(frozen=True)
class _FoldedConv(Layer):
    """A convolution, the batch normalisation behind it, which inference makes a part of it, and an activation."""

    repeats: ClassVar[bool] = True

    conv: Conv2d
    norm: BatchNorm2d
    activation: str

    @property
    def kind(self) -> str:
        kinds = [self.conv.kind, self.norm.kind]
        return " + ".join(kinds if self.activation == "none" else [*kinds, _KINDS[self.activation]])

    def parameters(self, *shapes: Shape) -> dict[str, Parameter]:
        behind = self.norm.parameters(self.conv.output_shape(*shapes))
        return self.conv.parameters(*shapes) | {_NORM + key: value for key, value in behind.items()}

    def state(self, *shapes: Shape) -> dict[str, Buffer]:
        behind = self.norm.state(self.conv.output_shape(*shapes))
        return {_NORM + key: value for key, value in behind.items()}

    def multiply_adds(self, *shapes: Shape) -> int:
        return self.conv.multiply_adds(*shapes)

    def forward(self, at: Flow) -> None:
        norm = at.params["norm.weight"], at.params["norm.bias"]
        running = at.buffers["norm.running_mean"], at.buffers["norm.running_var"]
        *geometry, algorithm = self.conv.how(at)
        at.kernels.conv2d_norm_forward(
            at.x, at.params["weight"], at.params.get("bias"), *norm, *running, at.y, *geometry, self.norm.eps,
            algorithm, self.activation,
        )  # fmt: skip


@dataclass(frozen=True)
class _Around(Layer):
    """A layer that also applies an activation, on the way."""

    inner: Layer
    activation: str

    @property
    def repeats(self) -> bool:  # type: ignore[override]
        return self.inner.repeats

    @property
    def kind(self) -> str:
        return f"{self.inner.kind} + {_KINDS[self.activation]}"

    def parameters(self, *shapes: Shape) -> dict[str, Parameter]:
        return self.inner.parameters(*shapes)

    def caches(self, *shapes: Shape) -> dict[str, Cache]:
        return self.inner.caches(*shapes)

    def forward(self, at: Flow) -> None:
        at.activation = self.activation
        self.inner.forward(at)

    def backward(self, at: Flow) -> None:
        self.inner.backward(at)


@dataclass(frozen=True)
class _Activated(_Around):
    """A convolution or linear layer, and an activation. Which sums it let pass is told by its output."""

    masks_gradient: ClassVar[bool] = True
    backward_reads: ClassVar[frozenset[str]] = frozenset({"x", "y", "dy"})

    def backward(self, at: Flow) -> None:
        getattr(at.kernels, f"{self.activation}_backward")(at.y, at.arrived, at.dy)
        super().backward(at)


@dataclass(frozen=True)
class _ActivatedAdd(_Activated):
    """An addition and an activation: all that was added gets the masked gradient."""

    arity: ClassVar[int | None] = None
    passes_gradient: ClassVar[bool] = True
    backward_reads: ClassVar[frozenset[str]] = frozenset({"y", "dy"})


@dataclass(frozen=True)
class _RectifiedMaxPool(_Around):
    """ReLU and a maximum pool: the largest value, or 0 where none is above, and then no gradient."""

    backward_reads: ClassVar[frozenset[str]] = frozenset({"dy"})

    @property
    def kind(self) -> str:
        return f"{_KINDS[self.activation]} + {self.inner.kind}"


#: Activations that can be fused with what is in front of them.
_ACTIVATIONS: dict[type[Layer], str] = {ReLU: "relu", ReLU6: "relu6"}
_KINDS = {word: layer.__name__ for layer, word in _ACTIVATIONS.items()}


def fuse(
    nodes: list[Node],
    shapes: Mapping[str, Shape],
    apart: Collection[str],
    needed: Collection[str],
    folding: bool = False,
) -> list[Node]:
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
    folding : bool
        Whether batch normalisation becomes a part of the convolution before it. Only where its statistics are constants
        and nothing flows back; results are equal up to rounding.
    """
    return _Fusion(nodes, shapes, apart, needed).fused(folding)


def pooled(nodes: list[Node], outputs: Collection[str]) -> frozenset[str]:
    """Nodes of the graph that nobody reads but a maximum pool over 2x2 tiles, perhaps by way of an activation.

    Most of their gradient is 0, whoever looks at it.
    """
    readers: dict[str, list[Node]] = defaultdict(list)
    for node in nodes:
        for name in node.inputs:
            readers[name].append(node)

    def only_reader(name: str) -> Layer | None:
        return readers[name][0].layer if len(readers[name]) == 1 and name not in outputs else None

    found = set()
    for node in nodes:
        layer = only_reader(node.name)
        if type(layer) in _ACTIVATIONS:
            layer = only_reader(readers[node.name][0].name)
        if isinstance(layer, MaxPool2d) and layer.has_tiles:
            found.add(node.name)
    return frozenset(found)


class _Fusion:
    """Finds the nodes that go together."""

    def __init__(self, nodes: list[Node], shapes: Mapping[str, Shape], apart: Collection[str], needed: Collection[str]):
        self.nodes, self.shapes, self.needed = nodes, shapes, needed
        self.by_name = {node.name: node for node in nodes}
        self.readers: dict[str, list[Node]] = defaultdict(list)
        for node in nodes:
            for name in node.inputs:
                self.readers[name].append(node)
        #: Nodes whose output need not be there.
        self.unseen = {name for name in self.by_name if name not in apart}
        self.hidden = {name for name in self.unseen if len(self.readers[name]) == 1}

    def fused(self, folding: bool) -> list[Node]:
        """The nodes to run. A node goes with others by the first rule that it fits."""
        folds = (self._folded_and_activated, self._folded) if folding else ()
        found: dict[str, FusedNode] = {}
        covered: set[str] = set()
        for rule in (*folds, self._normalised, self._pooled, self._activated, self._shuffled_part, self._shuffled):
            for node in self.nodes:
                each = rule(node)
                if each is not None and covered.isdisjoint(each.covers):
                    found[each.name] = each
                    covered.update(each.covers)
        return [found.get(node.name, node) for node in self.nodes if node.name in found or node.name not in covered]

    def _before(self, node: Node) -> Node | None:
        """The node whose output `node` reads first, if nobody else looks at that."""
        name = node.inputs[0]
        return self.by_name[name] if name in self.hidden else None

    def _folded(self, last: Node, activation: str = "none", covered: tuple[str, ...] = ()) -> FusedNode | None:
        """A convolution and the batch normalisation `last`."""
        before = self._before(last)
        if before is None or not isinstance(last.layer, BatchNorm2d) or type(before.layer) is not Conv2d:
            return None
        name, *_ = *covered, last.name
        layer = _FoldedConv(before.layer, last.layer, activation)
        return FusedNode(name, layer, before.inputs, before.name, (before.name, last.name, *covered), last.name)

    def _folded_and_activated(self, last: Node) -> FusedNode | None:
        """A convolution, batch normalisation and the activation `last`."""
        before = self._before(last)
        if before is None or type(last.layer) not in _ACTIVATIONS:
            return None
        return self._folded(before, _ACTIVATIONS[type(last.layer)], (last.name,))

    def _normalised(self, last: Node) -> FusedNode | None:
        """Batch normalisation, perhaps an addition, and the activation `last`."""
        before = self._before(last)
        if before is None or type(last.layer) not in _ACTIVATIONS:
            return None
        if isinstance(before.layer, BatchNorm2d):
            return _together(before, (), last, (before.name, last.name))
        if type(before.layer) is Add and len(before.inputs) == 2:
            for name, other in (before.inputs, before.inputs[::-1]):
                norm = self.by_name.get(name)
                fits = norm is not None and name in self.hidden and isinstance(norm.layer, BatchNorm2d)
                if fits and self.shapes[other] == self.shapes[name] and other in self.needed:
                    return _together(norm, (other,), last, (name, before.name, last.name))  # type: ignore[arg-type]
        return None

    def _pooled(self, last: Node) -> FusedNode | None:
        """ReLU and the maximum pool `last` over tiles."""
        before = self._before(last)
        tiles = isinstance(last.layer, MaxPool2d) and last.layer.has_tiles
        if before is None or not tiles or type(before.layer) is not ReLU:
            return None
        layer = _RectifiedMaxPool(last.layer, _ACTIVATIONS[ReLU])
        return FusedNode(last.name, layer, before.inputs, last.name, (before.name, last.name))

    def _shuffled(self, last: Node, part: tuple[int, int] | None = None) -> FusedNode | None:
        """Two inputs of equal width, joined, and the shuffle `last` of their channels."""
        before = self._before(last)
        if before is None or type(before.layer) is not Concat or last.layer != ChannelShuffle(2):
            return None
        inputs = set(before.inputs)
        if len(before.inputs) != 2 or len(inputs) != 2 or len({self.shapes[name] for name in inputs}) != 1:
            return None
        if len(inputs & set(self.needed)) == 1:
            return None
        return FusedNode(last.name, shuffled_pair(part), before.inputs, last.name, (before.name, last.name))

    def _shuffled_part(self, last: Node) -> FusedNode | None:
        """The same, and `last`, which takes a part of the outcome. All who read that must do so."""
        shuffle = self.by_name.get(last.inputs[0])
        if shuffle is None or shuffle.name not in self.unseen:
            return None
        parts = {each.name: pairs_of(each, self.shapes) for each in self.readers[shuffle.name]}
        whole = self._shuffled(shuffle, parts[last.name])
        if whole is None or None in parts.values():
            return None
        first = last.name == next(iter(parts))  # whose time takes in what all have in common
        names = (*whole.covers, last.name) if first else (last.name,)
        return FusedNode(last.name, whole.layer, whole.inputs, last.name, names)

    def _activated(self, last: Node) -> FusedNode | None:
        """A sum and the activation `last`."""
        before = self._before(last)
        if before is None or type(last.layer) not in _ACTIVATIONS or type(before.layer) not in _SUMS:
            return None
        layer = _SUMS[type(before.layer)](before.layer, _ACTIVATIONS[type(last.layer)])
        return FusedNode(last.name, layer, before.inputs, before.name, (before.name, last.name))


#: Layers that can apply an activation to their sums.
_SUMS: dict[type[Layer], type[_Activated]] = {Conv2d: _Activated, Linear: _Activated, Add: _ActivatedAdd}


def _together(norm: Node, shortcut: tuple[str, ...], last: Node, covers: tuple[str, ...]) -> FusedNode:
    layer = _BatchNormActivation(norm.layer, bool(shortcut), _ACTIVATIONS[type(last.layer)])  # type: ignore[arg-type]
    return FusedNode(last.name, layer, (*norm.inputs, *shortcut), norm.name, covers)
