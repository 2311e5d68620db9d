"""Predictions: examples with probabilities, the confusion matrix, the decision boundary, and a drawing pad."""

from __future__ import annotations

import numpy as np
from PySide6.QtWidgets import QPushButton, QVBoxLayout, QWidget

from ui.scopes.bars import Bars, Row, scrolled
from ui.scopes.base import Scope, Wants
from ui.scopes.confusion import CellExamples, Confusion
from ui.scopes.examples import ExampleChoice, Examples, class_name
from ui.scopes.pad import DrawingPad
from ui.scopes.panes import Pane
from ui.scopes.plane import PlanePlot
from ui.session.messages import Prediction, Snapshot

_DRAW = "draw on the pad"


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
            Pane("drawing", self._pad_box(), 130, 130, 1), Pane("answer", scrolled(self.answer), 110, 100, 1),
        )  # fmt: skip
        self.panes.set_available(cell=False)
        self.bar.add(self.choice, self.choice.numbers, self.choice.again)
        self._tag = 0
        self._connect()

    def _pad_box(self) -> QWidget:
        box, column, clear = QWidget(), QVBoxLayout(), QPushButton("Clear")
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.pad, 1)
        column.addWidget(clear)
        box.setLayout(column)
        clear.clicked.connect(self._clear)
        return box

    def _connect(self) -> None:
        self.pad.drawn.connect(self._ask)
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
        self.answer.head = _DRAW
        self.answer.show_rows([])

    def _ask(self, example: np.ndarray) -> None:
        self._tag += 1
        self.predict.emit(self._tag, example)

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

    def draw(self) -> None:
        snapshot = self.snapshot
        assert snapshot is not None
        pictures = snapshot.images is not None and snapshot.images.ndim == 4
        drawable = pictures and snapshot.images is not None and snapshot.images.dtype == np.uint8
        self.panes.set_available(
            examples=pictures, confusion=snapshot.confusion is not None, drawing=drawable, answer=drawable,
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
