"""Garbage is collected between events of the GUI thread, and only there."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest
import shiboken6
from PySide6.QtWidgets import QApplication, QWidget

from ui import garbage
from ui.garbage import Collector
from ui.theme.style import apply_look


class Ring:
    """Refers to itself, and to a widget."""

    def __init__(self):
        self.itself, self.widget = self, QWidget()


@pytest.fixture
def collector(qapp):
    made = Collector(qapp)
    yield made
    shiboken6.delete(made)
    gc.unfreeze()


def _make_garbage(count=5000):
    for _ in range(count):
        ring = []
        ring.append(ring)


def test_no_other_thread_takes_widgets_apart(qtbot, collector):
    gone = weakref.ref(Ring())
    thread = threading.Thread(target=_make_garbage)
    thread.start()
    thread.join()
    assert gone() is not None
    qtbot.waitUntil(lambda: gone() is None, timeout=5 * garbage.INTERVAL)


def test_old_garbage_goes_as_well(qtbot, collector, monkeypatch):
    monkeypatch.setattr(garbage, "FULL", 1)
    ring = Ring()
    gc.collect()
    gc.collect()  # it is of the oldest generation now
    gone = weakref.ref(ring)
    del ring
    collector.look()
    assert gone() is None


def test_a_change_of_style_survives_widgets_that_only_garbage_knows(qtbot, qapp, collector):
    class Busy(QWidget):
        def changeEvent(self, event):  # noqa: N802 Qt's name
            _make_garbage()

    busy = Busy()
    qtbot.addWidget(busy)
    for _ in range(50):
        Ring().widget.show()
    qapp.setStyleSheet("")
    apply_look(qapp)
    qapp.setStyleSheet("")
    assert len(QApplication.allWidgets()) >= 51
