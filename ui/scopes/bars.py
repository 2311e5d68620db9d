"""Named horizontal bars with numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from PySide6.QtCore import QPoint, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QScrollArea, QWidget

from ui.theme import SMALL, look

#: Width of the colour before a name.
_SWATCH = 12


class Row(NamedTuple):
    """One bar.

    Attributes
    ----------
    name : str
    share : float
        Length, 0 to 1.
    text : str
        The number beside it.
    role : str
        Colour of the theme.
    said : str
        The reading, in full.
    color : str
        Of the layer's curve beside it, if there is one.
    """

    name: str
    share: float
    text: str
    role: str
    said: str = ""
    color: str = ""


class Bars(QWidget):
    """Bars below a heading; the name and the number are never cut off, the bars take what is left.

    Signals
    -------
    chosen(str)
        A row was clicked.
    """

    chosen = Signal(str)

    def __init__(self, head: str = ""):
        super().__init__()
        self.head = head
        self.rows: Sequence[Row] = ()
        self.band: tuple[float, float] | None = None
        self.setAccessibleName(head)

    def show_rows(self, rows: Sequence[Row], band: tuple[float, float] | None = None) -> None:
        """Show these bars; `band` marks a healthy range, as fractions."""
        self.rows, self.band = rows, band
        self.setMinimumHeight(self._line() * (len(rows) + 1))
        self.setAccessibleDescription("; ".join(row.said or f"{row.name} {row.text}" for row in rows[:20]))
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(180, self.minimumHeight())

    def row_at(self, at: QPoint) -> Row | None:
        """The row at a point of the widget."""
        number = at.y() // self._line() - 1
        return self.rows[number] if 0 <= number < len(self.rows) else None

    def value_at(self, at: QPoint) -> str:
        """The reading at a point."""
        row = self.row_at(at)
        return "" if row is None else row.said or f"{row.name}: {row.text}"

    def _line(self) -> int:
        return round(18 * look().scale)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        row = self.row_at(event.position().toPoint())
        if row is not None:
            self.chosen.emit(row.name)

    def columns(self) -> tuple[int, int, int]:
        """Where bars begin, how wide they are, and where numbers begin."""
        metrics = QFontMetrics(look().font(SMALL))
        names = max([metrics.horizontalAdvance(row.name) for row in self.rows], default=0)
        numbers = max([metrics.horizontalAdvance(row.text) for row in self.rows], default=0)
        swatch = _SWATCH if any(row.color for row in self.rows) else 0
        left = swatch + min(names + 8, max(40, self.width() - numbers - swatch - 40))
        room = max(8, self.width() - left - numbers - 8)
        return left, room, left + room + 6

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, line = QPainter(self), self._line()
        painter.fillRect(self.rect(), look().color("panel"))
        painter.setFont(look().font(SMALL))
        painter.setPen(look().color("muted"))
        head = painter.fontMetrics().elidedText(self.head, Qt.TextElideMode.ElideRight, self.width())
        painter.drawText(0, 0, self.width(), line, Qt.AlignmentFlag.AlignVCenter, head)
        left, room, _ = columns = self.columns()
        if self.band:
            low, high = self.band
            painter.fillRect(int(left + low * room), line, int((high - low) * room), line * len(self.rows),
                             look().color("good", 40))  # fmt: skip
        for number, row in enumerate(self.rows, 1):
            if event.rect().top() < (number + 1) * line and number * line < event.rect().bottom():
                self._paint_row(painter, row, number * line, line, columns)

    def _paint_row(self, painter: QPainter, row: Row, top: int, line: int, columns: tuple[int, int, int]) -> None:
        left, room, number = columns
        swatch = _SWATCH if row.color else 0
        if swatch:
            painter.fillRect(0, top + line // 2 - 1, 8, 3, row.color)
        painter.setPen(look().color("text"))
        shown = painter.fontMetrics().elidedText(row.name, Qt.TextElideMode.ElideMiddle, left - swatch - 6)
        painter.drawText(swatch, top, left, line, Qt.AlignmentFlag.AlignVCenter, shown)
        painter.fillRect(left, top + 4, room, line - 8, look().color("raised"))
        painter.fillRect(left, top + 4, int(room * min(1.0, max(0.0, row.share))), line - 8, look().color(row.role))
        painter.setPen(look().color("muted"))
        painter.drawText(number, top, self.width(), line, Qt.AlignmentFlag.AlignVCenter, row.text)


def scrolled(widget: QWidget) -> QScrollArea:
    """A widget that may be higher than its place."""
    area = QScrollArea(widgetResizable=True)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setMinimumSize(60, 40)
    area.setWidget(widget)
    return area
