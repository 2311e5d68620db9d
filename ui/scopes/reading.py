"""The reading line: what lies under the pointer, in words and numbers, in one manner for every scope."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QObject, QPoint, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from ui.theme import SMALL, look

#: What stands under a point of a widget; "" where there is nothing to read.
ValueAt = Callable[[QPoint], str]


class ReadingLine(QWidget):
    """One line of small text: a reading while there is one, otherwise what the scope has to say at rest."""

    def __init__(self) -> None:
        super().__init__()
        self.reading, self.rest = "", ""
        self.setAccessibleName("Reading")
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    @property
    def text(self) -> str:
        """What is to be read now."""
        return self.reading or self.rest

    @property
    def fits(self) -> bool:
        """Whether all of it can be seen."""
        return self._metrics().horizontalAdvance(self.text) <= self.width()

    def say(self, reading: str) -> None:
        """Show a reading; "" to rest."""
        self._show(reading, self.rest)

    def say_at_rest(self, text: str) -> None:
        """What to show while nothing is read."""
        self._show(self.reading, text)

    def _show(self, reading: str, rest: str) -> None:
        if (reading, rest) != (self.reading, self.rest):
            self.reading, self.rest = reading, rest
            self.setToolTip("" if self.fits else self.text)
            self.setAccessibleDescription(self.text)
            self.update()

    def _metrics(self):
        return QFontMetrics(look().font(SMALL))

    def sizeHint(self) -> QSize:
        return QSize(0, self._metrics().height() + 4)

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setFont(look().font(SMALL))
        painter.setPen(look().color("text" if self.reading else "muted"))
        shown = painter.fontMetrics().elidedText(self.text, Qt.TextElideMode.ElideRight, self.width())
        painter.drawText(self.rect(), Qt.AlignmentFlag.AlignVCenter, shown)


class Reader(QObject):
    """Reads a widget at the pointer, and again whenever its values change while the pointer rests there.

    Parameters
    ----------
    widget : QWidget
        Of a plot, its viewport.
    value_at : callable
    line : ReadingLine

    Signals
    -------
    left()
        The pointer has gone.
    """

    left = Signal()

    def __init__(self, widget: QWidget, value_at: ValueAt, line: ReadingLine):
        super().__init__(widget)
        self.widget, self.value_at, self.line = widget, value_at, line
        self.at: QPoint | None = None
        widget.setMouseTracking(True)
        widget.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        kind = event.type()
        if kind == QEvent.Type.MouseMove:
            self.at = event.position().toPoint()  # type: ignore[attr-defined]
            self.refresh()
        elif kind == QEvent.Type.Leave and self.at is not None:
            self.at = None
            self.line.say("")
            self.left.emit()
        return False

    def refresh(self) -> None:
        """Read again."""
        if self.at is None:
            return
        text = self.value_at(self.at)
        self.line.say(text)
        if text and not self.line.fits:  # a narrow line cannot show it all, so the pointer carries it
            QToolTip.showText(self.widget.mapToGlobal(self.at), text, self.widget)


def joined(*parts: str) -> str:
    """Parts of a reading side by side."""
    return "   ".join(part for part in parts if part)
