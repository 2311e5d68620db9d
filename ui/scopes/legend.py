"""The runs by name: renamed in place, hidden, shown, removed, with the values at the pointer."""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QIcon, QKeyEvent, QPainter, QPixmap
from PySide6.QtWidgets import QHeaderView, QToolButton, QTreeWidget, QTreeWidgetItem

from ui.scopes.plots import pen
from ui.scopes.runs import Run
from ui.theme import SMALL, look

_NAME, _LOSS, _ACCURACY, _REMOVE = range(4)


class Legend(QTreeWidget):
    """One row for each run, the newest above.

    Signals
    -------
    renamed(key, label)
    shown(key, bool)
        A run is to be hidden or shown.
    removed(key)
    """

    renamed = Signal(str, str)
    shown = Signal(str, bool)
    removed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("Runs")
        self.setHeaderLabels(["run", "loss", "accuracy", ""])
        self.setRootIsDecorated(False)
        self.setUniformRowHeights(True)
        self.setMinimumSize(60, 40)
        self.setEditTriggers(self.EditTrigger.NoEditTriggers)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setToolTip("Double-click a name to rename the run; clear its box to hide it; Del removes it")
        self.itemDoubleClicked.connect(lambda item, column: self._rename(item) if column == _NAME else None)
        self.itemChanged.connect(self._item_changed)
        self._items: dict[str, QTreeWidgetItem] = {}
        look().changed.connect(self.dress)
        self.dress()

    def dress(self) -> None:
        """Take over fonts and colours of the theme."""
        self.setFont(look().font(SMALL))
        size, theme = round(SMALL * look().scale), look().theme
        self.setStyleSheet(
            f"QHeaderView::section {{ font-size: {size}px; padding: 2px 4px; }}"
            f"QTreeView::indicator {{ width: 11px; height: 11px; border: 1px solid {theme.muted}; }}"
            f"QTreeView::indicator:checked {{ background: {theme.accent}; border-color: {theme.accent}; }}"
        )
        self.setIconSize(QSize(*(round(n * look().scale) for n in (22, 12))))
        head = self.header()
        head.setStretchLastSection(False)
        head.setSectionResizeMode(_NAME, QHeaderView.ResizeMode.Stretch)
        for column, width in ((_LOSS, 76), (_ACCURACY, 64), (_REMOVE, 26)):
            head.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            self.setColumnWidth(column, round(width * look().scale))

    def key_of(self, item: QTreeWidgetItem | None) -> str | None:
        """The run of a row."""
        return None if item is None else item.data(_NAME, Qt.ItemDataRole.UserRole)

    def row(self, key: str) -> QTreeWidgetItem:
        """The row of a run."""
        return self._items[key]

    def show_runs(self, runs: Iterable[Run], values: dict[str, tuple[str, str]]) -> None:
        """Show these runs, with the texts of loss and accuracy by key."""
        runs = list(runs)
        self.blockSignals(True)
        for gone in set(self._items) - {run.key for run in runs}:
            self.takeTopLevelItem(self.indexOfTopLevelItem(self._items.pop(gone)))
        for run in runs:
            self._show(self._items.get(run.key) or self._make(run), run, values.get(run.key, ("", "")))
        self.blockSignals(False)

    def _make(self, run: Run) -> QTreeWidgetItem:
        item = QTreeWidgetItem()
        flags = Qt.ItemFlag
        item.setFlags(flags.ItemIsEnabled | flags.ItemIsSelectable | flags.ItemIsEditable | flags.ItemIsUserCheckable)
        item.setData(_NAME, Qt.ItemDataRole.UserRole, run.key)
        for column in (_LOSS, _ACCURACY):
            item.setTextAlignment(column, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        item.setIcon(_NAME, _swatch(run.number))
        self.insertTopLevelItem(0, item)
        self.setItemWidget(item, _REMOVE, self._remove_button(run.key))
        self._items[run.key] = item
        return item

    def _remove_button(self, key: str) -> QToolButton:
        button = QToolButton(text="✕")
        button.setStyleSheet("padding: 0; border: 0")
        button.setToolTip("Remove this run from the plots")
        button.setAccessibleName("Remove the run")
        button.clicked.connect(lambda: self.removed.emit(key))
        return button

    def _show(self, item: QTreeWidgetItem, run: Run, values: tuple[str, str]) -> None:
        state = Qt.CheckState.Checked if run.shown else Qt.CheckState.Unchecked
        if item.text(_NAME) != run.label:
            item.setText(_NAME, run.label)
        if item.checkState(_NAME) != state:
            item.setCheckState(_NAME, state)
        for column, text in zip((_LOSS, _ACCURACY), values, strict=True):
            if item.text(column) != text:
                item.setText(column, text)

    def _rename(self, item: QTreeWidgetItem) -> None:
        self.editItem(item, _NAME)

    def _item_changed(self, item: QTreeWidgetItem, column: int) -> None:
        key = self.key_of(item)
        if column == _NAME and key:
            self.shown.emit(key, item.checkState(_NAME) == Qt.CheckState.Checked)
            self.renamed.emit(key, item.text(_NAME).strip())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key = self.key_of(self.currentItem())
        if event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace) and key:
            self.removed.emit(key)
        elif event.key() == Qt.Key.Key_F2 and key:
            self._rename(self.currentItem())
        else:
            super().keyPressEvent(event)

    def sizeHint(self) -> QSize:
        return QSize(200, 100)


def _swatch(number: int) -> QIcon:
    """The line of a run, as in the plots."""
    pixmap = QPixmap(44, 24)
    pixmap.setDevicePixelRatio(2)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    line = pen(number, 2.5)
    line.setCosmetic(False)
    painter.setPen(line)
    painter.drawLine(0, 6, 22, 6)
    painter.end()
    return QIcon(pixmap)
