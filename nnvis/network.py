"""A graph brought to life: parameters, memory, forward and backward passes."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnvis.device import get_device
from nnvis.errors import CheckpointError, ConfigError, NnvisError, ShapeError
from nnvis.graph import INPUT, Graph
from nnvis.layers.base import Buffer, describe
from nnvis.memory import Arena
from nnvis.parameters import Parameters
from nnvis.plan import Mode, Plan

#: How results may be rounded.
PRECISIONS = ("fast", "exact")


@dataclass
class _Pass:
    """The latest pass, as far as it takes to look at it or to repeat it."""

    plan: Plan
    step: int
    version: int
    #: Where the gradient began, on the device.
    dys: Mapping[str, Any] | None = None


class Network:
    """Parameters and buffers of a graph on a device.

    Parameters
    ----------
    graph : Graph
    device : str
        "cpu" (float32, fast), "cuda" (float32, on a GPU) or "reference" (float64, textbook NumPy).
    seed : int
        Initial weights and dropout masks are functions of it.
    precision : str
        "fast" may convolve by algorithms that round in other ways (Winograd; errors below 5e-5 of the largest output)
        and multiplies, at inference, weights by the factors of the batch normalisation behind them; "exact" sums
        directly, and normalises the sums.

    Raises
    ------
    GraphError, ShapeError
        The graph cannot work.
    DeviceError
        The device is unknown or not there.

    Examples
    --------
    >>> net = Network(zoo.lenet5(), seed=0)
    >>> scores = net.forward(images)                  # (N, 28, 28, 1) -> (N, 10)
    """

    def __init__(self, graph: Graph, device: str = "cpu", seed: int = 0, precision: str = "fast"):
        graph.validate()
        if precision not in PRECISIONS:
            raise ConfigError(f"precision must be {' or '.join(map(repr, PRECISIONS))}, not {precision!r}.")
        self.graph = graph.copy()
        self.device = get_device(device)
        self.seed, self.precision = int(seed), precision
        #: Number of training passes so far; dropout masks depend on it.
        self.training_passes = 0
        self.parameters = Parameters(self.graph, self.device)
        self.parameters.initialise(self.seed)
        self.buffers = {name: self._buffer(spec) for name, spec in self.graph.buffer_specs().items()}
        self._arena = Arena(self.device.memory)
        self._plans: dict[tuple, Plan] = {}
        #: How many :meth:`frozen` blocks are open, and for which version of the weights their plans are bound.
        self._frozen, self._frozen_version = 0, -1
        self._watched: frozenset[str] = frozenset()
        self._last: _Pass | None = None

    def __repr__(self) -> str:
        return f"Network({self.graph!r}, {self.graph.num_parameters():,} parameters, {self.device.name})"

    def _buffer(self, spec: Buffer) -> Any:
        memory, dtype = self.device.memory, self.device.dtype
        made = memory.zeros(math.prod(spec.shape) * dtype.itemsize).view(dtype).reshape(spec.shape)
        memory.write(made, spec.value)
        return made

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input example."""
        return self.graph.input_shape

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of one output example."""
        return self.graph.shapes()[self.graph.output.name]

    # --- passes -------------------------------------------------------------------------------------------

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """Run the network.

        Parameters
        ----------
        x : ndarray, (N, *input_shape)
        training : bool
            Dropout drops, and batch normalisation uses the batch and updates its running statistics.

        Returns
        -------
        ndarray, (N, *output_shape)
        """
        plan = self.start_pass(x, Mode(training, backward=training, input_gradient=training))
        return self.device.memory.read(plan.run_forward())

    def backward(self, dy: np.ndarray, aux: Mapping[str, np.ndarray] | None = None) -> np.ndarray:
        """Propagate a gradient through the pass that :meth:`forward` ran last.

        Parameters
        ----------
        dy : ndarray, (N, *output_shape)
            Gradient of the loss with respect to the output.
        aux : dict of str to ndarray, optional
            Gradients with respect to auxiliary outputs, by node; zero where not given.

        Returns
        -------
        ndarray, (N, *input_shape)
            Gradient with respect to the input. Those of the parameters are in :meth:`gradients`.
        """
        last = self._require_last()
        if not last.plan.mode.input_gradient:
            self._replay(Mode(last.plan.mode.training, backward=True, input_gradient=True), self._watched)
        dy = np.asarray(dy, self.device.dtype)
        if dy.shape != self._require_last().plan.output.shape:
            expected = self._require_last().plan.output.shape
            raise ShapeError(f"backward() expects a gradient of the output's shape {expected}, not {dy.shape}.")
        self.finish_pass({self.graph.output.name: dy, **(aux or {})})
        return self.device.memory.read(self._require_last().plan.gradients[INPUT])

    def start_pass(self, x: np.ndarray, mode: Mode) -> Plan:
        """Bind memory for a pass over `x` and copy `x` there; the caller runs the returned plan."""
        x = np.asarray(x)
        if x.shape[1:] != self.input_shape or not len(x):
            raise ShapeError(
                f"{self.graph.name} takes a batch of shape (N, {', '.join(map(str, self.input_shape))}) "
                f"but gets {x.shape}."
            )
        if self._frozen and mode.training:
            raise NnvisError("The network is frozen: nothing can be trained within 'with net.frozen()'.")
        plan = self.plan(len(x), mode)
        self.device.memory.upload(plan.input, x)
        plan.set_keys(lambda name: self._key(name, self.training_passes), replay=False)
        self._last = _Pass(plan, self.training_passes, self.parameters.version)
        self.training_passes += mode.training
        return plan

    def finish_pass(
        self, dys: Mapping[str, np.ndarray] | None = None, after: Callable[[str], None] | None = None
    ) -> None:
        """Run the latest plan backward from `dys`, by output, or from what the loss wrote into the output gradients.

        `after` is called with the name of each node that has just computed.
        """
        last, memory = self._require_last(), self.device.memory
        gradients = last.plan.output_gradients
        if dys is not None:
            for name, gradient in gradients.items():
                memory.write(gradient, dys.get(name, 0.0))
        last.dys = last.plan.keep_output_gradients()
        last.plan.run_backward(after)

    def plan(self, batch: int, mode: Mode, watched: frozenset[str] | None = None) -> Plan:
        """The plan for this batch size and purpose, made on first use."""
        watched = self._watched if watched is None else watched
        constants = bool(self._frozen) and not mode.backward
        if constants and self._frozen_version != self.parameters.version:
            self._forget_constants()
        key = (batch, mode, watched, constants)
        if key not in self._plans:
            plan = Plan(self.graph, batch, mode, self.device, watched, self.precision == "exact")
            if plan.nbytes > self._arena.block.size:
                self._plans.clear()
                self._arena.reserve(plan.nbytes)
            plan.bind(self._arena, self.parameters, self.buffers, constants)
            self._plans[key] = plan
        return self._plans[key]

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Promise that parameters and buffers stay what they are for a while.

        Passes without gradients then keep what they compute of them alone, such as weights in the order in which
        kernels read them, instead of computing it again for every batch. New weights by :meth:`load_state_dict` count
        at once; numbers that are written into the arrays themselves count after the block.

        Raises
        ------
        NnvisError
            From a training pass within the block.
        """
        if not self._frozen:
            self._forget_constants()
        self._frozen += 1
        try:
            yield
        finally:
            self._frozen -= 1
            if not self._frozen:
                self._forget_constants()

    def holds(self, plan: Plan) -> bool:
        """Whether a plan is still in use, or was given up when another one needed more memory."""
        return any(each is plan for each in self._plans.values())

    def _forget_constants(self) -> None:
        self._plans = {key: plan for key, plan in self._plans.items() if not key[-1]}
        self._frozen_version = self.parameters.version

    def _key(self, node: str, step: int) -> int:
        digest = hashlib.blake2b(f"{self.seed}/{node}/{step}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "little") >> 1

    def _require_last(self) -> _Pass:
        if self._last is None:
            raise NnvisError("Nothing has run through the network yet; call forward() first.")
        return self._last

    # --- probes -------------------------------------------------------------------------------------------

    def watch(self, *names: str) -> None:
        """Keep the activation and gradient of these nodes after each pass (``"*"``: of all).

        Without it memory is reused within a pass. :meth:`activation` then repeats the pass, which works only as long
        as the weights have not changed.
        """
        chosen = {n.name for n in self.graph.order()} if "*" in names else {self.graph[n].name for n in names}
        self._watched = self._watched | chosen

    def unwatch(self) -> None:
        """Watch nothing any more."""
        self._watched = frozenset()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch all nodes for a while."""
        before = self._watched
        self.watch("*")
        try:
            yield
        finally:
            self._watched = before

    def activation(self, name: str) -> np.ndarray:
        """Output of a node in the latest pass, (N, *shape)."""
        if name == INPUT:
            return self.device.memory.read(self._require_last().plan.input)
        self._ensure_kept(self.graph[name].name)
        return self.device.memory.read(self._require_last().plan.flows[name].y)

    def activation_gradient(self, name: str) -> np.ndarray:
        """Gradient of the loss with respect to a node's output in the latest pass, (N, *shape)."""
        if name != INPUT:
            self._ensure_kept(self.graph[name].name)
        last = self._require_last()
        if last.dys is None:
            raise NnvisError("The latest pass ran forward only; call backward() before asking for gradients.")
        if name not in last.plan.gradients:
            raise NnvisError(f"No gradient flows through {name!r}: nothing before it has parameters.")
        return self.device.memory.read(last.plan.gradients[name])

    def _ensure_kept(self, name: str) -> None:
        last = self._require_last()
        if name not in last.plan.flows and name not in last.plan.hidden:
            raise NnvisError(f"{name!r} took no part in the latest pass: it leads to no output that inference has.")
        if name not in last.plan.watched:
            self._replay(last.plan.mode, last.plan.watched | {name})

    def _replay(self, mode: Mode, watched: frozenset[str]) -> None:
        """Repeat the latest pass with other arrays kept; nothing else changes."""
        last = self._require_last()
        if last.version != self.parameters.version:
            raise NnvisError(
                "The weights have changed since the latest pass, so it cannot be looked at any more; "
                "call watch(name) before the step."
            )
        x = self.device.memory.read(last.plan.input)
        plan = self.plan(last.plan.batch, mode, watched)
        self.device.memory.write(plan.input, x)
        plan.set_keys(lambda name: self._key(name, last.step), replay=True)
        plan.run_forward()
        self._last = _Pass(plan, last.step, last.version)
        if last.dys is not None:
            self.finish_pass(self._read(last.dys))

    def first_non_finite(self) -> str | None:
        """Name of the first node, in execution order, whose output in the latest pass holds NaN or infinity."""
        self._replay(self._require_last().plan.mode, frozenset(n.name for n in self.graph.order()))
        plan = self._require_last().plan
        look = self.device.memory.look
        if not np.isfinite(look(plan.input)).all():
            return INPUT
        return next((n.name for n in plan.nodes if not np.isfinite(look(plan.flows[n.name].y)).all()), None)

    # --- weights ------------------------------------------------------------------------------------------

    def gradients(self) -> dict[str, np.ndarray]:
        """Gradient of every parameter from the latest backward pass, by name."""
        return self._read(self.parameters.gradients)

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of all parameters and buffers by name: ``conv1.weight``, ``bn1.running_mean``."""
        return self._read(self.parameters.values | self.buffers)

    def _read(self, arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
        return {name: self.device.memory.read(value) for name, value in arrays.items()}

    def load_state_dict(self, state: dict[str, np.ndarray], strict: bool = True) -> None:
        """Take over parameters and buffers.

        Parameters
        ----------
        state : dict of str to ndarray
        strict : bool
            False ignores names that are missing on either side.

        Raises
        ------
        CheckpointError
            Names (if `strict`) or shapes differ; nothing is changed then.
        """
        own = self.parameters.values | self.buffers
        if strict:
            _check_names(own, state)
        shared = [name for name in own if name in state]
        for name in shared:
            if np.shape(state[name]) != tuple(own[name].shape):
                raise CheckpointError(
                    f"The saved {name} has shape {describe(np.shape(state[name]))} but the network's has "
                    f"{describe(own[name].shape)}."
                )
        for name in shared:
            self.device.memory.write(own[name], state[name])
        self.parameters.version += 1


def _check_names(own: Iterable[str], state: Iterable[str]) -> None:
    missing, extra = sorted(set(own) - set(state)), sorted(set(state) - set(own))
    if missing or extra:
        parts = [f"lack {missing[0]}"] * bool(missing) + [f"have {extra[0]}, which the network has not"] * bool(extra)
        raise CheckpointError(
            f"The saved weights belong to another network: they {' and '.join(parts)} "
            f"({len(missing)} missing, {len(extra)} unknown)."
        )
