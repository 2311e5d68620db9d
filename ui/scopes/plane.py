"""The decision boundary of a network with two inputs, over the plane of its examples."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QPoint, QRectF

from ui.canvas.pictures import table
from ui.scopes.examples import class_name
from ui.scopes.plots import COLORS, Plot
from ui.scopes.reading import joined
from ui.session.messages import Snapshot
from ui.theme import SMALL, look

_SYMBOLS = "ostd+x"


class PlanePlot(Plot):
    """Colours are the probability of the last class, points are examples."""

    def __init__(self) -> None:
        super().__init__("y", "x")
        self.setAccessibleName("Decision boundary")
        self.snapshot: Snapshot | None = None
        self._field = pg.ImageItem()
        self._field.setOpacity(0.6)
        self.addItem(self._field)
        self._points = pg.ScatterPlotItem(size=6)
        self.addItem(self._points)
        self.classes = self.getPlotItem().addLegend(offset=(-6, 6))
        self._named: tuple = ()

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Show another field; there must be one."""
        assert snapshot.boundary is not None
        self.snapshot = snapshot
        self._field.setImage(snapshot.boundary[..., -1].T, levels=(0.0, 1.0), lut=table("diverging"))
        x0, y0, x1, y1 = snapshot.extent or (0.0, 0.0, 1.0, 1.0)
        self._field.setRect(QRectF(x0, y0, x1 - x0, y1 - y0))
        cells = [(truth, rows) for (truth, _), rows in snapshot.confusion_examples.items()]
        if cells:
            classes = np.concatenate([np.full(len(rows), truth) for truth, rows in cells])
            self._points.setData(
                pos=np.concatenate([rows for _, rows in cells]),
                brush=[_color(c) for c in classes],
                symbol=[_symbol(c) for c in classes],
                pen=look().theme.panel,
            )
            self._name_classes(sorted(set(classes.tolist())))

    def dress(self) -> None:
        super().dress()
        self._named = ()

    def _name_classes(self, classes: list[int]) -> None:
        """Which mark, in which colour, is of which class."""
        names = tuple((k, class_name(self.snapshot.class_names, k)) for k in classes)
        if names == self._named:
            return
        self._named = names
        self.classes.clear()
        self.classes.setBrush(pg.mkBrush(look().color("panel", 210)))
        self.classes.setLabelTextColor(look().theme.text)
        self.classes.setLabelTextSize(f"{round(SMALL * look().scale)}px")
        for k, name in names:
            mark = pg.ScatterPlotItem(size=8, pen=look().theme.panel, brush=_color(k), symbol=_symbol(k))
            self.classes.addItem(mark, f"class {name}")

    def value_at(self, at: QPoint) -> str:
        """Coordinates and probability at a point of the viewport."""
        place, snapshot = self.place(at), self.snapshot
        if place is None or snapshot is None or snapshot.boundary is None:
            return ""
        (x, y), (x0, y0, x1, y1) = place, snapshot.extent or (0.0, 0.0, 1.0, 1.0)
        field = snapshot.boundary
        row, column = int((y - y0) / (y1 - y0) * field.shape[0]), int((x - x0) / (x1 - x0) * field.shape[1])
        if not (x0 <= x < x1 and y0 <= y < y1):
            return ""
        found = np.atleast_1d(field[row, column])
        best = int(found.argmax()) if len(found) > 1 else int(found[0] > 0.5)
        share = float(found[best]) if len(found) > 1 else max(float(found[0]), 1 - float(found[0]))
        return joined(
            f"x {x:.3g}, y {y:.3g}", f"class {class_name(snapshot.class_names, best)}: probability {100 * share:.1f} %"
        )


def _color(number: int) -> str:
    return COLORS[number % len(COLORS)]


def _symbol(number: int) -> str:
    return _SYMBOLS[number % len(_SYMBOLS)]
