"""Predictions: examples with probabilities, the confusion matrix, the decision boundary, and a drawing pad."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QPoint, QRectF, Qt
from PySide6.QtGui import QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from ui.canvas.pictures import image, table
from ui.scopes.bars import Bars, Row
from ui.scopes.base import Scope
from ui.scopes.pad import DrawingPad
from ui.scopes.plots import COLORS, Plot
from ui.session.messages import Prediction, Snapshot
from ui.theme import SMALL, look


class PredictionScope(Scope):
    """What the network says."""

    title, name = "Predictions", "predictions"
    empty = "As soon as the network and its data fit: what it says about a few examples, and about what you draw."

    def __init__(self, parent: QWidget | None = None):
        super().__init__(parent)
        self.examples, self.confusion = Examples(), Confusion()
        self.plane = Plot("y", "x")
        self._field = pg.ImageItem()
        self.plane.addItem(self._field)
        self._points = pg.ScatterPlotItem(size=6)
        self.plane.addItem(self._points)
        self.pad, self.answer = DrawingPad(), Bars("your drawing")
        clear = QPushButton("Clear")
        clear.clicked.connect(self._clear)
        self.pad.drawn.connect(self._ask)
        left = QVBoxLayout()
        left.addWidget(self.pad, 1)
        left.addWidget(clear)
        self._pad_box = QWidget()
        self._pad_box.setLayout(left)
        left.setContentsMargins(0, 0, 0, 0)
        row = QHBoxLayout()
        for widget, share in ((self.examples, 3), (self.confusion, 2), (self.plane, 3), (self._pad_box, 1),
                              (self.answer, 1)):  # fmt: skip
            row.addWidget(widget, share)
        self.column.addLayout(row, 1)
        self._tag = 0

    def _clear(self) -> None:
        self.pad.clear()
        self.answer.show_rows([])

    def _ask(self, example: np.ndarray) -> None:
        self._tag += 1
        self.predict.emit(self._tag, example)

    def show_prediction(self, prediction: Prediction) -> None:
        if prediction.tag < self._tag:
            return
        best = int(prediction.probabilities.argmax())
        self.answer.show_rows([
            Row(_class(prediction.class_names, k), float(p), f"{100 * p:.0f} %", "good" if k == best else "muted")
            for k, p in enumerate(prediction.probabilities.ravel())
        ])  # fmt: skip

    def draw(self) -> None:
        snapshot = self.snapshot
        assert snapshot is not None
        pictures = snapshot.images is not None and snapshot.images.ndim == 4
        drawable = pictures and snapshot.images is not None and snapshot.images.dtype == np.uint8
        self.examples.setVisible(pictures)
        self._pad_box.setVisible(drawable)
        self.answer.setVisible(drawable)
        self.plane.setVisible(snapshot.boundary is not None)
        self.confusion.setVisible(snapshot.confusion is not None)
        if pictures:
            self.examples.show_snapshot(snapshot)
        if drawable and snapshot.images is not None:
            self.pad.set_shape(tuple(snapshot.images.shape[1:]))
        self.confusion.show_snapshot(snapshot)
        if snapshot.boundary is not None:
            self._draw_plane(snapshot)

    def _draw_plane(self, snapshot: Snapshot) -> None:
        x0, y0, x1, y1 = snapshot.extent or (0.0, 0.0, 1.0, 1.0)
        assert snapshot.boundary is not None
        sure = snapshot.boundary[..., -1].T
        self._field.setImage(sure, levels=(0.0, 1.0), lut=table("diverging"))
        self._field.setRect(QRectF(x0, y0, x1 - x0, y1 - y0))
        self._field.setOpacity(0.6)
        points = list(snapshot.confusion_examples.items())
        spots = [
            {"pos": tuple(p), "brush": COLORS[truth % len(COLORS)], "symbol": "ostd+x"[truth % 6],
             "pen": look().theme.panel}
            for (truth, _), rows in points for p in rows
        ]  # fmt: skip
        self._points.setData(spots)

    def summary(self) -> str:
        snapshot = self.snapshot
        if snapshot is None or snapshot.probabilities is None or snapshot.labels is None:
            return self.empty
        right = int((snapshot.probabilities.argmax(axis=-1) == snapshot.labels).sum())
        return f"{right} of the {len(snapshot.labels)} examples shown are classified rightly."

    def csv(self) -> str:
        counts = None if self.snapshot is None else self.snapshot.confusion
        if counts is None or self.snapshot is None:
            return ""
        names = [_class(self.snapshot.class_names, k) for k in range(len(counts))]
        rows = [",".join([name, *map(str, row)]) for name, row in zip(names, counts, strict=True)]
        return "\n".join(["true/guessed," + ",".join(names), *rows]) + "\n"


def _class(names: tuple[str, ...], number: int) -> str:
    return names[number] if number < len(names) else str(number)


class Examples(QWidget):
    """Pictures with the three most probable classes; right ones have a tick, wrong ones a cross."""

    def __init__(self) -> None:
        super().__init__()
        self.snapshot: Snapshot | None = None
        self.setMinimumWidth(180)

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Show other examples."""
        self.snapshot = snapshot
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, snapshot = QPainter(self), self.snapshot
        painter.fillRect(self.rect(), look().color("panel"))
        if snapshot is None or snapshot.images is None or snapshot.probabilities is None:
            return
        painter.setFont(look().font(SMALL))
        line = painter.fontMetrics().height()
        cell, tall = round(132 * look().scale), max(3 * line + 10, 44)
        columns = max(1, self.width() // cell)
        for number in range(len(snapshot.images)):
            left, top = number % columns * cell, number // columns * (tall + 8)
            if top + tall > self.height():
                break
            self._paint_one(painter, number, left, top, tall, cell, line)

    def _paint_one(self, painter, number: int, left: int, top: int, tall: int, cell: int, line: int) -> None:
        snapshot = self.snapshot
        assert snapshot is not None and snapshot.images is not None and snapshot.probabilities is not None
        painter.drawImage(QRectF(left, top, tall, tall), picture(snapshot.images[number]))
        found = snapshot.probabilities[number].ravel()
        truth = int(snapshot.labels[number]) if snapshot.labels is not None else -1
        for place, k in enumerate(np.argsort(found)[::-1][:3]):
            y, room = top + place * (line + 3), cell - tall - 14
            right = int(k) == truth
            role = "good" if right else "bad" if place == 0 else "muted"
            painter.fillRect(left + tall + 6, y, int(room * float(found[k])), line, look().color(role, 90))
            mark = ("✓ " if right else "✕ ") if place == 0 else ""
            text = f"{mark}{_class(snapshot.class_names, int(k))} {100 * found[k]:.0f} %"
            painter.setPen(look().color("text"))
            shown = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, room)
            painter.drawText(left + tall + 8, y, room, line, Qt.AlignmentFlag.AlignVCenter, shown)


