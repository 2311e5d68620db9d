"""Gradients: norm of each layer over time, histogram, and how large updates are beside the weights."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
import pyqtgraph as pg
from PySide6.QtWidgets import QHBoxLayout, QScrollArea, QWidget

from ui.scopes.activations import show_histogram
from ui.scopes.choice import NodeScope
from ui.scopes.plots import Bars, Plot, pen
from ui.session.messages import Snapshot
from ui.theme import look

_MOST_POINTS = 2000
#: Logarithmic range of the update bars, and the healthy band.
_LOW, _HIGH, _BAND = -7.0, 0.0, (-4.0, -2.0)
#: Ratio between two layers' gradients from which one speaks of vanishing.
_VANISHING = 100.0


class GradientScope(NodeScope):
    """Vanishing and exploding gradients are said in a sentence."""

    title, name = "Gradients", "gradients"
    empty = "Press Run: how large the gradient of every layer is, over time, and how large its updates are."

    def __init__(self, parent: QWidget | None = None):
        super().__init__(lambda kind: True, parent=parent)
        self.norms, self.histogram = Plot("gradient norm", "step"), Plot("values", "gradient")
        self.norms.setLogMode(y=True)
        self._bar_item = pg.BarGraphItem(x=[0.0], height=[0.0], width=1.0)
        self.histogram.addItem(self._bar_item)
        self.updates = Bars("update / weights (log, green: healthy)")
        self.history: dict[str, deque[tuple[int, float]]] = {}
        self._run = ""
        row = QHBoxLayout()
        row.addWidget(self.norms, 3)
        row.addWidget(self.histogram, 2)
        area = QScrollArea(widgetResizable=True)
        area.setWidget(self.updates)
        row.addWidget(area, 2)
        self.column.addLayout(row, 1)

    def show_snapshot(self, snapshot: Snapshot) -> None:
        if snapshot.run != self._run:
            self.history.clear()
            self._run = snapshot.run
        for layer in snapshot.layers:
            if layer.weight_norm is not None and layer.gradient_norm is not None:
                points = self.history.setdefault(layer.node, deque(maxlen=_MOST_POINTS))
                points.append((snapshot.step, layer.gradient_norm))
        super().show_snapshot(snapshot)

    def draw(self) -> None:
        snapshot, node = self.snapshot, self.node()
        assert snapshot is not None
        self.norms.clear()
        for number, (name, points) in enumerate(self.history.items()):
            values = np.array(points, float)
            width = 3.0 if name == node else 1.2
            curve = self.norms.plot(values[:, 0], np.maximum(values[:, 1], 1e-30), pen=pen(number, width))
            curve.setToolTip(name)
        found = next((s for s in snapshot.layers if s.node == node), None)
        if found is not None and found.gradient is not None:
            show_histogram(self._bar_item, found.gradient, look().theme.accent)
        self.updates.show_rows(self._rows(), tuple((v - _LOW) / (_HIGH - _LOW) for v in _BAND))

    def _rows(self) -> list[tuple[str, float, str, str]]:
        assert self.snapshot is not None
        rows = []
        for layer in self.snapshot.layers:
            if layer.update_ratio:
                size = math.log10(layer.update_ratio)
                role = "good" if _BAND[0] <= size <= _BAND[1] else "warn"
                rows.append((layer.node, (size - _LOW) / (_HIGH - _LOW), f"{layer.update_ratio:.1e}", role))
        return rows

    def sentence(self) -> str:
        """Whether gradients vanish or explode on their way back."""
        norms = [(name, points[-1][1]) for name, points in self.history.items() if points and points[-1][1] > 0]
        if len(norms) < 2:
            return ""
        (first, early), (last, late) = norms[0], norms[-1]
        if late / early >= _VANISHING:
            return f"Gradients shrink {late / early:,.0f}x from {last} back to {first}: they vanish."
        if early / late >= _VANISHING:
            return f"Gradients grow {early / late:,.0f}x from {last} back to {first}: they explode."
        return "Gradients reach every layer."

    def summary(self) -> str:
        return self.sentence() or self.empty

    def csv(self) -> str:
        rows = [f"{name},{step},{value:.7g}" for name, points in self.history.items() for step, value in points]
        return "\n".join(["node,step,gradient_norm", *rows]) + "\n"
