"""Gradients: norm of each layer over time, histograms of all, and how large updates are beside the weights."""

from __future__ import annotations

import math

import numpy as np
from PySide6.QtWidgets import QCheckBox, QWidget

from ui.scopes.bars import Bars, Row, scrolled
from ui.scopes.choice import NodeScope
from ui.scopes.histogram import HistogramPlot, Multiples
from ui.scopes.layer_curves import LayerHistory, LayerPlot
from ui.scopes.panes import Pane
from ui.session.messages import Snapshot

#: Logarithmic range of the update bars, and the healthy band.
_LOW, _HIGH, _BAND = -7.0, 0.0, (-4.0, -2.0)
#: Ratio between two layers' gradients from which one speaks of vanishing.
_VANISHING = 100.0
#: Growth of a layer's gradient since the run's first look from which one speaks of diverging.
_DIVERGING = 1e4


class GradientScope(NodeScope):
    """Vanishing and exploding gradients are said in a sentence."""

    title, name = "Gradients", "gradients"
    empty = "Press Run: how large the gradient of every layer is, over time, and how large its updates are."

    def __init__(self, parent: QWidget | None = None):
        super().__init__(lambda kind: True, parent=parent)
        self.norms, self.histogram = LayerPlot("gradient norm", "norm"), HistogramPlot("gradient")
        self.layers, self.updates = Multiples("Gradients of all layers"), Bars("update / weights (log)")
        self.history = LayerHistory()
        self.one_scale = QCheckBox("one scale")
        self.one_scale.setToolTip("All layers on one horizontal scale")
        self.panes = self.add_panes(
            Pane("norms", self.norms, 180, 110, 3), Pane("all layers", scrolled(self.layers), 250, 130, 3),
            Pane("updates", scrolled(self.updates), 180, 100, 1), Pane("histogram", self.histogram, 170, 110, 1),
        )  # fmt: skip
        self.bar.add(self.one_scale)
        self.reads(self.norms.viewport(), self.norms.value_at).left.connect(lambda: self.norms.point(None))
        self.reads(self.histogram.viewport(), self.histogram.value_at)
        self.reads(self.layers, self.layers.value_at)
        self.reads(self.updates, self.updates.value_at)
        self.layers.chosen.connect(self.choose)
        self.updates.chosen.connect(self.choose)
        self.one_scale.toggled.connect(self.redraw)

    def show_snapshot(self, snapshot: Snapshot) -> None:
        self.history.add(snapshot.step, {
            layer.node: layer.gradient_norm for layer in snapshot.layers
            if layer.weight_norm is not None and layer.gradient_norm is not None
        })  # fmt: skip
        super().show_snapshot(snapshot)

    def draw(self) -> None:
        snapshot, node = self.snapshot, self.node()
        assert snapshot is not None
        self.norms.show_history(self.history, node)
        found = next((s for s in snapshot.layers if s.node == node), None)
        self.histogram.show_histogram(found.gradient if found is not None else None)
        self.layers.common = self.one_scale.isChecked()
        self.layers.show_layers([(s.node, s.gradient) for s in snapshot.layers], node)
        rows = self._rows()
        self.panes.set_available(updates=bool(rows))
        self.updates.show_rows(rows, tuple((v - _LOW) / (_HIGH - _LOW) for v in _BAND))

    def _rows(self) -> list[Row]:
        assert self.snapshot is not None
        rows = []
        for layer in self.snapshot.layers:
            if layer.update_ratio:
                size = math.log10(layer.update_ratio)
                healthy = _BAND[0] <= size <= _BAND[1]
                word = "healthy" if healthy else "smaller than is usual" if size < _BAND[0] else "larger than is usual"
                color = (
                    self.norms.color(self.history.names.index(layer.node)) if layer.node in self.history.names else ""
                )
                said = f"{layer.node}: one update changes the weights by {layer.update_ratio:.1e} of their size, {word}"
                share = (size - _LOW) / (_HIGH - _LOW)
                rows.append(
                    Row(layer.node, share, f"{layer.update_ratio:.0e}", "good" if healthy else "warn", said, color)
                )
        return rows

    # --- words --------------------------------------------------------------------------------------------

    def sentence(self) -> str:
        """Whether gradients vanish or explode on their way back."""
        if grown := self._grown():
            return grown
        norms = [(name, norm) for name, norm in self.history.latest.items() if norm > 0]
        if len(norms) < 2:
            return ""
        (first, early), (last, late) = norms[0], norms[-1]
        if late / early >= _VANISHING:
            return f"Gradients shrink {late / early:,.0f}x from {last} back to {first}: they vanish."
        if early / late >= _VANISHING:
            return f"Gradients grow {early / late:,.0f}x from {last} back to {first}: they explode."
        return "Gradients reach every layer."

    def _grown(self) -> str:
        """Whether gradients are out of all proportion to those at first."""
        if len(self.history.steps) < 2:
            return ""
        last, first = self.history.values[-1], np.maximum(self.history.values[0], 1e-30)
        growth = np.where(np.isfinite(last), last / first, np.inf)
        worst = int(growth.argmax())
        if growth[worst] < _DIVERGING:
            return ""
        size = f"{growth[worst]:.0e} times as large as at first" if np.isfinite(growth[worst]) else "no longer finite"
        return f"The gradient of {self.history.names[worst]} is {size}: the training diverges. Lower the learning rate."

    def at_rest(self) -> str:
        return self.sentence() or self.empty

    def summary(self) -> str:
        if self.snapshot is None:
            return self.empty
        odd = [row.said for row in self._rows() if row.role != "good"]
        return " ".join([self.sentence(), self.layers.summary(), "; ".join(odd[:5])]).strip() or self.empty

    def csv(self) -> str:
        columns = zip(self.history.names, self.history.values.T, strict=True)
        rows = [f"{name},{step:.0f},{value:.7g}" for name, values in columns
                for step, value in zip(self.history.steps, values, strict=True)]  # fmt: skip
        return "\n".join(["node,step,gradient_norm", *rows]) + "\n"
