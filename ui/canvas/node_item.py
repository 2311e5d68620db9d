"""A node, or a collapsed block, on the canvas."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, QSizeF, Qt
from PySide6.QtGui import QFont, QFontMetricsF, QImage, QPainter, QPainterPath, QPen, QPixmap
from PySide6.QtWidgets import QGraphicsItem, QStyleOptionGraphicsItem, QWidget

from nnvis.layers.base import describe
from ui.document.layout import NODE_HEIGHT, NODE_WIDTH
from ui.theme import GRID, NORMAL, RADIUS, SMALL, look

PORT, HIT = 5.0, 12.0
_HEADER, _STRIP = 26.0, 30.0
#: Below this zoom only boxes are drawn; below the other, text grows so that it can still be read.
PLAIN, FULL = 0.22, 0.75
_MOST_GROWTH = 2.0
#: Below this zoom corners are too small to be seen round, and ports to be grasped.
_ROUND = 0.5
#: The box of a node without and with feature maps; and all that it may paint on. Asked for very often.
_BODIES = QRectF(0, 0, NODE_WIDTH, NODE_HEIGHT), QRectF(0, 0, NODE_WIDTH, NODE_HEIGHT + _STRIP)
_BOUNDS = tuple(body.adjusted(-10, -10, 12, 12) for body in _BODIES)


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
    is_aux: bool = False

    @property
    def flag(self) -> str:
        """Icon of an output, or of an auxiliary one."""
        return "mdi6.flag-checkered" if self.is_output else "mdi6.flag-outline" if self.is_aux else ""


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
        self.keep_picture(True)
        self.setZValue(2)
        self._explain()

    def keep_picture(self, on: bool) -> None:
        """Paint from a kept picture; a mere box is painted faster than a picture of it."""
        modes = QGraphicsItem.CacheMode
        self.setCacheMode(modes.DeviceCoordinateCache if on else modes.NoCache)

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
        role = ", the output" * face.is_output or ", an auxiliary output" * face.is_aux
        lines = [f"{self.name} ({face.kind}{role})"] + [face.fault] * bool(face.fault)
        if face.count:
            lines.insert(1, f"A block of {face.count} nodes. Double-click to open it.")
        self.setToolTip("\n".join(lines))

    # --- geometry -----------------------------------------------------------------------------------------

    def body(self) -> QRectF:
        """The box, without ports and rings."""
        return _BODIES[self.show_strip and self.strip is not None]

    def boundingRect(self) -> QRectF:
        return _BOUNDS[self.show_strip and self.strip is not None]

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
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, zoom >= _ROUND)
        border = self._border()
        if zoom < PLAIN:
            painter.fillRect(body, look().color("panel"))
            painter.fillRect(QRectF(0, 0, NODE_WIDTH, _HEADER), hue)
            painter.setPen(border)
            painter.drawRect(body)
            return
        growth = _growth(zoom / look().scale)
        header = _HEADER * (1.4 if growth >= 1.3 else 1.0)
        if zoom < _ROUND:
            self._paint_square_box(painter, hue, border, header)
        else:
            self._paint_round_box(painter, border, header)
            self._paint_ports(painter, hue)
        self._paint_header(painter, header, growth)
        self._paint_body(painter, header, growth)
        if self.face.fault:
            self._paint_badge(painter, theme.bad)

    def _paint_square_box(self, painter: QPainter, hue, border: QPen, header: float) -> None:
        painter.fillRect(self.body(), look().color("panel"))
        painter.fillRect(QRectF(0, 0, NODE_WIDTH, header), look().color(f"family:{self.face.family}", 70))
        border.setCosmetic(True)
        painter.setPen(border)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(self.body())

    def _paint_round_box(self, painter: QPainter, border: QPen, header: float) -> None:
        if self.face.count:
            painter.setPen(QPen(look().color("border"), 1))
            for offset in (6, 3):
                painter.setBrush(look().color("raised"))
                painter.drawRoundedRect(self.body().translated(offset, offset), RADIUS, RADIUS)
        painter.setPen(border)
        painter.setBrush(look().color("panel"))
        painter.drawRoundedRect(self.body(), RADIUS, RADIUS)
        painter.fillPath(_header_path(header), look().color(f"family:{self.face.family}", 40))

    def _border(self) -> QPen:
        if self.running:
            return QPen(look().color("good" if self.running == "forward" else "warn"), 3)
        if self.isSelected():
            return QPen(look().color("accent"), 2)
        return QPen(look().color("bad" if self.face.fault else "border"), 1)

    def _paint_header(self, painter: QPainter, height: float, growth: float) -> None:
        side = round(16 * min(growth, 1.3))
        place = QPointF(8, (height - side) / 2)
        ratio = painter.worldTransform().m11() * painter.device().devicePixelRatioF()
        painter.drawPixmap(QRectF(place, QSizeF(side, side)), *_icon(self.face.family, side, ratio))
        font = _font(NORMAL * growth, bold=True)
        painter.setFont(font)
        painter.setPen(look().color("text"))
        left = side + 12
        room = NODE_WIDTH - left - (24 if self.face.flag and growth < 1.3 else 8)
        name = self.face.title if growth < 1.3 else _last_part(self.face.title)
        painter.drawText(QRectF(left, 0, room, height), Qt.AlignmentFlag.AlignVCenter, _elided(name, font, room))
        if self.face.flag and growth < 1.3:
            look().icon(self.face.flag, "muted").paint(painter, int(NODE_WIDTH) - 24, 5, 16, 16)

    def _paint_body(self, painter: QPainter, top: float, growth: float) -> None:
        shape = describe(self.face.shape) if self.face.shape else "?"
        size, room = 15 * growth, NODE_WIDTH - 20
        if (wide := _width(shape, _font(size, numbers=True))) > room:
            size = math.floor(size * room / wide)
        painter.setFont(_font(size, numbers=True))
        painter.setPen(look().color("text" if self.face.shape else "muted"))
        height = NODE_HEIGHT - top if growth >= 1.3 else 27 - 4 * (growth - 1)  # moved up where the row below is larger
        painter.drawText(QRectF(10, top, room, height), Qt.AlignmentFlag.AlignVCenter, shape)
        if growth < 1.3:
            self._paint_kind(painter, growth)
        if self.show_strip and self.strip is not None:
            self._paint_strip(painter, QRectF(8, NODE_HEIGHT, NODE_WIDTH - 16, _STRIP - 6))

    def _paint_kind(self, painter: QPainter, growth: float) -> None:
        small = _font(SMALL * growth)
        painter.setFont(small)
        painter.setPen(look().color("muted"))
        count = f"{self.face.parameters:,}" if self.face.parameters else ""
        row = QRectF(10, _HEADER + 25, NODE_WIDTH - 20, 16 * growth)
        kind = self.face.kind or f"{self.face.count} nodes"
        room = row.width() - _width(count, small) - 8
        painter.drawText(row, Qt.AlignmentFlag.AlignLeft, _elided(kind, small, room, Qt.TextElideMode.ElideRight))
        painter.drawText(row, Qt.AlignmentFlag.AlignRight, count)

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


def _last_part(title: str) -> str:
    """What tells a node from others of its block: of ``layer1.0.conv1`` the last word, of ``branch2.0`` both."""
    head, _, last = title.rpartition(".")
    return f"{head.rpartition('.')[2]}.{last}" if head and last.isdigit() else last


# --- what hundreds of nodes share ---------------------------------------------------------------------------


def _growth(zoom: float) -> float:
    """How much larger text is at this zoom, relative to the app's text; in steps, so that few fonts are made."""
    return round(4 * min(_MOST_GROWTH, max(1.0, FULL / zoom))) / 4


