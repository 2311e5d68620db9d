"""Marks in a plot over steps: events with their text, and the ends of epochs; texts never lie upon each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen

from ui.theme import SMALL, look

#: Rows of texts at the most; pixels between two texts, and between two lines of epochs.
_ROWS, _APART, _LINES = 3, 6, 24


@dataclass(frozen=True)
class Mark:
    """Something that happened at a step.

    Attributes
    ----------
    step : float
    text : str
    color : str
        Of an event; the ends of epochs are grey, since they are the same for all.
    epoch : bool
    run : str
        Whose it is; told where several runs are seen.
    """

    step: float
    text: str
    color: str = ""
    epoch: bool = False
    run: str = ""

    @property
    def said(self) -> str:
        """In words."""
        return f"{self.text} ({self.run})" if self.run and not self.epoch else self.text


def paint(
    painter: QPainter, area: QRectF, x_of: Callable[[float], float], marks: Sequence[Mark], below: bool = False
) -> list[QRectF]:
    """Draw marks into the area of a plot; returns where texts stand.

    Parameters
    ----------
    painter : QPainter
    area : QRectF
    x_of : callable
        Pixel of a step.
    marks : sequence of Mark
    below : bool
        Whether texts stand at the lower edge, where the curves of a growing quantity leave room.
    """
    painter.setFont(look().font(SMALL))
    seen = [(x_of(m.step), m) for m in marks]
    seen = sorted(((x, m) for x, m in seen if area.left() <= x <= area.right()), key=lambda pair: pair[0])
    events, epochs = [(x, m) for x, m in seen if not m.epoch], [(x, m) for x, m in seen if m.epoch]
    stride = _stride([x for x, _ in epochs])
    epochs = [pair for number, pair in enumerate(epochs, 1) if number % stride == 0]
    for x, _ in epochs:
        _line(painter, area, x, QPen(look().color("muted", 110), 1, Qt.PenStyle.DotLine))
    for x, mark in events:
        _line(painter, area, x, QPen(QColor(mark.color or look().theme.warn), 1, Qt.PenStyle.DashLine))
    # The latest texts win, as a dial that is turned leaves many behind it; events go before epochs.
    texts: list[QRectF] = []
    for x, mark in [*reversed(events), *reversed(epochs)]:
        _write(painter, area, x, mark, below, texts)
    return texts


def _stride(places: list[float]) -> int:
    """Every how-many-th line can be told apart from the next."""
    if len(places) < 2:
        return 1
    apart = (places[-1] - places[0]) / (len(places) - 1)
    return next((n for n in (1, 2, 5, 10, 20, 50, 100, 200, 500) if n * apart >= _LINES), 1000)


def _line(painter: QPainter, area: QRectF, x: float, pen: QPen) -> None:
    painter.setPen(pen)
    painter.drawLine(round(x), round(area.top()), round(x), round(area.bottom()))


def _write(painter: QPainter, area: QRectF, x: float, mark: Mark, below: bool, texts: list[QRectF]) -> None:
    """Write beside a line, in the first row that is free; nowhere if none is."""
    metrics = painter.fontMetrics()
    rows = max(1, min(_ROWS, int(area.height() / (3 * metrics.height()))))  # the curves are to be seen, too
    place = QRectF(x + 3, area.top(), metrics.horizontalAdvance(mark.said), metrics.height())
    if place.right() > area.right():
        place.moveRight(x - 3)
    if below:
        place.moveBottom(area.bottom() - 2)
    for _ in range(rows):
        roomy = place.adjusted(-_APART, 0, _APART, 0)
        if place.left() >= area.left() and not any(roomy.intersects(other) for other in texts):
            texts.append(place)
            painter.fillRect(place.adjusted(-2, 0, 2, 0), look().color("panel", 200))
            painter.setPen(look().color("muted" if mark.epoch else "warn"))
            painter.drawText(place, Qt.AlignmentFlag.AlignCenter, mark.said)
            return
        place = place.translated(0, -metrics.height() if below else metrics.height())
