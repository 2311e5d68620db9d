"""Neighbours that are computed in one go: what a plan runs instead of the nodes of the graph.

Batch normalisation, the addition of a shortcut and an activation behind it are bound by memory: computed one after the
other each reads and writes the whole activation. Fused, the activation is written once, and the values between are
never stored. The same goes for the activation of a sum (a convolution, a linear layer, an addition), which is applied
before the sum leaves the registers; and in front of a maximum pool it is applied to what wins, a quarter of the values.
A convolution of few channels in front of that is pooled before its sums leave the cache.
Depthwise and 1x1 convolutions normalise what they read themselves, a few rows at a time, on the way there and back.
They stay observable: a plan that is asked for one of them leaves its neighbours apart, and computes the same bits.

Channels that are joined, shuffled and split again are moved but once, from where they were to where they are read.

At inference, batch normalisation is a linear map with constants, and becomes a part of the convolution before it, whose
weights are multiplied by its factors on their way into the registers. That rounds in another way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import ModuleType

from nnvis.fused import (
    ACTIVATIONS,
    NORM,
    Activated,
    ActivatedAdd,
    Around,
    BatchNormActivation,
    FoldedConv,
    NormalisedConv,
    PooledConv,
    RectifiedMaxPool,
)
from nnvis.layers.activation import ReLU
from nnvis.layers.base import Layer, Shape
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
        return f"{self.norm}.{key[len(NORM) :]}" if key.startswith(NORM) else f"{self.home}.{key}"


@dataclass(frozen=True)
class Together:
    """What decides whether a convolution is computed together with a neighbour.

    Attributes
    ----------
    kernels : module
    batch : int
    training : bool
        Whether normalisations take the statistics of the batch, and gradients flow to what is in front of them.
    """

    kernels: ModuleType
    batch: int
    training: bool


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
    if isinstance(node.layer, FoldedConv | NormalisedConv):
        return node.layer.conv
    return node.layer.inner if isinstance(node.layer, Around) else node.layer


def fuse(
    nodes: list[Node],
    shapes: Mapping[str, Shape],
    apart: Collection[str],
    needed: Collection[str],
    folding: bool = False,
    together: Together | None = None,
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
    together : Together or None
        By what convolutions are computed together with the pool behind or the normalisation in front of them, or not.
    """
    return _Fusion(nodes, shapes, apart, needed, together).fused(folding)


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
        if type(layer) in ACTIVATIONS:
            layer = only_reader(readers[node.name][0].name)
        if isinstance(layer, MaxPool2d) and layer.has_tiles:
            found.add(node.name)
    return frozenset(found)


class _Fusion:
    """Finds the nodes that go together."""

    def __init__(
        self,
        nodes: list[Node],
        shapes: Mapping[str, Shape],
        apart: Collection[str],
        needed: Collection[str],
        together: Together | None,
    ):
        self.nodes, self.shapes, self.needed, self.together = nodes, shapes, needed, together
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
        for rule in (
            *folds,
            self._pooled_sum,
            self._normalised_on_the_way,
            self._normalised,
            self._pooled,
            self._activated,
            self._shuffled_part,
            self._shuffled,
        ):
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
        layer = FoldedConv(before.layer, last.layer, activation)
        return FusedNode(name, layer, before.inputs, before.name, (before.name, last.name, *covered), last.name)

    def _folded_and_activated(self, last: Node) -> FusedNode | None:
        """A convolution, batch normalisation and the activation `last`."""
        before = self._before(last)
        if before is None or type(last.layer) not in ACTIVATIONS:
            return None
        return self._folded(before, ACTIVATIONS[type(last.layer)], (last.name,))

    def _normalised(self, last: Node) -> FusedNode | None:
        """Batch normalisation, perhaps an addition, and the activation `last`."""
        before = self._before(last)
        if before is None or type(last.layer) not in ACTIVATIONS:
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

    def _pooled_sum(self, last: Node) -> FusedNode | None:
        """A convolution, perhaps ReLU, and the maximum pool `last` over tiles."""
        first, between, activation = self._before(last), [], "none"
        if first is None or self.together is None or not (isinstance(last.layer, MaxPool2d) and last.layer.has_tiles):
            return None
        if type(first.layer) is ReLU:
            between, activation, first = [first.name], ACTIVATIONS[ReLU], self._before(first)
        if first is None or type(first.layer) is not Conv2d:
            return None
        batch = self.together.batch
        if not first.layer.is_pooled(self.together.kernels, (batch, *self.shapes[first.inputs[0]])):
            return None
        layer = PooledConv(first.layer, activation, last.layer)
        return FusedNode(last.name, layer, first.inputs, first.name, (first.name, *between, last.name))

    def _normalised_on_the_way(self, last: Node) -> FusedNode | None:
        """Batch normalisation in training, perhaps an activation, and the convolution `last`."""
        first, between, activation = self._before(last), [], "none"
        if first is None or self.together is None or not self.together.training or type(last.layer) is not Conv2d:
            return None
        if type(first.layer) in ACTIVATIONS:
            between, activation, first = [first.name], ACTIVATIONS[type(first.layer)], self._before(first)
        if first is None or not isinstance(first.layer, BatchNorm2d) or first.inputs[0] not in self.needed:
            return None
        batch = self.together.batch
        if not last.layer.is_normalised(self.together.kernels, (batch, *self.shapes[first.name])):
            return None
        layer = NormalisedConv(first.layer, activation, last.layer)
        return FusedNode(last.name, layer, first.inputs, last.name, (first.name, *between, last.name), first.name)

    def _pooled(self, last: Node) -> FusedNode | None:
        """ReLU and the maximum pool `last` over tiles."""
        before = self._before(last)
        tiles = isinstance(last.layer, MaxPool2d) and last.layer.has_tiles
        if before is None or not tiles or type(before.layer) is not ReLU:
            return None
        layer = RectifiedMaxPool(last.layer, ACTIVATIONS[ReLU])
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
        if before is None or type(last.layer) not in ACTIVATIONS or type(before.layer) not in _SUMS:
            return None
        layer = _SUMS[type(before.layer)](before.layer, ACTIVATIONS[type(last.layer)])
        return FusedNode(last.name, layer, before.inputs, before.name, (before.name, last.name))


#: Layers that can apply an activation to their sums.
_SUMS: dict[type[Layer], type[Activated]] = {Conv2d: Activated, Linear: Activated, Add: ActivatedAdd}


def _together(norm: Node, shortcut: tuple[str, ...], last: Node, covers: tuple[str, ...]) -> FusedNode:
    layer = BatchNormActivation(norm.layer, bool(shortcut), ACTIVATIONS[type(last.layer)])  # type: ignore[arg-type]
    return FusedNode(last.name, layer, (*norm.inputs, *shortcut), norm.name, covers)