def picture(example: np.ndarray):
    """An example (H, W, 1 or 3), bytes or floats, as an image."""
    values = example.astype(np.float32)
    if example.dtype != np.uint8:
        span = float(values.max() - values.min()) or 1.0
        values = 255 * (values - values.min()) / span
    values = np.repeat(values, 3, axis=2) if values.shape[2] == 1 else values[:, :, :3]
    alpha = np.full((*values.shape[:2], 1), 255, np.float32)
    return image(np.concatenate([values, alpha], axis=2).astype(np.uint8))


class Confusion(QWidget):
    """The confusion matrix; a click on a cell shows its examples."""

    def __init__(self) -> None:
        super().__init__()
        self.snapshot: Snapshot | None = None
        self.cell: tuple[int, int] | None = None
        self.setMinimumSize(140, 100)
        self.setToolTip("Rows: true class. Columns: what the network says. Click a cell to see its examples.")
        self.setAccessibleName("Confusion matrix")

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Show other counts."""
        self.snapshot = snapshot
        self.update()

    def _geometry(self) -> tuple[int, int, int]:
        counts = self.snapshot.confusion if self.snapshot else None
        classes = 1 if counts is None else len(counts)
        margin = round(28 * look().scale)
        size = max(4, min((self.width() - margin) // classes, (self.height() - 2 * margin) // classes))
        return classes, margin, size

    def cell_at(self, at: QPoint) -> tuple[int, int] | None:
        """(true, guessed) at a point of the widget."""
        classes, margin, size = self._geometry()
        column, row = (at.x() - margin) // size, (at.y() - margin) // size
        return (row, column) if 0 <= row < classes and 0 <= column < classes else None

    def mousePressEvent(self, event: QMouseEvent) -> None:
        clicked = self.cell_at(event.position().toPoint())
        self.cell = None if clicked == self.cell else clicked
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), look().color("panel"))
        if self.snapshot is None or self.snapshot.confusion is None:
            return
        painter.setFont(look().font(SMALL))
        counts, (classes, margin, size) = self.snapshot.confusion, self._geometry()
        shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
        for row in range(classes):
            name = _class(self.snapshot.class_names, row)
            painter.setPen(look().color("muted"))
            short = painter.fontMetrics().elidedText(name, Qt.TextElideMode.ElideRight, margin - 4)
            painter.drawText(0, margin + row * size, margin - 4, size, Qt.AlignmentFlag.AlignCenter, short)
            column_name = painter.fontMetrics().elidedText(name, Qt.TextElideMode.ElideRight, size)
            painter.drawText(margin + row * size, 0, size, margin, Qt.AlignmentFlag.AlignCenter, column_name)
            for column in range(classes):
                self._paint_cell(painter, row, column, shares[row, column], counts[row, column], margin, size)
        painter.setPen(look().color("muted"))
        painter.drawText(margin, margin + classes * size, self.width() - margin, margin,
                         Qt.AlignmentFlag.AlignVCenter, "guessed →   true ↓")  # fmt: skip
        if self.cell is not None:
            self._paint_examples(painter)

    def _paint_cell(self, painter, row: int, column: int, share: float, count: int, margin: int, size: int) -> None:
        color = table("viridis")[int(255 * share)]
        area = QRectF(margin + column * size, margin + row * size, size - 1, size - 1)
        fill = look().color("accent")
        fill.setRgb(int(color[0]), int(color[1]), int(color[2]))
        painter.fillRect(area, fill)
        if count and size >= 18:
            painter.setPen(Qt.GlobalColor.black if share > 0.6 else Qt.GlobalColor.white)
            painter.drawText(area, Qt.AlignmentFlag.AlignCenter, str(count))
        if (row, column) == self.cell:
            painter.setPen(look().color("warn"))
            painter.drawRect(area)

    def _paint_examples(self, painter) -> None:
        assert self.snapshot is not None and self.cell is not None
        examples = self.snapshot.confusion_examples.get(self.cell)
        if examples is None or examples.ndim != 4:
            return
        side, count = 36, len(examples)
        area = QRectF(8, 8, 3 * side + 16, -(-count // 3) * side + 16)
        painter.fillRect(area, look().color("raised"))
        painter.setPen(look().color("border"))
        painter.drawRect(area)
        for number, example in enumerate(examples):
            place = QRectF(16 + number % 3 * side, 16 + number // 3 * side, side - 2, side - 2)
            painter.drawImage(place, picture(example))
