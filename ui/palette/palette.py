"""The palette: layers and blocks by family, to be searched and dragged."""

from __future__ import annotations

import json

from PySide6.QtCore import QByteArray, QMimeData, QSize, Qt, Signal
from PySide6.QtGui import QDrag
from PySide6.QtWidgets import QHeaderView, QLineEdit, QTreeWidget, QTreeWidgetItem, QVBoxLayout, QWidget

from ui.document.catalog import ENTRIES, FAMILIES, LAYER_MIME, Entry
from ui.theme import look

_KEY = Qt.ItemDataRole.UserRole


class _Tree(QTreeWidget):
    def startDrag(self, actions) -> None:
        item = self.currentItem()
        key = item.data(0, _KEY) if item else None
        if key:
            drag = QDrag(self)
            drag.setMimeData(mime(key))
            drag.setPixmap(item.icon(0).pixmap(24, 24))
            drag.exec(Qt.DropAction.CopyAction)


def mime(key: str) -> QMimeData:
    """What a drag of an entry carries."""
    data = QMimeData()
    data.setData(LAYER_MIME, QByteArray(json.dumps({"entry": key}).encode()))
    return data


class Palette(QWidget):
    """Signals: ``chosen(key)`` on double-click or Enter."""

    chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None):
        super().__init__(parent)
        self.setAccessibleName("Layers")
        self.field = QLineEdit(placeholderText="Search layers", clearButtonEnabled=True)
        self.field.setAccessibleName("Search layers")
        self.tree = _Tree(headerHidden=True, columnCount=1)
        self.tree.setAccessibleName("Layers by family")
        self.tree.setDragEnabled(True)
        self.tree.setIndentation(8)
        self.tree.setIconSize(QSize(16, 16))
        self.tree.setRootIsDecorated(True)
        self.tree.header().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.tree.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 8, 8, 0)
        column.addWidget(self.field)
        column.addWidget(self.tree)
        self.field.textChanged.connect(self._filter)
        self.field.returnPressed.connect(self._choose_first)
        self.tree.itemActivated.connect(self._activated)
        self.setMinimumWidth(180)
        look().changed.connect(self._fill)
        self._fill()

    def _fill(self) -> None:
        self.tree.clear()
        for family in FAMILIES:
            entries = [e for e in ENTRIES if e.family == family]
            if entries:
                head = QTreeWidgetItem([family.capitalize() + ("s" if family == "block" else "")])
                head.setFont(0, look().font(bold=True))
                head.setFlags(Qt.ItemFlag.ItemIsEnabled)
                self.tree.addTopLevelItem(head)
                for entry in entries:
                    head.addChild(self._row(entry))
        self.tree.expandAll()
        self._filter(self.field.text())

    def _row(self, entry: Entry) -> QTreeWidgetItem:
        row = QTreeWidgetItem([entry.title])
        row.setIcon(0, look().family_icon(entry.family))
        row.setToolTip(0, f"{entry.title}\n{entry.explanation}.\nDrag it on the canvas, or double-click.")
        row.setData(0, _KEY, entry.key)
        row.setData(0, Qt.ItemDataRole.AccessibleDescriptionRole, entry.explanation)
        return row

    def _filter(self, text: str) -> None:
        by_key = {e.key: e for e in ENTRIES}
        for place in range(self.tree.topLevelItemCount()):
            head = self.tree.topLevelItem(place)
            rows = [head.child(i) for i in range(head.childCount())]
            for row in rows:
                row.setHidden(not by_key[row.data(0, _KEY)].matches(text))
            head.setHidden(all(row.isHidden() for row in rows))

    def visible_keys(self) -> list[str]:
        """Entries that the search leaves, in order."""
        heads = [self.tree.topLevelItem(i) for i in range(self.tree.topLevelItemCount())]
        rows = [head.child(i) for head in heads for i in range(head.childCount())]
        return [row.data(0, _KEY) for row in rows if not row.isHidden()]

    def _choose_first(self) -> None:
        if found := self.visible_keys():
            self.chosen.emit(found[0])

    def _activated(self, item: QTreeWidgetItem) -> None:
        if item.data(0, _KEY):
            self.chosen.emit(item.data(0, _KEY))
