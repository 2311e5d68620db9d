"""Optimisers: how gradients change the parameters.

An optimiser is immutable data. Bound to the parameters of a network it becomes an :class:`Updater`, which owns the
state (momentum and the like) as flat arrays and changes all parameters in one or two fused kernel calls.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nnvis.device import Device
from nnvis.errors import CheckpointError, ConfigError, UnknownNameError
from nnvis.parameters import Parameters

#: ``apply(lr, step, grad_scale)`` updates one stretch of the flat arrays.
Apply = Callable[[float, int, float], None]

OPTIMIZERS: dict[str, type[Optimizer]] = {}


class Optimizer:
    """Base of all optimisers; each is a frozen dataclass.

    Parameters
    ----------
    lr : float
        Learning rate; a schedule multiplies it.
    weight_decay : float
        Strength of the L2 penalty: ``weight_decay * w`` is added to the gradient (AdamW decays directly).
    l1 : float
        Strength of the L1 penalty: ``l1 * sign(w)`` is added to the gradient.
    decay : {"all", "weights"}
        Whether both penalties act on all parameters or spare vectors (biases and the scales of batch norm).
    """

    name: ClassVar[str] = ""

    lr: float
    weight_decay: float
    l1: float
    decay: str

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        OPTIMIZERS[cls.name] = cls

    def __post_init__(self):
        _at_least_zero(self, "lr", "weight_decay", "l1")
        if self.decay not in ("all", "weights"):
            raise ConfigError(f"decay must be 'all' or 'weights', not {self.decay!r}.")

    @property
    def states(self) -> tuple[str, ...]:
        """Names of the state arrays, each as large as all parameters."""
        return ()

    def bind(self, parameters: Parameters, device: Device) -> Updater:
        """The updater of these `parameters`, with fresh state."""
        return Updater(self, parameters, device)

    def make_apply(
        self, kernels: Any, w: np.ndarray, g: np.ndarray, states: list[np.ndarray], l1: float, l2: float
    ) -> Apply:
        """The call that updates the flat stretch `w`, given its gradient, states and penalties."""
        raise NotImplementedError

    def config(self) -> dict[str, Any]:
        """As plain JSON values; :func:`optimizer_from_config` reads them back."""
        return {"name": self.name, **dataclasses.asdict(self)}  # type: ignore[call-overload]


@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if it is above zero.

    ``v = momentum v + g``, then ``w -= lr v``; with Nesterov's look-ahead ``w -= lr (g + momentum v)``.

    Parameters
    ----------
    lr, momentum : float
    nesterov : bool
    weight_decay, l1, decay
        See :class:`Optimizer`.

    Notes
    -----
    Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013.
    """

    name: ClassVar[str] = "sgd"

    lr: float = 0.01
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    l1: float = 0.0
    decay: str = "all"

    def __post_init__(self):
        super().__post_init__()
        _below_one(self, "momentum")
        if self.nesterov and not self.momentum:
            raise ConfigError("Nesterov's look-ahead needs a momentum above 0, such as 0.9.")

    @property
    def states(self) -> tuple[str, ...]:
        return ("momentum",) if self.momentum else ()

    def make_apply(self, kernels, w, g, states, l1, l2):
        if not self.momentum:
            return lambda lr, step, scale: kernels.sgd_update(w, g, lr, l1, l2, scale)
        v, momentum, nesterov = states[0], float(self.momentum), bool(self.nesterov)
        return lambda lr, step, scale: kernels.momentum_update(w, g, v, lr, momentum, nesterov, l1, l2, scale)


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """Gradient divided by a running root mean square of it.

    ``s = alpha s + (1 - alpha) g**2``, then ``w -= lr g / (sqrt(s) + eps)``.

    Parameters
    ----------
    lr, alpha, eps : float
    weight_decay, l1, decay
        See :class:`Optimizer`.

    Notes
    -----
    Tieleman and Hinton, "Lecture 6.5: rmsprop", 2012.
    """

    name: ClassVar[str] = "rmsprop"

    lr: float = 0.01
    alpha: float = 0.99
    eps: float = 1e-8
    weight_decay: float = 0.0
    l1: float = 0.0
    decay: str = "all"

    def __post_init__(self):
        super().__post_init__()
        _below_one(self, "alpha")
        _above_zero(self, "eps")

    @property
    def states(self) -> tuple[str, ...]:
        return ("square",)

    def make_apply(self, kernels, w, g, states, l1, l2):
        s, alpha, eps = states[0], float(self.alpha), float(self.eps)
        return lambda lr, step, scale: kernels.rmsprop_update(w, g, s, lr, alpha, eps, l1, l2, scale)


