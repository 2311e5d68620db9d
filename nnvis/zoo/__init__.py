"""The zoo: published networks as functions that return a :class:`~nnvis.graph.Graph`.

To add one, put a file into this folder with a function marked ``@register()``; it needs no other change.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable

from nnvis.graph import Graph
from nnvis.zoo.registry import ALIASES, ENTRIES, Entry, build, entry, names

__all__ = ["Entry", "build", "entry", "names"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")


def __getattr__(name: str) -> Callable[..., Graph]:
    if ALIASES.get(name, name) in ENTRIES:
        return entry(name).build
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *ENTRIES])
