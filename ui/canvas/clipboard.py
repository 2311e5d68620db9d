"""Nodes on the clipboard, as JSON that another window understands."""

from __future__ import annotations

import json

from PySide6.QtCore import QMimeData
from PySide6.QtGui import QGuiApplication

from nnvis.errors import NnvisError
from ui.document import edits
from ui.document.files import block_from_dict, block_to_dict, node_from_dict, node_to_dict
from ui.document.state import Block, DocumentState, NodeState

MIME = "application/x-nnvis-nodes"


def put(state: DocumentState, names: list[str]) -> None:
    """Put nodes on the clipboard."""
    nodes = [node_to_dict(name, state.nodes[name]) for name in names]
    blocks = [block_to_dict(name, block) for name, block in edits.blocks_among(state, names).items()]
    text = json.dumps({"nodes": nodes, "blocks": blocks}, indent=1)
    data = QMimeData()
    data.setData(MIME, text.encode())
    data.setText(text)
    QGuiApplication.clipboard().setMimeData(data)


def get() -> tuple[dict[str, NodeState], dict[str, Block]]:
    """The nodes and the blocks on the clipboard; none if something else is there."""
    data = QGuiApplication.clipboard().mimeData()
    text = bytes(data.data(MIME).data()).decode("utf-8", "replace") if data.hasFormat(MIME) else data.text()
    try:
        found = json.loads(text)
        nodes, blocks = dict(map(node_from_dict, found["nodes"])), dict(map(block_from_dict, found["blocks"]))
    except (ValueError, KeyError, TypeError, NnvisError):
        return {}, {}
    return nodes, {name: block for name, block in blocks.items() if block.members and block.members <= nodes.keys()}