@dataclass(frozen=True)
class Adam(Optimizer):
    """Running mean of the gradient divided by the root of its running mean square, both corrected for their start.

    Parameters
    ----------
    lr : float
    betas : (float, float)
        Decay of the two running means.
    eps : float
    weight_decay, l1, decay
        See :class:`Optimizer`.

    Notes
    -----
    Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015, algorithm 1.
    """

    name: ClassVar[str] = "adam"
    #: Whether weight decay acts on the weights directly instead of through the gradient.
    decoupled: ClassVar[bool] = False

    lr: float = 0.001
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    l1: float = 0.0
    decay: str = "all"

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "betas", tuple(self.betas))
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ConfigError(f"betas must be two numbers from 0 up to, but not including, 1, not {self.betas!r}.")
        _above_zero(self, "eps")

    @property
    def states(self) -> tuple[str, ...]:
        return ("mean", "square")

    def make_apply(self, kernels, w, g, states, l1, l2):
        m, v = states
        constants = (*map(float, self.betas), float(self.eps))
        direct, l2 = (l2, 0.0) if self.decoupled else (0.0, l2)
        return lambda lr, step, scale: kernels.adam_update(w, g, m, v, lr, *constants, step, direct, l1, l2, scale)


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam whose weight decay acts on the weights directly: ``w *= 1 - lr * weight_decay``, then Adam's step.

    Notes
    -----
    Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019, algorithm 2.
    """

    name: ClassVar[str] = "adamw"
    decoupled: ClassVar[bool] = True

    weight_decay: float = 0.01


class Updater:
    """An optimiser at work on the parameters of one network.

    Parameters
    ----------
    optimizer : Optimizer
    parameters : Parameters
    device : Device

    Attributes
    ----------
    step : int
        Updates so far.
    """

    def __init__(self, optimizer: Optimizer, parameters: Parameters, device: Device):
        self.optimizer, self.parameters, self._memory = optimizer, parameters, device.memory
        self.step = 0
        nbytes, dtype = parameters.flat_values.size * device.dtype.itemsize, device.dtype
        self._states = {name: device.memory.zeros(nbytes).view(dtype) for name in optimizer.states}
        self._applies = [self._apply(device.kernels, *part) for part in self._parts() if part[0].stop > part[0].start]

    def _parts(self) -> list[tuple[slice, float, float]]:
        """Stretches of the flat arrays with their L1 and L2 penalties."""
        size = self.parameters.flat_values.size
        penalties = float(self.optimizer.l1), float(self.optimizer.weight_decay)
        if self.optimizer.decay == "all" or penalties == (0.0, 0.0):
            return [(slice(0, size), *penalties)]
        weights = self.parameters.weights
        return [(weights, *penalties), (slice(weights.stop, size), 0.0, 0.0)]

    def _apply(self, kernels: Any, part: slice, l1: float, l2: float) -> Apply:
        w, g = self.parameters.flat_values[part], self.parameters.flat_gradients[part]
        states = [state[part] for state in self._states.values()]
        return self.optimizer.make_apply(kernels, w, g, states, l1, l2)

    def update(self, lr: float | None = None, grad_scale: float = 1.0) -> None:
        """Change the parameters by one step.

        Parameters
        ----------
        lr : float, optional
            Learning rate of this step, instead of the optimiser's own.
        grad_scale : float
            Factor on the gradients.
        """
        self.step += 1
        rate = self.optimizer.lr if lr is None else lr
        for apply in self._applies:
            apply(rate, self.step, grad_scale)
        self.parameters.version += 1

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of the state by name, such as ``momentum/conv1.weight``, and the number of updates as ``step``."""
        named = {f"{state}/{name}": self._memory.read(view) for state, name, view in self._named()}
        return named | {"step": np.array(self.step, np.int64)}

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        """Take over what :meth:`state_dict` returned; CheckpointError, and no change, if it does not fit."""
        views = {f"{kind}/{name}": view for kind, name, view in self._named()}
        if set(state) != set(views) | {"step"}:
            raise CheckpointError(
                f"The saved optimiser state ({_kinds(state)}) does not fit {self.optimizer.name} ({_kinds(views)}) "
                "with these parameters; go on with the optimiser that it was saved from."
            )
        for name, view in views.items():
            if np.shape(state[name]) != tuple(view.shape):
                raise CheckpointError(f"The saved {name} has shape {np.shape(state[name])}, not {tuple(view.shape)}.")
        for name, view in views.items():
            self._memory.write(view, state[name])
        self.step = int(state["step"])

    def adopt(self, other: Updater) -> None:
        """Take over the number of updates, and the state arrays that both optimisers have."""
        self.step = other.step
        for name in set(self._states) & set(other._states):
            self._memory.write(self._states[name], self._memory.look(other._states[name]))

    def _named(self) -> list[tuple[str, str, Any]]:
        return [
            (state, name, view)
            for state, flat in self._states.items()
            for name, view in self.parameters.views(flat).items()
        ]


