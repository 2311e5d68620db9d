"""A pad to draw digits on: 28x28, white on black, as in MNIST."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PySide6.QtCore import QPointF, QRect, QRectF, QTimer, Signal
from PySide6.QtGui import QImage, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QBoxLayout, QPushButton, QVBoxLayout, QWidget

from ui.canvas.pictures import image
from ui.theme import look

#: Standard deviation of the brush, in pixels of the drawing.
_BRUSH = 1.0
#: Milliseconds between two questions while drawing.
_INTERVAL = 60


class DrawingPad(QWidget):
    """Signals: ``drawn(ndarray)``, uint8 (H, W, C), while drawing; ``cleared()``."""

    drawn = Signal(object)
    cleared = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setMinimumSize(96, 96)
        self.setAccessibleName("Drawing pad")
        self.setToolTip("Draw here with the mouse; the right button clears")
        self._timer = QTimer(self, interval=_INTERVAL, singleShot=True)
        self._timer.timeout.connect(lambda: self.drawn.emit(self.example()))
        self.ink = np.zeros((1, 1), np.float32)
        self.set_shape((28, 28, 1))

    def set_shape(self, shape: tuple[int, ...]) -> None:
        """Size of the examples; a drawing of another size is cleared."""
        if getattr(self, "shape", None) != shape:
            self.shape = shape
            self.clear()

    def clear(self) -> None:
        """A black sheet."""
        drawn = self.drawing
        self.ink = np.zeros(self.shape[:2], np.float32)
        self._timer.stop()
        self.update()
        if drawn:
            self.cleared.emit()

    @property
    def drawing(self) -> bool:
        """Whether there is something on the pad."""
        return bool(self.ink.any())

    def example(self) -> np.ndarray:
        """The drawing as an example of the data set, uint8 (H, W, C)."""
        bytes_ = (255 * self.ink).astype(np.uint8)
        return np.repeat(bytes_[:, :, None], self.shape[2], axis=2)

    def draw_at(self, row: float, column: float) -> None:
        """A dab of the soft brush."""
        rows, columns = np.mgrid[: self.shape[0], : self.shape[1]]
        size = _BRUSH * self.shape[0] / 28
        dab = np.exp(-((rows + 0.5 - row) ** 2 + (columns + 0.5 - column) ** 2) / (2 * size**2))
        self.ink = np.minimum(1.0, np.maximum(self.ink, 1.3 * dab)).astype(np.float32)
        self.update()
        if not self._timer.isActive():
            self._timer.start()

    def _area(self) -> QRect:
        side = min(self.width(), self.height())
        return QRect((self.width() - side) // 2, (self.height() - side) // 2, side, side)

    def _draw(self, at: QPointF) -> None:
        area = self._area()
        scale = self.shape[0] / area.height()
        self.draw_at((at.y() - area.top()) * scale, (at.x() - area.left()) * scale)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self.clear() if event.button() == event.button().RightButton else self._draw(event.position())

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if event.buttons() & event.button().LeftButton:
            self._draw(event.position())

    def contextMenuEvent(self, event) -> None:
        event.accept()  # the right button clears

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), look().color("panel"))
        grey = self.example()[:, :, 0]
        shown: QImage = image(np.dstack([grey, grey, grey, np.full_like(grey, 255)]))
        painter.drawImage(QRectF(self._area()), shown)
        painter.setPen(look().color("border"))
        painter.drawRect(self._area().adjusted(0, 0, -1, -1))


class DrawingBox(QWidget):
    """The pad with what the network says about the drawing: beside it, or below where there is more height than width.

    Parameters
    ----------
    pad : DrawingPad
    answer : QWidget
    clear : callable
    """

    def __init__(self, pad: DrawingPad, answer: QWidget, clear: Callable[[], None]):
        super().__init__()
        sheet, button = QVBoxLayout(), QPushButton("Clear")
        sheet.addWidget(pad, 1)
        sheet.addWidget(button)
        button.clicked.connect(lambda: clear())
        self._row = QBoxLayout(QBoxLayout.Direction.LeftToRight, self)
        self._row.setContentsMargins(0, 0, 0, 0)
        self._row.addLayout(sheet, 1)
        self._row.addWidget(answer, 1)

    def resizeEvent(self, event) -> None:
        super().resizeEvent(event)
        high = self.height() > 1.5 * self.width()
        directions = QBoxLayout.Direction
        self._row.setDirection(directions.TopToBottom if high else directions.LeftToRight)
