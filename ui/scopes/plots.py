"""pyqtgraph in the app's look: plots with axes that say their unit, bars, and pictures."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QRect, Qt
from PySide6.QtGui import QImage, QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from ui.theme import SMALL, look

#: Line colours that colour-blind readers can tell apart (Okabe and Ito), and a style for each round of them.
COLORS = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#0072B2", "#D55E00", "#B8A500")
STYLES = (Qt.PenStyle.SolidLine, Qt.PenStyle.DashLine, Qt.PenStyle.DotLine)


class Plot(pg.PlotWidget):
    """A plot that follows the theme."""

    def __init__(self, left: str, bottom: str):
        super().__init__()
        self._labels = {"left": left, "bottom": bottom}
        self.setMenuEnabled(False)
        self.hideButtons()
        self.setAccessibleName(f"{left} over {bottom}")
        look().changed.connect(self.dress)
        self.dress()

    def dress(self) -> None:
        """Take over the colours and fonts of the theme."""
        self.setBackground(look().theme.panel)
        muted = look().theme.muted
        for side, text in self._labels.items():
            axis = self.getAxis(side)
            axis.setPen(look().theme.border)
            axis.enableAutoSIPrefix(False)
            axis.setTextPen(muted)
            axis.setTickFont(look().font(SMALL))
            axis.setLabel(text, color=muted, **{"font-size": f"{round(SMALL * look().scale)}px"})
        self.showGrid(x=False, y=True, alpha=0.12)


def pen(number: int, width: float = 1.5, alpha: int = 255) -> pg.mkPen:
    """The line of run or layer `number`."""
    color = pg.mkColor(COLORS[number % len(COLORS)])
    color.setAlpha(alpha)
    return pg.mkPen(color, width=width, style=STYLES[number // len(COLORS) % len(STYLES)])


def smoothed(values: np.ndarray, amount: float) -> np.ndarray:
    """Exponential mean with the given share of the past (0: as it is), corrected for its start."""
    if amount <= 0 or not len(values):
        return values
    found, total, weight = np.empty(len(values)), 0.0, 0.0
    for place, value in enumerate(values):
        if np.isfinite(value):
            total, weight = amount * total + (1 - amount) * value, amount * weight + (1 - amount)
        found[place] = total / weight if weight else np.nan
    return found


class Bars(QWidget):
    """Named horizontal bars with numbers: (name, fraction 0-1, text, colour role)."""

    def __init__(self, head: str = ""):
        super().__init__()
        self.head = head
        self.rows: list[tuple[str, float, str, str]] = []
        self.band: tuple[float, float] | None = None
        self.setMinimumWidth(160)

    def show_rows(self, rows: list[tuple[str, float, str, str]], band: tuple[float, float] | None = None) -> None:
        """Show these bars; `band` marks a healthy range, as fractions."""
        self.rows, self.band = rows, band
        height = self._line()
        self.setMinimumHeight(min(600, height * (len(rows) + 1)))
        self.update()

    def _line(self) -> int:
        return round(18 * look().scale)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, line = QPainter(self), self._line()
        painter.fillRect(self.rect(), look().color("panel"))
        painter.setFont(look().font(SMALL))
        painter.setPen(look().color("muted"))
        painter.drawText(0, 0, self.width(), line, Qt.AlignmentFlag.AlignVCenter, self.head)
        longest = max([painter.fontMetrics().horizontalAdvance(r[0]) for r in self.rows], default=0)
        left = min(longest + 8, self.width() // 3)
        room = max(10, self.width() - left - round(64 * look().scale))
        if self.band:
            low, high = self.band
            painter.fillRect(int(left + low * room), line, int((high - low) * room), line * len(self.rows),
                             look().color("good", 40))  # fmt: skip
        for number, (name, share, text, role) in enumerate(self.rows, 1):
            top = number * line
            painter.setPen(look().color("text"))
            shown = painter.fontMetrics().elidedText(name, Qt.TextElideMode.ElideMiddle, left - 6)
            painter.drawText(0, top, left, line, Qt.AlignmentFlag.AlignVCenter, shown)
            painter.fillRect(left, top + 4, room, line - 8, look().color("raised"))
            painter.fillRect(left, top + 4, int(room * min(1.0, max(0.0, share))), line - 8, look().color(role))
            painter.setPen(look().color("muted"))
            painter.drawText(left + room + 6, top, 80, line, Qt.AlignmentFlag.AlignVCenter, text)


class Picture(QWidget):
    """An image, as large as fits, without smoothing: every square is a value."""

    def __init__(self) -> None:
        super().__init__()
        self.image: QImage | None = None
        self.setMinimumSize(60, 60)

    def show_image(self, image: QImage | None) -> None:
        """Show another image."""
        self.image = image
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), look().color("panel"))
        if self.image is not None:
            painter.drawImage(self.area(), self.image)

    def area(self):
        """Where the image lies."""
        assert self.image is not None
        scale = min(self.width() / self.image.width(), self.height() / self.image.height())
        width, height = max(1, int(self.image.width() * scale)), max(1, int(self.image.height() * scale))
        return QRect(0, (self.height() - height) // 2, width, height)
