"""Pictures of arrays: tiles side by side, and what value stands at a point of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PySide6.QtCore import QPoint, QRect, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QFontMetrics, QImage, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QComboBox, QDoubleSpinBox, QWidget

from ui.canvas.pictures import colored, image, table
from ui.theme import SMALL, look


class Place(NamedTuple):
    """A value in tiles: in which tile, and where in it."""

    down: int
    across: int
    row: int
    column: int
    value: float


@dataclass(frozen=True, eq=False)
class Tiles:
    """Maps (R, C, H, W) in R rows and C columns of tiles, with an empty line between."""

    stack: np.ndarray

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of the picture."""
        down, across, height, width = self.stack.shape
        return down * (height + 1), across * (width + 1)

    def laid_out(self, stack: np.ndarray) -> np.ndarray:
        """The picture of such maps, NaN between the tiles."""
        down, across, height, width = stack.shape
        out = np.full((down, height + 1, across, width + 1), np.nan, np.float32)
        out[:, :height, :, :width] = stack.transpose(0, 2, 1, 3)
        return out.reshape(self.sides)

    def at(self, y: int, x: int) -> Place | None:
        """What lies at a pixel of the picture; None between tiles and on missing ones."""
        _, _, height, width = self.stack.shape
        (down, row), (across, column) = divmod(y, height + 1), divmod(x, width + 1)
        if row == height or column == width or not (0 <= y < self.sides[0] and 0 <= x < self.sides[1]):
            return None
        value = float(self.stack[down, across, row, column])
        return None if np.isnan(value) and np.isnan(self.stack[down, across]).all() else Place(
            down, across, row, column, value)  # fmt: skip


class Range(NamedTuple):
    """What the ends of a colour map stand for."""

    low: float
    high: float
    signed: bool


