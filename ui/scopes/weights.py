"""Weights: the distribution of a layer now and over time, and filters as pictures."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QPoint
from PySide6.QtWidgets import QWidget

from ui.scopes.bars import scrolled
from ui.scopes.choice import NodeScope
from ui.scopes.heat import HeatPlot
from ui.scopes.histogram import HistogramPlot, Multiples
from ui.scopes.panes import Pane
from ui.scopes.picture import Picture, RangeChoice, Tiles
from ui.scopes.reading import joined
from ui.session.messages import Histogram, Snapshot

_MOST, _FILTERS = 200, 64


class WeightScope(NodeScope):
    """Filters of convolutions are shown as pictures, mean over input channels beyond three."""

    title, name = "Weights", "weights"
    empty = "As soon as a layer has weights: how they are distributed, how that changes, and filters as pictures."

    def __init__(self, parent: QWidget | None = None):
        super().__init__(lambda kind: kind.startswith(("Conv", "Linear", "BatchNorm")), filters=True, parent=parent)
        self.picture, self.now, self.time = Picture("Filters"), HistogramPlot("weight"), HeatPlot("weight")
        self.layers, self.range = Multiples("Weights of all layers"), RangeChoice()
        self.panes = self.add_panes(
            Pane("filters", self.picture, 140, 110), Pane("over time", self.time, 180, 110, 2),
            Pane("histogram", self.now, 170, 110), Pane("all layers", scrolled(self.layers), 250, 130, 2),
        )  # fmt: skip
        self.bar.add(self.range, self.range.limit, self.range.key)
        #: What was seen at which step, over the whole run.
        self.history: list[tuple[int, dict[str, Histogram]]] = []
        self.reads(self.picture, self.value_at)
        for plot in (self.now, self.time):
            self.reads(plot.viewport(), plot.value_at)
        self.reads(self.layers, self.layers.value_at)
        self.layers.chosen.connect(self.choose)
        self.range.activated.connect(self.redraw)
        self.range.limit.valueChanged.connect(self.redraw)

    def show_snapshot(self, snapshot: Snapshot) -> None:
        if self.history and snapshot.step < self.history[-1][0]:
            self.history.clear()
        if self.history and snapshot.step == self.history[-1][0]:
            self.history.pop()
        found = {layer.node: layer.weight for layer in snapshot.layers if layer.weight is not None}
        self.history.append((snapshot.step, found))
        if len(self.history) > _MOST:
            self.history = self.history[::2]
        super().show_snapshot(snapshot)

    def _points(self) -> list[tuple[int, Histogram]]:
        """The node's histograms by step."""
        node = self.node()
        return [(step, found[node]) for step, found in self.history if node in found]

    def draw(self) -> None:
        node, points = self.node(), self._points()
        assert self.snapshot is not None
        self.layers.show_layers([(s.node, s.weight) for s in self.snapshot.layers], node)
        weights = self.snapshot.filters.get(node or "")
        pictured = weights is not None and weights.ndim == 4
        self.panes.set_available(filters=pictured)
        for control in (self.range, self.range.key):
            control.setVisible(pictured)
        self.range.limit.setVisible(pictured and self.range.currentIndex() == RangeChoice.FIXED)
        if pictured:
            tiles = Tiles(filters(weights))
            self.picture.show_tiles(tiles, self.range.picture(tiles))
        if points:
            self.now.show_histogram(points[-1][1])
            self.time.show_time([step for step, _ in points], [h for _, h in points])

    # --- words --------------------------------------------------------------------------------------------

    def value_at(self, at: QPoint) -> str:
        """Filter, place and value at a point of the picture."""
        place, weights = self.picture.place_at(at), self._weights()
        if place is None or weights is None:
            return ""
        number = place.down * self.picture.tiles.stack.shape[1] + place.across
        inputs = weights.shape[2]
        of = f"mean of {inputs} input channels" if inputs > 1 else ""
        return joined(str(self.node()), f"filter {number}", f"row {place.row}, column {place.column}",
                      f"{place.value:.4g}", of)  # fmt: skip

    def _weights(self) -> np.ndarray | None:
        return None if self.snapshot is None else self.snapshot.filters.get(self.node() or "")

    def summary(self) -> str:
        points, weights = self._points(), self._weights()
        if not points:
            return self.empty
        step, histogram = points[-1]
        text = (
            f"The weights of {self.node()} lie between {histogram.low:.3g} and {histogram.high:.3g} at step {step:,}."
        )
        if weights is None or weights.ndim != 4:
            return text
        count = weights.shape[3]
        return text + (f" {count} filters." if count <= _FILTERS else f" Filters 0 to {_FILTERS - 1} of {count}.")

    def csv(self) -> str:
        rows = ["step,low,high,counts"]
        for step, h in self._points():
            rows.append(f"{step},{h.low:.7g},{h.high:.7g}," + " ".join(map(str, h.counts)))
        return "\n".join(rows) + "\n"


def filters(weights: np.ndarray) -> np.ndarray:
    """Filters (KH, KW, C_in, C_out) in a square of tiles (R, C, KH, KW); means over C_in, NaN where there is none."""
    height, width, _, count = weights.shape
    count = min(count, _FILTERS)
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    out = np.full((rows * columns, height, width), np.nan, np.float32)
    out[:count] = weights[..., :count].mean(axis=2).transpose(2, 0, 1)
    return out.reshape(rows, columns, height, width)
