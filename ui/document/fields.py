"""Hyper-parameters as something to edit: kind, range and explanation of every field of a layer."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any

from nnvis.init import INITIALIZERS, initializer
from nnvis.layers.base import Layer


@dataclass(frozen=True)
class Field:
    """One hyper-parameter.

    Attributes
    ----------
    name : str
    kind : {"int", "pair", "float", "bool", "initialiser", "text"}
    low, high : float
        Range that a widget offers; the layer itself judges the value.
    explanation : str
    unset : str
        What an initialiser is called that is not chosen.
    """

    name: str
    kind: str
    low: float = 0.0
    high: float = 4096.0
    explanation: str = ""
    unset: str = "the network's"


def fields_of(layer: Layer) -> list[Field]:
    """The hyper-parameters of a layer, in the order of its definition."""
    texts = explanations(type(layer))
    return [_field(f.name, getattr(layer, f.name), texts.get(f.name, "")) for f in dataclasses.fields(layer)]


def _field(name: str, value: Any, text: str) -> Field:
    if name.endswith("_init"):
        return Field(name, "initialiser", explanation=text or "How the values start")
    if isinstance(value, bool):
        return Field(name, "bool", explanation=text)
    if isinstance(value, int):
        low = 0 if name in ("padding", "part", "before", "after") else 1
        return Field(name, "int", low, explanation=text)
    if isinstance(value, float):
        return Field(name, "float", 0.0, 1.0 if value <= 1 else 100.0, text)
    if isinstance(value, tuple) and len(value) == 2 and all(isinstance(v, int) for v in value):
        return Field(name, "pair", 0 if "padding" in name else 1, explanation=text)
    return Field(name, "text", explanation=text)


def explanations(kind: type[Layer]) -> dict[str, str]:
    """The explanation of each parameter, from the class's docstring."""
    found: dict[str, str] = {}
    names: list[str] = []
    for line in (kind.__doc__ or "").splitlines():
        head = re.match(r"^ {4}([\w, ]+) : ", line)
        if head:
            names = [name.strip() for name in head[1].split(",")]
        elif names and line.startswith(" " * 8):
            for name in names:
                found[name] = f"{found.get(name, '')} {line.strip()}".strip()
        elif not line.strip():
            names = []
    return found


def replace_field(layer: Layer, name: str, value: Any) -> Layer:
    """`layer` with one other hyper-parameter; ConfigError if the layer cannot take the value."""
    if name.endswith("_init") and value is not None:
        value = initializer(value)
    return Layer.from_config(layer.kind, {**_values(layer), name: value})


def _values(layer: Layer) -> dict[str, Any]:
    return {f.name: getattr(layer, f.name) for f in dataclasses.fields(layer)}


def read_text(text: str) -> Any:
    """What somebody typed: a number, several numbers, or nothing."""
    text = text.strip().strip("()[]")
    if not text or text.lower() == "none":
        return None
    parts = [float(p) if "." in p else int(p) for p in re.split(r"[,x\s]+", text) if p]
    return parts[0] if len(parts) == 1 and "," not in text else tuple(parts)


def initializer_names() -> list[str]:
    """Names of all initialisers."""
    return list(INITIALIZERS)
