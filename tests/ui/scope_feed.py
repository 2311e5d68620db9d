"""What the tests of the scopes feed them with, and how they point at them."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QApplication

from ui.scopes.base import Scope
from ui.session.messages import Curves, Histogram, NodeStatistics, Snapshot


def show(qtbot, scope: Scope, width=900, height=400) -> Scope:
    qtbot.addWidget(scope)
    scope.resize(width, height)
    scope.show()
    qtbot.waitExposed(scope)
    return scope


def drawn(qtbot, scope: Scope) -> None:
    scope.redraw()
    qtbot.waitUntil(lambda: scope._stale_since is None and not scope._timer.isActive(), timeout=5_000)


def point(widget, at) -> None:
    """Move the mouse over a widget without pressing."""
    at = QPointF(at)
    QApplication.sendEvent(widget, QMouseEvent(
        QMouseEvent.Type.MouseMove, at, widget.mapToGlobal(at), Qt.MouseButton.NoButton, Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier))  # fmt: skip


def at(plot, x, y) -> QPoint:
    """Where coordinates lie, once the axes fit the values."""
    plot.getPlotItem().getViewBox().updateAutoRange()
    return plot.pixel(x, y).toPoint()


def curves(run, start=1, count=100, loss=1.0, epochs=(), marks=()):
    steps = np.arange(start, start + count, dtype=float)
    losses = loss * np.exp(-steps / 200)
    return Curves(run, steps, losses, 1 - losses / 4, np.full(count, 0.1), epochs, marks)


def histogram(low=-1.0, high=1.0, scale=1.0):
    counts = np.arange(1, 49)
    return Histogram(counts, low * scale, high * scale)


def layers(count=3, shrink=1.0):
    """Layers of which the first ones have ever smaller gradients."""
    sizes = [shrink ** (count - n) for n in range(count)]
    return tuple(
        NodeStatistics(f"layer{n}", "ReLU" if n % 2 else "Conv2d", histogram(), histogram(scale=size),
                       0.5 if n % 2 else None, None, 0.1 * size, 0.01, histogram(), 1.0, 1e-3 if n else 0.5)
        for n, size in enumerate(sizes))  # fmt: skip


def snapshot(step=10, count=3, shrink=1.0, **more):
    features = np.arange(2 * 4 * 5 * 3, dtype=np.float32).reshape(2, 4, 5, 3)
    weights = np.arange(3 * 3 * 2 * 5, dtype=np.float32).reshape(3, 3, 2, 5) - 40
    given = {"features": {"layer0": features}, "filters": {"layer0": weights}, **more}
    return Snapshot("run 1", step, layers(count, shrink), **given)


def with_nodes(scope, count=3):
    names = tuple(f"layer{n}" for n in range(count))
    scope.set_nodes(names, dict.fromkeys(names, "Conv2d"), dict.fromkeys(names, "convolution"))
    return scope


def classified(step=10, images=4, **more):
    rng = np.random.default_rng(1)
    found = np.eye(3)[[0, 1, 2, 1]] * 0.7 + 0.1
    counts = np.array([[50, 0, 0], [4, 40, 6], [0, 0, 20]])
    cells = {(1, 2): rng.integers(0, 256, (6, 8, 8, 1)).astype(np.uint8)}
    given = {
        "images": rng.integers(0, 256, (images, 8, 8, 1)).astype(np.uint8), "labels": np.array([0, 1, 2, 2]),
        "class_names": ("ant", "bee", "cat"), "probabilities": found, "confusion": counts,
        "confusion_examples": cells, "examples": (5, 6, 7, 900), "held_out": 1000, "of_class": (3, 1, 8),
        "wrong": (7, 11), **more}  # fmt: skip
    return snapshot(step, **given)
