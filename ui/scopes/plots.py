"""pyqtgraph in the app's look: plots with axes that say their unit, marks and a crosshair."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QPoint, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QFontMetrics, QMouseEvent, QPainter

from ui.scopes.marks import Mark, paint
from ui.theme import SMALL, look

#: Line colours that colour-blind readers can tell apart (Okabe and Ito), and a style for each round of them.
COLORS = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#0072B2", "#D55E00", "#B8A500")
#: Sizes of numbers that are shown in thousands or thousandths: none, for the axes have no units to say so.
_NEVER = ((0.0, 0.0),)
STYLES = (Qt.PenStyle.SolidLine, Qt.PenStyle.DashLine, Qt.PenStyle.DotLine)


class LogAxis(pg.AxisItem):
    """With as many numbers within a decade as there is room for, and as wide as a partner: see :func:`align`."""

    partner: LogAxis | None = None
    natural = 0.0

    def _updateWidth(self) -> None:
        super()._updateWidth()
        self.natural = self.minimumWidth()
        if self.partner is not None:
            width = max(self.natural, self.partner.natural)
            for axis in (self, self.partner):
                axis.setMaximumWidth(width)
                axis.setMinimumWidth(width)

    def logTickValues(self, minVal, maxVal, size, stdTicks):
        room = size / max(1e-9, maxVal - minVal) / look().scale
        if room >= 200:
            return super().logTickValues(minVal, maxVal, size, stdTicks)
        within = (1, 2, 5) if room >= 60 else (1,)
        stride = max(1, int(np.ceil(20 / room)))
        decades = [d for d in range(int(np.floor(minVal)), int(np.ceil(maxVal)) + 1) if d % stride == 0]
        found = [d + np.log10(w) for d in decades for w in within]
        return [(None, [v for v in found if minVal <= v <= maxVal])]


class Plot(pg.PlotWidget):
    """A plot that follows the theme, with marks over the steps and a crosshair.

    Parameters
    ----------
    left, bottom : str
        Names of the axes.
    short : str, optional
        Name of the left axis where there is little room.
    below : bool
        Whether the texts of marks stand at the lower edge.

    A double click shows all again, after zooming with the wheel or moving with the mouse.
    """

    #: All is shown again.
    fitted = Signal()

    def __init__(self, left: str, bottom: str, short: str = "", below: bool = False):
        #: Name of the left axis where it is too short for the full one; whether texts of marks stand below.
        self.short, self.below = short or left, below
        self.marks: list[Mark] = []
        #: Step at which the crosshair stands.
        self.cross: float | None = None
        #: Where texts of marks stood when they were painted last.
        self.texts: list[QRectF] = []
        super().__init__(axisItems={"left": LogAxis("left")})
        self._labels = {"left": left, "bottom": bottom}
        self.setMenuEnabled(False)
        self.hideButtons()
        self.setMinimumSize(60, 50)
        self.setAccessibleName(f"{left} over {bottom}")
        look().changed.connect(self.dress)
        self.dress()

    def dress(self) -> None:
        """Take over the colours and fonts of the theme."""
        self.setBackground(look().theme.panel)
        muted, size = look().theme.muted, round(SMALL * look().scale)
        for side in self._labels:
            axis = self.getAxis(side)
            axis.setPen(look().theme.border)
            axis.setTextPen(muted)
            axis.setTickFont(look().font(SMALL))
            axis.setStyle(tickTextOffset=4, tickLength=-3)
            axis.setLabel(axis.labelText, siPrefixEnableRanges=_NEVER, color=muted)
        self.getAxis("bottom").setHeight(round(2.9 * size))
        self._name_axes()
        self.showGrid(x=False, y=True, alpha=0.12)

    def _name_axes(self) -> None:
        """Name the axes, shortly where there is little room; a very low plot has both names below."""
        size = round(SMALL * look().scale)
        metrics, room = QFontMetrics(look().font(SMALL)), self.height() - round(3.6 * size)
        left, bottom = self._labels["left"], self._labels["bottom"]
        fitting = next((text for text in (left, self.short) if metrics.horizontalAdvance(text) <= room), "")
        for side, text in (("left", fitting), ("bottom", bottom if fitting else f"{left} over {bottom}")):
            axis = self.getAxis(side)
            if axis.labelText != text or axis.labelStyle.get("font-size") != f"{size}px":
                axis.setLabel(text, siPrefixEnableRanges=_NEVER, **{**axis.labelStyle, "font-size": f"{size}px"})
            axis.resizeEvent()  # which centres the name

    def resizeEvent(self, event) -> None:
        super().resizeEvent(event)
        if getattr(self, "_labels", None):
            self._name_axes()

    def show_marks(self, marks: list[Mark]) -> None:
        """What happened at which step."""
        if marks != self.marks:
            self.marks = marks
            self.viewport().update()

    def show_cross(self, step: float | None) -> None:
        """A line at a step, or none."""
        if step != self.cross:
            self.cross = step
            self.viewport().update()

    def zoomed(self) -> tuple[float, float] | None:
        """Ends of the horizontal axis if the user has chosen them."""
        view = self.getPlotItem().getViewBox()
        return None if view.autoRangeEnabled()[0] else tuple(view.viewRange()[0])

    def place(self, at: QPoint) -> tuple[float, float] | None:
        """Coordinates at a point of the viewport, as drawn (logarithms on a logarithmic axis); None on the axes."""
        scene = self.mapToScene(at)
        view = self.getPlotItem().getViewBox()
        if not view.sceneBoundingRect().contains(scene):
            return None
        found = view.mapSceneToView(scene)
        return found.x(), found.y()

    def pixel(self, x: float, y: float) -> QPointF:
        """Where coordinates lie in the viewport."""
        return self.getPlotItem().getViewBox().mapViewToScene(QPointF(x, y))

    def pixel_size(self) -> tuple[float, float]:
        """Width and height of a pixel in the units of the axes."""
        return self.getPlotItem().getViewBox().viewPixelSize()

    def drawForeground(self, painter: QPainter, rect: QRectF) -> None:
        if not self.marks and self.cross is None:
            return
        view = self.getPlotItem().getViewBox()
        area = view.sceneBoundingRect()
        painter.save()
        painter.setClipRect(area)
        low, high = view.viewRange()[1]
        middle = (low + high) / 2
        self.texts = paint(painter, area, lambda step: self.pixel(step, middle).x(), self.marks, self.below)
        if self.cross is not None:
            painter.setPen(look().color("text", 160))
            x = round(self.pixel(self.cross, middle).x())
            painter.drawLine(x, round(area.top()), x, round(area.bottom()))
        painter.restore()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        self.getPlotItem().enableAutoRange()
        self.fitted.emit()
        event.accept()


def align(one: Plot, other: Plot) -> None:
    """Give two plots that may stand one above the other the same left edge."""
    first, second = one.getAxis("left"), other.getAxis("left")
    first.partner, second.partner = second, first


def pen(number: int, width: float = 1.5, alpha: int = 255) -> pg.mkPen:
    """The line of run or layer `number`."""
    color = pg.mkColor(COLORS[number % len(COLORS)])
    color.setAlpha(alpha)
    return pg.mkPen(color, width=width, style=STYLES[number // len(COLORS) % len(STYLES)])
