"""A small map of the whole network in a corner where no selected node lies; hidden while everything is in view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QPoint, QPointF, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QMouseEvent, QPainter, QPaintEvent, QPen, QPixmap
from PySide6.QtWidgets import QWidget

from ui.canvas.scene import CanvasScene
from ui.theme import look

if TYPE_CHECKING:
    from ui.canvas.camera import Camera

#: Pixels between the map and the edges of the view.
_MARGIN = 12


class Minimap(QWidget):
    """Click or drag to go somewhere."""

    def __init__(self, view: Camera, scene: CanvasScene):
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
        """Move to a corner, and show only if there is something out of view."""
        room = self.view.viewport().rect()
        corner = self._free_corner(room)
        self.move(corner or self.pos())
        hides = not self._seen().contains(self.scene.content())
        self.setVisible(corner is not None and hides and room.width() > 420 and room.height() > 280)
        self.update()

    def _free_corner(self, room: QRect) -> QPoint | None:
        """The lower right one, or the first other one that leaves the selected nodes to be seen."""
        right, bottom = room.width() - self.width() - _MARGIN, room.height() - self.height() - _MARGIN
        corners = [QPoint(x, y) for x in (right, _MARGIN) for y in (bottom, _MARGIN)]
        chosen = [item for item in self.scene.nodes.values() if item.isSelected()]
        taken = [self.view.mapFromScene(item.sceneBoundingRect()).boundingRect() for item in chosen]
        free = (at for at in corners if not any(area.intersects(QRect(at, self.size())) for area in taken))
        return next(free, None)

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
        self.view.by_hand = True
        self.view.centerOn((event.position() - shift) / scale)
        self.refresh()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self.mousePressEvent(event)
