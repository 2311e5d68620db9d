"""Looking at a network between two training steps, without disturbing the training by a single bit.

A probe runs a small batch forward and backward through a plan of its own, in which every activation and gradient is
kept. Running statistics, random keys and optimiser state stay as they are; parameter gradients are overwritten, as
every step assigns them anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnvis.errors import DataError, ShapeError
from nnvis.losses import Loss, PlanLoss
from nnvis.network import Network
from nnvis.plan import Mode, Plan

#: Bins of every histogram, and the values that one is made from at most.
BINS, MOST_VALUES = 48, 16384
_TRAINING = Mode(training=True, backward=True)


@dataclass(frozen=True)
class Histogram:
    """Counts of values in equal bins from `low` to `high`."""

    counts: np.ndarray
    low: float
    high: float


@dataclass(frozen=True)
class NodeStatistics:
    """One node in numbers.

    Attributes
    ----------
    node, kind : str
    activation, gradient : Histogram or None
        Of its output, and of the loss's gradient with respect to it.
    dead : float or None
        Share of channels that are zero for the whole batch; for rectifiers only.
    saturated : float or None
        Share of values in the flat ends of sigmoid, tanh and ReLU6.
    gradient_norm : float or None
        Euclidean norm of the gradient of its parameters, or of its output if it has none.
    gradient_mean : float
        Mean absolute gradient of its output.
    weight : Histogram or None
    weight_norm, update_ratio : float or None
        Norm of its parameters, and |update| / |parameters| of the step measured last.
    """

    node: str
    kind: str
    activation: Histogram | None = None
    gradient: Histogram | None = None
    dead: float | None = None
    saturated: float | None = None
    gradient_norm: float | None = None
    gradient_mean: float = 0.0
    weight: Histogram | None = None
    weight_norm: float | None = None
    update_ratio: float | None = None


class Probe:
    """Looks at a network that is being trained.

    Parameters
    ----------
    net : Network
    loss : Loss
    """

    def __init__(self, net: Network, loss: Loss):
        self.net, self.loss, self._memory = net, loss, net.device.memory
        self._before: np.ndarray | None = None
        self._ratios: dict[str, float] = {}

    # --- the size of an update ----------------------------------------------------------------------------

    def before_step(self) -> None:
        """Remember the parameters, so that :meth:`after_step` can measure the update."""
        self._before = self._memory.read(self.net.parameters.flat_values)

    def after_step(self) -> None:
        """Measure the update of the step since :meth:`before_step`."""
        if self._before is None:
            return
        old = self.net.parameters.views(self._before)
        sums: dict[str, list[float]] = {}
        for name, array in self.net.parameters.values.items():
            value = self._memory.look(array)
            node, sizes = name.rpartition(".")[0], (np.sum((value - old[name]) ** 2), np.sum(value**2))
            total = sums.setdefault(node, [0.0, 0.0])
            total[0] += float(sizes[0])
            total[1] += float(sizes[1])
        self._ratios = {node: (change / size) ** 0.5 if size else 0.0 for node, (change, size) in sums.items()}
        self._before = None

    # --- looking ------------------------------------------------------------------------------------------

    def look(self, x: np.ndarray, targets: np.ndarray) -> list[NodeStatistics]:
        """Run a batch forward and backward, and describe every node.

        Where the loss cannot read the network's output, as while a network is being built, there is no way back, and
        nothing about gradients.

        Parameters
        ----------
        x : ndarray, (N, *input_shape)
            Normalised as in training.
        targets : ndarray
            As the loss needs them.

        Returns
        -------
        list of NodeStatistics
            In execution order.
        """
        plan = self._plan(x)
        plan.run_forward()
        gradients = self._go_back(plan, targets)
        return [self._statistics(plan, node.name, node.layer.kind, gradients) for node in plan.nodes]

    def _go_back(self, plan: Plan, targets: np.ndarray) -> bool:
        """Run backward; False if the loss does not fit the network or the targets."""
        try:
            self.loss.check_output(self.net.output_shape)
            PlanLoss(self.loss, plan)(targets)
        except (ShapeError, DataError):
            return False
        plan.run_backward()
        return True

    def features(self, x: np.ndarray, nodes: Iterable[str]) -> dict[str, np.ndarray]:
        """Outputs of some nodes for a batch, in inference mode: what a user of the network would get."""
        known = {node.name for node in self.net.graph.order(aux=False)}
        wanted = frozenset(nodes) & known
        plan = self.net.plan(len(x), Mode(), wanted)
        self._memory.write(plan.input, x)
        plan.run_forward()
        return {name: self._memory.read(plan.flows[name].y) for name in wanted}

    def _plan(self, x: np.ndarray) -> Plan:
        everything = frozenset(node.name for node in self.net.graph.order())
        plan = self.net.plan(len(x), _TRAINING, everything)
        self._memory.write(plan.input, x)
        plan.set_keys(lambda name: hash_key(self.net.seed, name), replay=True)
        return plan

    def _statistics(self, plan: Plan, node: str, kind: str, gradients: bool) -> NodeStatistics:
        look = self._memory.look
        y, dy = look(plan.flows[node].y), look(plan.gradients[node]) if gradients and node in plan.gradients else None
        values = self._of_node(node, self.net.parameters.values)
        grads = list(self._of_node(node, self.net.parameters.gradients).values()) if gradients else []
        weight = values.get("weight")
        return NodeStatistics(
            node, kind, histogram(y), None if dy is None else histogram(dy), dead_share(kind, y),
            saturated_share(kind, y), _norm(grads or ([] if dy is None else [dy])),
            0.0 if dy is None else float(np.mean(np.abs(dy))), None if weight is None else histogram(weight),
            _norm(list(values.values())), self._ratios.get(node),
        )  # fmt: skip

    def _of_node(self, node: str, arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The arrays among these that belong to a node, by their own names."""
        split = {name: name.rpartition(".") for name in arrays}
        return {own: self._memory.look(arrays[name]) for name, (owner, _, own) in split.items() if owner == node}


