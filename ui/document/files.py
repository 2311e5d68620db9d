"""Documents as files: ``.json`` graphs, which the command line reads too, and ``.nnvis`` projects with weights."""

from __future__ import annotations

import io
import json
import math
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from nnvis.errors import CheckpointError, GraphError, NnvisError
from nnvis.graph import INPUT, Graph
from nnvis.init import initializer
from nnvis.layers.base import Layer, describe
from nnvis.runs import PausedRun
from nnvis.runs.checkpoint import read_checkpoint
from nnvis.runs.files import write_bytes
from ui.document.analysis import working_graph
from ui.document.blocks import nested
from ui.document.layout import tidy
from ui.document.state import Block, DocumentState, NodeState, Settings, from_graph, to_graph

PROJECT = ".nnvis"
GRAPH = ".json"
_FORMAT, _VERSION = "nnvis-project", 1
#: Members of a project's archive. Weights are in one of two: alone, or with all that it takes to train on.
_DOCUMENT, _WEIGHTS, _RUN, _CIRCUMSTANCES, _ORIGIN = (
    "project.json", "weights.safetensors", "run.safetensors", "run.json", "origin.json",
)  # fmt: skip
Weights = dict[str, np.ndarray]


@dataclass(frozen=True)
class Origin:
    """What a copy of unsaved work belongs to: the project's file, and the folder of the run that trains it."""

    file: Path | None = None
    run: Path | None = None


@dataclass(frozen=True)
class Content:
    """What is in a file.

    Attributes
    ----------
    state : DocumentState
    weights : dict of str to ndarray
        Empty for graph files.
    run : PausedRun, optional
        The training that was going on when the project was saved; it holds the same weights.
    origin : Origin
        Of a copy of unsaved work.
    """

    state: DocumentState
    weights: Weights = field(default_factory=dict)
    run: PausedRun | None = None
    origin: Origin = Origin()


def save(
    path: Path,
    state: DocumentState,
    weights: Weights | None = None,
    run: PausedRun | None = None,
    origin: Origin | None = None,
) -> None:
    """Write a project, or a graph alone where the name ends in ``.json``; whole or not at all.

    Raises
    ------
    OutputError
        The file cannot be written; what was there before is untouched.
    """
    content = _graph_file(state) if path.suffix == GRAPH else project_bytes(state, weights, run, origin)
    write_bytes(path, content)


def load(path: Path) -> tuple[DocumentState, Weights]:
    """The document and the weights of a file; see :func:`read`."""
    found = read(path)
    return found.state, found.weights


def read(path: Path) -> Content:
    """Read a project or a graph file.

    Raises
    ------
    GraphError, CheckpointError
        In one sentence that names the file: it is torn, of another kind, or cannot be read.
    """
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise GraphError(f"Cannot read {path}: it is not a file.")  # reading a pipe would wait for ever
        content = path.read_bytes()
    except OSError as error:
        raise GraphError(f"Cannot read {path}: {error.strerror or error}.") from None
    try:
        if path.suffix == GRAPH or content[:1] == b"{":
            return Content(_checked(_read_graph(content)))
        return read_project(content, path.name)
    except NnvisError as error:
        raise type(error)(_naming(path.name, str(error))) from None
    except Exception as error:  # zip, JSON and missing keys all mean the same to the user
        raise _damaged(path.name, error) from None


def _naming(title: str, sentence: str) -> str:
    return sentence if title in sentence else f"{title} cannot be opened: {sentence}"


def _damaged(title: str, error: Exception) -> GraphError:
    whys = {
        zipfile.BadZipFile: "it is cut off, or no project at all",
        KeyError: "a part is missing",
        UnicodeError: "its description is garbled",
        json.JSONDecodeError: "its description is garbled",
    }
    why = next((words for kind, words in whys.items() if isinstance(error, kind)), "a value cannot be right")
    return GraphError(f"{title} is damaged or incomplete and cannot be opened: {why}.")


def project_bytes(
    state: DocumentState, weights: Weights | None = None, run: PausedRun | None = None, origin: Origin | None = None
) -> bytes:
    """A project as the bytes of its file: a zip archive of ``project.json`` and, where there are any, weights."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(_DOCUMENT, json.dumps(state_to_dict(state), indent=1))
        if origin is not None:
            archive.writestr(_ORIGIN, json.dumps({k: v and str(v) for k, v in vars(origin).items()}))
        if run is not None:
            archive.writestr(_CIRCUMSTANCES, run.circumstances())
            archive.writestr(_RUN, run.checkpoint.to_bytes(), zipfile.ZIP_STORED)
        elif weights:
            arrays = {name: np.ascontiguousarray(value) for name, value in _fitting(state, weights).items()}
            archive.writestr(_WEIGHTS, save_tensors(arrays), zipfile.ZIP_STORED)
    return target.getvalue()


def read_project(content: bytes, title: str) -> Content:
    """What is in the bytes of a project file; `title` names it in errors."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        data = json.loads(parts[_DOCUMENT])
        if data.get("format") != _FORMAT or data.get("version") != _VERSION:
            raise GraphError(f"{title} is not a project that this version of nnvis can read.")
        run = _run(parts, title)
        weights = run.checkpoint.net if run else load_tensors(parts[_WEIGHTS]) if _WEIGHTS in parts else {}
        found = Content(_checked(state_from_dict(data)), weights, run, _origin(parts))
    except SafetensorError:
        raise CheckpointError(f"The weights in {title} are damaged, so it cannot be opened.") from None
    except NnvisError:
        raise
    except Exception as error:
        raise _damaged(title, error) from None
    _check_shapes(found, title)
    return found