def _kinds(names: Iterable[str]) -> str:
    """The kinds of state among names such as ``momentum/conv1.weight``."""
    return ", ".join(sorted({name.partition("/")[0] for name in names} - {"step"})) or "none"


# --- by name ------------------------------------------------------------------------------------------------

#: Names for the command line, with the options that distinguish them.
NAMES: dict[str, tuple[type[Optimizer], dict[str, Any]]] = {
    "sgd": (SGD, {}),
    "momentum": (SGD, {"momentum": 0.9}),
    "nesterov": (SGD, {"momentum": 0.9, "nesterov": True}),
    "rmsprop": (RMSprop, {}),
    "adam": (Adam, {}),
    "adamw": (AdamW, {}),
}


def optimizer(name: str | Optimizer, **options: Any) -> Optimizer:
    """The optimiser called `name` ("sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw").

    Parameters
    ----------
    name : str or Optimizer
        An Optimizer is returned as it is.
    **options
        Its fields; those that are None keep their default.
    """
    if isinstance(name, Optimizer):
        return name
    if name not in NAMES:
        close = difflib.get_close_matches(str(name), NAMES, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(NAMES)}."
        raise UnknownNameError(f"There is no optimiser {name!r}; {hint}")
    cls, preset = NAMES[name]
    return _make(cls, name, preset | {key: value for key, value in options.items() if value is not None})


def optimizer_from_config(config: dict[str, Any]) -> Optimizer:
    """The optimiser whose :meth:`Optimizer.config` this is."""
    name = config.get("name")
    if name not in OPTIMIZERS or not name:
        raise UnknownNameError(f"There is no optimiser {name!r}; known are {', '.join(OPTIMIZERS)}.")
    return _make(OPTIMIZERS[name], name, {key: value for key, value in config.items() if key != "name"})


def _make(cls: type[Optimizer], name: str, options: dict[str, Any]) -> Optimizer:
    known = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    for option in options:
        if option not in known:
            raise ConfigError(f"Optimiser {name!r} has no option {option!r}; it has {', '.join(known)}.")
    return cls(**options)


def _check(optimizer: Optimizer, names: tuple[str, ...], accept: Callable[[float], bool], expected: str) -> None:
    for name in names:
        value = getattr(optimizer, name)
        good = isinstance(value, int | float | np.floating) and math.isfinite(value) and accept(float(value))
        if not good:
            raise ConfigError(f"{name} of {optimizer.name} must be {expected}, not {value!r}.")


def _at_least_zero(optimizer: Optimizer, *names: str) -> None:
    _check(optimizer, names, lambda v: v >= 0, "a number of at least 0")


def _above_zero(optimizer: Optimizer, *names: str) -> None:
    _check(optimizer, names, lambda v: v > 0, "a number above 0")


def _below_one(optimizer: Optimizer, *names: str) -> None:
    _check(optimizer, names, lambda v: 0 <= v < 1, "a number from 0 up to, but not including, 1")
