"""Driving the whole window: beginning with a template, and waiting until its session has settled."""

from __future__ import annotations

from PySide6.QtCore import QPoint, QPointF, Qt

from ui.session.messages import Phase
from ui.window.main_window import MainWindow


def choose(qtbot, window: MainWindow, key: str) -> None:
    """Begin with a template of the start page."""
    card = next(c for c in window.start_page.cards if c.template.key == key)
    qtbot.mouseClick(card, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: window.session.phase in (Phase.READY, Phase.IDLE), timeout=60_000)
    qtbot.wait(300)


def learn(qtbot, window: MainWindow) -> None:
    """Learn from one batch."""
    before = len(window.docks.loss.runs)
    window.step_batch()
    qtbot.waitUntil(lambda: window.session.phase is Phase.PAUSED, timeout=60_000)
    qtbot.waitUntil(lambda: len(window.docks.loss.runs) >= max(1, before), timeout=20_000)


def pixel(window: MainWindow, name: str) -> QPoint:
    """Where the middle of a node lies in the canvas."""
    item = window.canvas.graph_scene.nodes[name]
    return window.canvas.mapFromScene(item.scenePos() + QPointF(item.body().center()))
