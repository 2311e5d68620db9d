"""Activations: feature maps of a node, their histogram, dead and saturated units of all layers."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from PySide6.QtWidgets import QHBoxLayout, QLabel, QScrollArea, QWidget

from ui.canvas.pictures import colored, image, value_range
from ui.scopes.choice import NodeScope
from ui.scopes.plots import Bars, Picture, Plot
from ui.session.messages import Histogram
from ui.theme import look

_MOST_MAPS = 16


class ActivationScope(NodeScope):
    """One row of feature maps for each example."""

    title, name = "Activations", "activations"
    empty = "As soon as the network works: what each layer makes of a few examples, untrained and while it learns."

    def __init__(self, parent: QWidget | None = None):
        super().__init__(lambda kind: True, parent=parent)
        self.range = QLabel()
        self.range.setObjectName("muted")
        self.bar.add(self.range)
        self.picture, self.histogram = Picture(), Plot("values", "activation")
        self.bars = Bars("dead or saturated units")
        self._bar_item = pg.BarGraphItem(x=[0.0], height=[0.0], width=1.0)
        self.histogram.addItem(self._bar_item)
        row = QHBoxLayout()
        row.addWidget(self.picture, 3)
        row.addWidget(self.histogram, 2)
        area = QScrollArea(widgetResizable=True)
        area.setWidget(self.bars)
        row.addWidget(area, 2)
        self.column.addLayout(row, 1)

    def draw(self) -> None:
        node, snapshot = self.node(), self.snapshot
        assert snapshot is not None
        features = snapshot.features.get(node) if node else None
        if features is not None and len(features):
            low, high, signed = value_range(features)
            self.picture.show_image(image(colored(tiles(features), low, high, signed)))
            self.range.setText(
                f"{'blue below 0, red above' if signed else 'dark 0, bright high'}   {low:.3g} to {high:.3g}"
            )
        found = next((s for s in snapshot.layers if s.node == node), None)
        if found is not None and found.activation is not None:
            show_histogram(self._bar_item, found.activation, look().theme.accent)
        self.bars.show_rows(self._units())

    def _units(self) -> list[tuple[str, float, str, str]]:
        assert self.snapshot is not None
        rows = []
        for layer in self.snapshot.layers:
            for share, word in ((layer.dead, "dead"), (layer.saturated, "flat")):
                if share is not None:
                    rows.append((layer.node, share, f"{100 * share:.0f} % {word}", "bad" if share > 0.4 else "warn"))
        return rows

    def summary(self) -> str:
        if self.snapshot is None:
            return self.empty
        bad = [f"{name} {text}" for name, share, text, _ in self._units() if share > 0.4]
        return f"Feature maps of {self.node()}. " + ("Many units are idle: " + ", ".join(bad) if bad else "")

    def csv(self) -> str:
        return "node,share,word\n" + "".join(f"{n},{s:.5f},{t.split()[-1]}\n" for n, s, t, _ in self._units())


def tiles(features: np.ndarray) -> np.ndarray:
    """(M, H, W, C) as one array: a row for each example, a column for each channel; NaN between them."""
    if features.ndim == 2:
        features = features[:, None, :, None]
    elif features.ndim == 3:
        features = features[..., None]
    features = features[:, :, :, :_MOST_MAPS]
    examples, height, width, channels = features.shape
    out = np.full((examples * (height + 1), channels * (width + 1)), np.nan, np.float32)
    for example in range(examples):
        for channel in range(channels):
            top, left = example * (height + 1), channel * (width + 1)
            out[top : top + height, left : left + width] = features[example, :, :, channel]
    return out


def show_histogram(item: pg.BarGraphItem, histogram: Histogram, color: str) -> None:
    """Show a histogram in a bar item."""
    width = (histogram.high - histogram.low) / max(1, len(histogram.counts))
    middles = histogram.low + width * (np.arange(len(histogram.counts)) + 0.5)
    item.setOpts(x=middles, height=histogram.counts, width=width, brush=color, pen=None)
