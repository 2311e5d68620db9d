"""Gradient check of a network: hand-written backward passes against finite differences, fast against textbook.

The quantity that is differentiated is a random weighted sum of the outputs, auxiliary ones included. The central
difference ``(L(w + h) - L(w - h)) / 2h`` in float64 has an error of order ``h**2``. At a kink (ReLU at 0, two equal
values under a max) there is no derivative to compare with: there the differences to the left and to the right
disagree however small ``h`` is, and another place is drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nnvis.errors import ConfigError
from nnvis.graph import INPUT, Graph
from nnvis.network import Network
from nnvis.plan import Mode, Plan

#: Largest relative errors that pass.
DIFFERENCE_TOLERANCE = 1e-4
DEVICE_TOLERANCE = 1e-3

_STEPS = (1e-5, 1e-6, 1e-7)
#: Batches that may be tried for one on which a device agrees.
_BATCHES = 4
_MODE = Mode(training=True, backward=True, input_gradient=True)
#: ``progress(done, total, name)``, in parameters.
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class GradcheckRow:
    """What was found for one parameter, or for the network's input.

    Attributes
    ----------
    name : str
    shape : tuple of int
    checked, skipped : int
        Values compared with differences, and values not compared since they sit on a kink.
    difference_error : float
        Largest relative error of the textbook gradient against finite differences.
    device_error : float or None
        Largest error of the fast gradient against the textbook one, relative to the largest value (at least to a
        thousandth of the largest of all gradients), if compared.
    """

    name: str
    shape: tuple[int, ...]
    checked: int
    skipped: int
    difference_error: float
    device_error: float | None

    @property
    def ok(self) -> bool:
        """Whether all errors are within the tolerances."""
        agrees = self.device_error is None or self.device_error <= DEVICE_TOLERANCE
        return agrees and self.difference_error <= DIFFERENCE_TOLERANCE


@dataclass(frozen=True)
class GradcheckReport:
    """The rows of a gradient check."""

    rows: tuple[GradcheckRow, ...]

    @property
    def ok(self) -> bool:
        """Whether every row is."""
        return all(row.ok for row in self.rows)

    @property
    def worst(self) -> GradcheckRow:
        """The row with the largest error against finite differences."""
        return max(self.rows, key=lambda row: row.difference_error)


def gradcheck(
    network: Graph | Network,
    batch: int = 2,
    seed: int = 0,
    samples_per_parameter: int = 5,
    device: str | None = "cpu",
    progress: Progress | None = None,
) -> GradcheckReport:
    """Check the gradients of a network.

    Parameters
    ----------
    network : Graph or Network
        Of a Network the weights are used; a Graph gets initial ones.
    batch : int
        Examples, drawn at random.
    seed : int
    samples_per_parameter : int
        Values of each parameter that are compared with finite differences.
    device : str, optional
        Compare its gradients with the textbook ones; None compares nothing.
    progress : callable, optional
        Called as ``progress(done, total, name)`` before each parameter.

    Returns
    -------
    GradcheckReport
    """
    if batch < 1 or samples_per_parameter < 1:
        raise ConfigError("gradcheck needs at least one example and one sample per parameter.")
    graph = network.graph if isinstance(network, Network) else network
    probe = _Probe(graph, network if isinstance(network, Network) else None, batch, seed)
    errors = {} if device is None else _device_errors(probe, device, seed)
    rows = []
    for done, name in enumerate(probe.arrays):
        if progress:
            progress(done, len(probe.arrays), name)
        rows.append(probe.check(name, samples_per_parameter, errors.get(name)))
    return GradcheckReport(tuple(rows))


def _device_errors(probe: _Probe, device: str, seed: int) -> dict[str, float]:
    """Error of each gradient on another device.

    Rounding may move a value to the other side of a kink, after which gradients differ; a mistake differs on every
    batch. So what is too large is asked for again, on other examples.
    """
    errors = probe.errors_on(device)
    for attempt in range(1, _BATCHES):
        if max(errors.values()) <= DEVICE_TOLERANCE:
            break
        again = _Probe(probe.net.graph, probe.source, len(probe.x), seed + attempt).errors_on(device)
        errors = {name: min(error, again[name]) for name, error in errors.items()}
    return errors


class _Probe:
    """A network in float64 whose scalar output can be asked for again and again."""

    def __init__(self, graph: Graph, source: Network | None, batch: int, seed: int):
        self.random, self.source = np.random.default_rng(seed), source
        self.net = Network(graph, device="reference", seed=seed if source is None else source.seed)
        if source is not None:
            self.net.load_state_dict(source.state_dict())
        # float32 values, so that the fast network starts from exactly the same ones.
        self.net.load_state_dict({k: v.astype(np.float32) for k, v in self.net.state_dict().items()})
        self.x = self.random.normal(size=(batch, *graph.input_shape)).astype(np.float32)
        shape = (batch, *self.net.output_shape)
        self.dys = {name: self.random.normal(size=shape).astype(np.float32) for name in graph.outputs()}
        self.plan = self._start(self.net)
        self.arrays: dict[str, np.ndarray] = {**self.net.parameters.values, INPUT: self.plan.input}
        self.gradients = self._backward(self.net, self.plan)
        self.largest = max((float(np.abs(g).max(initial=0.0)) for g in self.gradients.values()), default=0.0)

    def _start(self, net: Network) -> Plan:
        """Bind a pass that can be repeated: same dropout masks, running statistics untouched."""
        state = net.state_dict()
        net.training_passes = 0
        plan = net.start_pass(self.x, _MODE)
        plan.run_forward()
        for flow in plan.flows.values():
            flow.replay = True
        net.load_state_dict(state)
        return plan

    def _backward(self, net: Network, plan: Plan) -> dict[str, np.ndarray]:
        plan.run_forward()
        for name, gradient in plan.output_gradients.items():
            gradient[...] = self.dys[name]
        plan.run_backward()
        found = {name: value.astype(np.float64) for name, value in net.parameters.gradients.items()}
        # Without a way from the input to the output there is no gradient of it.
        flowing = plan.gradients.get(INPUT)
        return found | {INPUT: np.zeros(self.x.shape) if flowing is None else flowing.astype(np.float64)}

    def errors_on(self, device: str) -> dict[str, float]:
        """Largest error of each gradient as another device computes it."""
        net = Network(self.net.graph, device=device, seed=self.net.seed)
        net.load_state_dict(self.net.state_dict())
        others = self._backward(net, self._start(net))
        return {name: _error(gradient, others[name], self.largest) for name, gradient in self.gradients.items()}

    def value(self) -> float:
        """The scalar that is differentiated."""
        self.plan.run_forward()
        return sum(float((y * self.dys[name]).sum(dtype=np.float64)) for name, y in self.plan.outputs.items())

    def check(self, name: str, samples: int, device_error: float | None) -> GradcheckRow:
        """Compare some values of one array."""
        array, gradient = self.arrays[name], self.gradients[name]
        floor = max(1e-3 * float(np.abs(gradient).max(initial=0.0)), 1e-5 * self.largest, 1e-12)
        errors: list[float] = []
        skipped = 0
        for at in self._places(array, 4 * samples):
            if len(errors) == min(samples, array.size):
                break
            error = self._difference_error(array, at, float(gradient.flat[at]), floor)
            if error is None:
                skipped += 1
            else:
                errors.append(error)
        return GradcheckRow(name, array.shape, len(errors), skipped, max(errors, default=0.0), device_error)

    def _places(self, array: np.ndarray, count: int) -> list[int]:
        return [int(i) for i in self.random.choice(array.size, min(count, array.size), replace=False)]

    def _difference_error(self, array: np.ndarray, at: int, own: float, floor: float) -> float | None:
        """Relative error of the gradient `own` at one value, or None at a kink.

        Several kinks on the way may make up for each other: a gradient is wrong if it is so at smaller steps, too.
        """
        error = 0.0
        for first in range(len(_STEPS)):
            difference = self._difference(array, at, floor, _STEPS[first:])
            if difference is None:
                return None
            error = abs(own - difference) / max(abs(own), abs(difference), floor)
            if error <= DIFFERENCE_TOLERANCE:
                break
        return error

    def _difference(self, array: np.ndarray, at: int, floor: float, steps: tuple[float, ...]) -> float | None:
        """Derivative with respect to one value, or None at a kink."""
        old, middle = array.flat[at], self.value()
        try:
            for step in steps:
                array.flat[at] = old + step
                high = self.value()
                array.flat[at] = old - step
                low = self.value()
                right, left = (high - middle) / step, (middle - low) / step
                # Curvature makes them differ by about `step` times the second derivative, rounding by noise / step.
                noise = 1e-13 * max(1.0, abs(middle)) / step
                # One of a thousand units that crosses its kink on the way must not pass as curvature.
                allowed = DIFFERENCE_TOLERANCE * max(abs(right), abs(left), floor)
                if noise > allowed and step < _STEPS[0]:
                    return None
                if abs(right - left) <= allowed + noise:
                    return 0.5 * (right + left)
            return None
        finally:
            array.flat[at] = old


def _error(gradient: np.ndarray, other: np.ndarray, largest: float) -> float:
    # In front of batch normalisation terms as large as others cancel, of which float32 leaves a rounding error.
    scale = max(float(np.abs(gradient).max(initial=0.0)), 1e-3 * largest, 1e-12)
    return float(np.abs(other - gradient).max(initial=0.0)) / scale
