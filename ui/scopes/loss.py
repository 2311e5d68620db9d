"""Loss and accuracy over the steps, of several runs."""

from __future__ import annotations

import math

import numpy as np
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QCheckBox, QLabel, QPushButton, QSlider, QWidget

from ui.scopes.base import Scope
from ui.scopes.curve import Curve, beyond, ceiling
from ui.scopes.legend import Legend
from ui.scopes.marks import Mark
from ui.scopes.panes import Pane
from ui.scopes.plots import Plot, align, pen
from ui.scopes.reading import joined
from ui.scopes.runs import MOST_POINTS, Run, smoothed, sparse, thinned
from ui.session.messages import Curves
from ui.theme import look

__all__ = ["MOST_POINTS", "LossScope", "Run", "smoothed"]
#: Factor from what is measured to what is shown: accuracies are shares, and shown in per cent.
_SCALE = {"loss": 1.0, "accuracy": 100.0}


#: Runs whose curves are shown together, unless the user has named more.
MOST_RUNS = 6


class LossScope(Scope):
    """Training (line) and held-out (points) loss and accuracy, of the runs that the legend shows."""

    title, name = "Loss", "loss"
    empty = "Press Run: the loss and accuracy of every batch appear here, with those on held-out data after each epoch."

    def __init__(self, parent: QWidget | None = None):
        super().__init__(parent)
        self.runs: dict[str, Run] = {}
        #: The run removed last, which can be brought back; it goes on gathering points meanwhile.
        self.removed: Run | None = None
        self._gone: set[str] = set()
        self._count = 0
        self.smooth = QSlider(Qt.Orientation.Horizontal, minimum=0, maximum=99, value=60)
        self.smooth.setFixedWidth(96)
        self.smooth.setAccessibleName("Smoothing")
        self.smooth.setToolTip("How much of the past each point of the curves carries")
        self.log = QCheckBox("log scale")
        self.back = QPushButton("Bring back", visible=False)
        self.back.setToolTip("Show the run again that was removed last")
        self.back.clicked.connect(self.bring_back)
        self.bar.add(QLabel("smooth"), self.smooth, self.log)
        self.plots = {"loss": Plot("loss", "step"), "accuracy": Plot("accuracy (%)", "step", short="%", below=True)}
        self.plots["accuracy"].setXLink(self.plots["loss"])
        align(*self.plots.values())
        self.legend = Legend()
        self.panes = self.add_panes(
            Pane("loss", self.plots["loss"], 170, 100, 3), Pane("accuracy", self.plots["accuracy"], 170, 100, 3),
            Pane("runs", self.legend, 240, 70, 1),
        )  # fmt: skip
        self.bar.add(self.back)
        self._curves: dict[tuple[str, str, str], Curve] = {}
        self._top = math.inf
        self._connect()

    def _connect(self) -> None:
        for plot in self.plots.values():
            self.reads(plot.viewport(), lambda at, p=plot: self._read(p, at)).left.connect(self._forget_cross)
            plot.getPlotItem().getViewBox().sigRangeChangedManually.connect(lambda _: self.redraw())
            plot.fitted.connect(self.redraw)
        self.smooth.valueChanged.connect(self.redraw)
        self.log.toggled.connect(self._set_log)
        self.legend.shown.connect(self.show_run)
        self.legend.renamed.connect(self.rename)
        self.legend.removed.connect(self.remove)

    # --- the runs -----------------------------------------------------------------------------------------

    @property
    def has_data(self) -> bool:
        return self.removed is not None or any(len(run.steps) for run in self.runs.values())

    @property
    def visible_runs(self) -> list[Run]:
        """The runs that are drawn, the oldest first."""
        return [run for run in self.runs.values() if run.shown and len(run.steps)]

    def add_curves(self, curves: Curves) -> None:
        if self.removed is not None and self.removed.key == curves.run:
            self.removed.add(curves)
        elif curves.run not in self._gone:
            if curves.run not in self.runs:
                self.runs[curves.run] = Run(curves.run, self._count, curves.run)
                self._count += 1
                self._forget_old_runs()
            self.runs[curves.run].add(curves)
            self.redraw()

    def _forget_old_runs(self) -> None:
        """Of very many runs only the newest are compared: older ones would make every drawing slower."""
        unnamed = [key for key, run in self.runs.items() if run.label == key]
        for key in unnamed[: max(0, len(self.runs) - MOST_RUNS)]:
            del self.runs[key]
        self._drop_items()

    def begin_anew(self) -> None:
        """Another network comes, with runs of its own: curves of two networks do not share their axes."""
        self.runs, self.removed, self._count = {}, None, 0
        self._gone.clear()
        self.back.hide()
        self._drop_items()
        for plot in self.plots.values():
            plot.getPlotItem().enableAutoRange()
        self.redraw()

    def rename(self, key: str, label: str) -> None:
        """Give a run another name; "" gives it its first one again."""
        if label != self.runs[key].label:
            self.runs[key].label = label or key
            self.redraw()

    def show_run(self, key: str, shown: bool) -> None:
        """Show or hide a run."""
        if shown != self.runs[key].shown:
            self.runs[key].shown = shown
            self.redraw()

    def remove(self, key: str) -> None:
        """Forget a run; the last one removed can be brought back."""
        self.removed = self.runs.pop(key)
        self._gone.add(key)
        self.back.setText(f"Bring back {self.removed.label}")
        self.back.show()
        self._drop_items()
        self.redraw()

    def bring_back(self) -> None:
        """Undo the last removal."""
        if self.removed is not None:
            self._gone.discard(self.removed.key)
            again = {**self.runs, self.removed.key: self.removed}
            self.runs = dict(sorted(again.items(), key=lambda pair: pair[1].number))
            self.removed = None
        self.back.hide()
        self.redraw()

    # --- drawing ------------------------------------------------------------------------------------------

    def _set_log(self, on: bool) -> None:
        self.plots["loss"].setLogMode(y=on)
        self.redraw()

    def repaint_all(self) -> None:
        for (run, name, kind), item in self._curves.items():
            if run in self.runs:
                self._dress(item, self.runs[run].number, name, kind)
        super().repaint_all()

    def draw(self) -> None:
        amount = self.smooth.value() / 100
        self._top = ceiling(self.visible_runs, self.log.isChecked())
        for run in self.runs.values():
            for name, scale in _SCALE.items():
                values = run.drawn(name, amount)
                known = run.shown and bool(np.isfinite(values).any())
                self._show(run, name, "batches", run.steps, scale * values, known)
                held = run.held_out(name)
                self._show(run, name, "held out", held[:, 0], scale * held[:, 1], run.shown and len(held) > 0)
        classes = any(np.isfinite(run.accuracy).any() for run in self.runs.values())
        self.panes.set_available(accuracy=classes or not self.runs)
        marks = self._marks()
        for plot in self.plots.values():
            plot.show_marks(marks)
        self.legend.show_runs(self.runs.values(), self._legend_values())

    def _show(self, run: Run, name: str, kind: str, x: np.ndarray, y: np.ndarray, shown: bool) -> None:
        item = self._curves.get((run.key, name, kind))
        if item is None:
            if not shown:
                return
            item = self._curves[run.key, name, kind] = Curve()
            self._dress(item, run.number, name, kind)
            self.plots[name].addItem(item)
        top = self._top if name == "loss" else math.inf
        if item.isVisible() != shown or item.ceiling != top:
            item.setVisible(shown)
            item.ceiling = top
            self.plots[name].getPlotItem().getViewBox().updateAutoRange()
        if shown:
            few = thinned if kind == "batches" else sparse
            item.setData(*few(x, y, self.plots["loss"].zoomed()))

    def _dress(self, item: Curve, number: int, name: str, kind: str) -> None:
        if kind == "batches":
            item.setPen(pen(number))
            return
        item.setPen(pen(number, 1.5, 150))
        item.setSymbol("o")
        item.setSymbolSize(7)
        item.setSymbolBrush(pen(number).color())
        item.setSymbolPen(look().theme.panel)

    def _drop_items(self) -> None:
        for key in [key for key in self._curves if key[0] not in self.runs]:
            self.plots[key[1]].removeItem(self._curves.pop(key))

    def _marks(self) -> list[Mark]:
        """Events of the runs shown, and where their epochs end."""
        seen, runs = {}, self.visible_runs
        for run in runs:
            color = pen(run.number).color().name() if len(runs) > 1 else ""
            for step, text in run.marks:
                epoch = text.startswith("epoch")
                whose = run.label if len(runs) > 1 else ""
                seen[step, text, "" if epoch else whose] = Mark(step, text, "" if epoch else color, epoch, whose)
        return list(seen.values())

    # --- reading ------------------------------------------------------------------------------------------

    def _read(self, plot: Plot, at: QPoint) -> str:
        """The crosshair, in both plots, and the values of all runs that are seen."""
        place = plot.place(at)
        step = None if place is None else place[0]
        for each in self.plots.values():
            each.show_cross(step)
        self.legend.show_runs(self.runs.values(), self._legend_values(step))
        return "" if step is None else self.reading(step, 5 * plot.pixel_size()[0])

    def _forget_cross(self) -> None:
        for plot in self.plots.values():
            plot.show_cross(None)
        self.legend.show_runs(self.runs.values(), self._legend_values())

    def reading(self, step: float, reach: float = 0.0) -> str:
        """Values of the runs that are seen at a step, and what happened within `reach` of it."""
        runs = [(run, place) for run in self.visible_runs if (place := run.at(step)) is not None]
        if not runs:
            return ""
        marks = self.plots["loss"].marks
        happened = [mark.said for mark in marks if not mark.epoch and abs(mark.step - step) <= reach]
        run, place = runs[-1]
        head = f"step {run.steps[place]:,.0f}, epoch {max(r.epoch(run.steps[place]) for r, _ in runs)}"
        return joined(head, *(self._values_of(run, place) for run, place in runs), ", ".join(happened[-3:]))

    def _values_of(self, run: Run, place: int) -> str:
        amount, words = self.smooth.value() / 100, []
        for name, scale in _SCALE.items():
            value, unit = scale * run.drawn(name, amount)[place], " %" if name == "accuracy" else ""
            if np.isfinite(value):
                words.append(f"{name} {_shown(name, value)}{unit}")
            held = run.held_out(name)
            held = held[held[:, 0] <= run.steps[place]]
            if len(held):
                words.append(f"held-out {_shown(name, scale * held[-1, 1])}{unit}")
        return f"{run.label}: {', '.join(words)}"

    def _legend_values(self, step: float | None = None) -> dict[str, tuple[str, str]]:
        """Texts of loss and accuracy at a step, or of the last batch."""
        found, amount = {}, self.smooth.value() / 100
        for run in self.runs.values():
            place = run.at(step) if step is not None else len(run.steps) - 1
            texts = ["-", "-"]
            if place is not None and place >= 0:
                texts = [_shown(name, scale * run.drawn(name, amount)[place]) for name, scale in _SCALE.items()]
            found[run.key] = texts[0], texts[1] + (" %" if texts[1] != "-" else "")
        return found

    def at_rest(self) -> str:
        runs = self.visible_runs
        gone = beyond(runs, self.log.isChecked())
        more = f" The loss of {', '.join(gone)} goes beyond the axis." if gone else ""
        return _said(runs[-1]) + more if runs else self.summary()

    # --- words --------------------------------------------------------------------------------------------

    def summary(self) -> str:
        if not self.has_data:
            return self.empty
        nothing = "All runs are hidden: check the box of one." if self.runs else "All runs are removed."
        return " ".join(_said(run) for run in self.visible_runs[-3:]) or nothing

    def csv(self) -> str:
        rows = ["run,step,loss,accuracy"]
        for run in self.visible_runs:
            label = run.label.replace('"', '""')
            label = f'"{label}"' if any(c in label for c in ',"\n') else label
            columns = zip(run.steps, run.loss, run.accuracy, strict=True)
            rows += [f"{label},{step:.0f},{loss:.7g},{accuracy:.7g}" for step, loss, accuracy in columns]
        return "\n".join(rows) + "\n"


def _shown(name: str, value: float) -> str:
    if not np.isfinite(value):
        return "-"
    return f"{value:.1f}" if name == "accuracy" else f"{value:.3g}"


def _said(run: Run) -> str:
    text = f"{run.label}: loss {run.loss[0]:.3g} at first, {run.loss[-1]:.3g} at step {run.steps[-1]:,.0f}."
    held = run.held_out("accuracy")
    return text + (f" {100 * held[-1, 1]:.1f} % of the held-out examples are right." if len(held) else "")
