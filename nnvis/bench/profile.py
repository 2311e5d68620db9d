"""Where a training step spends its time, node by node."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numba
import numpy as np

from nnvis.bench.peak import Peak, measured_peak
from nnvis.bench.traffic import backward_bytes, forward_bytes
from nnvis.fusion import covers
from nnvis.graph import Graph
from nnvis.losses import PlanLoss, loss
from nnvis.network import Network
from nnvis.optim import SGD
from nnvis.plan import Mode, Plan

_TRAINING = Mode(training=True, backward=True)
#: What takes time beside the nodes: copying the batch, the loss, the update.
EXTRAS = ("input", "loss", "update")


@dataclass(frozen=True)
class NodeTime:
    """What one node takes.

    Attributes
    ----------
    name, kind : str
        Of a node; both are the same for what belongs to none (:data:`EXTRAS`).
    forward, backward : float
        Median seconds.
    flops : float
        Floating-point operations forward, of the whole batch; 0 where a rate would mean nothing.
    backward_flops : float
        Those of the way back: as many for the weights, and as many again for the input where it needs a gradient.
    roof : float
        Seconds, both ways, below which the textbook's operations at the peak, or the bytes of all arrays once at the
        memory's rate, do not go. Winograd's convolutions multiply less, and what caches hold comes sooner.
    """

    name: str
    kind: str
    forward: float
    backward: float
    flops: float = 0.0
    backward_flops: float = 0.0
    roof: float = 0.0

    @property
    def seconds(self) -> float:
        """Of both ways."""
        return self.forward + self.backward


@dataclass(frozen=True)
class Profile:
    """A training step in parts.

    Attributes
    ----------
    nodes : list of NodeTime
        In order of execution, what belongs to no node last.
    step : float
        Median seconds of a step that nobody watches.
    peak : Peak
        What the machine can do on as many threads.
    """

    nodes: list[NodeTime]
    step: float
    peak: Peak

    @property
    def total(self) -> float:
        """Sum of the parts; taking the times costs a little, and medians need not add up."""
        return sum(node.seconds for node in self.nodes)

    def by_kind(self) -> list[NodeTime]:
        """Sums over the nodes of each kind, the longest first."""
        groups: dict[str, list[NodeTime]] = defaultdict(list)
        for node in self.nodes:
            groups[node.kind].append(node)
        return _longest_first([_sum(kind, nodes) for kind, nodes in groups.items()])

    def longest(self, count: int) -> list[NodeTime]:
        """The `count` nodes that take longest."""
        return _longest_first(self.nodes)[:count]


def _sum(kind: str, nodes: list[NodeTime]) -> NodeTime:
    parts = ("forward", "backward", "flops", "backward_flops", "roof")
    return NodeTime(f"{len(nodes)} x {kind}", kind, *(sum(getattr(node, part) for node in nodes) for part in parts))


def _longest_first(nodes: list[NodeTime]) -> list[NodeTime]:
    return sorted(nodes, key=lambda node: -node.seconds)


def profile(graph: Graph, batch: int, steps: int = 7) -> Profile:
    """Take the times of training steps with SGD and momentum.

    Nothing is watched, so that memory is shared and nodes are fused as in any other step, under the name of the
    last one.

    Parameters
    ----------
    graph : Graph
        With class scores as its output.
    batch : int
    steps : int
        Whose median counts.
    """
    peak = measured_peak(numba.get_num_threads())
    stepper = _Stepper(Network(graph), batch)
    for _ in range(2):
        stepper.step()
    alone = statistics.median(stepper.step() for _ in range(steps))
    laps = [stepper.timed_step() for _ in range(steps)]
    median = {key: statistics.median(lap[key] for lap in laps) for key in laps[0]}
    return Profile([*_node_times(graph, stepper, median, peak), *_extra_times(stepper, median, peak)], alone, peak)


class _Stepper:
    """Training steps of a network, with or without a look at the clock behind every node."""

    def __init__(self, net: Network, batch: int):
        random = np.random.default_rng(0)
        self.net, self.loss = net, loss("cross_entropy")
        self.x = random.normal(size=(batch, *net.input_shape)).astype(np.float32)
        self.labels = random.integers(0, net.output_shape[-1], batch)
        self.updater = SGD(lr=0.001, momentum=0.9).bind(net.parameters, net.device)
        self.bound = PlanLoss(self.loss, net.plan(batch, _TRAINING))

    @property
    def plan(self) -> Plan:
        """What runs."""
        return self.net.plan(len(self.x), _TRAINING)

    def step(self) -> float:
        """Seconds of one step."""
        start = time.perf_counter()
        plan = self.net.start_pass(self.x, _TRAINING)
        plan.run_forward()
        self.bound(self.labels)
        self.net.finish_pass()
        self.updater.update()
        return time.perf_counter() - start

    def timed_step(self) -> dict[tuple[str, str], float]:
        """Seconds by name and direction."""
        laps: dict[tuple[str, str], float] = defaultdict(float)
        clock = _Clock(laps)
        plan = self.net.start_pass(self.x, _TRAINING)
        clock.lap("input", "forward")
        plan.run_forward(lambda name: clock.lap(name, "forward"))
        self.bound(self.labels)
        clock.lap("loss", "forward")
        self.net.finish_pass(after=lambda name: clock.lap(name, "backward"))
        self.updater.update()
        clock.lap("update", "forward")
        return laps


class _Clock:
    def __init__(self, laps: dict[tuple[str, str], float]):
        self.laps, self.last = laps, time.perf_counter()

    def lap(self, name: str, direction: str) -> None:
        now = time.perf_counter()
        self.laps[name, direction] += now - self.last
        self.last = time.perf_counter()


_Medians = dict[tuple[str, str], float]


def _node_times(graph: Graph, stepper: _Stepper, seconds: _Medians, peak: Peak) -> Iterator[NodeTime]:
    work = {row.name: 2.0 * len(stepper.x) * row.multiply_adds for row in graph.summary()}
    first = _without_input_gradient(graph)
    for node in stepper.plan.nodes:
        flow, parts = stepper.plan.flows[node.name], covers(node)
        flops = sum(work[name] for name in parts)
        back = flops * (2 if first.isdisjoint(parts) else 1)
        roof = peak.seconds(flops, forward_bytes(node, flow)) + peak.seconds(back, backward_bytes(node, flow))
        forward, backward = (seconds.get((node.name, way), 0.0) for way in ("forward", "backward"))
        yield NodeTime(node.name, node.layer.kind, forward, backward, flops, back, roof)


def _extra_times(stepper: _Stepper, seconds: _Medians, peak: Peak) -> Iterator[NodeTime]:
    weights = sum(array.nbytes for array in stepper.net.parameters.values.values())
    # An update reads weights, velocities and gradients, and writes the first two.
    moved = {"input": 2 * stepper.x.nbytes, "loss": 2 * stepper.plan.output.nbytes, "update": 5 * weights}
    for name in EXTRAS:
        yield NodeTime(name, name, seconds.get((name, "forward"), 0.0), 0.0, roof=peak.seconds(0, moved[name]))


def _without_input_gradient(graph: Graph) -> set[str]:
    """Nodes before which nothing has parameters, so that their input needs no gradient."""
    shapes, found, bare = graph.shapes(), set(), {"input"}
    for node in graph.order():
        if all(name in bare for name in node.inputs):
            found.add(node.name)
            if not node.layer.parameters(*(shapes[name] for name in node.inputs)):
                bare.add(node.name)
    return found
