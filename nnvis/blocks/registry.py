"""The list of blocks: how a file in this folder makes its blocks known."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nnvis.errors import UnknownNameError
from nnvis.graph import Graph, Node
from nnvis.layers.base import Shape

ENTRIES: dict[str, Entry] = {}
#: ``build(graph, input, ..., name="layer1.0")`` adds the block's nodes and returns the last one.
Build = Callable[..., Node]


@dataclass(frozen=True)
class Entry:
    """One block to be offered.

    Attributes
    ----------
    name : str
    title : str
        For people: "Basic residual block".
    family : str
        What it is for: convolution, residual, attention...
    summary : str
        One line.
    build : callable
        Takes a Graph, the node to read, options that have defaults, and ``name``.
    words : str
        By which one may search for it, too.
    shape : tuple of int
        Of an input that it fits.
    """

    name: str
    title: str
    family: str
    summary: str
    build: Build
    words: str = ""
    shape: Shape = (8, 8, 16)


def register(title: str, family: str, words: str = "", shape: Shape = (8, 8, 16)) -> Callable[[Build], Build]:
    """Decorator: offer a builder, and make a block of all that it adds.

    Parameters
    ----------
    title, family, words, shape
        As in :class:`Entry`; its summary is the first line of the docstring.
    """

    def decorate(build: Build) -> Build:
        kind = build.__name__

        @functools.wraps(build)
        def in_block(g: Graph, x: Node | str, *args: Any, name: str = "", **options: Any) -> Node:
            with g.block(name or None, kind) as found:
                return build(g, x, *args, name=found, **options)

        summary = (inspect.getdoc(build) or "").partition("\n")[0].rstrip(".")
        ENTRIES[kind] = Entry(kind, title, family, summary, in_block, words, shape)
        return in_block

    return decorate


def preset(name: str, title: str, base: Build, summary: str, words: str = "", **options: Any) -> None:
    """Offer a block a second time, with other options."""
    known = ENTRIES[base.__name__]
    build = functools.partial(base, **options)
    ENTRIES[name] = Entry(name, title, known.family, summary, build, f"{known.words} {words}", known.shape)


def names() -> list[str]:
    """Names of all blocks."""
    return list(ENTRIES)


def entry(name: str) -> Entry:
    """The block called `name`; UnknownNameError with the closest name otherwise."""
    if name not in ENTRIES:
        close = difflib.get_close_matches(name, ENTRIES, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(ENTRIES)}."
        raise UnknownNameError(f"There is no block {name!r}; {hint}")
    return ENTRIES[name]
