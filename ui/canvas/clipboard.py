"""Nodes on the clipboard, as JSON that another window understands."""

from __future__ import annotations

import json

from PySide6.QtCore import QMimeData
from PySide6.QtGui import QGuiApplication

from nnvis.errors import NnvisError
from ui.document.files import node_from_dict, node_to_dict
from ui.document.state import DocumentState, NodeState

MIME = "application/x-nnvis-nodes"


def put(state: DocumentState, names: list[str]) -> None:
    """Put nodes on the clipboard."""
    text = json.dumps([node_to_dict(name, state.nodes[name]) for name in names], indent=1)
    data = QMimeData()
    data.setData(MIME, text.encode())
    data.setText(text)
    QGuiApplication.clipboard().setMimeData(data)


def get() -> dict[str, NodeState]:
    """The nodes on the clipboard; none if something else is there."""
    data = QGuiApplication.clipboard().mimeData()
    text = bytes(data.data(MIME).data()).decode("utf-8", "replace") if data.hasFormat(MIME) else data.text()
    try:
        return dict(map(node_from_dict, json.loads(text)))
    except (ValueError, KeyError, TypeError, NnvisError):
        return {}
