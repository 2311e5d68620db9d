"""From a graph to a list of calls: which arrays a pass needs, how long each lives, where it lies.

Time runs in steps: node ``i`` of ``n`` computes forward at step ``i``, the loss at step ``n``, and node ``i``
backward at step ``2 n - i``.
"""

from __future__ import annotations

import functools
import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from nnvis.device import Device
from nnvis.fusion import FusedNode, Together, full_name, fuse, home, pooled
from nnvis.graph import INPUT, Graph, Node
from nnvis.layers.base import Cache, Flow, Layer, Shape
from nnvis.memory import FOREVER, Arena, Storage, place
from nnvis.parameters import Parameters
from nnvis.parts import read_in_parts

#: A node's name, and what it has to do; nothing for views.
_Calls = tuple[str, list[Callable[[], None]]]


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
class _Sum:
    """Gradients that meet where an edge fans out: ``target = first + second``, by storage."""

    first: Storage
    second: Storage
    target: Storage
    shape: Shape


@dataclass
class _BackwardStep:
    """What happens at one node on the way back."""

    node: Node
    #: Where the gradient lies that the layer works on, if it is not what arrived.
    masked: Storage | None = None
    writes: list[Storage | None] = field(default_factory=list)
    sums: list[_Sum] = field(default_factory=list)


