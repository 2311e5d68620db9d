"""Blocks: parts of published networks, to be put behind any node of a graph.

>>> y = nv.blocks.basic_residual(g, x, channels=64, stride=2, name="layer1.0")

Each takes the graph, the node to read, options whose defaults follow from the input, and a name; it returns its last
node, and the graph records its nodes as a block. To add one, put a file into this folder with a function marked
``@register(...)``; it needs no other change.
"""

from __future__ import annotations

import importlib
import pkgutil

from nnvis.blocks.registry import ENTRIES, Build, Entry, entry, names, register

__all__ = ["Entry", "entry", "names", "register"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")


def __getattr__(name: str) -> Build:
    if name in ENTRIES:
        return ENTRIES[name].build
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *ENTRIES])
