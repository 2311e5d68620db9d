"""The page of keys (`?`)."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QDialog, QGridLayout, QLabel, QScrollArea, QVBoxLayout, QWidget

from ui.theme import look

_GESTURES = (
    ("Drag from a port", "Draw a wire; dropped on empty canvas it asks for a layer"),
    ("Double-click, Tab", "Search for a layer to add"),
    ("Shift+click, Ctrl+click", "Add to the selection, or take from it"),
    ("Wheel", "Zoom"),
    ("Middle drag", "Pan"),
    ("Shift+Del", "Delete and join what was before and after"),
    ("Arrow keys", "Move the selection by one step of the grid"),
)


class Shortcuts(QDialog):
    """All keys of the given actions, and the gestures of the canvas."""

    def __init__(self, actions: list[QAction], parent: QWidget):
        super().__init__(parent)
        self.setWindowTitle("Keys")
        self.resize(560, 620)
        area, body = QScrollArea(widgetResizable=True), QWidget()
        grid = QGridLayout(body)
        grid.setHorizontalSpacing(24)
        keys = [(a.shortcut().toString(), _name(a)) for a in actions]
        for row, (key, what) in enumerate([k for k in keys if k[0]] + list(_GESTURES)):
            name = QLabel(key)
            name.setFont(look().font(numbers=True))
            name.setStyleSheet(f"color: {look().theme.accent};")
            grid.addWidget(name, row, 0, Qt.AlignmentFlag.AlignTop)
            grid.addWidget(QLabel(what, wordWrap=True), row, 1)
        grid.setColumnStretch(1, 1)
        area.setWidget(body)
        QVBoxLayout(self).addWidget(area)


def _name(action: QAction) -> str:
    """What an action does, whatever it would do now: "Undo" rather than "Undo Rename"."""
    return action.property("name") or action.text().replace("&", "").rstrip(". ")
