"""A line below the toolbar that says in one sentence what went wrong or what can be done; never a dialog."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QToolButton, QWidget

from ui.theme import RADIUS, look

_ICONS = {"bad": "mdi6.alert-circle-outline", "warn": "mdi6.alert-outline", "accent": "mdi6.information-outline"}


class Banner(QFrame):
    """Hidden until :meth:`say` is called, and again once what it says no longer holds; see :meth:`check`."""

    def __init__(self, parent: QWidget | None = None):
        super().__init__(parent)
        self.setObjectName("banner")
        self.setAccessibleName("Message")
        self._icon, self._text = QLabel(), QLabel()
        self._text.setWordWrap(True)
        self._text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(12, 6, 8, 6)
        self._row.addWidget(self._icon)
        self._row.addWidget(self._text, 1)
        self._buttons: list[QPushButton] = []
        close = QToolButton(text="Dismiss", toolTip="Dismiss this message")
        close.clicked.connect(self.hide)
        self._row.addWidget(close)
        self._role = "accent"
        self._settled: Callable[[], bool] | None = None
        look().changed.connect(self._paint)
        self.hide()

    @property
    def text(self) -> str:
        """The sentence shown."""
        return self._text.text()

    def say(
        self,
        sentence: str,
        role: str = "bad",
        actions: dict[str, Callable[[], None]] | None = None,
        settled: Callable[[], bool] | None = None,
    ) -> None:
        """Show a sentence, with a button for each thing that can be done about it.

        Parameters
        ----------
        sentence : str
        role : {"bad", "warn", "accent"}
        actions : dict of label to callable, optional
        settled : callable, optional
            Whether the sentence no longer holds. Without it the message stays until it is dismissed.
        """
        self._role, self._settled = role, settled
        self._text.setText(sentence)
        for button in self._buttons:
            button.deleteLater()
        self._buttons = [self._button(label, act) for label, act in (actions or {}).items()]
        self._paint()
        self.show()

    def check(self) -> None:
        """Something has changed: the message goes if it is settled."""
        if self._settled is not None and self._settled():
            self._settled = None
            self.hide()

    def _button(self, label: str, act: Callable[[], None]) -> QPushButton:
        button = QPushButton(label)
        button.clicked.connect(self.hide)
        button.clicked.connect(lambda: act())
        self._row.insertWidget(self._row.count() - 1, button)
        return button

    def _paint(self) -> None:
        color = look().color(self._role).name()
        self._icon.setPixmap(look().icon(_ICONS[self._role], self._role).pixmap(18, 18))
        self.setStyleSheet(
            f"QFrame#banner {{ background: {look().theme.raised}; border: 1px solid {color}; "
            f"border-radius: {RADIUS}px; margin: 4px 8px; }}"
        )
