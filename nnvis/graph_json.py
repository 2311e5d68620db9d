"""Graphs as JSON: what :meth:`Graph.to_json <nnvis.graph.Graph.to_json>` writes and ``from_json`` reads."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from nnvis.errors import GraphError, NnvisError
from nnvis.layers.base import Layer
from nnvis.node import Node

if TYPE_CHECKING:
    from nnvis.graph import Graph

FORMAT = "nnvis-graph"
VERSION = 1
#: What makes two graphs compute the same from the same weights: names and blocks of nodes are for people, but weights
#: go by the names.
_ESSENCE = ("input_shape", "nodes", "output", "aux_outputs")


def to_dict(graph: Graph) -> dict[str, Any]:
    """As plain JSON values."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "name": graph.name,
        "input_shape": list(graph.input_shape),
        "init": None if graph.init is None else graph.init.config(),
        "nodes": [
            {"name": n.name, "kind": n.layer.kind, "config": n.layer.config(), "inputs": list(n.inputs)} for n in graph
        ],
        "output": graph.output.name if graph.nodes else None,
        **({"aux_outputs": graph.aux_outputs} if graph.aux_outputs else {}),
        **({"blocks": blocks} if (blocks := _blocks(graph)) else {}),
    }


def _blocks(graph: Graph) -> list[dict[str, Any]]:
    """The blocks, without nodes that have been taken out of the graph."""
    found = [
        {"name": name, "kind": block.kind, "nodes": [n for n in block.nodes if n in graph.nodes]}
        for name, block in graph.blocks.items()
    ]
    return [block for block in found if block["nodes"]]


def parse(text: str) -> dict[str, Any]:
    """The values in a graph file's text; GraphError if it is something else."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise GraphError(f"The graph file is not JSON: {error}.") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise GraphError(f'The file is JSON but not an nnvis graph: it has no "format": "{FORMAT}".')
    if data.get("version") != VERSION:
        raise GraphError(f"The graph file has version {data.get('version')}, but this nnvis reads version {VERSION}.")
    return data


def build(cls: type[Graph], data: dict[str, Any]) -> Graph:
    """The graph of these values; GraphError if they are damaged."""
    try:
        return _build(cls, data)
    except (KeyError, TypeError, AttributeError) as error:
        if isinstance(error, NnvisError):
            raise
        raise GraphError(f"The graph file is damaged: {type(error).__name__} {error}.") from None


def _build(cls: type[Graph], data: dict[str, Any]) -> Graph:
    graph = cls(data["input_shape"], data.get("init"), data.get("name", "net"))
    for entry in data["nodes"]:
        graph.check_name(entry["name"])
        try:
            layer = Layer.from_config(entry["kind"], entry.get("config", {}))
        except NnvisError as error:
            raise GraphError(f"Node {entry['name']!r}: {error}", entry["name"]) from None
        graph.nodes[entry["name"]] = Node(entry["name"], layer, tuple(entry["inputs"]))
    graph._output = data.get("output")
    for name, weight in data.get("aux_outputs", {}).items():
        graph.add_aux_output(name, weight)
    for entry in data.get("blocks", ()):
        graph.group(entry["name"], entry["nodes"], entry.get("kind", ""))
    return graph


def fingerprint(graph: Graph) -> str:
    """A short hash of all that weights depend on."""
    data = to_dict(graph)
    essence = json.dumps([data[key] for key in _ESSENCE if key in data], sort_keys=True)
    return hashlib.sha256(essence.encode()).hexdigest()[:16]
