"""A value of every layer over the steps, as curves in one plot."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QPoint
from PySide6.QtGui import QColor

from ui.scopes.plots import COLORS, Plot
from ui.scopes.reading import joined
from ui.theme import look

#: Looks that are remembered; beyond this every other one is dropped.
_MOST = 512
#: First and last layer of deep networks, where single colours could not be told apart.
_FIRST, _LAST = "#3D8BD9", "#E08214"


class LayerHistory:
    """A value for each layer at each look, over the whole run."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.names: tuple[str, ...] = ()
        self.steps = np.zeros(0)
        self.values = np.zeros((0, 0))

    def add(self, step: int, found: Mapping[str, float]) -> None:
        """One look; a step that does not follow begins anew, and so do other layers."""
        names = tuple(found)
        if names != self.names or (len(self.steps) and step < self.steps[-1]):
            self.clear()
            self.names, self.values = names, np.zeros((0, len(names)))
        keep = slice(0, -1) if len(self.steps) and step == self.steps[-1] else slice(None)
        self.steps = np.append(self.steps[keep], float(step))
        self.values = np.vstack([self.values[keep], [list(found.values())]])
        if len(self.steps) > _MOST:
            self.steps, self.values = self.steps[::2], self.values[::2]

    @property
    def latest(self) -> dict[str, float]:
        """The values seen last."""
        return dict(zip(self.names, self.values[-1].tolist(), strict=True)) if len(self.steps) else {}


class LayerPlot(Plot):
    """Curves on a logarithmic axis; the chosen layer's is bold, and the one nearest to the pointer stands out."""

    def __init__(self, left: str, short: str):
        super().__init__(left, "step", short=short)
        self.getAxis("left").setLogMode(True)
        self.getPlotItem().getViewBox().setLimits(xMin=0)  # there are no steps below, not even around a single look
        self.history = LayerHistory()
        self.node: str | None = None
        self.pointed: str | None = None
        # A few items for all layers: an item of its own for each of a hundred layers costs tens of milliseconds.
        self._curves = [pg.PlotCurveItem(connect="finite") for _ in COLORS]
        self._bold, self._near = pg.PlotCurveItem(), pg.PlotCurveItem()
        self._points = pg.ScatterPlotItem(size=6)
        for item in (*self._curves, self._bold, self._near, self._points):
            self.addItem(item)

    def color(self, number: int) -> str:
        """Of a layer: its own in small networks, from blue to orange with the depth in deep ones."""
        count = len(self.history.names)
        if count <= len(COLORS):
            return COLORS[number % len(COLORS)]
        return _mixed(number * len(COLORS) // count / (len(COLORS) - 1))

    def show_history(self, history: LayerHistory, node: str | None) -> None:
        """Draw the curves."""
        self.history, self.node = history, node
        logs = np.log10(np.maximum(history.values, 1e-30))
        groups: dict[str, list[int]] = {}
        for number in range(len(history.names)):
            groups.setdefault(self.color(number), []).append(number)
        for item, (color, members) in zip(self._curves, _padded(groups, len(self._curves)), strict=True):
            breaks = np.full((1, len(members)), np.nan)
            y = np.vstack([logs[:, members], breaks]).T.reshape(-1)
            x = np.tile(np.append(history.steps, np.nan), len(members))
            item.setData(x, y, pen=pg.mkPen(color, width=1))
        self._show_single(logs)
        self._show_one(self._bold, node, 3.0)
        self._show_one(self._near, self.pointed, 2.0, look().theme.text)

    def _show_single(self, logs: np.ndarray) -> None:
        """A single look is no line yet, so its values are points."""
        single = len(logs) == 1
        self._points.setVisible(single)
        if single:
            count = len(self.history.names)
            brushes = [pg.mkBrush(self.color(n)) for n in range(count)]
            self._points.setData(np.full(count, self.history.steps[0]), logs[0], brush=brushes, pen=None)

    def _show_one(self, item: pg.PlotCurveItem, name: str | None, width: float, color: str | None = None) -> None:
        names = self.history.names
        item.setVisible(name in names)
        if name in names:
            number = names.index(name)
            values = np.log10(np.maximum(self.history.values[:, number], 1e-30))
            item.setData(self.history.steps, values, pen=pg.mkPen(color or self.color(number), width=width))

    def nearest(self, x: float, y: float) -> tuple[str, int] | None:
        """The layer whose curve passes closest to a point of the plot, and the number of the look."""
        history = self.history
        if not len(history.steps):
            return None
        place = int(np.abs(history.steps - x).argmin())
        right = min(len(history.steps) - 1, max(1, int(np.searchsorted(history.steps, x))))
        left = max(0, right - 1)
        span = history.steps[right] - history.steps[left]
        share = min(1.0, max(0.0, (x - history.steps[left]) / span)) if span else 0.0
        logs = np.log10(np.maximum(history.values, 1e-30))
        here = (1 - share) * logs[left] + share * logs[right]
        return history.names[int(np.nanargmin(np.abs(here - y)))], place

    def value_at(self, at: QPoint) -> str:
        """The nearest curve at a point of the viewport, which comes to the front."""
        place = self.place(at)
        found = None if place is None else self.nearest(*place)
        self.point(None if found is None else found[0])
        if found is None:
            return ""
        name, look_number = found
        value = self.history.values[look_number, self.history.names.index(name)]
        return joined(name, f"step {self.history.steps[look_number]:,.0f}", f"{self._labels['left']} {value:.3g}")

    def point(self, name: str | None) -> None:
        """Bring a layer's curve to the front."""
        if name != self.pointed:
            self.pointed = name
            self._show_one(self._near, name, 2.0, look().theme.text)


def _padded(groups: dict[str, list[int]], count: int) -> list[tuple[str, list[int]]]:
    return [*groups.items(), *[("#000000", [])] * (count - len(groups))]


def _mixed(share: float) -> str:
    first, last = QColor(_FIRST), QColor(_LAST)
    mixed = [round(a + share * (b - a)) for a, b in zip(first.getRgb()[:3], last.getRgb()[:3], strict=True)]
    return QColor(*mixed).name()
