"""Histograms: one in a plot, and those of all layers as small multiples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QPoint, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPolygonF, QResizeEvent
from PySide6.QtWidgets import QWidget

from ui.scopes.plots import Plot
from ui.session.messages import Histogram
from ui.theme import SMALL, look

#: A layer whose values are so many times larger or smaller than the middle layer's is said to be.
_FAR = 100.0
#: A cell of the small multiples at font scale 1.
_WIDE, _TALL = 116, 62


def said(histogram: Histogram, number: int, name: str = "") -> str:
    """Bin `number` in words."""
    width = (histogram.high - histogram.low) / len(histogram.counts)
    low, count, total = histogram.low + number * width, int(histogram.counts[number]), int(histogram.counts.sum())
    share = 100 * count / max(1, total)
    head = f"{name}: " if name else ""
    return f"{head}{low:.3g} to {low + width:.3g}   {count:,} of {total:,} values looked at, {share:.1f} %"


def root_mean_square(histogram: Histogram) -> float:
    """Size of the values, as exactly as the bins tell."""
    width = (histogram.high - histogram.low) / len(histogram.counts)
    middles = histogram.low + width * (np.arange(len(histogram.counts)) + 0.5)
    return float(np.sqrt(np.average(middles**2, weights=histogram.counts))) if histogram.counts.any() else 0.0


class HistogramPlot(Plot):
    """How often values of each size are, in per cent of all."""

    def __init__(self, bottom: str):
        super().__init__("share (%)", bottom, short="%")
        self.histogram: Histogram | None = None
        self._steps = pg.PlotCurveItem([0.0, 1.0], [0.0], stepMode="center", fillLevel=0)
        self.addItem(self._steps)

    def show_histogram(self, histogram: Histogram | None) -> None:
        """Show another one."""
        self.histogram = histogram
        self._steps.setVisible(histogram is not None)
        if histogram is None:
            return
        edges = np.linspace(histogram.low, histogram.high, len(histogram.counts) + 1)
        shares = 100 * histogram.counts / max(1, histogram.counts.sum())
        self._steps.setData(edges, shares, pen=None, brush=look().theme.accent)
        self.setAccessibleDescription(f"{self._labels['bottom']} from {histogram.low:.3g} to {histogram.high:.3g}")

    def value_at(self, at: QPoint) -> str:
        """The bin at a point of the viewport."""
        place, histogram = self.place(at), self.histogram
        if place is None or histogram is None:
            return ""
        share = (place[0] - histogram.low) / (histogram.high - histogram.low)
        return said(histogram, int(share * len(histogram.counts))) if 0 <= share < 1 else ""


@dataclass(frozen=True, eq=False)
class Cell:
    """One of the small multiples."""

    name: str
    histogram: Histogram
    size: float
    word: str


class Multiples(QWidget):
    """A small histogram for each layer, in execution order, each with the size of its values on one common scale.

    Signals
    -------
    chosen(str)
        A layer was clicked.
    """

    chosen = Signal(str)

    def __init__(self, name: str):
        super().__init__()
        self.cells: Sequence[Cell] = ()
        self.node: str | None = None
        #: One horizontal scale for all, or each layer's own.
        self.common = False
        self.setAccessibleName(name)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        look().changed.connect(self._fit)

    def show_layers(self, layers: Sequence[tuple[str, Histogram | None]], node: str | None) -> None:
        """Show the histograms of layers, the chosen one marked."""
        found = [(name, h, root_mean_square(h) if h.low < 0 < h.high or h.counts.any() else 0.0)
                 for name, h in layers if h is not None]  # fmt: skip
        sizes = [size for _, _, size in found if size > 0]
        middle = float(np.median(sizes)) if sizes else 0.0
        self.cells = [Cell(name, h, size, _word(h, size, middle)) for name, h, size in found]
        self.node = node
        self.setAccessibleDescription(self.summary())
        self._fit()
        self.update()

    def summary(self) -> str:
        """Which layers stand out."""
        words = [f"{cell.name} is {cell.word}" for cell in self.cells if cell.word]
        return ", ".join(words) if words else "The values of all layers are of like size."

    # --- where things lie ---------------------------------------------------------------------------------

    def _columns(self) -> int:
        return max(1, self.width() // round(_WIDE * look().scale))

    def _fit(self) -> None:
        rows = -(-len(self.cells) // self._columns())
        self.setMinimumHeight(max(1, rows) * round(_TALL * look().scale))

    def sizeHint(self) -> QSize:
        return QSize(240, self.minimumHeight())

    def resizeEvent(self, event: QResizeEvent) -> None:
        self._fit()

    def area(self, number: int) -> QRectF:
        """Where a layer's cell lies."""
        columns, tall = self._columns(), round(_TALL * look().scale)
        wide = self.width() / columns
        return QRectF(number % columns * wide, number // columns * tall, wide - 8, tall - 6)

    def _bars(self, number: int) -> QRectF:
        line = round(14 * look().scale)
        return self.area(number).adjusted(4, line, -4, -line - 4)

    def cell_at(self, at: QPoint) -> int | None:
        """Number of the layer at a point."""
        return next((n for n in range(len(self.cells)) if self.area(n).contains(at)), None)

    def value_at(self, at: QPoint) -> str:
        """The layer and bin at a point."""
        number = self.cell_at(at)
        if number is None:
            return ""
        cell, bars, (low, high) = self.cells[number], self._bars(number), self._ends(number)
        value = low + (high - low) * (at.x() - bars.left()) / max(1.0, bars.width())
        share = (value - cell.histogram.low) / (cell.histogram.high - cell.histogram.low)
        if 0 <= share < 1:
            return said(cell.histogram, int(share * len(cell.histogram.counts)), cell.name)
        return f"{cell.name}: values of size {cell.size:.2g} (root mean square) {cell.word}"

    def _ends(self, number: int) -> tuple[float, float]:
        shown = self.cells if self.common else self.cells[number : number + 1]
        return min(c.histogram.low for c in shown), max(c.histogram.high for c in shown)

    # --- mouse and keys -----------------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:
        number = self.cell_at(event.position().toPoint())
        if number is not None:
            self.chosen.emit(self.cells[number].name)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        keys = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1, Qt.Key.Key_Up: -self._columns(),
                Qt.Key.Key_Down: self._columns()}  # fmt: skip
        names = [cell.name for cell in self.cells]
        if event.key() not in keys or not names:
            super().keyPressEvent(event)
            return
        now = names.index(self.node) if self.node in names else 0
        self.chosen.emit(names[min(len(names) - 1, max(0, now + keys[event.key()]))])

    # --- painting -----------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(event.rect(), look().color("panel"))
        painter.setFont(look().font(SMALL))
        logs = [np.log10(c.size) for c in self.cells if c.size > 0]
        ends = (min(logs, default=0.0) - 1.0, max(logs, default=1.0))
        for number in range(len(self.cells)):
            if self.area(number).intersects(QRectF(event.rect())):
                self._paint_cell(painter, number, ends)

    def _paint_cell(self, painter: QPainter, number: int, ends: tuple[float, float]) -> None:
        cell, area, bars = self.cells[number], self.area(number), self._bars(number)
        painter.fillRect(area, look().color("raised"))
        if cell.name == self.node:
            painter.setPen(look().color("accent"))
            painter.drawRect(area.adjusted(0, 0, -1, -1))
        line = painter.fontMetrics().height()
        painter.setPen(look().color("text"))
        name = painter.fontMetrics().elidedText(cell.name, Qt.TextElideMode.ElideMiddle, int(area.width()) - 8)
        painter.drawText(QRectF(area.left() + 4, area.top(), area.width(), line), name)
        role = "bad" if cell.word else "accent"
        low, high = self._ends(number)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(look().color(role))
        painter.drawPolygon(_outline(cell.histogram, bars, low, high))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        self._paint_size(painter, cell, area, ends, role)

    def _paint_size(self, painter: QPainter, cell: Cell, area: QRectF, ends: tuple[float, float], role: str) -> None:
        """The size of the values as a number, and as a bar on a logarithmic scale that all cells share."""
        share = (np.log10(cell.size) - ends[0]) / (ends[1] - ends[0]) if cell.size > 0 else 0.0
        bar = QRectF(area.left() + 4, area.bottom() - 4, (area.width() - 8) * share, 2)
        painter.fillRect(bar, look().color("muted" if role == "accent" else role))
        line = painter.fontMetrics().height()
        painter.setPen(look().color("muted" if role == "accent" else role))
        place = QRectF(area.left() + 4, area.bottom() - line - 4, area.width() - 8, line)
        painter.drawText(place, f"size {cell.size:.2g} {cell.word}" if cell.size else cell.word)


def _word(histogram: Histogram, size: float, middle: float) -> str:
    """What stands out about a layer."""
    if not size or np.count_nonzero(histogram.counts) == 1:
        return "one value"
    return "tiny" if size * _FAR < middle else "huge" if size > middle * _FAR else ""


def _outline(histogram: Histogram, area: QRectF, low: float, high: float) -> QPolygonF:
    """Bars with heights as the square root of the counts: a spike at zero leaves the rest to be seen."""
    scale = area.width() / max(1e-30, high - low)
    width = max(2.0, (histogram.high - histogram.low) * scale)
    left = area.left() + (histogram.low - low) * scale
    edges = np.repeat(np.linspace(left, left + width, len(histogram.counts) + 1), 2)
    heights = np.sqrt(histogram.counts / max(1, histogram.counts.max())) * area.height()
    heights = np.concatenate([[0.0], np.repeat(heights, 2), [0.0]])
    return pg.functions.arrayToQPolygonF(edges, area.bottom() - heights)
