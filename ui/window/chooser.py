"""A popup to choose one of many things by a few letters of its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QLineEdit, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from ui.theme import RADIUS, look


@dataclass(frozen=True)
class Choice:
    """One line of the list: what is searched, what stands behind it, and what choosing it does."""

    title: str
    act: Callable[[], object]
    note: str = ""
    enabled: bool = True


class Chooser(QWidget):
    """Type, choose with the arrow keys, Enter; long names are cut in their middle, and are whole in a tool tip.

    Parameters
    ----------
    window : QWidget
    name : str
        For those who hear it.
    question : str
        In the empty field.
    """

    def __init__(self, window: QWidget, name: str, question: str):
        super().__init__(window, Qt.WindowType.Popup)
        self.setObjectName("chooser")
        self.setAccessibleName(name)
        self.field, self.list = QLineEdit(placeholderText=question), QListWidget()
        self.field.setAccessibleName(name)
        self.list.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 8, 8, 8)
        column.addWidget(self.field)
        column.addWidget(self.list)
        self.field.textChanged.connect(self._filter)
        self.field.installEventFilter(self)
        self.field.returnPressed.connect(self._take)
        self.list.itemActivated.connect(lambda _: self._take())
        self._choices: Sequence[Choice] = ()

    def offer(self, choices: Sequence[Choice]) -> None:
        """Show these to choose from, in the middle of the window."""
        self._choices = choices
        theme, window = look().theme, self.parentWidget()
        self.setStyleSheet(
            f"QWidget#chooser {{ background: {theme.panel}; border: 1px solid {theme.border}; "
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
        for choice in self._choices:
            if matches(text, choice.title):
                item = QListWidgetItem(f"{choice.title}    {choice.note}" if choice.note else choice.title)
                item.setData(Qt.ItemDataRole.UserRole, choice)
                item.setToolTip(choice.title)
                if not choice.enabled:
                    item.setFlags(Qt.ItemFlag.NoItemFlags)
                self.list.addItem(item)
        self.list.setCurrentRow(0)

    def _take(self) -> None:
        item = self.list.currentItem()
        self.hide()
        if item is not None and item.flags() & Qt.ItemFlag.ItemIsEnabled:
            item.data(Qt.ItemDataRole.UserRole).act()


def matches(text: str, title: str) -> bool:
    """Whether each word of `text` begins somewhere in `title`."""
    return all(word in title.lower() for word in text.lower().split())
