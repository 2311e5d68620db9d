"""From a graph to a list of calls: neighbours that run as one, arrays at their places, and what is called with them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

import numpy as np

from nnvis.device import Device
from nnvis.fusion import FusedNode, Together, full_name, fuse, home, pooled
from nnvis.graph import INPUT, Graph, Node
from nnvis.layers.base import Flow, Layer
from nnvis.lifetimes import Lifetimes, Mode, Sum, needs_gradient, shapes_into
from nnvis.memory import Arena, Storage
from nnvis.parameters import Parameters

#: A node's name, and what it has to do; nothing for views.
_Calls = tuple[str, list[Callable[[], None]]]


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
            needed = (
                needs_gradient(self.nodes, self.shapes, mode)
                if mode.backward
                else {node.name for node in self.nodes} | {INPUT}
            )
            folding = not (mode.training or mode.backward or exact)
            together = None if exact else Together(device.kernels, batch, mode.training and mode.backward)
            self.nodes = fuse(self.nodes, self.shapes, watched | set(self.weights), needed, folding, together)
        self._lives = Lifetimes(self.nodes, self.shapes, batch, mode, device.dtype, watched, self.weights)
        self.nbytes = self._lives.nbytes

    # --- binding to memory --------------------------------------------------------------------------------

    def bind(
        self, arena: Arena, parameters: Parameters, buffers: dict[str, np.ndarray], constants: bool = False
    ) -> None:
        """Make the array views and the list of calls; with `constants` parameters and buffers will not change."""
        self._arena, self._constants = arena, constants
        self._kept: dict[str, np.ndarray] = {}
        self.flows = {node.name: self._make_flow(node, parameters, buffers) for node in self.nodes}
        self.input = self._array(self._lives.values[INPUT], INPUT)
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
        inputs = shapes_into(node, self.shapes)
        flow.xs = [self._array(self._lives.values[name], name) for name in node.inputs]
        flow.y = self._array(self._lives.values[node.name], node.name)
        flow.dxs = [None] * len(node.inputs)
        flow.parts = {number for number, name in enumerate(node.inputs) if name in self._lives.in_parts}
        flow.params = {k: parameters.values[full_name(node, k)] for k in node.layer.parameters(*inputs)}
        flow.grads = {k: parameters.gradients[full_name(node, k)] for k in node.layer.parameters(*inputs)}
        flow.buffers = {k: buffers[full_name(node, k)] for k in node.layer.state(*inputs)}
        for key, cache in self._lives.caches_of(node).items():
            shape = (self.batch, *cache.shape) if cache.per_example else cache.shape
            flow.caches[key] = self._arena.view(self._lives.caches[node.name, key], shape, self._lives.type_of(cache))
        return flow

    def _call(self, layer: Layer, way: str, flow: Flow) -> Callable[[], None]:
        call = functools.partial(getattr(layer, way), flow)
        again = self.device.repeated(call, self._constants) if layer.repeats else call
        return lambda: call() if flow.replay else again()

    def _make_backward_calls(self) -> list[_Calls]:
        self.gradients: dict[str, np.ndarray] = {
            name: self._array(storage, name) for name, storage in self._lives.gradients.items()
        }
        found = []
        for step in self._lives.backward:
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

    def _sum_call(self, each: Sum) -> Callable[[], None]:
        kernels, dtype, shape = self.device.kernels, self.device.dtype, (self.batch, *each.shape)
        first, second, target = (self._arena.view(s, shape, dtype) for s in (each.first, each.second, each.target))
        if each.target is each.first:
            return self.device.repeated(lambda: kernels.accumulate(target, second))
        return self.device.repeated(lambda: kernels.add_forward(first, second, target))

    def written_bytes(self) -> dict[str, int]:
        """Bytes of memory that each node writes anew, its caches among them; 0 for views and what works in place."""
        written, seen = {}, {self._lives.values[INPUT]}
        for step, node in enumerate(self.nodes):
            caches = [storage for (name, _), storage in self._lives.caches.items() if name == node.name]
            own = [storage for storage in caches if storage.first == step]  # without those of the way back
            if self._lives.values[node.name] not in seen:
                own.append(self._lives.values[node.name])
            seen.update(own)
            written[node.name] = sum(storage.nbytes for storage in own)
        return written

    def hands_back(self, name: str) -> bool:
        """Whether a node computes the gradient of an input, which some node before it needs."""
        return any(step.node.name == name and any(step.writes) for step in self._lives.backward)

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
