"""The search box: offers what fits, with the shape that would result, and wires it in."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, QPoint, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QHeaderView, QLineEdit, QTreeWidget, QTreeWidgetItem, QVBoxLayout, QWidget

from nnvis.layers.base import describe
from ui.document.catalog import ENTRIES, fitting
from ui.document.state import Point
from ui.history import Document
from ui.palette.actions import add_entry, select_end
from ui.theme import RADIUS, look

_KEY = Qt.ItemDataRole.UserRole


class SearchPopup(QWidget):
    """A popup; :meth:`open` shows it at the pointer."""

    def __init__(self, parent: QWidget | None = None):
        super().__init__(parent, Qt.WindowType.Popup)
        self.setObjectName("search")
        self.setAccessibleName("Add a layer")
        self.field = QLineEdit(placeholderText="Add a layer")
        self.field.setAccessibleName("Add a layer")
        self.list = QTreeWidget(headerHidden=True, columnCount=2, rootIsDecorated=False)
        self.list.header().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.list.header().setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        self.list.header().setStretchLastSection(False)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 8, 8, 8)
        column.addWidget(self.field)
        column.addWidget(self.list)
        self.field.installEventFilter(self)
        self.field.textChanged.connect(self._fill)
        self.field.returnPressed.connect(self.accept)
        self.list.itemActivated.connect(lambda *_: self.accept())
        self.list.itemClicked.connect(lambda *_: self.accept())

    def open(
        self,
        document: Document,
        position: Point,
        where: QPoint,
        source: str | None = None,
        target: tuple[str, int] | None = None,
    ) -> None:
        """Ask for a layer at `position`, to be wired behind `source` or before `target`."""
        self.document, self.position, self.source, self.target = document, position, source, target
        self.shape = document.analysis.shapes.get(source) if source else None
        theme = look().theme
        self.setStyleSheet(
            f"QWidget#search {{ background: {theme.panel}; border: 1px solid {theme.border}; "
            f"border-radius: {RADIUS}px; }}"
        )
        self.resize(380, 340)
        room = self.parentWidget().frameGeometry() if self.parentWidget() else None
        if room is not None:
            where = QPoint(min(where.x(), room.right() - 390), min(where.y(), room.bottom() - 350))
        self.move(where)
        self.field.clear()
        self._fill("")
        self.show()
        self.field.setFocus()

    def _fill(self, text: str) -> None:
        self.list.clear()
        for entry in ENTRIES:
            if not entry.matches(text):
                continue
            shape, reason = fitting(entry, self.shape)
            if reason and not text:
                continue
            row = QTreeWidgetItem([entry.title, describe(shape) if shape else "does not fit" if reason else ""])
            row.setIcon(0, look().family_icon(entry.family))
            row.setFont(1, look().font(numbers=True))
            row.setToolTip(0, reason or entry.explanation)
            row.setData(0, _KEY, entry.key)
            if reason:
                row.setFlags(Qt.ItemFlag.NoItemFlags)
                self.list.addTopLevelItem(row)
            else:
                self.list.insertTopLevelItem(self._fit_count(), row)
        first = self.list.topLevelItem(0)
        if first is not None:
            self.list.setCurrentItem(first)

    def _fit_count(self) -> int:
        rows = (self.list.topLevelItem(i) for i in range(self.list.topLevelItemCount()))
        return sum(bool(row.flags() & Qt.ItemFlag.ItemIsEnabled) for row in rows)

    def offered(self) -> list[str]:
        """Keys of the entries that can be chosen now."""
        rows = [self.list.topLevelItem(i) for i in range(self._fit_count())]
        return [row.data(0, _KEY) for row in rows]

    def accept(self) -> None:
        """Add what is chosen."""
        row = self.list.currentItem()
        if row is None or not row.flags() & Qt.ItemFlag.ItemIsEnabled:
            return
        self.hide()
        names = add_entry(self.document, row.data(0, _KEY), self.position, self.source, target=self.target)
        select_end(self.document, names)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            step = {Qt.Key.Key_Down: 1, Qt.Key.Key_Up: -1, Qt.Key.Key_Tab: 1}.get(Qt.Key(event.key()))
            if step:
                row = self.list.indexOfTopLevelItem(self.list.currentItem()) + step
                if item := self.list.topLevelItem(max(0, min(row, self.list.topLevelItemCount() - 1))):
                    self.list.setCurrentItem(item)
                return True
        return super().eventFilter(watched, event)