class Plan:
    """The calls of one pass for one batch size, bound to memory.

    Parameters
    ----------
    graph : Graph
    batch : int
    mode : Mode
    device : Device
    watched : frozenset of str
        Nodes whose activation (and gradient) must still be there after the pass.
    exact : bool
        Whether only direct algorithms may run.
    """

    def __init__(
        self,
        graph: Graph,
        batch: int,
        mode: Mode,
        device: Device,
        watched: frozenset[str] = frozenset(),
        exact: bool = False,
    ):
        self.batch, self.mode, self.device, self.watched, self.exact = batch, mode, device, watched, exact
        self.shapes = graph.shapes()
        #: Weight of the loss at each output: 1 for the network's own, which comes first.
        self.weights = {graph.output.name: 1.0} | (graph.aux_outputs if mode.training else {})
        self.nodes = graph.order(aux=mode.training)
        self.pooled = pooled(self.nodes, self.weights)
        if mode.training or not mode.backward:  # statistics that are constants have a way back of their own
            needed = self._needs_gradient() if mode.backward else {node.name for node in self.nodes} | {INPUT}
            folding = not (mode.training or mode.backward or exact)
            together = None if exact else Together(device.kernels, batch, mode.training and mode.backward)
            self.nodes = fuse(self.nodes, self.shapes, watched | set(self.weights), needed, folding, together)
        self._step_of = {node.name: step for step, node in enumerate(self.nodes)}
        self._storages: list[Storage] = []
        self._reads = self._find_reads()
        self._values: dict[str, Storage] = {}
        self._caches: dict[tuple[str, str], Storage] = {}
        self._gradients: dict[str, Storage] = {}
        self._backward: list[_BackwardStep] = []
        self._in_parts = read_in_parts(self.nodes, self.shapes) - set(self.weights)
        self._plan_forward()
        if mode.backward:
            self._plan_backward()
        self.nbytes = place(self._storages)

    # --- lifetimes, forward -------------------------------------------------------------------------------

    def _new(self, nbytes: int, step: int) -> Storage:
        storage = Storage(nbytes, step, step)
        self._storages.append(storage)
        return storage

    def _nbytes(self, name: str) -> int:
        return self.batch * math.prod(self.shapes[name]) * self.device.dtype.itemsize

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
        for name in self.weights:
            reads[self._owner[name]].add(len(self.nodes))
        if self.mode.backward:  # what the network answered can be looked at when the way back has been asked for, too
            reads[self._owner[next(iter(self.weights))]].add(FOREVER)
        reads[INPUT].add(FOREVER)  # a pass can be replayed to look at it
        return reads

    def _plan_forward(self) -> None:
        self._values[INPUT] = self._new(self._nbytes(INPUT), -1)
        self._values[INPUT].use(FOREVER)
        for step, node in enumerate(self.nodes):
            self._values[node.name] = storage = self._output_storage(node, step)
            storage.use(step)
            for read in self._reads[self._owner[node.name]]:
                storage.use(read)
            self._plan_caches(node, step)

    def _output_storage(self, node: Node, step: int) -> Storage:
        first = node.inputs[0]
        if node.layer.is_view:
            return self._values[first]
        same_size = self._nbytes(first) == self._nbytes(node.name)
        if node.layer.in_place_forward and same_size and max(self._reads[self._owner[first]]) == step:
            return self._values[first]
        return self._new(self._nbytes(node.name), step)

    def _plan_caches(self, node: Node, step: int) -> None:
        for key, cache in self._needed_caches(node).items():
            count = math.prod(cache.shape) * (self.batch if cache.per_example else 1)
            nbytes = count * self._cache_dtype(cache.dtype).itemsize
            storage = self._new(nbytes, self._back(node) if cache.only_back else step)
            if self.mode.backward:
                storage.use(self._back(node))
            self._caches[node.name, key] = storage

    def _needed_caches(self, node: Node) -> dict[str, Cache]:
        caches = node.layer.caches(*self._inputs(node))
        return {key: cache for key, cache in caches.items() if self.mode.backward or not cache.only_back}

    def _inputs(self, node: Node) -> list[Shape]:
        return [self.shapes[name] for name in node.inputs]

    def _cache_dtype(self, name: str | None) -> np.dtype:
        return self.device.dtype if name is None else np.dtype(name)

    # --- lifetimes, backward ------------------------------------------------------------------------------

    def _plan_backward(self) -> None:
        needed = self._needs_gradient()
        # Nodes whose gradient, still to be read, lies in a storage. Adding up in place must not disturb them.
        self._sharers: dict[Storage, set[str]] = defaultdict(set)
        for name in self.weights:
            self._assign_gradient(name, self._new(self._nbytes(name), len(self.nodes)), len(self.nodes))
        for node in reversed(self.nodes):
            if node.name in needed:
                self._backward.append(self._plan_node_backward(node, needed))
        if self.mode.input_gradient and INPUT in self._gradients:
            self._gradients[INPUT].use(FOREVER)

    def _needs_gradient(self) -> set[str]:
        needed = {INPUT} if self.mode.input_gradient else set()
        for node in self.nodes:
            has_parameters = bool(node.layer.parameters(*self._inputs(node)))
            if has_parameters or any(name in needed for name in node.inputs):
                needed.add(node.name)
        return needed

    def _assign_gradient(self, name: str, storage: Storage, step: int) -> None:
        self._gradients[name] = storage
        self._sharers[storage].add(name)
        storage.use(step)
        storage.use(FOREVER if name in self.watched else step)

    def _plan_node_backward(self, node: Node, needed: set[str]) -> _BackwardStep:
        step, planned = self._back(node), _BackwardStep(node)
        dy = self._gradients[node.name]
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
            self._sharers[self._gradients[node.name]].discard(node.name)
        return planned

    def _is_free(self, node: Node, dy: Storage) -> bool:
        """Whether nobody but this node needs the gradient `dy` any more."""
        return self._sharers[dy] <= {node.name} and node.name not in self.watched

    def _shares_gradient(self, node: Node, name: str) -> bool:
        same_shape = self.shapes[name] == self.shapes[node.name]
        return node.layer.is_view or (node.layer.passes_gradient and same_shape)

    def _fresh_gradient(self, node: Node, name: str, dy: Storage, step: int) -> Storage:
        if name in self._in_parts and name in self._gradients:
            return self._gradients[name]
        same_size = self._nbytes(name) == self._nbytes(node.name)
        in_place = node.layer.in_place_backward and self._is_free(node, dy)
        if in_place and same_size and name not in self._gradients:
            return dy
        return self._new(self._nbytes(name), step)

    def _contribute(self, planned: _BackwardStep, name: str, part: Storage, step: int, dy: Storage) -> None:
        """Make `part` the gradient of `name`, or add it to what other readers of `name` left there."""
        if name not in self._gradients or name in self._in_parts:
            self._assign_gradient(name, part, step)
            return
        total = self._gradients[name]
        undisturbed = total is not dy and self._sharers[total] <= {name}
        target = total if undisturbed else self._new(self._nbytes(name), step)
        for storage in (total, part, target):
            storage.use(step)
        planned.sums.append(_Sum(total, part, target, self.shapes[name]))
        self._sharers[total].discard(name)
        self._assign_gradient(name, target, step)

    # --- binding to memory --------------------------------------------------------------------------------

    def bind(
        self, arena: Arena, parameters: Parameters, buffers: dict[str, np.ndarray], constants: bool = False
    ) -> None:
        """Make the array views and the list of calls; with `constants` parameters and buffers will not change."""
        self._arena, self._constants = arena, constants
        self._kept: dict[str, np.ndarray] = {}
        self.flows = {node.name: self._make_flow(node, parameters, buffers) for node in self.nodes}
        self.input = self._array(self._values[INPUT], INPUT)
        #: Every output by name, the network's own first.
        self.outputs = {name: self.flows[name].y for name in self.weights}
        self.output = next(iter(self.outputs.values()))
        owned = {full_name(n, key) for n in self.nodes for key in self.flows[n.name].grads}
        self._idle = [gradient for name, gradient in parameters.gradients.items() if name not in owned]
        self._random = [(n.name, self.flows[n.name]) for n in self.nodes if n.layer.is_random]
        self._forward_calls = [
            (node.name, [] if node.layer.is_view else [self._call(node.layer, "forward", self.flows[node.name])])
            for node in self.nodes
        ]
        self._backward_calls = self._make_backward_calls() if self.mode.backward else []

    def _array(self, storage: Storage, name: str) -> np.ndarray:
        return self._arena.view(storage, (self.batch, *self.shapes[name]), self.device.dtype)

    def _make_flow(self, node: Node, parameters: Parameters, buffers: dict[str, np.ndarray]) -> Flow:
        flow = Flow(self.device.kernels, self.mode.training)
        flow.exact, flow.pooled = self.exact, home(node) in self.pooled
        inputs = self._inputs(node)
        flow.xs = [self._array(self._values[name], name) for name in node.inputs]
        flow.y = self._array(self._values[node.name], node.name)
        flow.dxs = [None] * len(node.inputs)
        flow.parts = {number for number, name in enumerate(node.inputs) if name in self._in_parts}
        flow.params = {k: parameters.values[full_name(node, k)] for k in node.layer.parameters(*inputs)}
        flow.grads = {k: parameters.gradients[full_name(node, k)] for k in node.layer.parameters(*inputs)}
        flow.buffers = {k: buffers[full_name(node, k)] for k in node.layer.state(*inputs)}
        for key, cache in self._needed_caches(node).items():
            shape = (self.batch, *cache.shape) if cache.per_example else cache.shape
            flow.caches[key] = self._arena.view(self._caches[node.name, key], shape, self._cache_dtype(cache.dtype))
        return flow

    def _call(self, layer: Layer, way: str, flow: Flow) -> Callable[[], None]:
        call = functools.partial(getattr(layer, way), flow)
        again = self.device.repeated(call, self._constants) if layer.repeats else call
        return lambda: call() if flow.replay else again()

    def _make_backward_calls(self) -> list[_Calls]:
        self.gradients: dict[str, np.ndarray] = {
            name: self._array(storage, name) for name, storage in self._gradients.items()
        }
        found = []
        for step in self._backward:
            node, flow = step.node, self.flows[step.node.name]
            flow.arrived = flow.dy = self.gradients[node.name]
            if step.masked is not None:
                flow.dy = self._array(step.masked, node.name)
            flow.dxs = [
                None if storage is None else self._array(storage, name)
                for storage, name in zip(step.writes, node.inputs, strict=True)
            ]
            calls = [self._sum_call(each) for each in step.sums]
            if flow.grads or step.masked is not None or any(dx is not None for dx in flow.dxs):
                calls.insert(0, self._call(node.layer, "backward", flow))
            found.append((node.name, calls))
        return found

    def _sum_call(self, each: _Sum) -> Callable[[], None]:
        kernels, dtype, shape = self.device.kernels, self.device.dtype, (self.batch, *each.shape)
        first, second, target = (self._arena.view(s, shape, dtype) for s in (each.first, each.second, each.target))
        if each.target is each.first:
            return self.device.repeated(lambda: kernels.accumulate(target, second))
        return self.device.repeated(lambda: kernels.add_forward(first, second, target))

    def written_bytes(self) -> dict[str, int]:
        """Bytes of memory that each node writes anew, its caches among them; 0 for views and what works in place."""
        written, seen = {}, {self._values[INPUT]}
        for step, node in enumerate(self.nodes):
            caches = [storage for (name, _), storage in self._caches.items() if name == node.name]
            own = [storage for storage in caches if storage.first == step]  # without those of the way back
            if self._values[node.name] not in seen:
                own.append(self._values[node.name])
            seen.update(own)
            written[node.name] = sum(storage.nbytes for storage in own)
        return written

    def hands_back(self, name: str) -> bool:
        """Whether a node computes the gradient of an input, which some node before it needs."""
        return any(step.node.name == name and any(step.writes) for step in self._backward)

    @property
    def hidden(self) -> set[str]:
        """Nodes within fused ones: computed, but nowhere to be seen."""
        return {name for node in self.nodes if isinstance(node, FusedNode) for name in node.covers[:-1]}

    @property
    def output_gradients(self) -> dict[str, np.ndarray]:
        """Where the loss writes its gradient with respect to each output before the backward pass."""
        return {name: self.gradients[name] for name in self.weights}

    @property
    def output_gradient(self) -> np.ndarray:
        """The gradient with respect to the network's own output."""
        return next(iter(self.output_gradients.values()))

    def keep_output_gradients(self) -> Mapping[str, np.ndarray]:
        """Copies of where the gradient begins, whose memory is reused on its way back; kept until the next ones."""
        for name, gradient in self.output_gradients.items():
            if name not in self._kept:
                made = self.device.memory.zeros(gradient.size * gradient.dtype.itemsize)
                self._kept[name] = made.view(gradient.dtype).reshape(gradient.shape)
            self.device.memory.copy(self._kept[name], gradient)
        return self._kept

    # --- running ------------------------------------------------------------------------------------------

    def set_keys(self, key_of: Callable[[str], int], replay: bool) -> None:
        """Give each random node its key for this step."""
        for name, flow in self._random:
            flow.key = key_of(name)
        for flow in self.flows.values():
            flow.replay = replay

    def run_forward(self, after: Callable[[str], None] | None = None) -> np.ndarray:
        """Run all nodes on what lies in :attr:`input`; return a view of the output.

        Parameters
        ----------
        after : callable, optional
            Called with the name of each node that has just computed.
        """
        _run(self._forward_calls, after)
        return self.output

    def run_backward(self, after: Callable[[str], None] | None = None) -> None:
        """Run all nodes backward on what lies in :attr:`output_gradients`; `after` as in :meth:`run_forward`."""
        for gradient in self._idle:
            self.device.memory.write(gradient, 0)
        _run(self._backward_calls, after)


def _run(steps: list[_Calls], after: Callable[[str], None] | None) -> None:
    for name, calls in steps:
        for call in calls:
            call()
        if after is not None:
            after(name)
