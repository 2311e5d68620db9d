"""An impatient user: trains, edits, takes back, looks at everything, starts again; as fast as a machine can."""

from __future__ import annotations

import gc
import itertools
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from PySide6.QtCore import QEvent, QObject
from PySide6.QtWidgets import QApplication

import nnvis as nv
from ui.document import edits
from ui.session.messages import Phase
from ui.window.main_window import MainWindow

_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def resident() -> float:
    """Megabytes of memory that this process holds, after a tidy-up."""
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * _PAGE / 2**20


class User(QObject):
    """Works in a window, and goes with it: what the compute thread has sent must not find that it is gone.

    Parameters
    ----------
    window : MainWindow
        With a document that trains.
    folder : Path
        For files that are saved and opened.
    """

    def __init__(self, window: MainWindow, folder: Path):
        super().__init__(window)
        self.window, self.file = window, folder / "busy.nnvis"
        self.steps = self._run = 0
        self._last = 0
        window.session.progress.connect(self._count)
        self._cycles = itertools.count()

    def _count(self, progress) -> None:
        self.steps += max(0, progress.step - self._last)
        self._last = progress.step

    def wait(self, seconds: float = 0.0, until: Callable[[], bool] = lambda: True) -> None:
        """Let the window work for a while, and until something holds."""
        end, late = time.perf_counter() + seconds, time.perf_counter() + 15
        while time.perf_counter() < end or not until():
            QApplication.processEvents()
            QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)  # which only a running event loop does
            time.sleep(0.001)
            assert time.perf_counter() < late, (
                f"waited too long in phase {self.window.session.phase}, {self.window.banner.text}"
            )

    def _phase(self, *phases: Phase) -> None:
        self.wait(until=lambda: self.window.session.phase in phases)

    def cycle(self, train: float = 0.15) -> None:
        """Everything once."""
        number, window = next(self._cycles), self.window
        window.session.run()
        self.wait(train, lambda: window.session.phase is Phase.RUNNING)
        self._look(number)
        self._change_while_training(number)
        window.session.pause()
        self._phase(Phase.PAUSED)
        window.session.step_batch()
        self._phase(Phase.PAUSED)
        window.session.step_node()
        self._phase(Phase.STEPPING)
        self._edit(number)
        window.recovery.save()
        if number % 5 == 0:
            self._save_and_open()
        window.session.reset()
        self._phase(Phase.READY)

    def _look(self, number: int) -> None:
        """Every view in turn, in every arrangement, with pictures on the nodes or without."""
        window = self.window
        if number % 4 == 0:
            (window.layout_build, window.layout_watch, window.layout_present)[number // 4 % 3]()
        dock = window.docks.scope_docks[number % len(window.docks.scope_docks)]
        dock.raise_()
        window.actions_table["thumbnails"].setChecked(number % 2 == 0)
        window.actions_table["tint"].setChecked(number % 3 == 0)
        nodes = list(window.document.state.nodes)
        window.document.select([nodes[number % len(nodes)]])
        window.session.predict(number, np.full(window.document.state.input_shape, 0.5, np.float32))
        self.wait(0.02)

    def _change_while_training(self, number: int) -> None:
        window = self.window
        window.training_panel.rate.setValue(0.05 + 0.01 * (number % 5))
        name = next(iter(window.document.state.nodes))
        for x in range(10):
            window.document.apply("Move", edits.move(window.document.state, {name: (8.0 * x, 8.0 * (number % 7))}))
        window.banner.say(f"A sentence, the {number}th.", "accent", {"Do": lambda: None})

    def _edit(self, number: int) -> None:
        """Nodes come and go; all is taken back."""
        window, before = self.window, self.window.document.stack.index()
        state, name = edits.add_node(window.document.state, nv.ReLU(), (400.0, 400.0), None)
        window.document.apply("Add", state)
        window.document.apply("Delete", edits.delete(window.document.state, [name]))
        linear = next(n for n, node in window.document.state.nodes.items() if node.layer.kind == "Linear")
        layer = window.document.state.nodes[linear].layer
        wider = replace(layer, out_features=layer.out_features + 1 + number % 3)
        window.document.apply("Change", edits.set_layer(window.document.state, linear, wider))
        self.wait(0.01)
        while window.document.stack.index() > before:
            window.document.stack.undo()
        self.wait(0.02)

    def _save_and_open(self) -> None:
        assert self.window.project.save_to(self.file)
        assert self.window.project.open(self.file)
        self._phase(Phase.READY, Phase.PAUSED)
