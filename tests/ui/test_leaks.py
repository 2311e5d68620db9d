"""The check for what tests leave behind finds it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PySide6.QtCore import QObject, QTimer
from PySide6.QtWidgets import QWidget

from tests.ui.leaks import active_timers, describe

HERE = Path(__file__).parent


def _fresh(before) -> set[QTimer]:
    return active_timers() - before


@pytest.mark.parametrize("single", [True, False])
def test_a_running_timer_is_found_whoever_owns_it(qtbot, qapp, single):
    before = active_timers()
    widget = QWidget()
    qtbot.addWidget(widget)
    child = QObject(widget)
    timers = {QTimer(owner, interval=60_000, singleShot=single) for owner in (None, widget, child, qapp)}
    assert not _fresh(before)
    for timer in timers:
        timer.start()
    assert _fresh(before) == timers
    assert "60000 ms" in describe(next(iter(timers)))
    for timer in timers:
        timer.stop()
    assert not _fresh(before)


def test_a_timer_goes_with_the_widget_that_owns_it(qtbot):
    before = active_timers()
    widget = QWidget()
    timer = QTimer(widget, interval=60_000)
    timer.start()
    assert _fresh(before) == {timer}
    widget.deleteLater()
    assert not _fresh(before)


LEAKY = """
import threading
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QWidget

kept = []

def test_tidy(qtbot):
    widget = QWidget()
    qtbot.addWidget(widget)
    QTimer(widget, interval=60_000).start()

def test_leaks_a_timer():
    kept.append(QTimer(interval=60_000))
    kept[0].start()

def test_comes_after_it_and_is_not_blamed():
    pass

def test_leaks_the_timer_of_a_widget():
    kept.append(QWidget())
    timer = QTimer(kept[-1], interval=60_000)
    timer.start()

def test_leaks_a_thread():
    stop = threading.Event()
    threading.Timer(5, stop.set).start()
"""


def test_a_test_that_leaks_fails_and_the_next_one_does_not(tmp_path):
    """Run a few bad tests under this folder's conftest."""
    (tmp_path / "conftest.py").write_text((HERE / "conftest.py").read_text())
    (tmp_path / "test_leaky.py").write_text(LEAKY)
    command = [sys.executable, "-m", "pytest", "-p", "no:xdist", "-p", "no:cacheprovider", "--rootdir", str(tmp_path),
               "--import-mode=importlib", "-q", "-rA", str(tmp_path)]  # fmt: skip
    # where this is set, pytest repeats whole messages in its summary
    calm = {name: value for name, value in os.environ.items() if name not in ("CI", "BUILD_NUMBER")}
    done = subprocess.run(command, capture_output=True, text=True, cwd=HERE.parent.parent, timeout=120, env=calm)
    for name in ("test_leaks_a_timer", "test_leaks_the_timer_of_a_widget", "test_leaks_a_thread"):
        assert re.search(rf"^ERROR .*::{name}$", done.stdout, re.MULTILINE), done.stdout
    assert done.stdout.count("AssertionError: timers left running: [") == 2
    assert done.stdout.count("AssertionError: threads left behind") == 1 and "5 passed, 3 errors" in done.stdout
