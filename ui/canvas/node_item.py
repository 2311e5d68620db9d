"""A node, or a collapsed block, on the canvas."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QFontMetricsF, QImage, QPainter, QPainterPath, QPen
from PySide6.QtWidgets import QGraphicsItem, QStyleOptionGraphicsItem, QWidget

from nnvis.layers.base import describe
from ui.document.layout import NODE_HEIGHT, NODE_WIDTH
from ui.theme import GRID, LARGE, RADIUS, SMALL, look

PORT, HIT = 5.0, 12.0
_HEADER, _STRIP = 26.0, 30.0
#: Below this zoom only boxes are drawn.
PLAIN = 0.35


@dataclass(frozen=True)
class Face:
    """What a node shows."""

    title: str
    kind: str
    family: str
    shape: tuple[int, ...] | None
    parameters: int
    inputs: int
    fault: str = ""
    is_output: bool = False
    count: int = 0  # nodes in a collapsed block


class NodeItem(QGraphicsItem):
    """Draws a :class:`Face`; the scene moves and selects it."""

    def __init__(self, name: str, face: Face):
        super().__init__()
        self.name, self.face = name, face
        self.running = ""
        self.strip: QImage | None = None
        self.show_strip = False
        flags = QGraphicsItem.GraphicsItemFlag
        self.setFlags(flags.ItemIsMovable | flags.ItemIsSelectable | flags.ItemSendsGeometryChanges)
        self.setCacheMode(QGraphicsItem.CacheMode.DeviceCoordinateCache)
        self.setZValue(2)
        self._explain()

    def set_face(self, face: Face) -> None:
        """Show other values."""
        if face != self.face:
            self.prepareGeometryChange()
            self.face = face
            self._explain()
            self.update()

    def set_strip(self, image: QImage | None, on: bool) -> None:
        """Show feature maps below the text."""
        self.prepareGeometryChange()
        self.strip, self.show_strip = image, on
        self.update()

    def _explain(self) -> None:
        face = self.face
        lines = [f"{face.title} ({face.kind})"] + [face.fault] * bool(face.fault)
        self.setToolTip("\n".join(lines))

    # --- geometry -----------------------------------------------------------------------------------------

    @property
    def height(self) -> float:
        """Height with or without the strip of feature maps."""
        return NODE_HEIGHT + (_STRIP if self.show_strip and self.strip is not None else 0.0)

    def body(self) -> QRectF:
        """The box, without ports and rings."""
        return QRectF(0, 0, NODE_WIDTH, self.height)

    def boundingRect(self) -> QRectF:
        return self.body().adjusted(-10, -10, 12, 12)

    def shape(self) -> QPainterPath:
        path = QPainterPath()
        path.addRect(self.body())
        return path

    def input_port(self, slot: int) -> QPointF:
        """Centre of an input port, in scene coordinates."""
        count = max(1, self.face.inputs)
        return self.scenePos() + QPointF(0, NODE_HEIGHT * (min(slot, count - 1) + 1) / (count + 1))

    def output_port(self) -> QPointF:
        """Centre of the output port, in scene coordinates."""
        return self.scenePos() + QPointF(NODE_WIDTH, NODE_HEIGHT / 2)

    def badge(self) -> QRectF:
        """Where the fault is marked, in scene coordinates."""
        return QRectF(self.scenePos() + QPointF(NODE_WIDTH - 14, -8), self.scenePos() + QPointF(NODE_WIDTH + 6, 12))

    def itemChange(self, change, value):
        changes = QGraphicsItem.GraphicsItemChange
        if change == changes.ItemPositionChange and self.scene():
            return QPointF(GRID * round(value.x() / GRID), GRID * round(value.y() / GRID))
        if change == changes.ItemPositionHasChanged and self.scene():
            self.scene().node_moved(self.name)
        return super().itemChange(change, value)

    # --- painting -----------------------------------------------------------------------------------------

    def paint(self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None) -> None:
        theme, body = look().theme, self.body()
        hue = look().color(f"family:{self.face.family}")
        zoom = option.levelOfDetailFromTransform(painter.worldTransform())
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, zoom >= PLAIN)
        border = self._border()
        if zoom < PLAIN:
            painter.fillRect(body, look().color("panel"))
            painter.fillRect(QRectF(0, 0, NODE_WIDTH, _HEADER), hue)
            painter.setPen(border)
            painter.drawRect(body)
            return
        if self.face.count:
            painter.setPen(QPen(look().color("border"), 1))
            for offset in (6, 3):
                painter.setBrush(look().color("raised"))
                painter.drawRoundedRect(body.translated(offset, offset), RADIUS, RADIUS)
        painter.setPen(border)
        painter.setBrush(look().color("panel"))
        painter.drawRoundedRect(body, RADIUS, RADIUS)
        self._paint_header(painter, hue)
        self._paint_body(painter)
        self._paint_ports(painter, hue)
        if self.face.fault:
            self._paint_badge(painter, theme.bad)

    def _border(self) -> QPen:
        if self.running:
            return QPen(look().color("good" if self.running == "forward" else "warn"), 3)
        if self.isSelected():
            return QPen(look().color("accent"), 2)
        return QPen(look().color("bad" if self.face.fault else "border"), 1)

    def _paint_header(self, painter: QPainter, hue) -> None:
        soft = look().color(f"family:{self.face.family}", 40)
        path = QPainterPath()
        path.addRoundedRect(QRectF(1, 1, NODE_WIDTH - 2, _HEADER + RADIUS), RADIUS, RADIUS)
        clip = QPainterPath()
        clip.addRect(QRectF(0, 0, NODE_WIDTH, _HEADER))
        painter.fillPath(path.intersected(clip), soft)
        look().family_icon(self.face.family).paint(painter, 8, 5, 16, 16)
        font = look().font(13, bold=True)
        font.setPixelSize(13)
        painter.setFont(font)
        painter.setPen(look().color("text"))
        room = NODE_WIDTH - 36 - (16 if self.face.is_output else 0)
        title = QFontMetricsF(font).elidedText(self.face.title, Qt.TextElideMode.ElideMiddle, room)
        painter.drawText(QRectF(28, 0, room, _HEADER), Qt.AlignmentFlag.AlignVCenter, title)
        if self.face.is_output:
            look().icon("mdi6.flag-checkered", "muted").paint(painter, int(NODE_WIDTH) - 24, 5, 16, 16)

    def _paint_body(self, painter: QPainter) -> None:
        numbers = look().font(LARGE, numbers=True)
        numbers.setPixelSize(15)
        painter.setFont(numbers)
        painter.setPen(look().color("text" if self.face.shape else "muted"))
        shape = describe(self.face.shape) if self.face.shape else "?"
        painter.drawText(QRectF(10, _HEADER, NODE_WIDTH - 20, 26), Qt.AlignmentFlag.AlignVCenter, shape)
        small = look().font(SMALL)
        small.setPixelSize(11)
        painter.setFont(small)
        painter.setPen(look().color("muted"))
        count = f"{self.face.parameters:,}" if self.face.parameters else ""
        metrics = QFontMetricsF(small)
        row = QRectF(10, _HEADER + 25, NODE_WIDTH - 20, 16)
        room = row.width() - metrics.horizontalAdvance(count) - 8
        kind = f"{self.face.count} nodes" if self.face.count else self.face.kind
        painter.drawText(row, Qt.AlignmentFlag.AlignLeft, metrics.elidedText(kind, Qt.TextElideMode.ElideRight, room))
        painter.drawText(row, Qt.AlignmentFlag.AlignRight, count)
        if self.show_strip and self.strip is not None:
            self._paint_strip(painter, QRectF(8, NODE_HEIGHT, NODE_WIDTH - 16, _STRIP - 6))

    def _paint_strip(self, painter: QPainter, area: QRectF) -> None:
        assert self.strip is not None
        size = self.strip.size().scaled(int(area.width()), int(area.height()), Qt.AspectRatioMode.KeepAspectRatio)
        painter.drawImage(QRectF(area.left(), area.top(), size.width(), size.height()), self.strip)

    def _paint_ports(self, painter: QPainter, hue) -> None:
        painter.setPen(QPen(look().color("canvas"), 1.5))
        painter.setBrush(hue)
        for slot in range(self.face.inputs):
            painter.drawEllipse(self.input_port(slot) - self.scenePos(), PORT, PORT)
        painter.drawEllipse(self.output_port() - self.scenePos(), PORT, PORT)

    def _paint_badge(self, painter: QPainter, color: str) -> None:
        area = self.badge().translated(-self.scenePos())
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(look().color("bad"))
        painter.drawEllipse(area)
        painter.setPen(look().color("panel"))
        font = look().font(13, bold=True)
        font.setPixelSize(13)
        painter.setFont(font)
        painter.drawText(area, Qt.AlignmentFlag.AlignCenter, "!")
