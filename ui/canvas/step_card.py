"""The card beside the canvas that shows what one node has just computed: every tensor, as a picture and in numbers."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QPoint, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QImage, QPainter, QPaintEvent
from PySide6.QtWidgets import QFrame, QGridLayout, QLabel, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from ui.canvas.pictures import colored, image, value_range
from ui.session.messages import NodeStep
from ui.theme import SMALL, look

_WIDTH, _PICTURE, _MARGIN = 300, QSize(132, 44), 12
#: Channels, and values of a vector, that a picture shows.
_CHANNELS, _VALUES = 8, 256
#: Share of a tensor's values that may be beyond its colours.
_OUTLIERS = 0.05
_TITLES = {"forward": "forward", "backward": "backward", "loss": "the loss", "update": "the update"}


class StepCard(QFrame):
    """Floats over a corner of the canvas while one steps node by node."""

    def __init__(self, parent: QWidget):
        super().__init__(parent)
        self.setObjectName("card")
        self.setAccessibleName("The node that was computed last")
        self.setFixedWidth(_WIDTH)
        self._title, self._note = QLabel(objectName="heading"), QLabel(objectName="muted", wordWrap=True)
        close = QToolButton(text="✕", toolTip="Hide until the next step")
        close.clicked.connect(self.hide)
        self._grid = QGridLayout()
        self._grid.setColumnStretch(1, 1)
        self._grid.setHorizontalSpacing(8)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 8, 8, 10)
        column.setSpacing(6)
        head = QGridLayout()
        head.addWidget(self._title, 0, 0)
        head.addWidget(close, 0, 1)
        head.setColumnStretch(0, 1)
        column.addLayout(head)
        column.addWidget(self._note)
        column.addLayout(self._grid)
        self.rows: list[str] = []
        self._step: NodeStep | None = None
        look().changed.connect(self._repaint)
        self.hide()

    def show_step(self, step: NodeStep | None) -> None:
        """Show what has been computed; None: nothing is being stepped."""
        self._step = step
        if step is None:
            self.hide()
            return
        name = _TITLES.get(step.direction, step.direction)
        self._title.setText(f"{step.node}: {name}" if step.node else name.capitalize())
        self._note.setText(_explanation(step))
        self._fill(tensors(step))
        self.setAccessibleDescription(", ".join([step.note, *self.rows]))
        self.adjustSize()
        self.show()

    def place(self, avoid: QRect | None = None) -> None:
        """Take the lower left corner, or the first other one that leaves `avoid` to be seen."""
        room = self.parentWidget().rect().adjusted(_MARGIN, _MARGIN, -_MARGIN, -_MARGIN)
        right, bottom = room.right() - self.width() + 1, room.bottom() - self.height() + 1
        corners = [QPoint(x, y) for y in (bottom, room.top()) for x in (room.left(), right)]
        free = [at for at in corners if avoid is None or not avoid.intersects(QRect(at, self.size()))]
        self.move((free or corners)[0])
        self.raise_()

    def _repaint(self) -> None:
        self.show_step(self._step)

    def _fill(self, found: list[tuple[str, np.ndarray]]) -> None:
        while (item := self._grid.takeAt(0)) is not None:
            if item.widget():
                item.widget().hide()
                item.widget().deleteLater()
        self.rows = []
        for row, (title, array) in enumerate(found):
            words = f"{'x'.join(map(str, array.shape)) or 'one number'}"
            low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
            self.rows.append(f"{title} {words}, {low:.3g} to {high:.3g}")
            label = QLabel(f"<b>{title}</b> {words}<br>{low:.3g} to {high:.3g}")
            label.setFont(look().font(SMALL))
            label.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
            self._grid.addWidget(label, row, 1)
            self._grid.addWidget(_Thumb(tensor_picture(array), f"{title} {words}"), row, 0)


class _Thumb(QWidget):
    """A small picture of a tensor; every square is a value."""

    def __init__(self, shown: QImage, name: str):
        super().__init__()
        self.image = shown
        self.setFixedSize(_PICTURE)
        self.setAccessibleName(name)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        size = self.image.size().scaled(self.size(), Qt.AspectRatioMode.KeepAspectRatio)
        if self.image.height() == 1:
            size.setHeight(16)
        top = (self.height() - size.height()) / 2
        painter.drawImage(QRectF(0, top, size.width(), size.height()), self.image)


def tensors(step: NodeStep) -> list[tuple[str, np.ndarray]]:
    """The tensors of a step with the names of the field: x, w, y forward; dy, dw, dx backward."""
    several = len(step.inputs) > 1
    sign = "dx" if step.direction == "backward" else "x"
    inputs = [(f"{sign}{k}" if several else sign, a) for k, a in enumerate(step.inputs, 1)]
    mark = "d" if step.direction == "backward" else ""
    parameters = [(f"{mark}{name}", a) for name, a in step.parameters.items()]
    output = [] if step.output is None else [("y" if step.direction == "forward" else "dy", step.output)]
    return [*output, *parameters, *inputs] if step.direction != "forward" else [*inputs, *parameters, *output]


def tensor_picture(array: np.ndarray) -> QImage:
    """The first example of (N, H, W, C), filters (KH, KW, C_in, C_out), a matrix, or a vector, as tiles."""
    values = array.astype(np.float32)
    if values.ndim == 4 and values.shape[0] <= 7 and values.shape[1] <= 7 and values.shape[3] > 1:
        values = values.mean(axis=2)  # filters
    elif values.ndim in (3, 4):
        values = values[0]
    if values.ndim == 3:
        values = _row(values[:, :, :_CHANNELS])
    elif values.ndim == 2:
        values = values[:_VALUES, :_VALUES]
    values = np.atleast_2d(values)[:, : _VALUES * 2]
    return image(colored(values, *value_range(values, _OUTLIERS)))


def _row(channels: np.ndarray) -> np.ndarray:
    """Channels (H, W, C) side by side, with a gap."""
    tiles = [np.pad(channels[:, :, c], ((0, 0), (0, 1)), constant_values=np.nan) for c in range(channels.shape[2])]
    return np.concatenate(tiles, axis=1)


def _explanation(step: NodeStep) -> str:
    """One sentence about what has just happened."""
    if step.direction == "loss":
        return f"{step.note}. Its gradient starts the way back."
    if step.direction == "update":
        return "The optimiser has moved every weight a little against its gradient."
    if step.direction == "backward":
        return "dy came from the layers after it; the layer turns it into gradients of its weights and its input."
    return "It has read x and made y. Pictures show the first example of the batch."
