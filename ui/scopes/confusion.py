"""The confusion matrix, and the examples of one of its cells beside it."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QPoint, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QFontMetrics, QKeyEvent, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from ui.canvas.pictures import table
from ui.scopes.examples import class_name, picture
from ui.session.messages import Snapshot
from ui.theme import SMALL, look

Cell = tuple[int, int]


class Confusion(QWidget):
    """Rows are true classes, columns are guesses; brighter is a larger share of the true class.

    Signals
    -------
    chosen(object)
        A cell (true, guessed) was clicked, or None if it was the chosen one.
    """

    chosen = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.snapshot: Snapshot | None = None
        self.cell: Cell | None = None
        self.setMinimumSize(60, 60)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Confusion matrix")

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Show other counts."""
        self.snapshot = snapshot
        counts = snapshot.confusion
        if self.cell is not None and (counts is None or max(self.cell) >= len(counts)):
            self.choose(None)
        self.setAccessibleDescription(self.summary())
        self.update()

    def choose(self, cell: Cell | None) -> None:
        """Mark a cell, and tell."""
        self.cell = cell
        self.chosen.emit(cell)
        self.update()

    def summary(self) -> str:
        """How much is right, and the most frequent error."""
        counts = None if self.snapshot is None else self.snapshot.confusion
        if counts is None or self.snapshot is None or not counts.sum():
            return "No classes are compared yet."
        text = (f"{100 * np.trace(counts) / counts.sum():.1f} % of {counts.sum():,} of the "
                f"{self.snapshot.held_out:,} held-out examples are right.")  # fmt: skip
        errors = counts - np.diag(np.diag(counts))
        if not errors.any():
            return text
        row, column = divmod(int(errors.argmax()), len(counts))
        names = self.snapshot.class_names
        return f"{text} Most often {class_name(names, row)} is taken for {class_name(names, column)}."

    def describe(self, cell: Cell) -> str:
        """A cell in words."""
        assert self.snapshot is not None and self.snapshot.confusion is not None
        counts, names, (row, column) = self.snapshot.confusion, self.snapshot.class_names, cell
        count, total = int(counts[row, column]), int(counts[row].sum())
        return (f"truly {class_name(names, row)}, guessed {class_name(names, column)}   "
                f"{count:,} of {total:,}, {100 * count / max(1, total):.1f} %")  # fmt: skip

    # --- where things lie ---------------------------------------------------------------------------------

    def geometry_of_cells(self) -> tuple[int, int, int, float]:
        """Number of classes, left and top margin, and the side of a cell."""
        counts = self.snapshot.confusion if self.snapshot else None
        classes = 1 if counts is None else len(counts)
        metrics, names = QFontMetrics(look().font(SMALL)), self.snapshot.class_names if self.snapshot else ()
        longest = max([metrics.horizontalAdvance(f"{k} {n}") for k, n in enumerate(names)], default=10)
        left = min(longest + 8, max(24, self.width() // 3)) + metrics.height()
        top = 2 * metrics.height() + 4
        side = max(2.0, min((self.width() - left - 2) / classes, (self.height() - top - 2) / classes))
        return classes, left, top, side

    def cell_at(self, at: QPoint) -> Cell | None:
        """(true, guessed) at a point of the widget."""
        if self.snapshot is None or self.snapshot.confusion is None:
            return None
        classes, left, top, side = self.geometry_of_cells()
        column, row = int((at.x() - left) // side), int((at.y() - top) // side)
        return (row, column) if 0 <= row < classes and 0 <= column < classes else None

    def value_at(self, at: QPoint) -> str:
        """The cell at a point, in words."""
        cell = self.cell_at(at)
        return "" if cell is None else self.describe(cell)

    # --- mouse and keys -----------------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:
        clicked = self.cell_at(event.position().toPoint())
        self.choose(None if clicked == self.cell else clicked)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        keys = {Qt.Key.Key_Left: (0, -1), Qt.Key.Key_Right: (0, 1), Qt.Key.Key_Up: (-1, 0), Qt.Key.Key_Down: (1, 0)}
        if event.key() not in keys or self.snapshot is None or self.snapshot.confusion is None:
            super().keyPressEvent(event)
            return
        last, step = len(self.snapshot.confusion) - 1, keys[event.key()]
        row, column = self.cell or (0, 0)
        self.choose((min(last, max(0, row + step[0])), min(last, max(0, column + step[1]))))

    # --- painting -----------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), look().color("panel"))
        if self.snapshot is None or self.snapshot.confusion is None:
            return
        painter.setFont(look().font(SMALL))
        self._paint_names(painter)
        counts = self.snapshot.confusion
        shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
        for row, column in np.ndindex(*counts.shape):
            self._paint_cell(painter, (row, column), float(shares[row, column]), int(counts[row, column]))

    def _paint_names(self, painter: QPainter) -> None:
        assert self.snapshot is not None
        classes, left, top, side = self.geometry_of_cells()
        metrics, middle = painter.fontMetrics(), Qt.AlignmentFlag.AlignCenter
        line, wide = metrics.height(), int(classes * side)
        painter.setPen(look().color("muted"))
        painter.drawText(QRectF(left, 0, max(wide, 60), line), Qt.AlignmentFlag.AlignLeft, "guessed")
        painter.save()
        painter.translate(0, top + max(wide, 40))
        painter.rotate(-90)
        painter.drawText(QRectF(0, 0, max(wide, 40), line), Qt.AlignmentFlag.AlignRight, "true")
        painter.restore()
        stride = max(1, int(np.ceil(line * 0.9 / side)))  # of many classes, every so-many-th is named
        names, room = [class_name(self.snapshot.class_names, n) for n in range(classes)], side * stride
        # Columns too narrow for names bear numbers, which stand before the names of the rows then.
        numbered = any(metrics.horizontalAdvance(names[n]) > room for n in range(0, classes, stride))
        for number in range(0, classes, stride):
            name = f"{number} {names[number]}" if numbered and names[number] != str(number) else names[number]
            short = metrics.elidedText(name, Qt.TextElideMode.ElideRight, left - line - 4)
            painter.drawText(QRectF(line, top + number * side, left - line - 4, side), middle, short)
            place = QRectF(left + number * side + (side - room) / 2, line, room, line)
            painter.drawText(place, middle, str(number) if numbered else names[number])

    def _paint_cell(self, painter: QPainter, cell: Cell, share: float, count: int) -> None:
        _, left, top, side = self.geometry_of_cells()
        gap = 1.0 if side >= 6 else 0.0
        area = QRectF(left + cell[1] * side, top + cell[0] * side, side - gap, side - gap)
        color = table("viridis")[int(255 * share)]
        painter.fillRect(area, QColor(*(int(c) for c in color[:3])))
        if count and painter.fontMetrics().horizontalAdvance(str(count)) + 4 <= side:
            painter.setPen(Qt.GlobalColor.black if share > 0.6 else Qt.GlobalColor.white)
            painter.drawText(area, Qt.AlignmentFlag.AlignCenter, str(count))
        if cell == self.cell:
            painter.setPen(Qt.GlobalColor.white)  # both, to be seen on dark and on bright cells
            painter.drawRect(area)
            painter.setPen(Qt.GlobalColor.black)
            painter.drawRect(area.adjusted(1, 1, -1, -1))


class CellExamples(QWidget):
    """Up to nine examples of the chosen cell, as large as there is room."""

    def __init__(self, matrix: Confusion):
        super().__init__()
        self.matrix = matrix
        self.setMinimumSize(60, 60)
        self.setAccessibleName("Examples of the cell")

    def examples(self) -> np.ndarray | None:
        """The examples of the cell, if they are pictures."""
        if self.matrix.snapshot is None or self.matrix.cell is None:
            return None
        found = self.matrix.snapshot.confusion_examples.get(self.matrix.cell)
        return found if found is not None and found.ndim == 4 else None

    def areas(self, count: int) -> list[QRectF]:
        """Where pictures lie: in as many columns as make them largest."""
        head = QFontMetrics(look().font(SMALL)).height() * 2 + 4
        wide, tall = self.width(), max(8, self.height() - head)
        columns = max(range(1, count + 1), key=lambda n: min(wide / n, tall / -(-count // n)))
        side = min(wide / columns, tall / -(-count // columns), 160 * look().scale)
        return [QRectF(n % columns * side, head + n // columns * side, side - 4, side - 4) for n in range(count)]

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), look().color("panel"))
        painter.setFont(look().font(SMALL))
        painter.setPen(look().color("muted"))
        metrics = painter.fontMetrics()
        if self.matrix.cell is None:
            painter.drawText(self.rect(), Qt.TextFlag.TextWordWrap, "Click a cell of the matrix to see its examples.")
            return
        for place, part in enumerate(self.matrix.describe(self.matrix.cell).split("   ")):
            shown = metrics.elidedText(part, Qt.TextElideMode.ElideRight, self.width())
            painter.drawText(0, place * metrics.height(), self.width(), metrics.height(), 0, shown)
        examples = self.examples()
        if examples is not None:
            for area, example in zip(self.areas(len(examples)), examples, strict=True):
                painter.drawImage(area, picture(example))
