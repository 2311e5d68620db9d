"""Activations: feature maps of a node, histograms of all layers, and units that are idle."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QPoint
from PySide6.QtWidgets import QCheckBox, QWidget

from ui.scopes.bars import Bars, Row, scrolled
from ui.scopes.base import Wants
from ui.scopes.choice import NodeScope
from ui.scopes.examples import ExampleChoice
from ui.scopes.histogram import HistogramPlot, Multiples
from ui.scopes.panes import Pane
from ui.scopes.picture import Picture, RangeChoice, Tiles
from ui.scopes.reading import joined
from ui.session.messages import Snapshot

_MOST_MAPS = 16
#: Share of idle units from which one speaks of trouble.
_MANY = 0.4


class ActivationScope(NodeScope):
    """One row of feature maps for each example."""

    title, name = "Activations", "activations"
    empty = "As soon as the network works: what each layer makes of a few examples, untrained and while it learns."

    def __init__(self, parent: QWidget | None = None):
        super().__init__(lambda kind: True, parent=parent)
        self.picture, self.histogram = Picture("Feature maps"), HistogramPlot("activation")
        self.layers, self.units = Multiples("Activations of all layers"), Bars("idle units")
        self.range, self.one_scale = RangeChoice(), QCheckBox("one scale")
        self.one_scale.setToolTip("All layers on one horizontal scale")
        self.panes = self.add_panes(
            Pane("maps", self.picture, 200, 120, 3), Pane("histogram", self.histogram, 170, 110, 1),
            Pane("all layers", scrolled(self.layers), 250, 130, 3),
            Pane("idle units", scrolled(self.units), 170, 80, 1),
        )  # fmt: skip
        self.examples = ExampleChoice()
        self.bar.add(self.range, self.range.limit, self.range.key, self.examples, self.examples.numbers,
                     self.examples.again, self.one_scale)  # fmt: skip
        self.reads(self.picture, self.value_at)
        self.reads(self.histogram.viewport(), self.histogram.value_at)
        self.reads(self.layers, self.layers.value_at)
        self.reads(self.units, self.units.value_at)
        self.layers.chosen.connect(self.choose)
        self.units.chosen.connect(self.choose)
        self.range.activated.connect(self.redraw)
        self.picture.resized.connect(self.redraw)
        self.examples.picked.connect(self._picked)
        self.examples.failed.connect(self.failed)
        self.range.limit.valueChanged.connect(self.redraw)
        self.one_scale.toggled.connect(self.redraw)

    def _picked(self, numbers: tuple[int, ...]) -> None:
        self.wants.emit(Wants(examples=numbers, way=self.examples.currentIndex()))

    def follow_examples(self, way: int, numbers: tuple[int, ...]) -> None:
        self.examples.follow(way, numbers)

    def show_snapshot(self, snapshot: Snapshot) -> None:
        self.examples.snapshot = snapshot
        super().show_snapshot(snapshot)

    def draw(self) -> None:
        node, snapshot = self.node(), self.snapshot
        assert snapshot is not None
        features = snapshot.features.get(node) if node else None
        if features is not None and len(features):
            tiles = Tiles(maps(features))
            tiles = Tiles(tiles.stack[: self.picture.rows_that_fit(tiles)])
            self.picture.show_tiles(tiles, self.range.picture(tiles))
        elif node is None:
            self.picture.show_tiles(None, None)
        found = next((s for s in snapshot.layers if s.node == node), None)
        self.histogram.show_histogram(found.activation if found is not None else None)
        self._show_controls()
        self.layers.common = self.one_scale.isChecked()
        self.layers.show_layers([(s.node, s.activation) for s in snapshot.layers], node)
        rows = self._units()
        self.panes.set_available(idle_units=bool(rows))
        self.units.show_rows(rows)

    def _show_controls(self) -> None:
        """Only those of panes that can be seen."""
        seen = {pane.name for pane in self.panes.shown}
        for control in (self.range, self.range.key):
            control.setVisible("maps" in seen)
        self.range.limit.setVisible("maps" in seen and self.range.currentIndex() == RangeChoice.FIXED)
        self.examples.set_shown("maps" in seen)
        self.one_scale.setVisible("all layers" in seen)

    def _units(self) -> list[Row]:
        assert self.snapshot is not None
        rows = []
        for layer in self.snapshot.layers:
            for share, word, meaning in (
                (layer.dead, "dead", "of its channels are zero for the whole batch"),
                (layer.saturated, "flat", "of its values lie where the function is flat"),
            ):
                if share is not None:
                    text, role = f"{100 * share:.0f} % {word}", "bad" if share > _MANY else "warn"
                    rows.append(Row(layer.node, share, text, role, f"{layer.node}: {100 * share:.1f} % {meaning}"))
        return rows

    # --- words --------------------------------------------------------------------------------------------

    def value_at(self, at: QPoint) -> str:
        """Example, channel, place and value at a point of the feature maps."""
        place, node = self.picture.place_at(at), self.node()
        if place is None or self.snapshot is None or node not in self.snapshot.features:
            return ""
        words = {2: ("unit {column}",), 3: ("token {row}", "feature {column}")}.get(
            self.snapshot.features[node].ndim, ("channel {across}", "row {row}", "column {column}")
        )
        said = [word.format(**place._asdict()) for word in words]
        known = self.snapshot.examples
        example = known[place.down] if place.down < len(known) else place.down
        return joined(str(node), f"example {example}", ", ".join(said), f"{place.value:.4g}")

    def summary(self) -> str:
        if self.snapshot is None:
            return self.empty
        bad = [f"{row.name} {row.text}" for row in self._units() if row.share > _MANY]
        parts = [f"Feature maps of {self.node()}{self._left_out()}.", self.layers.summary()]
        return " ".join([*parts, "Many units are idle: " + ", ".join(bad) + "." if bad else ""]).strip()

    def _left_out(self) -> str:
        features = self.snapshot.features.get(self.node() or "") if self.snapshot else None
        if features is None or features.ndim != 4 or features.shape[3] <= _MOST_MAPS:
            return ""
        return f", channels 0 to {_MOST_MAPS - 1} of {features.shape[3]}"

    def csv(self) -> str:
        rows = [] if self.snapshot is None else self._units()
        return "node,share,word\n" + "".join(f"{r.name},{r.share:.5f},{r.text.split()[-1]}\n" for r in rows)


def maps(features: np.ndarray) -> np.ndarray:
    """(M, H, W, C), (M, T, D) or (M, D) as tiles (M, C, H, W): a row for each example, a column for each channel."""
    if features.ndim == 2:
        features = features[:, None, :, None]
    elif features.ndim == 3:
        features = features[..., None]
    return features[:, :, :, :_MOST_MAPS].transpose(0, 3, 1, 2)
