"""An hour in the app, sped up: memory stays flat."""

from __future__ import annotations

import gc
import sys
import time

import numpy as np
import pytest
import shiboken6
from PySide6.QtCore import QObject
from PySide6.QtWidgets import QMessageBox

from tests.ui.busy import User, resident
from tests.ui.nets import moons, wait_for
from ui.app import make_application, make_window
from ui.history import MOST_STEPS
from ui.scopes.loss import MOST_RUNS, Run
from ui.session import run_folders
from ui.session.messages import Curves, Phase
from ui.session.pace import Points

SECONDS = 15


@pytest.fixture
def window(qapp, tmp_path, monkeypatch):
    make_application("dark")
    monkeypatch.setattr(QMessageBox, "exec", lambda self: QMessageBox.StandardButton.Discard)
    made = make_window(tmp_path / "state")
    made.show()
    yield made
    made.close()
    shiboken6.delete(made)
    qapp.setStyleSheet("")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the memory from /proc")
def test_memory_is_flat_while_one_trains_edits_looks_and_begins_again(qtbot, window, tmp_path):
    window.project.new(moons(epochs=100_000))
    wait_for(qtbot, window.session, Phase.READY)
    user, memory, objects = User(window, tmp_path), [], []
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(memory) < 6:
        user.cycle()
        memory.append(resident())  # which also collects what is only waiting for that
        objects.append(len(gc.get_objects()) + len(window.findChildren(QObject)))
    middle = len(memory) // 2
    told = f"{len(memory)} cycles, {user.steps} steps, MB {[round(m) for m in memory]}, objects {objects}"
    assert user.steps > 2000, told
    assert memory[-1] - memory[middle] < 8, told
    assert objects[-1] < 1.03 * objects[middle], told
    assert len(window.docks.scopes[0].runs) <= MOST_RUNS and window.document.stack.count() <= MOST_STEPS
    assert len(list((tmp_path / "state" / "runs").iterdir())) <= run_folders.MOST + 1


def test_the_curves_of_a_very_long_run_are_capped():
    points, sent = Points("run 1"), 0
    for epoch in range(1, 200_001):
        points.add(epoch, 1.0, 0.5, 0.1)
        points.add_epoch(epoch, epoch, {"val_loss": 1.0})
        if epoch % 1000 == 0:
            sent += len(points.take().epochs)
        if epoch == 1000:
            assert sent == 1000
    assert sent < 10_000
    run = Run()
    for start in range(0, 1_000_000, 10_000):
        some = np.arange(start, start + 10_000.0)
        run.add(Curves("run 1", some, some, some, some))
    assert len(run.steps) <= 100_000 and run.steps[-1] == 999_999 and np.all(np.diff(run.steps) > 0)


def test_a_run_is_heard_of_with_its_first_step():
    points = Points("run 1")
    points.marks.append((0, "lr 0.1"))
    assert not points
    points.add(1, 1.0, None, 0.1)
    assert points and points.take().marks
    points.marks.append((1, "lr 0.2"))
    assert points
