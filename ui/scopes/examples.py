"""Which held-out examples are shown, and what the network says about them."""

from __future__ import annotations

import random

import numpy as np
from PySide6.QtCore import QPoint, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QComboBox, QLineEdit, QToolButton, QWidget

from ui.canvas.pictures import image
from ui.session.messages import Snapshot
from ui.theme import SMALL, look

#: Examples that are shown at once.
MOST = 16
_FEW = 8


class ExampleChoice(QComboBox):
    """How examples are chosen, with a field for their numbers and a button to choose again.

    Signals
    -------
    picked(tuple of int)
        Numbers of held-out examples; () for the first ones.
    failed(str)
        Why nothing was picked, in one sentence.
    """

    picked = Signal(object)
    failed = Signal(str)
    FIRST, RANDOM, CLASSES, WRONG, TYPED = range(5)

    def __init__(self) -> None:
        super().__init__()
        self.addItems(["first examples", "random examples", "one of each class", "wrong ones", "by number"])
        self.setAccessibleName("Examples")
        self.setToolTip("Which held-out examples are shown, here and in the other scopes")
        self.snapshot: Snapshot | None = None
        self.numbers = QLineEdit(placeholderText="3, 17, 40-43", visible=False)
        self.numbers.setAccessibleName("Numbers of the examples")
        self.numbers.setMaximumWidth(110)
        self.numbers.returnPressed.connect(self.pick)
        self.again = QToolButton(text="again", visible=False)
        self.again.setToolTip("Choose other examples in the same way")
        self.again.clicked.connect(self.pick)
        self.activated.connect(self._way_chosen)

    def _way_chosen(self, way: int) -> None:
        self._show_controls()
        if way == self.TYPED:
            self.numbers.setFocus()
        else:
            self.pick()

    def _show_controls(self) -> None:
        shown = not self.isHidden()
        self.numbers.setVisible(shown and self.currentIndex() == self.TYPED)
        self.again.setVisible(shown and self.currentIndex() in (self.RANDOM, self.WRONG))

    def set_shown(self, shown: bool) -> None:
        """Show or hide all of it."""
        self.setVisible(shown)
        self._show_controls()

    def follow(self, way: int, numbers: tuple[int, ...]) -> None:
        """Another scope has chosen."""
        self.setCurrentIndex(way)
        if way == self.TYPED:
            self.numbers.setText(", ".join(map(str, numbers)))
        self._show_controls()

    def pick(self) -> None:
        """Choose, among the examples of the latest snapshot."""
        snapshot, way = self.snapshot, self.currentIndex()
        if snapshot is None:
            return
        if way == self.TYPED:
            self._pick_typed(snapshot.held_out)
        elif way == self.RANDOM:
            count = min(_FEW, snapshot.held_out)
            self.picked.emit(tuple(sorted(random.sample(range(snapshot.held_out), count))))
        elif way == self.FIRST:
            self.picked.emit(())
        elif found := snapshot.of_class if way == self.CLASSES else snapshot.wrong[:_FEW]:
            self.picked.emit(tuple(found))
        else:
            self.failed.emit("These data have no classes." if way == self.CLASSES else
                             "No example looked at is guessed wrongly now.")  # fmt: skip

    def _pick_typed(self, held_out: int) -> None:
        try:
            self.picked.emit(parsed(self.numbers.text(), held_out))
        except ValueError as error:
            self.failed.emit(str(error))


def parsed(text: str, count: int) -> tuple[int, ...]:
    """Numbers in "3, 17, 40-43"; ValueError with a sentence if one is not below `count`."""
    found: list[int] = []
    for part in text.replace(",", " ").split():
        first, _, last = part.partition("-")
        if not first.isdecimal() or (last and not last.isdecimal()):
            raise ValueError(f"'{part}' is no number of an example: write numbers such as 3, 17, 40-43.")
        numbers = range(int(first), int(last or first) + 1)
        if not numbers or numbers[-1] >= count:
            raise ValueError(f"There is no example {part}: the held-out examples are numbered 0 to {count - 1:,}.")
        found += numbers[: MOST + 1]
    if not found:
        raise ValueError("Type the numbers of examples, such as 3, 17, 40-43.")
    if len(found) > MOST:
        raise ValueError(f"At most {MOST} examples are shown at once.")
    return tuple(found)


def class_name(names: tuple[str, ...], number: int) -> str:
    """Name of a class, or its number."""
    return names[number] if number < len(names) else str(number)


