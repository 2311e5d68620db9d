"""A wire between two nodes, and the one that is being dragged."""

from __future__ import annotations

import math

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPainterPath, QPainterPathStroker, QPen, QPolygonF
from PySide6.QtWidgets import QGraphicsItem, QGraphicsPathItem, QStyleOptionGraphicsItem, QWidget

from ui.canvas.pictures import table
from ui.document.state import Wire
from ui.theme import SMALL, look

#: Labels are drawn from this zoom on; below the other, wires are thin and need not be smooth.
_LABEL_ZOOM, _SMOOTH = 0.8, 0.5


class WireItem(QGraphicsPathItem):
    """One connection."""

    def __init__(self, wire: Wire):
        super().__init__()
        self.wire = wire
        self.label = ""
        self.tint: float | None = None  # 0 to 1: how large the gradient is
        self.hovered = False
        self._bounds, self._polyline = QRectF(), QPolygonF()
        self.setFlag(QGraphicsItem.GraphicsItemFlag.ItemIsSelectable)
        self.setAcceptHoverEvents(True)
        self.setZValue(1)

    def place(self, path: QPainterPath) -> None:
        """Take this way."""
        self.setPath(path)
        self._bounds = super().boundingRect().adjusted(-40, -12, 40, 12)
        self._polyline = self.path().toSubpathPolygons()[0]

    def shape(self) -> QPainterPath:
        stroker = QPainterPathStroker()
        stroker.setWidth(12)
        return stroker.createStroke(self.path())

    def boundingRect(self) -> QRectF:
        return self._bounds

    def hoverEnterEvent(self, event) -> None:
        self.hovered = True
        self.update()

    def hoverLeaveEvent(self, event) -> None:
        self.hovered = False
        self.update()

    def paint(self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None) -> None:
        zoom = option.levelOfDetailFromTransform(painter.worldTransform())
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, zoom >= _SMOOTH)
        painter.setPen(self._pen(zoom))
        if zoom >= _SMOOTH:
            painter.drawPath(self.path())
        else:
            painter.drawPolyline(self._polyline)
        if self.label and zoom >= _LABEL_ZOOM and (self.hovered or self.isSelected()):
            self._paint_label(painter)

    def _pen(self, zoom: float) -> QPen:
        if self.isSelected() or self.hovered:
            return QPen(look().color("accent"), 2.5)
        if self.tint is not None:
            return QPen(QColor(*(int(v) for v in table("viridis")[int(255 * self.tint)][:3])), 2 + 2 * self.tint)
        if zoom >= _SMOOTH:
            return QPen(look().color("muted", 170), 1.5)
        return QPen(look().color("muted"), 0)  # one opaque pixel wide: drawn many times faster

    def _paint_label(self, painter: QPainter) -> None:
        font = look().font(SMALL, numbers=True)
        font.setPixelSize(11)
        painter.setFont(font)
        width = painter.fontMetrics().horizontalAdvance(self.label) + 10
        middle = self.path().pointAtPercent(0.5)
        area = QRectF(middle.x() - width / 2, middle.y() - 9, width, 18)
        painter.setPen(QPen(look().color("border"), 1))
        painter.setBrush(look().color("raised"))
        painter.drawRoundedRect(area, 4, 4)
        painter.setPen(look().color("text"))
        painter.drawText(area, Qt.AlignmentFlag.AlignCenter, self.label)


def tints(gradients: dict[str, float]) -> dict[str, float]:
    """Mean gradients as 0 to 1, by order of magnitude: six decades below the largest is 0."""
    positive = [g for g in gradients.values() if g > 0]
    top = math.log10(max(positive)) if positive else 0.0
    return {n: min(1.0, max(0.0, 1 + (math.log10(g) - top) / 6)) if g > 0 else 0.0 for n, g in gradients.items()}
