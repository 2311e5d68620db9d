"""A small map of the whole network in the corner; hidden while everything is in view."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QMouseEvent, QPainter, QPaintEvent, QPen, QPixmap
from PySide6.QtWidgets import QGraphicsView, QWidget

from ui.canvas.scene import CanvasScene
from ui.theme import look


class Minimap(QWidget):
    """Click or drag to go somewhere."""

    def __init__(self, view: QGraphicsView, scene: CanvasScene):
        super().__init__(view.viewport())
        self.view, self.scene = view, scene
        self.setFixedSize(QSize(176, 108))
        self.setAccessibleName("Map of the network")
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self._nodes: QPixmap | None = None
        scene.places_changed.connect(self.forget)
        look().changed.connect(self.forget)

    def forget(self) -> None:
        """Nodes or colours have changed."""
        self._nodes = None

    def refresh(self) -> None:
        """Move to the corner, and show only if there is something out of view."""
        room = self.view.viewport().rect()
        self.move(room.width() - self.width() - 12, room.height() - self.height() - 12)
        content = self.scene.content()
        self.setVisible(not self._seen().contains(content) and room.width() > 420)
        self.update()

    def _seen(self) -> QRectF:
        return self.view.mapToScene(self.view.viewport().rect()).boundingRect()

    def _transform(self) -> tuple[float, QPointF]:
        area = self.scene.content().adjusted(-40, -40, 40, 40)
        scale = min((self.width() - 8) / max(1, area.width()), (self.height() - 8) / max(1, area.height()))
        middle = QPointF(self.width() / 2, self.height() / 2)
        return scale, middle - area.center() * scale

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        if self._nodes is None:
            self._nodes = self._paint_nodes()
        painter.drawPixmap(0, 0, self._nodes)
        scale, shift = self._transform()
        seen = self._seen()
        frame = QRectF(seen.topLeft() * scale + shift, seen.bottomRight() * scale + shift)
        painter.setPen(QPen(look().color("accent"), 1.5))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(frame.intersected(QRectF(self.rect()).adjusted(1, 1, -2, -2)))

    def _paint_nodes(self) -> QPixmap:
        """All nodes; they change far less often than the part that is seen."""
        ratio = self.devicePixelRatioF()
        made = QPixmap(self.size() * ratio)
        made.setDevicePixelRatio(ratio)
        made.fill(Qt.GlobalColor.transparent)
        painter = QPainter(made)
        painter.setPen(QPen(look().color("border"), 1))
        painter.setBrush(look().color("panel", 230))
        painter.drawRoundedRect(self.rect().adjusted(0, 0, -1, -1), 6, 6)
        scale, shift = self._transform()
        for item in self.scene.nodes.values():
            place = item.pos() * scale + shift
            size = max(2.0, item.body().width() * scale), max(2.0, item.body().height() * scale)
            painter.fillRect(QRectF(place.x(), place.y(), *size), look().color(f"family:{item.face.family}"))
        painter.end()
        return made

    def mousePressEvent(self, event: QMouseEvent) -> None:
        scale, shift = self._transform()
        self.view.centerOn((event.position() - shift) / scale)
        self.refresh()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self.mousePressEvent(event)
