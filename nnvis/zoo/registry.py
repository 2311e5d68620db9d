"""The list of networks: how a file in this folder makes its networks known."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nnvis.errors import ConfigError, UnknownNameError
from nnvis.graph import Graph
from nnvis.zoo.families import rank

ENTRIES: dict[str, Entry] = {}
ALIASES: dict[str, str] = {}


@dataclass(frozen=True)
class Entry:
    """One network of the zoo.

    Attributes
    ----------
    name : str
    build : callable
        Returns a Graph; takes `input_shape`, `num_classes` and options of its own.
    summary : str
        One line.
    defaults : dict
        Training settings that work well: lr, momentum, epochs, batch_size, schedule, data...; `optimizer` where it is
        not gradient descent with momentum.
    """

    name: str
    build: Callable[..., Graph]
    summary: str
    defaults: dict[str, Any] = field(default_factory=dict)

    @property
    def options(self) -> dict[str, Any]:
        """Options of `build` and their default values."""
        return {p.name: p.default for p in inspect.signature(self.build).parameters.values()}

    @property
    def family(self) -> str:
        """The file of this folder that it is in: a key of FAMILIES, or a name that is not in there."""
        return self.build.__module__.rpartition(".")[2]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Default input shape."""
        return self.options["input_shape"]


def register(*aliases: str, **defaults: Any) -> Callable[[Callable[..., Graph]], Callable[..., Graph]]:
    """Decorator: add a builder to the zoo under its own name and `aliases`, with these training defaults."""

    def decorate(build: Callable[..., Graph]) -> Callable[..., Graph]:
        name = build.__name__
        summary = (inspect.getdoc(build) or "").partition("\n")[0]
        ENTRIES[name] = Entry(name, build, summary, defaults)
        ALIASES.update(dict.fromkeys(aliases, name))
        return build

    return decorate


def names() -> list[str]:
    """Names of all networks, family by family."""
    return sorted(ENTRIES, key=lambda name: rank(ENTRIES[name].family))


def entry(name: str) -> Entry:
    """The network called `name`; UnknownNameError with the closest name otherwise."""
    name = ALIASES.get(name, name)
    if name not in ENTRIES:
        close = difflib.get_close_matches(name, [*ENTRIES, *ALIASES], n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(ENTRIES)}."
        raise UnknownNameError(f"There is no network {name!r}; {hint}")
    return ENTRIES[name]


def build(name: str, **options: Any) -> Graph:
    """The graph of a network by name, such as ``build("resnet20", num_classes=100)``."""
    chosen = entry(name)
    unknown = sorted(set(options) - set(chosen.options))
    if unknown:
        raise ConfigError(f"Network {name!r} has no option {unknown[0]!r}; it has {', '.join(chosen.options)}.")
    return chosen.build(**options)
