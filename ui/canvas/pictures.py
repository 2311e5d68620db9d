"""Feature maps as pictures, in colour maps that colour-blind readers can tell apart."""

from __future__ import annotations

import functools

import numpy as np
import pyqtgraph as pg
from PySide6.QtGui import QImage

_GAP = 1


@functools.cache
def table(name: str) -> np.ndarray:
    """256 colours (256, 4) as 0-255: "viridis" for magnitudes, "diverging" for signed values."""
    if name == "diverging":
        stops, colors = [0.0, 0.5, 1.0], [(33, 102, 172), (247, 247, 247), (178, 24, 43)]
        return pg.ColorMap(stops, colors).getLookupTable(nPts=256, alpha=True)
    return pg.colormap.get(name).getLookupTable(nPts=256, alpha=True)


def colored(values: np.ndarray, low: float, high: float, signed: bool) -> np.ndarray:
    """Values (H, W) as colours (H, W, 4) bytes."""
    span = high - low if high > low else 1.0
    index = np.nan_to_num((values - low) / span * 255, nan=0.0, posinf=255, neginf=0).clip(0, 255).astype(np.uint8)
    colors = table("diverging" if signed else "viridis")[index]
    colors[..., 3] = np.where(np.isnan(values), 0, 255)  # gaps between tiles are clear
    return colors


def value_range(values: np.ndarray, outliers: float = 0.0) -> tuple[float, float, bool]:
    """(low, high, signed): symmetric around zero for signed values.

    `outliers` is the share of the values other than zero, at either end, that may lie beyond: a few large gradients are
    not to make all others look like none.
    """
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0, False
    low, high = float(finite.min()), float(finite.max())
    if outliers and finite.any():
        inner = np.quantile(finite[finite != 0], (outliers, 1 - outliers))
        low, high = min(float(inner[0]), max(low, 0.0)), max(float(inner[1]), min(high, 0.0))
    if low < 0 < high:
        most = max(-low, high)
        return -most, most, True
    return min(low, 0.0), max(high, low + 1e-12), False


def strip(features: np.ndarray, most: int = 8) -> QImage:
    """Up to `most` channels of one example, (H, W, C) or (D,), side by side."""
    if features.ndim == 1:
        features = features[None, :, None]
        tiles = [np.repeat(features[:, :, 0], 8, axis=0)]
    else:
        features = features if features.ndim == 3 else features[:, :, None]
        tiles = [features[:, :, channel] for channel in range(min(most, features.shape[-1]))]
    return image(np.concatenate([colored(t, *value_range(features)) for t in _spaced(tiles)], axis=1))


def _spaced(tiles: list[np.ndarray]) -> list[np.ndarray]:
    return [
        np.pad(tile, ((0, 0), (0, _GAP)), constant_values=np.nan) if tile.dtype.kind == "f" else tile for tile in tiles
    ]


def image(colors: np.ndarray) -> QImage:
    """Bytes (H, W, 4) as an image that owns them."""
    colors = np.ascontiguousarray(colors, np.uint8)
    height, width, _ = colors.shape
    return QImage(colors.data, width, height, 4 * width, QImage.Format.Format_RGBA8888).copy()
