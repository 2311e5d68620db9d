"""Weights: the distribution of a layer now and over time, and filters as pictures."""

from __future__ import annotations

from collections import deque

import numpy as np
import pyqtgraph as pg
from PySide6.QtWidgets import QHBoxLayout, QLabel, QWidget

from ui.canvas.pictures import colored, image, value_range
from ui.scopes.activations import show_histogram
from ui.scopes.choice import NodeScope
from ui.scopes.plots import Picture, Plot
from ui.session.messages import Histogram, Snapshot
from ui.theme import look

_MOST, _BINS, _FILTERS = 200, 64, 64


class WeightScope(NodeScope):
    """Filters of convolutions are shown as pictures, mean over input channels beyond three."""

    title, name = "Weights", "weights"
    empty = "As soon as a layer has weights: how they are distributed, how that changes, and filters as pictures."

    def __init__(self, parent: QWidget | None = None):
        super().__init__(lambda kind: kind.startswith(("Conv", "Linear", "BatchNorm")), filters=True, parent=parent)
        self.range = QLabel()
        self.range.setObjectName("muted")
        self.bar.add(self.range)
        self.now, self.time, self.picture = Plot("weights", "value"), Plot("value", "look"), Picture()
        self._bar_item = pg.BarGraphItem(x=[0.0], height=[0.0], width=1.0)
        self.now.addItem(self._bar_item)
        self._heat = pg.ImageItem()
        self.time.addItem(self._heat)
        self.history: dict[str, deque[tuple[int, Histogram]]] = {}
        row = QHBoxLayout()
        for widget in (self.picture, self.now, self.time):
            row.addWidget(widget, 1)
        self.column.addLayout(row, 1)

    def show_snapshot(self, snapshot: Snapshot) -> None:
        for layer in snapshot.layers:
            if layer.weight is not None:
                self.history.setdefault(layer.node, deque(maxlen=_MOST)).append((snapshot.step, layer.weight))
        for gone in set(self.history) - {layer.node for layer in snapshot.layers}:
            del self.history[gone]
        super().show_snapshot(snapshot)

    def draw(self) -> None:
        node = self.node()
        points = self.history.get(node or "")
        if not points or self.snapshot is None:
            return
        show_histogram(self._bar_item, points[-1][1], look().theme.accent)
        self._draw_time([h for _, h in points])
        weights = self.snapshot.filters.get(node or "")
        self.picture.setVisible(weights is not None and weights.ndim == 4)
        if weights is not None and weights.ndim == 4:
            low, high, signed = value_range(weights)
            self.picture.show_image(image(colored(filters(weights), low, high, signed)))
            self.range.setText(f"{weights.shape[3]} filters, {low:.3g} to {high:.3g}: blue below 0, red above")
        else:
            self.range.setText("")

    def _draw_time(self, found: list[Histogram]) -> None:
        low, high = min(h.low for h in found), max(h.high for h in found)
        edges = np.linspace(low, high, _BINS + 1)
        columns = [_resampled(h, edges) for h in found]
        self._heat.setImage(np.array(columns), autoLevels=True)
        self._heat.setLookupTable(pg.colormap.get("viridis").getLookupTable())
        self._heat.setRect(0, low, max(1, len(found)), max(1e-12, high - low))

    def summary(self) -> str:
        points = self.history.get(self.node() or "")
        if not points:
            return self.empty
        histogram = points[-1][1]
        return f"The weights of {self.node()} lie between {histogram.low:.3g} and {histogram.high:.3g}."

    def csv(self) -> str:
        rows = ["step,low,high,counts"]
        for step, h in self.history.get(self.node() or "", ()):
            rows.append(f"{step},{h.low:.7g},{h.high:.7g}," + " ".join(map(str, h.counts)))
        return "\n".join(rows) + "\n"


def _resampled(histogram: Histogram, edges: np.ndarray) -> np.ndarray:
    """Share of the values in other bins, taking each old bin at its middle."""
    width = (histogram.high - histogram.low) / len(histogram.counts)
    middles = histogram.low + width * (np.arange(len(histogram.counts)) + 0.5)
    counts, _ = np.histogram(middles, edges, weights=histogram.counts)
    return counts / max(1, counts.max())


def filters(weights: np.ndarray) -> np.ndarray:
    """Filters (KH, KW, C_in, C_out) as one array, in a square of tiles; means over C_in."""
    height, width, _, count = weights.shape
    count = min(count, _FILTERS)
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    out = np.full((rows * (height + 1), columns * (width + 1)), np.nan, np.float32)
    for number in range(count):
        top, left = number // columns * (height + 1), number % columns * (width + 1)
        out[top : top + height, left : left + width] = weights[:, :, :, number].mean(axis=2)
    return out
