"""Predictions: examples with probabilities, the confusion matrix, the decision boundary, and a drawing pad."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QWidget

from ui.scopes.bars import Bars, Row, scrolled
from ui.scopes.base import Scope, Wants
from ui.scopes.confusion import CellExamples, Confusion
from ui.scopes.examples import ExampleChoice, Examples, class_name
from ui.scopes.pad import DrawingBox, DrawingPad
from ui.scopes.panes import Pane
from ui.scopes.plane import PlanePlot
from ui.session.messages import Prediction, Snapshot

_DRAW = "draw on the pad"
#: Milliseconds between two answers about one drawing, while the network changes.
_AGAIN = 300


class PredictionScope(Scope):
    """What the network says."""

    title, name = "Predictions", "predictions"
    empty = "As soon as the network and its data fit: what it says about a few examples, and about what you draw."

    def __init__(self, parent: QWidget | None = None):
        super().__init__(parent)
        self.examples, self.confusion, self.plane = Examples(), Confusion(), PlanePlot()
        self.cell = CellExamples(self.confusion)
        self.pad, self.answer = DrawingPad(), Bars(_DRAW)
        self.choice = ExampleChoice()
        self.panes = self.add_panes(
            Pane("examples", scrolled(self.examples), 150, 70, 3), Pane("confusion", self.confusion, 150, 130, 2),
            Pane("boundary", self.plane, 180, 130, 3), Pane("cell", self.cell, 140, 120, 2),
            Pane("drawing", DrawingBox(self.pad, scrolled(self.answer), self._clear), 210, 120, 2),
        )  # fmt: skip
        self.panes.set_available(cell=False)
        self.bar.add(self.choice, self.choice.numbers, self.choice.again)
        self._tag = 0
        self._again = QTimer(self, interval=_AGAIN, singleShot=True)
        self._again.timeout.connect(self._ask_again)
        self._connect()

    def _connect(self) -> None:
        self.pad.drawn.connect(self._ask)
        self.pad.cleared.connect(self._forget_answer)
        for widget in (self.examples, self.confusion, self.answer):
            self.reads(widget, widget.value_at)
        self.reads(self.plane.viewport(), self.plane.value_at)
        self.confusion.chosen.connect(self._cell_chosen)
        self.choice.picked.connect(self._picked)
        self.choice.failed.connect(self.failed)

    def _cell_chosen(self, cell) -> None:
        """Its examples open beside the matrix, never over it."""
        pictures = self.snapshot is not None and self.snapshot.images is not None and self.snapshot.images.ndim == 4
        self.panes.set_available(cell=cell is not None and pictures)
        if cell is not None and pictures:
            self.panes.bring(self.panes["confusion"], self.panes["cell"])
        self.cell.update()

    # --- choosing and asking ------------------------------------------------------------------------------

    def _picked(self, numbers: tuple[int, ...]) -> None:
        self.wants.emit(Wants(examples=numbers, way=self.choice.currentIndex()))

    def follow_examples(self, way: int, numbers: tuple[int, ...]) -> None:
        self.choice.follow(way, numbers)

    def _clear(self) -> None:
        self.pad.clear()

    def _forget_answer(self) -> None:
        self._tag += 1  # nor is one wanted that is under way
        self.answer.head = _DRAW
        self.answer.show_rows([])

    def _ask(self, example: np.ndarray) -> None:
        self._tag += 1
        self.predict.emit(self._tag, example)

    def _network_changed(self) -> None:
        """What the network said about the drawing no longer holds."""
        if self.pad.drawing and self.isVisible() and not self._again.isActive():
            self._again.start()

    def _ask_again(self) -> None:
        if self.pad.drawing and self.isVisible():
            self._ask(self.pad.example())

    def showEvent(self, event) -> None:
        super().showEvent(event)
        self._network_changed()

    def set_nodes(self, names, kinds, families) -> None:
        if names != self.names and self.pad.drawing:
            self._forget_answer()  # of a network that is no more
        super().set_nodes(names, kinds, families)

    def show_prediction(self, prediction: Prediction) -> None:
        if prediction.tag < self._tag:
            return
        self.answer.head = "your drawing"
        best = int(prediction.probabilities.argmax())
        rows = []
        for k, p in enumerate(prediction.probabilities.ravel()):
            name = class_name(prediction.class_names, k)
            said = f"your drawing   {name}: probability {100 * p:.2f} %"
            rows.append(Row(name, float(p), f"{100 * p:.0f} %", "good" if k == best else "muted", said))
        self.answer.show_rows(rows)

    # --- drawing ------------------------------------------------------------------------------------------

    def show_snapshot(self, snapshot: Snapshot) -> None:
        self.choice.snapshot = snapshot
        super().show_snapshot(snapshot)
        self._network_changed()

    def draw(self) -> None:
        snapshot = self.snapshot
        assert snapshot is not None
        pictures = snapshot.images is not None and snapshot.images.ndim == 4
        drawable = pictures and snapshot.images is not None and snapshot.images.dtype == np.uint8
        self.panes.set_available(
            examples=pictures, confusion=snapshot.confusion is not None, drawing=drawable,
            boundary=snapshot.boundary is not None,
        )  # fmt: skip
        self.choice.set_shown(pictures)
        if pictures:
            self.examples.show_snapshot(snapshot)
        if drawable and snapshot.images is not None:
            self.pad.set_shape(tuple(snapshot.images.shape[1:]))
        self.confusion.show_snapshot(snapshot)
        self.cell.update()
        if snapshot.boundary is not None:
            self.plane.show_snapshot(snapshot)

    # --- words --------------------------------------------------------------------------------------------

    def at_rest(self) -> str:
        return self.confusion.summary() if self.snapshot and self.snapshot.confusion is not None else self.summary()

    def summary(self) -> str:
        snapshot = self.snapshot
        if snapshot is None or snapshot.probabilities is None or snapshot.labels is None:
            return self.empty
        if snapshot.labels.dtype != np.int64 or not snapshot.class_names:
            return f"Outputs for {len(snapshot.labels)} held-out examples."
        found = snapshot.probabilities
        guessed = found.argmax(axis=-1) if found.shape[-1] > 1 else (found.ravel() > 0.5).astype(int)
        right = int((guessed == snapshot.labels).sum())
        return (f"{right} of the {len(snapshot.labels)} examples shown are classified rightly. "
                f"{self.confusion.summary()}")  # fmt: skip

    def csv(self) -> str:
        counts = None if self.snapshot is None else self.snapshot.confusion
        if counts is None or self.snapshot is None:
            return ""
        names = [class_name(self.snapshot.class_names, k) for k in range(len(counts))]
        rows = [",".join([name, *map(str, row)]) for name, row in zip(names, counts, strict=True)]
        return "\n".join(["true/guessed," + ",".join(names), *rows]) + "\n"