def hash_key(seed: int, name: str) -> int:
    """A random key for looking, the same at each look, so that pictures do not flicker."""
    return (seed * 1_000_003 + sum(name.encode())) & 0x7FFF_FFFF


def histogram(values: np.ndarray) -> Histogram:
    """Histogram of the finite `values`, from every so-many-th of them if there are many."""
    flat = values.reshape(-1)
    flat = flat[:: max(1, flat.size // MOST_VALUES)]
    flat = flat[np.isfinite(flat)].astype(np.float64)  # the span of large float32 values may be none itself
    low, high = (float(flat.min()), float(flat.max())) if flat.size else (0.0, 0.0)
    largest = max(abs(low), abs(high))
    if high - low <= 1e-9 * largest or low == high:  # bins must have a width beside such values
        half = max(0.5, 1e-6 * largest)
        low, high = low - half, high + half
    counts, _ = np.histogram(flat, bins=BINS, range=(low, high))
    return Histogram(counts, low, high)


def dead_share(kind: str, y: np.ndarray) -> float | None:
    """Share of channels of a rectifier's output that are zero in the whole batch; None for other kinds."""
    if kind not in ("ReLU", "ReLU6"):
        return None
    return float(np.mean(y.reshape(-1, y.shape[-1]).max(axis=0) <= 0))


def saturated_share(kind: str, y: np.ndarray) -> float | None:
    """Share of values where the activation is flat; None for activations that have no such end."""
    flat = y.reshape(-1)[:: max(1, y.size // MOST_VALUES)]
    if kind == "Sigmoid":
        return float(np.mean((flat < 0.01) | (flat > 0.99)))
    if kind == "Tanh":
        return float(np.mean(np.abs(flat) > 0.99))
    return float(np.mean(flat >= 6)) if kind == "ReLU6" else None


def compatible_state(state: dict[str, np.ndarray], net: Network) -> dict[str, np.ndarray]:
    """The arrays of `state` that fit `net` by name and shape: what an edited network keeps of its training."""
    own = net.parameters.values | net.buffers
    return {name: value for name, value in state.items() if name in own and tuple(own[name].shape) == value.shape}


def _norm(arrays: list[np.ndarray]) -> float | None:
    if not arrays:
        return None
    return float(sum(float(np.vdot(a, a)) for a in arrays) ** 0.5)
