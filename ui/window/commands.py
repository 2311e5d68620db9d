"""The command palette (Ctrl+K): every action of the menus by a few letters of its name."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QAction, QKeyEvent
from PySide6.QtWidgets import QLineEdit, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from ui.theme import RADIUS, look


class CommandPalette(QWidget):
    """A popup over the window: type, choose with the arrow keys, Enter."""

    def __init__(self, window: QWidget):
        super().__init__(window, Qt.WindowType.Popup)
        self.setObjectName("commands")
        self.setAccessibleName("Command palette")
        self.field, self.list = QLineEdit(placeholderText="What do you want to do?"), QListWidget()
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 8, 8, 8)
        column.addWidget(self.field)
        column.addWidget(self.list)
        self.field.textChanged.connect(self._filter)
        self.field.installEventFilter(self)
        self.field.returnPressed.connect(self._run)
        self.list.itemActivated.connect(lambda _: self._run())
        self._actions: list[QAction] = []

    def open(self, actions: list[QAction]) -> None:
        """Show these actions to choose from."""
        self._actions = [a for a in actions if a.text() and not a.isSeparator()]
        theme, window = look().theme, self.parentWidget()
        self.setStyleSheet(
            f"QWidget#commands {{ background: {theme.panel}; border: 1px solid {theme.border}; "
            f"border-radius: {RADIUS}px; }}"
        )
        self.resize(520, 360)
        self.move(window.mapToGlobal(window.rect().center()) - self.rect().center())
        self.field.clear()
        self._filter("")
        self.show()
        self.field.setFocus()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            step = {Qt.Key.Key_Down: 1, Qt.Key.Key_Up: -1}.get(Qt.Key(event.key()))
            if step:
                self.list.setCurrentRow(max(0, min(self.list.count() - 1, self.list.currentRow() + step)))
                return True
        return super().eventFilter(watched, event)

    def _filter(self, text: str) -> None:
        self.list.clear()
        for action in self._actions:
            title = action.text().replace("&", "")
            if matches(text, title):
                keys = action.shortcut().toString()
                item = QListWidgetItem(f"{title}    {keys}" if keys else title)
                item.setData(Qt.ItemDataRole.UserRole, action)
                if not action.isEnabled():
                    item.setFlags(Qt.ItemFlag.NoItemFlags)
                self.list.addItem(item)
        self.list.setCurrentRow(0)

    def _run(self) -> None:
        item = self.list.currentItem()
        self.hide()
        if item is not None:
            item.data(Qt.ItemDataRole.UserRole).trigger()


def matches(text: str, title: str) -> bool:
    """Whether each word of `text` begins somewhere in `title`."""
    return all(word in title.lower() for word in text.lower().split())
