"""Documents as files: ``.json`` graphs, which the command line reads too, and ``.nnvis`` projects with weights."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from nnvis.errors import CheckpointError, GraphError, NnvisError
from nnvis.graph import Graph
from nnvis.init import initializer
from nnvis.layers.base import Layer
from nnvis.runs.files import write_bytes
from ui.document.layout import tidy
from ui.document.state import Block, DocumentState, NodeState, Settings, from_graph, to_graph

PROJECT = ".nnvis"
GRAPH = ".json"
_FORMAT, _VERSION = "nnvis-project", 1
Weights = dict[str, np.ndarray]


def save(path: Path, state: DocumentState, weights: Weights | None = None) -> None:
    """Write a project, or a graph alone where the name ends in ``.json``; whole or not at all.

    Raises
    ------
    OutputError
        The file cannot be written; what was there before is untouched.
    """
    content = _graph_file(state) if path.suffix == GRAPH else project_bytes(state, weights)
    write_bytes(path, content)


def load(path: Path) -> tuple[DocumentState, Weights]:
    """Read a project or a graph file; a graph file has no weights.

    Raises
    ------
    GraphError, CheckpointError
        In one sentence: the file is torn, or of another kind.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise GraphError(f"Cannot read {path}: {error.strerror or error}.") from None
    if path.suffix == GRAPH or content[:1] == b"{":
        return _read_graph(path, content), {}
    return read_project(content, path.name)


def project_bytes(state: DocumentState, weights: Weights | None = None) -> bytes:
    """A project as the bytes of its file: a zip archive of ``project.json`` and ``weights.safetensors``."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("project.json", json.dumps(state_to_dict(state), indent=1))
        if weights:
            arrays = {name: np.ascontiguousarray(value) for name, value in weights.items()}
            archive.writestr("weights.safetensors", save_tensors(arrays), zipfile.ZIP_STORED)
    return target.getvalue()


def read_project(content: bytes, title: str) -> tuple[DocumentState, Weights]:
    """The document in the bytes of a project file; `title` names it in errors."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            data = json.loads(archive.read("project.json"))
            stored = archive.read("weights.safetensors") if "weights.safetensors" in archive.namelist() else b""
        if data.get("format") != _FORMAT or data.get("version") != _VERSION:
            raise GraphError(f"{title} is not a project that this version of nnvis can read.")
        return state_from_dict(data), load_tensors(stored) if stored else {}
    except SafetensorError:
        raise CheckpointError(f"The weights in {title} are damaged.") from None
    except NnvisError:
        raise
    except Exception as error:  # zip, JSON and missing keys all mean the same to the user
        raise GraphError(f"{title} is damaged or incomplete and cannot be opened ({type(error).__name__}).") from None


def state_to_dict(state: DocumentState) -> dict[str, Any]:
    """A document as plain JSON values, working or not."""
    return {
        "format": _FORMAT, "version": _VERSION, "name": state.name, "input_shape": list(state.input_shape),
        "init": None if state.init is None else state.init.config(), "output": state.output,
        "input_position": list(state.input_position), "settings": state.settings.config(),
        "nodes": [node_to_dict(name, node) for name, node in state.nodes.items()],
        "blocks": [{"name": n, "members": sorted(b.members), "collapsed": b.collapsed}
                   for n, b in state.blocks.items()],
    }  # fmt: skip


def state_from_dict(data: dict[str, Any]) -> DocumentState:
    """The document whose :func:`state_to_dict` this is."""
    blocks = {b["name"]: Block(frozenset(b["members"]), bool(b["collapsed"])) for b in data["blocks"]}
    return DocumentState(
        data["name"], tuple(data["input_shape"]), None if data["init"] is None else initializer(data["init"]),
        MappingProxyType(dict(map(node_from_dict, data["nodes"]))), MappingProxyType(blocks), data["output"],
        tuple(data["input_position"]), Settings.from_config(data["settings"]),
    )  # fmt: skip


def node_to_dict(name: str, node: NodeState) -> dict[str, Any]:
    """A node as plain JSON values; the clipboard holds these, too."""
    return {
        "name": name, "kind": node.layer.kind, "config": node.layer.config(),
        "inputs": list(node.inputs), "position": list(node.position),
    }  # fmt: skip


def node_from_dict(data: dict[str, Any]) -> tuple[str, NodeState]:
    """Name and node from :func:`node_to_dict`."""
    layer = Layer.from_config(data["kind"], data["config"])
    return data["name"], NodeState(layer, tuple(data["inputs"]), tuple(data["position"]))


def _graph_file(state: DocumentState) -> bytes:
    graph = to_graph(state).to_dict()
    places = {name: list(node.position) for name, node in state.nodes.items()}
    return json.dumps({**graph, "layout": places}, indent=1).encode()


def _read_graph(path: Path, content: bytes) -> DocumentState:
    text = content.decode("utf-8", "replace")
    state = from_graph(Graph.from_json(text, check=False))
    places = json.loads(text).get("layout", {})
    if set(places) != set(state.nodes):
        return tidy(state)
    nodes = {name: replace(node, position=tuple(places[name])) for name, node in state.nodes.items()}
    return state.with_nodes(nodes)
