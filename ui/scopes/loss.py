"""Loss and accuracy over the steps, of several runs."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QSlider, QWidget

from ui.scopes.base import Scope
from ui.scopes.plots import Plot, pen, smoothed
from ui.session.messages import Curves
from ui.theme import look

#: Points kept of a run; beyond this every other old one is dropped.
MOST_POINTS = 100_000


@dataclass
class Run:
    """The curves of one run."""

    steps: np.ndarray = field(default_factory=lambda: np.zeros(0))
    loss: np.ndarray = field(default_factory=lambda: np.zeros(0))
    accuracy: np.ndarray = field(default_factory=lambda: np.zeros(0))
    epochs: list[tuple[int, dict]] = field(default_factory=list)
    marks: list[tuple[int, str]] = field(default_factory=list)

    def add(self, curves: Curves) -> None:
        """Append points."""
        for name in ("steps", "loss", "accuracy"):
            setattr(self, name, np.concatenate([getattr(self, name), getattr(curves, name)]))
        self.epochs += [(step, dict(metrics)) for step, metrics in curves.epochs]
        self.marks += curves.marks
        if len(self.steps) > MOST_POINTS:
            half = len(self.steps) // 2
            keep = np.r_[0:half:2, half : len(self.steps)]
            self.steps, self.loss, self.accuracy = self.steps[keep], self.loss[keep], self.accuracy[keep]


class LossScope(Scope):
    """Training (line) and held-out (points) loss above accuracy."""

    title, name = "Loss", "loss"
    empty = "Press Run: the loss and accuracy of every batch appear here, with those on held-out data after each epoch."

    def __init__(self, parent: QWidget | None = None):
        super().__init__(parent)
        self.runs: dict[str, Run] = {}
        bar = QHBoxLayout()
        self.smooth = QSlider(Qt.Orientation.Horizontal, minimum=0, maximum=99, value=60)
        self.smooth.setMaximumWidth(140)
        self.smooth.setAccessibleName("Smoothing")
        self.log = QCheckBox("log scale")
        self.reading = QLabel()
        self.reading.setObjectName("muted")
        for widget in (QLabel("smooth"), self.smooth, self.log, self.reading):
            bar.addWidget(widget)
        bar.addStretch(1)
        self.column.addLayout(bar)
        self.plots = {"loss": Plot("loss", "step"), "accuracy": Plot("accuracy (%)", "step")}
        self.plots["accuracy"].setXLink(self.plots["loss"])
        row = QHBoxLayout()
        for plot in self.plots.values():
            row.addWidget(plot)
            plot.scene().sigMouseMoved.connect(lambda at, p=plot: self._read(p, at))
        self.column.addLayout(row, 1)
        self._cross = {name: pg.InfiniteLine(angle=90) for name in self.plots}
        self.smooth.valueChanged.connect(self.redraw)
        self.log.toggled.connect(self.redraw)

    @property
    def has_data(self) -> bool:
        return any(len(run.steps) for run in self.runs.values())

    def add_curves(self, curves: Curves) -> None:
        self.runs.setdefault(curves.run, Run()).add(curves)
        self.redraw()

    def clear_run(self, run: str) -> None:
        """Forget a run."""
        self.runs.pop(run, None)
        self.redraw()

    def draw(self) -> None:
        self.plots["loss"].setLogMode(y=self.log.isChecked())
        for name, plot in self.plots.items():
            plot.clear()
            plot.addItem(self._cross[name], ignoreBounds=True)
            self._cross[name].setPen(look().theme.border)
            scale = 1.0 if name == "loss" else 100.0
            for number, run in enumerate(self.runs.values()):
                self._draw_run(plot, number, run, name, scale)
        self._draw_marks()

    def _draw_run(self, plot: Plot, number: int, run: Run, name: str, scale: float) -> None:
        values = scale * getattr(run, name)
        if np.isfinite(values).any():
            curve = plot.plot(run.steps, smoothed(values, self.smooth.value() / 100), pen=pen(number))
            curve.setDownsampling(auto=True, method="peak")
            curve.setClipToView(True)
        held = [(step, scale * metrics[f"val_{name}"]) for step, metrics in run.epochs if f"val_{name}" in metrics]
        if held:
            plot.plot(*np.array(held).T, pen=pen(number, 1.5, 150), symbol="o", symbolSize=7,
                      symbolBrush=pen(number).color(), symbolPen=look().theme.panel)  # fmt: skip

    def _draw_marks(self) -> None:
        if not self.runs:
            return
        for step, text in next(reversed(self.runs.values())).marks[-40:]:
            if not text.startswith("epoch"):
                line = pg.InfiniteLine(step, 90, look().theme.warn, label=text,
                                       labelOpts={"position": 0.9, "color": look().theme.warn})  # fmt: skip
                self.plots["loss"].addItem(line)

    def _read(self, plot: Plot, at) -> None:
        """The crosshair: values of the newest run at the pointer."""
        if not self.has_data or not plot.sceneBoundingRect().contains(at):
            return
        step = plot.getPlotItem().vb.mapSceneToView(at).x()
        for line in self._cross.values():
            line.setPos(step)
        name, run = next(reversed(self.runs.items()))
        place = int(np.clip(np.searchsorted(run.steps, step), 0, len(run.steps) - 1))
        self.reading.setText(f"{name}   step {run.steps[place]:,.0f}   loss {run.loss[place]:.4g}   "
                             f"accuracy {100 * run.accuracy[place]:.1f} %")  # fmt: skip

    def summary(self) -> str:
        if not self.has_data:
            return self.empty
        name, run = next(reversed(self.runs.items()))
        text = f"{name}: loss {run.loss[0]:.3g} at first, {run.loss[-1]:.3g} at step {run.steps[-1]:.0f}."
        held = [m["val_accuracy"] for _, m in run.epochs if "val_accuracy" in m]
        return text + (f" {100 * held[-1]:.1f} % of the held-out examples are right." if held else "")

    def csv(self) -> str:
        rows = ["run,step,loss,accuracy"]
        for name, run in self.runs.items():
            columns = zip(run.steps, run.loss, run.accuracy, strict=True)
            rows += [f"{name},{step:.0f},{loss:.7g},{accuracy:.7g}" for step, loss, accuracy in columns]
        return "\n".join(rows) + "\n"
