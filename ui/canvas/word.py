"""A word on the canvas that can be read whatever lies below it."""

from __future__ import annotations

from PySide6.QtCore import QRectF
from PySide6.QtGui import QPainter, QPen
from PySide6.QtWidgets import QGraphicsSimpleTextItem, QStyleOptionGraphicsItem, QWidget

from ui.theme import RADIUS, look

_PADDING = 6.0


class Word(QGraphicsSimpleTextItem):
    """A line of text on a ground of its own; none where there is no text."""

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