class Examples(QWidget):
    """Pictures with the three most probable classes; right ones have a tick, wrong ones a cross."""

    def __init__(self) -> None:
        super().__init__()
        self.snapshot: Snapshot | None = None
        self.setAccessibleName("Examples")
        look().changed.connect(self._fit)

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Show other examples."""
        self.snapshot = snapshot
        self._fit()
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(180, self.minimumHeight())

    def resizeEvent(self, event: QResizeEvent) -> None:
        self._fit()

    # --- where things lie ---------------------------------------------------------------------------------

    @property
    def _count(self) -> int:
        snapshot = self.snapshot
        known = snapshot is not None and snapshot.images is not None and snapshot.probabilities is not None
        return len(snapshot.images) if known else 0

    def _line(self) -> int:
        return round(14 * look().scale)

    def _columns(self) -> int:
        return max(1, self.width() // round(140 * look().scale))

    def _tall(self) -> int:
        return 3 * self._line() + 10

    def _fit(self) -> None:
        self.setMinimumHeight(max(1, -(-self._count // self._columns())) * (self._tall() + 8))

    def area(self, number: int) -> QRectF:
        """Where an example stands."""
        columns, wide = self._columns(), self.width() // self._columns()
        return QRectF(number % columns * wide, number // columns * (self._tall() + 8), wide - 8, self._tall())

    def _bar(self, number: int, place: int) -> QRectF:
        area = self.area(number)
        left, line = area.left() + self._tall() + 6, self._line()
        return QRectF(left, area.top() + place * (line + 3), area.right() - left, line)

    def value_at(self, at: QPoint) -> str:
        """The example, or the probability of a class, at a point."""
        snapshot = self.snapshot
        number = next((n for n in range(self._count) if self.area(n).contains(at)), None)
        if snapshot is None or number is None or snapshot.probabilities is None:
            return ""
        name = f"example {snapshot.examples[number]}" if number < len(snapshot.examples) else f"example {number}"
        truth = self._truth(number)
        head = f"{name}, truly {class_name(snapshot.class_names, truth)}" if truth >= 0 else name
        found = snapshot.probabilities[number].ravel()
        ranked = [int(k) for k in np.argsort(found)[::-1][:3]]
        for place, k in enumerate(ranked):
            if self._bar(number, place).contains(at):
                return f"{head}   {class_name(snapshot.class_names, k)}: probability {100 * found[k]:.2f} %"
        return f"{head}   guessed {class_name(snapshot.class_names, ranked[0])}, {100 * found[ranked[0]]:.2f} %"

    def _truth(self, number: int) -> int:
        labels = None if self.snapshot is None else self.snapshot.labels
        return int(labels[number]) if labels is not None and labels.dtype == np.int64 else -1

    # --- painting -----------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(event.rect(), look().color("panel"))
        painter.setFont(look().font(SMALL))
        for number in range(self._count):
            if self.area(number).intersects(QRectF(event.rect())):
                self._paint_one(painter, number)

    def _paint_one(self, painter: QPainter, number: int) -> None:
        snapshot, area = self.snapshot, self.area(number)
        assert snapshot is not None and snapshot.images is not None and snapshot.probabilities is not None
        painter.drawImage(
            QRectF(area.left(), area.top(), area.height(), area.height()), picture(snapshot.images[number])
        )
        found, truth = snapshot.probabilities[number].ravel(), self._truth(number)
        for place, k in enumerate(np.argsort(found)[::-1][:3]):
            bar, right = self._bar(number, place), int(k) == truth
            role = "good" if right else "bad" if place == 0 and truth >= 0 else "muted"
            filled = QRectF(bar)
            filled.setWidth(bar.width() * float(found[k]))
            painter.fillRect(filled, look().color(role, 90))
            mark = ("✓ " if right else "✕ ") if place == 0 and truth >= 0 else ""
            painter.setPen(look().color("text"))
            self._write(painter, bar.adjusted(2, 0, -2, 0), f"{mark}{class_name(snapshot.class_names, int(k))}",
                        f"{100 * found[k]:.0f} %")  # fmt: skip

    @staticmethod
    def _write(painter: QPainter, bar: QRectF, name: str, share: str) -> None:
        metrics, middle = painter.fontMetrics(), Qt.AlignmentFlag.AlignVCenter
        room = int(bar.width()) - metrics.horizontalAdvance(share) - 6
        painter.drawText(bar, middle, metrics.elidedText(name, Qt.TextElideMode.ElideRight, room))
        painter.drawText(bar, middle | Qt.AlignmentFlag.AlignRight, share)


def picture(example: np.ndarray):
    """An example (H, W, 1 or 3), bytes or floats, as an image."""
    values = example.astype(np.float32)
    if example.dtype != np.uint8:
        span = float(values.max() - values.min()) or 1.0
        values = 255 * (values - values.min()) / span
    values = np.repeat(values, 3, axis=2) if values.shape[2] < 3 else values[:, :, :3]
    alpha = np.full((*values.shape[:2], 1), 255, np.float32)
    return image(np.concatenate([values[:, :, :3], alpha], axis=2).astype(np.uint8))
