"""A word on the canvas that can be read whatever lies below it."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF
from PySide6.QtGui import QPainter, QPen
from PySide6.QtWidgets import QGraphicsSimpleTextItem, QStyleOptionGraphicsItem, QWidget

from ui.theme import RADIUS, look

#: Around the text, and between it and the pointer.
_PADDING, _APART = 6.0, 20.0


class Word(QGraphicsSimpleTextItem):
    """A line of text on a ground of its own; none where there is no text."""

    def put(self, at: QPointF) -> None:
        """Stand below and to the right of a point, as far as that can be seen."""
        view = self.scene().views()[0] if self.scene() and self.scene().views() else None
        place, size = at + QPointF(_APART, _APART), self.boundingRect()
        if view is not None:
            seen = view.mapToScene(view.viewport().rect()).boundingRect()
            place.setX(max(seen.left() + _PADDING, min(place.x(), seen.right() - size.width())))
            if place.y() + size.height() > seen.bottom():
                place.setY(at.y() - _APART - size.height())
        self.setPos(place)

    def boundingRect(self) -> QRectF:
        area = super().boundingRect()
        return area.adjusted(-_PADDING, -_PADDING, _PADDING, _PADDING) if self.text() else area

    def paint(self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None) -> None:
        if not self.text():
            return
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(look().color("border"), 1))
        painter.setBrush(look().color("raised"))
        painter.drawRoundedRect(self.boundingRect().adjusted(1, 1, -1, -1), RADIUS, RADIUS)
        super().paint(painter, option, widget)