def _run(parts: dict[str, bytes], title: str) -> PausedRun | None:
    if _RUN not in parts:
        return None
    try:
        return PausedRun.of(read_checkpoint(parts[_RUN], title), parts[_CIRCUMSTANCES])
    except NnvisError:
        raise CheckpointError(f"The training in {title} is damaged, so it cannot be opened.") from None


def _origin(parts: dict[str, bytes]) -> Origin:
    places = json.loads(parts.get(_ORIGIN, b"{}"))
    return Origin(**{name: Path(place) for name, place in places.items() if place})


# --- checking ---------------------------------------------------------------------------------------------


def _checked(state: DocumentState) -> DocumentState:
    """`state`, if all that the app relies on holds; ValueError or TypeError otherwise."""
    known = {INPUT, *state.nodes}
    points = [state.input_position, *(node.position for node in state.nodes.values())]
    sound = (
        isinstance(state.name, str)
        and all(isinstance(size, int) and size > 0 for size in state.input_shape)
        and all(len(point) == 2 and all(math.isfinite(value) for value in point) for point in points)
        and all(source is None or source in known for node in state.nodes.values() for source in node.inputs)
        and all(block.members and block.members <= state.nodes.keys() for block in state.blocks.values())
        and nested(state.blocks.values())
        and (state.output is None or isinstance(state.output, str))
        and isinstance(state.settings.data, str) and 0 <= state.settings.validation < 1
    )  # fmt: skip
    if not sound:
        raise ValueError("a value is not what it should be")
    return state


def _check_shapes(found: Content, title: str) -> None:
    """Weights that do not fit the network of their own file have been changed by something else."""
    for name, shape in _shapes(found.state).items():
        if name in found.weights and found.weights[name].shape != shape:
            raise CheckpointError(
                f"{title} is damaged and cannot be opened: its {name} has shape "
                f"{describe(found.weights[name].shape)}, but its network needs {describe(shape)}."
            )


def _fitting(state: DocumentState, weights: Weights) -> Weights:
    """`weights` without those that the network has outgrown."""
    shapes = _shapes(state)
    return {name: value for name, value in weights.items() if shapes.get(name, value.shape) == value.shape}


def _shapes(state: DocumentState) -> dict[str, tuple[int, ...]]:
    """Shape of every array of a network that works; nothing for others."""
    try:
        graph = working_graph(state)
        return {name: tuple(s.shape) for name, s in (graph.parameter_specs() | graph.buffer_specs()).items()}
    except NnvisError:
        return {}


# --- documents as values ----------------------------------------------------------------------------------


def state_to_dict(state: DocumentState) -> dict[str, Any]:
    """A document as plain JSON values, working or not."""
    return {
        "format": _FORMAT, "version": _VERSION, "name": state.name, "input_shape": list(state.input_shape),
        "init": None if state.init is None else state.init.config(), "output": state.output,
        "input_position": list(state.input_position), "settings": state.settings.config(),
        "nodes": [node_to_dict(name, node) for name, node in state.nodes.items()],
        "blocks": [block_to_dict(name, block) for name, block in state.blocks.items()],
        **({"aux_outputs": dict(state.aux_outputs)} if state.aux_outputs else {}),
    }  # fmt: skip


def state_from_dict(data: dict[str, Any]) -> DocumentState:
    """The document whose :func:`state_to_dict` this is."""
    blocks = dict(map(block_from_dict, data["blocks"]))
    return DocumentState(
        data["name"], tuple(data["input_shape"]), None if data["init"] is None else initializer(data["init"]),
        MappingProxyType(dict(map(node_from_dict, data["nodes"]))), MappingProxyType(blocks), data["output"],
        tuple(data["input_position"]), Settings.from_config(data["settings"]),
        MappingProxyType(dict(data.get("aux_outputs", {}))),
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


def block_to_dict(name: str, block: Block) -> dict[str, Any]:
    """A block as plain JSON values; the clipboard holds these, too."""
    return {"name": name, "members": sorted(block.members), "collapsed": block.collapsed, "kind": block.kind}


def block_from_dict(data: dict[str, Any]) -> tuple[str, Block]:
    """Name and block from :func:`block_to_dict`."""
    return data["name"], Block(frozenset(data["members"]), bool(data["collapsed"]), data.get("kind", ""))


def _graph_file(state: DocumentState) -> bytes:
    graph = to_graph(state).to_dict()
    places = {name: list(node.position) for name, node in state.nodes.items()}
    return json.dumps({**graph, "layout": places}, indent=1).encode()


def _read_graph(content: bytes) -> DocumentState:
    text = content.decode("utf-8", "replace")
    state = from_graph(Graph.from_json(text, check=False))
    places = json.loads(text).get("layout", {})
    if not isinstance(places, dict) or set(places) != set(state.nodes):
        return tidy(_checked(state))
    nodes = {name: replace(node, position=tuple(places[name])) for name, node in state.nodes.items()}
    return state.with_nodes(nodes)
