"""The command palette (Ctrl+K): every action of the menus by a few letters of its name; and finding a node (Ctrl+F)."""

from __future__ import annotations

import functools

from PySide6.QtGui import QAction
from PySide6.QtWidgets import QWidget

from ui.canvas.view import CanvasView
from ui.window.chooser import Choice, Chooser


class CommandPalette(Chooser):
    """A popup over the window with all actions."""

    def __init__(self, window: QWidget):
        super().__init__(window, "Command palette", "What do you want to do?")

    def open(self, actions: list[QAction]) -> None:
        """Show these actions to choose from."""
        named = [(a, a.text().replace("&", "")) for a in actions if a.text() and not a.isSeparator()]
        self.offer([Choice(title, a.trigger, a.shortcut().toString(), a.isEnabled()) for a, title in named])


class NodeFinder(Chooser):
    """A popup over the window with the names of all nodes; the chosen one is selected and brought into view."""

    def __init__(self, window: QWidget, canvas: CanvasView):
        super().__init__(window, "Find node", "Which node?")
        self.canvas = canvas

    def open(self) -> None:
        """Show the nodes to choose from."""
        nodes = self.canvas.document.state.nodes
        self.offer([Choice(n, functools.partial(self._go, n), node.layer.kind) for n, node in nodes.items()])

    def _go(self, name: str) -> None:
        self.canvas.document.select([name])
        self.canvas.center_on(name)
