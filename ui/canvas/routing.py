"""The ways of wires: around nodes, and between lines and blocks."""

from __future__ import annotations

import math
from collections.abc import Iterable

from PySide6.QtCore import QPointF, QRectF
from PySide6.QtGui import QPainterPath

from ui.document.layout import GAP_X, NODE_HEIGHT

#: How far a wire runs out before it turns back, and the radius of its corners.
_OUT, _CORNER = 24.0, 12.0
#: How far above its ends a wire passes over nodes, below the name of a block, and the width of a curve between columns.
_OVER, _BEND = NODE_HEIGHT / 2 + 10.0, GAP_X


def route(start: QPointF, end: QPointF, boxes: Iterable[QRectF] = (), frames: Iterable[QRectF] = ()) -> QPainterPath:
    """The way of a wire: a smooth curve to the right, or round corners over what is in the way, or back to the left.

    Parameters
    ----------
    boxes : iterable of QRectF
        Nodes, to be passed around.
    frames : iterable of QRectF
        Of open blocks, between which wires lead back to the left.
    """
    if end.x() <= start.x() - _OUT:
        return _around(start, end, _corridor(start, end, [*boxes, *frames]))
    between = [b for b in boxes if start.x() < b.left() and b.right() < end.x()]
    if not _across(between, start.y(), end.y()):
        return _forward(start, end)
    if abs(end.y() - start.y()) <= NODE_HEIGHT / 2:
        return _around(start, end, min(start.y(), end.y()) - _OVER)
    return _beside(start, end, between)


def _corridor(start: QPointF, end: QPointF, boxes: list[QRectF]) -> float:
    """The free height nearest to the middle of two lines, at which a wire can lead back to the left."""
    low, high = sorted((start.y(), end.y()))
    middle = (low + high) / 2 if high - low >= NODE_HEIGHT + 2 * _CORNER else high + NODE_HEIGHT
    taken = sorted((b.top(), b.bottom()) for b in boxes if b.left() < start.x() + _OUT and b.right() > end.x() - _OUT)
    free, reached = [], low
    for top, bottom in taken:
        if low < reached < top < high:
            free.append((reached + top) / 2)
        reached = max(reached, bottom)
    return min(free, key=lambda height: abs(height - middle), default=middle)


def _across(boxes: list[QRectF], one: float, other: float) -> bool:
    low, high = sorted((one, other))
    return any(b.top() < high + 1 and b.bottom() > low - 1 for b in boxes)


def _beside(start: QPointF, end: QPointF, boxes: list[QRectF]) -> QPainterPath:
    """Straight on at the height of one end, as far as nothing is in the way there, and a curve at the other."""
    bend = min(_BEND, (end.x() - start.x()) / 2)
    if not _across(boxes, start.y(), start.y()):
        turn = QPointF(end.x() - bend, start.y())
        path = QPainterPath(start)
        path.lineTo(turn)
        path.cubicTo(turn + QPointF(bend / 2, 0), end - QPointF(bend / 2, 0), end)
        return path
    if _across(boxes, end.y(), end.y()):
        return _forward(start, end)
    turn = QPointF(start.x() + bend, end.y())
    path = QPainterPath(start)
    path.cubicTo(start + QPointF(bend / 2, 0), turn - QPointF(bend / 2, 0), turn)
    path.lineTo(end)
    return path


def _around(start: QPointF, end: QPointF, along: float) -> QPainterPath:
    """Out to the right, along at this height, and in from the left."""
    out, back = start.x() + _OUT, end.x() - _OUT
    corners = [QPointF(out, start.y()), QPointF(out, along), QPointF(back, along), QPointF(back, end.y())]
    path = QPainterPath(start)
    for before, corner, after in zip([start, *corners], corners, [*corners[1:], end], strict=False):
        path.lineTo(corner + _towards(corner, before))
        path.quadTo(corner, corner + _towards(corner, after))
    path.lineTo(end)
    return path


def _towards(corner: QPointF, other: QPointF) -> QPointF:
    """From a corner a little way to another point."""
    way = other - corner
    length = math.hypot(way.x(), way.y())
    return way * (min(_CORNER, length / 2) / length) if length else way


def _forward(start: QPointF, end: QPointF) -> QPainterPath:
    """A smooth curve that leaves and arrives horizontally."""
    if start.y() == end.y():
        path = QPainterPath(start)
        path.lineTo(end)
        return path
    reach = max(32.0, abs(end.x() - start.x()) / 2)
    path = QPainterPath(start)
    path.cubicTo(start + QPointF(reach, 0), end - QPointF(reach, 0), end)
    return path
