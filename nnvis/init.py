"""Initial weights: zero, constant, normal, uniform, Xavier (Glorot) and He (Kaiming).

Each parameter draws from its own random stream, keyed by the seed and the parameter's name. Adding or removing a
layer therefore leaves the initial weights of all others as they were.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nnvis.errors import ConfigError, UnknownNameError

INITIALIZERS: dict[str, type[Initializer]] = {}


@dataclass(frozen=True)
class Initializer:
    """Base of all initialisers."""

    name: ClassVar[str] = ""

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        INITIALIZERS[cls.name] = cls

    def sample(self, shape: tuple[int, ...], fan_in: int, fan_out: int, random: np.random.Generator) -> np.ndarray:
        """Draw an array (float64) of this `shape`; a large weight is asked for in pieces, one after the other."""
        raise NotImplementedError

    def config(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"name": self.name, **dataclasses.asdict(self)}


@dataclass(frozen=True)
class Zeros(Initializer):
    """All zero. In a weight matrix every unit then learns the same: symmetry is never broken."""

    name = "zeros"

    def sample(self, shape, fan_in, fan_out, random):
        return np.zeros(shape)


@dataclass(frozen=True)
class Constant(Initializer):
    """All equal to `value`."""

    value: float = 1.0
    name = "constant"

    def sample(self, shape, fan_in, fan_out, random):
        return np.full(shape, self.value)


@dataclass(frozen=True)
class Normal(Initializer):
    """Normal with mean 0 and a fixed standard deviation, whatever the layer's size."""

    std: float = 0.01
    name = "normal"

    def sample(self, shape, fan_in, fan_out, random):
        return random.normal(0.0, self.std, shape)


@dataclass(frozen=True)
class Uniform(Initializer):
    """Uniform in [-limit, limit]."""

    limit: float = 0.05
    name = "uniform"

    def sample(self, shape, fan_in, fan_out, random):
        return random.uniform(-self.limit, self.limit, shape)


def _scaled(std: float, distribution: str, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    if distribution == "uniform":
        limit = math.sqrt(3.0) * std
        return random.uniform(-limit, limit, shape)
    return random.normal(0.0, std, shape)


@dataclass(frozen=True)
class _Scaled(Initializer):
    distribution: str = "normal"

    def __post_init__(self):
        if self.distribution not in ("normal", "uniform"):
            raise ConfigError(f"distribution must be 'normal' or 'uniform', not {self.distribution!r}.")


@dataclass(frozen=True)
class Xavier(_Scaled):
    """Variance ``2 / (fan_in + fan_out)``: keeps signal and gradient in scale through linear or tanh layers.

    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010.
    """

    name = "xavier"

    def sample(self, shape, fan_in, fan_out, random):
        return _scaled(math.sqrt(2.0 / (fan_in + fan_out)), self.distribution, shape, random)


@dataclass(frozen=True)
class He(_Scaled):
    """Variance ``2 / fan``: makes up for the half of the signal that ReLU cuts off.

    He et al., "Delving Deep into Rectifiers", 2015. `mode` is "fan_in" or "fan_out".
    """

    mode: str = "fan_in"
    name = "he"

    def sample(self, shape, fan_in, fan_out, random):
        fan = fan_in if self.mode == "fan_in" else fan_out
        return _scaled(math.sqrt(2.0 / fan), self.distribution, shape, random)


del INITIALIZERS[""]


def initializer(chosen: Any) -> Initializer:
    """An initialiser from itself, its name (``"he"``, ``"normal:0.01"``) or its `config`."""
    if isinstance(chosen, Initializer):
        return chosen
    if isinstance(chosen, str):
        name, _, value = chosen.partition(":")
        options: dict[str, Any] = {}
        if value and name in INITIALIZERS:
            first = dataclasses.fields(INITIALIZERS[name])[0].name
            options = {first: value if first == "distribution" else _number(value, chosen)}
    elif isinstance(chosen, dict):
        options = dict(chosen)
        name = options.pop("name", None)
    else:
        raise ConfigError(f"An initialiser is a name such as 'he', not {chosen!r}.")
    if name not in INITIALIZERS:
        raise UnknownNameError(f"There is no initialiser {name!r}; known are {', '.join(sorted(INITIALIZERS))}.")
    try:
        return INITIALIZERS[name](**options)
    except TypeError as error:
        raise ConfigError(f"Initialiser {name!r}: {error}.") from None


def _number(text: str, chosen: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"The value in initialiser {chosen!r} is not a number.") from None


def stream(seed: int, name: str) -> np.random.Generator:
    """A random generator that depends on `seed` and `name` alone."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))
