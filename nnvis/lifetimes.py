"""How long each array of a pass lives: from the step that writes it to the last one that reads it.

Time runs in steps: node ``i`` of ``n`` computes forward at step ``i``, the loss at step ``n``, and node ``i``
backward at step ``2 n - i``.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from nnvis.graph import INPUT, Node
from nnvis.layers.base import Cache, Shape
from nnvis.memory import FOREVER, Storage, place
from nnvis.parts import read_in_parts


@dataclass(frozen=True)
class Mode:
    """What a pass is for.

    Attributes
    ----------
    training : bool
        Training behaviour of dropout and batch normalisation.
    backward : bool
        Whether gradients will be asked for.
    input_gradient : bool
        Whether the gradient with respect to the network's input is among them.
    """

    training: bool = False
    backward: bool = False
    input_gradient: bool = False


@dataclass
class Sum:
    """Gradients that meet where an edge fans out: ``target = first + second``, by storage."""

    first: Storage
    second: Storage
    target: Storage
    shape: Shape


@dataclass
class BackwardStep:
    """What happens at one node on the way back."""

    node: Node
    #: Where the gradient lies that the layer works on, if it is not what arrived.
    masked: Storage | None = None
    writes: list[Storage | None] = field(default_factory=list)
    sums: list[Sum] = field(default_factory=list)


def shapes_into(node: Node, shapes: Mapping[str, Shape]) -> list[Shape]:
    """Shapes of what a node reads."""
    return [shapes[name] for name in node.inputs]


def needs_gradient(nodes: Iterable[Node], shapes: Mapping[str, Shape], mode: Mode) -> set[str]:
    """Nodes, and perhaps the input, that a gradient must reach: it flows on to parameters."""
    needed = {INPUT} if mode.input_gradient else set()
    for node in nodes:
        has_parameters = bool(node.layer.parameters(*shapes_into(node, shapes)))
        if has_parameters or any(name in needed for name in node.inputs):
            needed.add(node.name)
    return needed


class Lifetimes:
    """Storages of all arrays of a pass, placed so that those which live at different times share memory.

    Parameters
    ----------
    nodes : list of Node
        In the order of execution.
    shapes : dict of str to tuple
        Of all nodes' outputs, for one example.
    batch : int
    mode : Mode
    dtype : numpy.dtype
    watched : frozenset of str
        Nodes whose activation (and gradient) must still be there after the pass.
    outputs : collection of str
        What losses read; the network's own output comes first.

    Attributes
    ----------
    values, gradients : dict of str to Storage
        Of nodes' outputs, and of the gradients with respect to them.
    caches : dict of (str, str) to Storage
        Of work arrays, by node and name.
    backward : list of BackwardStep
    in_parts : set of str
        Nodes whose gradient several readers write side by side.
    nbytes : int
        Memory that holds all of it.
    """

    def __init__(
        self,
        nodes: list[Node],
        shapes: Mapping[str, Shape],
        batch: int,
        mode: Mode,
        dtype: np.dtype,
        watched: frozenset[str],
        outputs: Iterable[str],
    ):
        self.nodes, self.shapes, self.batch, self.mode, self.dtype = nodes, shapes, batch, mode, dtype
        self.watched, self.outputs = watched, list(outputs)
        self._step_of = {node.name: step for step, node in enumerate(nodes)}
        self._storages: list[Storage] = []
        self._reads = self._find_reads()
        self.values: dict[str, Storage] = {}
        self.caches: dict[tuple[str, str], Storage] = {}
        self.gradients: dict[str, Storage] = {}
        self.backward: list[BackwardStep] = []
        self.in_parts = read_in_parts(nodes, shapes) - set(self.outputs)
        self._plan_forward()
        if mode.backward:
            self._plan_backward()
        self.nbytes = place(self._storages)

    # --- forward ---------------------------------------------------------------------------------

    def _new(self, nbytes: int, step: int) -> Storage:
        storage = Storage(nbytes, step, step)
        self._storages.append(storage)
        return storage

    def _nbytes(self, name: str) -> int:
        return self.batch * math.prod(self.shapes[name]) * self.dtype.itemsize

    def _back(self, node: Node) -> int:
        return 2 * len(self.nodes) - self._step_of[node.name]

    def _find_reads(self) -> dict[str, set[int]]:
        """Steps at which each node's output, or a view of it, is read; by the name that owns the memory."""
        self._owner = {INPUT: INPUT}
        reads: dict[str, set[int]] = defaultdict(set)
        for node in self.nodes:
            layer = node.layer
            self._owner[node.name] = self._owner[node.inputs[0]] if layer.is_view else node.name
            for number, name in enumerate(node.inputs):
                reads[self._owner[name]].add(self._step_of[node.name])
                if self.mode.backward and layer.reads_back(number):
                    reads[self._owner[name]].add(self._back(node))
            if self.mode.backward and "y" in layer.backward_reads:
                reads[self._owner[node.name]].add(self._back(node))
            if node.name in self.watched:
                reads[self._owner[node.name]].add(FOREVER)
        for name in self.outputs:
            reads[self._owner[name]].add(len(self.nodes))
        if self.mode.backward:  # what the network answered can be looked at when the way back has been asked for, too
            reads[self._owner[self.outputs[0]]].add(FOREVER)
        reads[INPUT].add(FOREVER)  # a pass can be replayed to look at it
        return reads

    def _plan_forward(self) -> None:
        self.values[INPUT] = self._new(self._nbytes(INPUT), -1)
        self.values[INPUT].use(FOREVER)
        for step, node in enumerate(self.nodes):
            self.values[node.name] = storage = self._output_storage(node, step)
            storage.use(step)
            for read in self._reads[self._owner[node.name]]:
                storage.use(read)
            self._plan_caches(node, step)

    def _output_storage(self, node: Node, step: int) -> Storage:
        first = node.inputs[0]
        if node.layer.is_view:
            return self.values[first]
        same_size = self._nbytes(first) == self._nbytes(node.name)
        if node.layer.in_place_forward and same_size and max(self._reads[self._owner[first]]) == step:
            return self.values[first]
        return self._new(self._nbytes(node.name), step)

    def _plan_caches(self, node: Node, step: int) -> None:
        for key, cache in self.caches_of(node).items():
            count = math.prod(cache.shape) * (self.batch if cache.per_example else 1)
            nbytes = count * self.type_of(cache).itemsize
            storage = self._new(nbytes, self._back(node) if cache.only_back else step)
            if self.mode.backward:
                storage.use(self._back(node))
            self.caches[node.name, key] = storage

    def caches_of(self, node: Node) -> dict[str, Cache]:
        """The work arrays that a node needs in such a pass."""
        caches = node.layer.caches(*shapes_into(node, self.shapes))
        return {key: cache for key, cache in caches.items() if self.mode.backward or not cache.only_back}

    def type_of(self, cache: Cache) -> np.dtype:
        """The type of a work array's numbers."""
        return self.dtype if cache.dtype is None else np.dtype(cache.dtype)

    # --- backward --------------------------------------------------------------------------------

    def _plan_backward(self) -> None:
        needed = needs_gradient(self.nodes, self.shapes, self.mode)
        # Nodes whose gradient, still to be read, lies in a storage. Adding up in place must not disturb them.
        self._sharers: dict[Storage, set[str]] = defaultdict(set)
        for name in self.outputs:
            self._assign_gradient(name, self._new(self._nbytes(name), len(self.nodes)), len(self.nodes))
        for node in reversed(self.nodes):
            if node.name in needed:
                self.backward.append(self._plan_node_backward(node, needed))
        if self.mode.input_gradient and INPUT in self.gradients:
            self.gradients[INPUT].use(FOREVER)

    def _assign_gradient(self, name: str, storage: Storage, step: int) -> None:
        self.gradients[name] = storage
        self._sharers[storage].add(name)
        storage.use(step)
        storage.use(FOREVER if name in self.watched else step)

    def _plan_node_backward(self, node: Node, needed: set[str]) -> BackwardStep:
        step, planned = self._back(node), BackwardStep(node)
        dy = self.gradients[node.name]
        dy.use(step)
        if node.layer.masks_gradient:
            dy = planned.masked = dy if self._is_free(node, dy) else self._new(dy.nbytes, step)
        for name in node.inputs:
            if name not in needed:
                planned.writes.append(None)
            elif self._shares_gradient(node, name):
                planned.writes.append(None)
                self._contribute(planned, name, dy, step, dy)
            else:
                storage = self._fresh_gradient(node, name, dy, step)
                planned.writes.append(storage)
                self._contribute(planned, name, storage, step, dy)
        if node.name not in self.watched:
            self._sharers[self.gradients[node.name]].discard(node.name)
        return planned

    def _is_free(self, node: Node, dy: Storage) -> bool:
        """Whether nobody but this node needs the gradient `dy` any more."""
        return self._sharers[dy] <= {node.name} and node.name not in self.watched

    def _shares_gradient(self, node: Node, name: str) -> bool:
        same_shape = self.shapes[name] == self.shapes[node.name]
        return node.layer.is_view or (node.layer.passes_gradient and same_shape)

    def _fresh_gradient(self, node: Node, name: str, dy: Storage, step: int) -> Storage:
        if name in self.in_parts and name in self.gradients:
            return self.gradients[name]
        same_size = self._nbytes(name) == self._nbytes(node.name)
        in_place = node.layer.in_place_backward and self._is_free(node, dy)
        if in_place and same_size and name not in self.gradients:
            return dy
        return self._new(self._nbytes(name), step)

    def _contribute(self, planned: BackwardStep, name: str, part: Storage, step: int, dy: Storage) -> None:
        """Make `part` the gradient of `name`, or add it to what other readers of `name` left there."""
        if name not in self.gradients or name in self.in_parts:
            self._assign_gradient(name, part, step)
            return
        total = self.gradients[name]
        undisturbed = total is not dy and self._sharers[total] <= {name}
        target = total if undisturbed else self._new(self._nbytes(name), step)
        for storage in (total, part, target):
            storage.use(step)
        planned.sums.append(Sum(total, part, target, self.shapes[name]))
        self._sharers[total].discard(name)
        self._assign_gradient(name, target, step)
