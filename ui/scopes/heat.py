"""A distribution over the steps of a run, as a heat map whose axis is the true step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QPoint, QRectF

from ui.canvas.pictures import table
from ui.scopes.plots import Plot
from ui.scopes.reading import joined
from ui.session.messages import Histogram

_BINS, _COLUMNS = 64, 200


class HeatPlot(Plot):
    """Columns are steps, rows are values; brighter is more frequent in that step."""

    def __init__(self, left: str):
        super().__init__(left, "step")
        self.shares = np.zeros((0, _BINS))
        self.steps = np.zeros(0)
        self.ends = (0.0, 1.0)
        self._image = pg.ImageItem()
        self._image.setLookupTable(table("viridis"))
        self.addItem(self._image)

    def show_time(self, steps: Sequence[int], found: Sequence[Histogram]) -> None:
        """Show histograms of some steps, in ascending order."""
        low, high = min(h.low for h in found), max(h.high for h in found)
        self.steps, self.ends = np.array(steps, float), (low, high)
        self.shares = resampled(found, np.linspace(low, high, _BINS + 1))
        left, right = self.extent()
        # Looks come when there is time for them, pixels at regular steps: each shows the look before it.
        at = np.linspace(left, right, _COLUMNS, endpoint=False)
        columns = self.shares[np.clip(np.searchsorted(self.steps, at, side="right") - 1, 0, None)]
        brightness = columns / np.maximum(1e-12, columns.max(axis=1, keepdims=True))
        self._image.setImage(brightness, levels=(0.0, 1.0))
        self._image.setRect(QRectF(left, low, right - left, max(1e-12, high - low)))

    def extent(self) -> tuple[float, float]:
        """First step, and end of the last."""
        return float(self.steps[0]), float(max(self.steps[-1], self.steps[0] + 1))

    def value_at(self, at: QPoint) -> str:
        """Step, value and share at a point of the viewport."""
        place = self.place(at)
        if place is None or not len(self.steps):
            return ""
        (x, y), (low, high), (left, right) = place, self.ends, self.extent()
        if not (left <= x <= right and low <= y < high):
            return ""
        number = max(0, int(np.searchsorted(self.steps, x, side="right")) - 1)
        row = int((y - low) / (high - low) * _BINS)
        bottom, top = (low + (high - low) * r / _BINS for r in (row, row + 1))
        return joined(
            f"step {self.steps[number]:,.0f}", f"{bottom:.3g} to {top:.3g}", f"{100 * self.shares[number, row]:.1f} %"
        )


def resampled(found: Sequence[Histogram], edges: np.ndarray) -> np.ndarray:
    """Shares (L, B) of the values of each histogram in common bins, as if values were even within a bin."""
    counts = np.array([h.counts for h in found], float)
    low = np.array([[h.low] for h in found])
    width = (np.array([[h.high] for h in found]) - low) / counts.shape[1]
    below = np.concatenate([np.zeros((len(found), 1)), np.cumsum(counts, axis=1)], axis=1)
    place = np.clip((edges[None] - low) / width, 0, counts.shape[1])
    whole = np.minimum(place.astype(int), counts.shape[1] - 1)
    rows = np.arange(len(found))[:, None]
    under = below[rows, whole] + (place - whole) * counts[rows, whole]
    return np.diff(under, axis=1) / np.maximum(1, counts.sum(axis=1, keepdims=True))
