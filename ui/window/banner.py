"""A line below the toolbar that says in one sentence what went wrong or what can be done; never a dialog."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QBoxLayout, QFrame, QHBoxLayout, QLabel, QPushButton, QToolButton, QWidget

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
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 6, 8, 6)
        row.addWidget(self._icon)
        self._column, self._row = QBoxLayout(QBoxLayout.Direction.LeftToRight), QHBoxLayout()
        self._column.addWidget(self._text, 1)
        self._column.addLayout(self._row)
        row.addLayout(self._column, 1)
        self._buttons: list[QPushButton] = []
        close = QToolButton(text="Dismiss", toolTip="Dismiss this message")
        close.clicked.connect(self.hide)
        row.addWidget(close)
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
        self._arrange()
        self.show()

    def resizeEvent(self, event) -> None:
        super().resizeEvent(event)
        self._arrange()

    def _arrange(self) -> None:
        """Buttons stand below the sentence where they would leave it less than half of the width."""
        wide = sum(button.sizeHint().width() + self._row.spacing() for button in self._buttons)
        directions = QBoxLayout.Direction
        below = self._buttons and wide > self.width() / 2
        self._column.setDirection(directions.TopToBottom if below else directions.LeftToRight)
        self._row.setAlignment(Qt.AlignmentFlag.AlignLeft if below else Qt.AlignmentFlag.AlignRight)

    def check(self) -> None:
        """Something has changed: the message goes if it is settled."""
        if self._settled is not None and self._settled():
            self._settled = None
            self.hide()

    def _button(self, label: str, act: Callable[[], None]) -> QPushButton:
        button = QPushButton(label)
        button.clicked.connect(self.hide)
        button.clicked.connect(lambda: act())
        self._row.addWidget(button)
        return button

    def _paint(self) -> None:
        color = look().color(self._role).name()
        self._icon.setPixmap(look().icon(_ICONS[self._role], self._role).pixmap(18, 18))
        self.setStyleSheet(
            f"QFrame#banner {{ background: {look().theme.raised}; border: 1px solid {color}; "
            f"border-radius: {RADIUS}px; margin: 4px 8px; }}"
        )
