"""Export as a Python script: the same network and training, in plain nnvis."""

from __future__ import annotations

import builtins
import dataclasses
import keyword
import re
from typing import Any

from nnvis.graph import INPUT
from nnvis.init import Initializer
from nnvis.layers.base import Layer
from ui.document.analysis import working_graph
from ui.document.state import DocumentState

#: Names that a variable of the script must not take.
_TAKEN = {"g", "nv", "data", "run", *keyword.kwlist, *dir(builtins)}

_HEAD = '''"""A network and its training, exported from nnvis."""

import nnvis as nv

g = nv.Graph(input_shape={shape}{init}, name={name!r})
'''


def python_script(state: DocumentState) -> str:
    """A script that builds and trains the network of `state`; GraphError if it does not work."""
    graph = working_graph(state)
    variables = {INPUT: "g.input"}
    init = "" if state.init is None else f", init={_initializer(state.init)}"
    lines = [_HEAD.format(name=state.name, shape=tuple(state.input_shape), init=init)]
    for node in graph.order():
        variables[node.name] = _variable(node.name, set(variables.values()))
        sources = [variables[i] for i in node.inputs]
        inputs = sources[0] if len(sources) == 1 else f"[{', '.join(sources)}]"
        lines.append(f"{variables[node.name]} = g.add({_layer(node.layer)}, {inputs}, name={node.name!r})\n")
    for name, block in graph.blocks.items():
        members = ", ".join(variables[n] for n in block.nodes)
        kind = f", kind={block.kind!r}" if block.kind else ""
        lines.append(f"g.group({name!r}, [{members}]{kind})\n")
    lines += [f"g.add_aux_output({variables[name]}, {weight})\n" for name, weight in graph.aux_outputs.items()]
    lines.append(f"g.output = {variables[graph.output.name]}\n\n")
    return "".join(lines) + _training(state)


def _training(state: DocumentState) -> str:
    options = state.settings.options
    optimizer = options.optimizer
    loss = options.loss.config()["name"]
    clipping = "" if options.clip_norm is None else f" clip_norm={options.clip_norm},"
    return (
        f"data = nv.data.load({state.settings.data!r}, validation_split={state.settings.validation})\n"
        f"run = nv.fit(\n    g, data, epochs={options.epochs}, batch_size={options.batch_size},\n"
        f"    optimizer=nv.{_call(optimizer)}, loss={loss!r}, schedule={str(options.schedule)!r},\n"
        f"    augmentation={str(options.augmentation)!r}, seed={options.seed},{clipping} verbose=True,\n)\n"
        'print(run.history["val_loss"])\n'
    )


def _layer(layer: Layer) -> str:
    return f"nv.{_call(layer)}"


def _call(value: Any) -> str:
    """``SGD(lr=0.05)``: only what differs from the defaults is written."""
    given = [
        f"{f.name}={_literal(getattr(value, f.name))}"
        for f in dataclasses.fields(value)
        if f.default is dataclasses.MISSING or getattr(value, f.name) != _made(value, f)
    ]
    return f"{type(value).__name__}({', '.join(given)})"


def _made(value: Any, field: dataclasses.Field) -> Any:
    """A default as it looks in a made layer, which turns 3 into (3, 3)."""
    current = getattr(value, field.name)
    if isinstance(current, tuple) and isinstance(field.default, int):
        return (field.default,) * len(current)
    return field.default


def _literal(value: Any) -> str:
    return _initializer(value) if isinstance(value, Initializer) else repr(value)


def _initializer(value: Initializer) -> str:
    return repr(value.config())


def _variable(name: str, taken: set[str]) -> str:
    """A name for a node's variable, of letters that Python takes everywhere."""
    stem = re.sub(r"\W", "_", name, flags=re.ASCII)
    stem = f"n_{stem}" if stem[0].isdigit() or stem in _TAKEN else stem
    found, count = stem, 1
    while found in taken:
        count += 1
        found = f"{stem}_{count}"
    return found