@functools.lru_cache(256)
def _font(pixels: float, bold: bool = False, numbers: bool = False) -> QFont:
    """A font of so many scene units."""
    font = look().font(NORMAL, bold=bold, numbers=numbers)
    font.setPixelSize(max(1, round(pixels)))
    return font


@functools.lru_cache(8192)
def _width(text: str, font: QFont) -> float:
    return QFontMetricsF(font).horizontalAdvance(text)


@functools.lru_cache(8192)
def _elided(text: str, font: QFont, room: float, how: Qt.TextElideMode = Qt.TextElideMode.ElideMiddle) -> str:
    return QFontMetricsF(font).elidedText(text, how, room)


@functools.lru_cache(16)
def _header_path(height: float) -> QPainterPath:
    """The upper part of a node, round at the top alone."""
    path, clip = QPainterPath(), QPainterPath()
    path.addRoundedRect(QRectF(1, 1, NODE_WIDTH - 2, height + RADIUS), RADIUS, RADIUS)
    clip.addRect(QRectF(0, 0, NODE_WIDTH, height))
    return path.intersected(clip)


@functools.lru_cache(256)
def _icon_pixmap(family: str, pixels: int, theme: str) -> QPixmap:
    return look().family_icon(family).pixmap(pixels, pixels)


def _icon(family: str, side: int, zoom: float) -> tuple[QPixmap, QRectF]:
    """The icon of a family at least as sharp as it is shown, and the part of it to draw: all."""
    pixmap = _icon_pixmap(family, 8 * max(2, math.ceil(side * zoom / 8)), look().theme.name)
    return pixmap, QRectF(pixmap.rect())