def range_of(values: np.ndarray) -> Range:
    """Symmetric around zero if anything is negative, otherwise from zero."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return Range(0.0, 1.0, False)
    low, high = float(finite.min()), float(finite.max())
    most = max(-low, high) or 1.0
    return Range(-most if low < 0 else 0.0, most, low < 0)


class RangeChoice(QComboBox):
    """How values become colours: one range for the layer, one for each map, or a fixed one."""

    LAYER, MAP, FIXED = range(3)

    def __init__(self) -> None:
        super().__init__()
        self.addItems(["one range", "range per map", "fixed range"])
        self.setAccessibleName("Range of the colours")
        self.setToolTip("one range: the same for all maps of the layer; range per map: faint maps can be seen, too;\n"
                        "fixed range: stays as it is, to compare steps and layers")  # fmt: skip
        self.limit = QDoubleSpinBox(decimals=4, minimum=1e-4, maximum=1e6, visible=False)
        self.limit.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)
        self.limit.setAccessibleName("Largest value of the fixed range")
        self.key = ColorKey()
        self._latest = Range(0.0, 1.0, False)
        self.activated.connect(self._chosen)

    def _chosen(self, index: int) -> None:
        self.limit.setVisible(index == self.FIXED)
        if index == self.FIXED:
            self.limit.setValue(float(f"{self._latest.high:.3g}"))

    def picture(self, tiles: Tiles) -> QImage:
        """Tiles in colours; the key says what they mean."""
        found = self._latest = range_of(tiles.stack)
        stack, way = tiles.stack, self.currentIndex()
        if way == self.FIXED:
            most = self.limit.value()
            shown = Range(-most if found.signed else 0.0, most, found.signed)
            self.key.show_range(shown, ", fixed")
        elif way == self.MAP:
            most = np.nanmax(np.abs(np.where(np.isfinite(stack), stack, 0)), axis=(2, 3), keepdims=True)
            stack = stack / np.where(most > 0, most, 1)
            shown = Range(-1.0 if found.signed else 0.0, 1.0, found.signed)
            self.key.show_range(found, " at most, each map its own")
        else:
            shown = found
            self.key.show_range(shown, "")
        return image(colored(tiles.laid_out(stack), *shown))


class ColorKey(QWidget):
    """The colours of a range with the numbers at its ends."""

    def __init__(self) -> None:
        super().__init__()
        self.range, self.note = Range(0.0, 1.0, False), ""
        self.setAccessibleName("Colours")
        look().changed.connect(self._fit)
        self._fit()

    @property
    def text(self) -> str:
        """The range in words."""
        ends = "blue below 0, red above" if self.range.signed else "dark 0, bright high"
        return f"{self.range.low:.3g} to {self.range.high:.3g}{self.note}: {ends}"

    def show_range(self, shown: Range, note: str) -> None:
        """Show another range; the note says where it holds."""
        if (shown, note) != (self.range, self.note):
            self.range, self.note = shown, note
            self.setToolTip(self.text)
            self.setAccessibleDescription(self.text)
            self._fit()
            self.update()

    def _parts(self) -> tuple[str, str]:
        return f"{self.range.low:.3g}", f"{self.range.high:.3g}{self.note}"

    def _fit(self) -> None:
        metrics = QFontMetrics(look().font(SMALL))
        # Rounded up, so that the bar does not tremble with the digits.
        wide = sum(max(metrics.horizontalAdvance(p), metrics.horizontalAdvance("-0.0000")) for p in self._parts())
        self.setFixedWidth(wide + round(64 * look().scale))

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, metrics = QPainter(self), QFontMetrics(look().font(SMALL))
        painter.setFont(look().font(SMALL))
        painter.setPen(look().color("muted"))
        low, high = self._parts()
        left = metrics.horizontalAdvance(low) + 4
        bar = round(48 * look().scale)
        painter.drawText(0, 0, left, self.height(), Qt.AlignmentFlag.AlignVCenter, low)
        colors = table("diverging" if self.range.signed else "viridis")[:, :3]
        for step in range(bar):
            color = QColor(*(int(c) for c in colors[step * 255 // max(1, bar - 1)]))
            painter.fillRect(left + step, self.height() // 2 - 4, 1, 8, color)
        rest = QRect(left + bar + 4, 0, self.width() - left - bar, self.height())
        painter.drawText(rest, Qt.AlignmentFlag.AlignVCenter, high)


class Picture(QWidget):
    """An image, as large as fits, without smoothing: every square is a value.

    Signals
    -------
    resized()
        There is room for more or fewer maps.
    """

    resized = Signal()

    def __init__(self, name: str = "Picture") -> None:
        super().__init__()
        self.image: QImage | None = None
        self.tiles: Tiles | None = None
        self.setMinimumSize(60, 40)
        self.setAccessibleName(name)

    def show_tiles(self, tiles: Tiles | None, shown: QImage | None) -> None:
        """Show other maps, and their picture."""
        self.tiles, self.image = tiles, shown
        self.update()

    def place_at(self, at: QPoint) -> Place | None:
        """The value at a point of the widget."""
        if self.image is None or self.tiles is None or not self.area().contains(at):
            return None
        area = self.area()
        y = (at.y() - area.top()) * self.image.height() // area.height()
        x = (at.x() - area.left()) * self.image.width() // area.width()
        return self.tiles.at(y, x)

    def resizeEvent(self, event: QResizeEvent) -> None:
        self.resized.emit()

    def rows_that_fit(self, tiles: Tiles) -> int:
        """Rows of tiles that can be shown without making them smaller than they are, one at least."""
        down, _, height, _ = tiles.stack.shape
        scale = min(1.0, self.width() / tiles.sides[1])
        return max(1, min(down, int(self.height() / (scale * (height + 1)))))

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), look().color("panel"))
        if self.image is not None:
            painter.drawImage(QRectF(self.area()), self.image)

    def area(self) -> QRect:
        """Where the image lies."""
        assert self.image is not None
        scale = min(self.width() / self.image.width(), self.height() / self.image.height())
        width, height = max(1, int(self.image.width() * scale)), max(1, int(self.image.height() * scale))
        return QRect(0, (self.height() - height) // 2, width, height)
