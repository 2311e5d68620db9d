"""The app's tests draw off screen, keep their settings to themselves, and fail on what they leave behind."""

from __future__ import annotations

import gc
import os
import threading
import time

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from nnvis.cli.desktop import check_qt
from nnvis.errors import DeviceError

try:
    check_qt()
except DeviceError as error:
    pytest.skip(str(error), allow_module_level=True)

import shiboken6
from PySide6.QtCore import QSettings

from tests.ui.leaks import active_timers, describe


@pytest.fixture(autouse=True)
def _garbage_stays(qapp):
    """Until a test is over, as in the app: see ui/garbage.py."""
    gc.disable()
    yield
    gc.collect(1)  # now, when Qt does nothing
    gc.enable()


@pytest.fixture(autouse=True)
def _own_settings(tmp_path, qapp, _garbage_stays):
    """Settings of the app go to a folder of the test."""
    qapp.setOrganizationName("nnvis")
    qapp.setApplicationName("nnvis-tests")
    QSettings.setDefaultFormat(QSettings.Format.IniFormat)
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(tmp_path / "settings"))


@pytest.fixture(scope="session", autouse=True)
def _empty_clipboard(qapp):
    """In the end: off screen, Qt deletes what lies there after Python has gone, which ends in a crash."""
    yield
    qapp.clipboard().clear()


@pytest.fixture
def app_window(qtbot, qapp, tmp_path, monkeypatch):
    """The whole window, on its start page; what it asks on closing is answered with Discard."""
    from PySide6.QtWidgets import QMessageBox

    from ui.app import make_application
    from ui.history import Document
    from ui.session.session import Session
    from ui.window.main_window import MainWindow

    make_application("dark")
    made = MainWindow(Document(), Session(), tmp_path / "state")
    made.show()
    qtbot.waitExposed(made)
    monkeypatch.setattr(QMessageBox, "exec", lambda self: QMessageBox.StandardButton.Discard)
    yield made
    made.close()
    shiboken6.delete(made)  # as the app does; later, Qt would take it apart in the middle of another test
    qapp.setStyleSheet("")


@pytest.fixture(autouse=True)
def _no_leaked_threads():
    before = set(threading.enumerate())
    yield
    left = [t for t in threading.enumerate() if t not in before and t.is_alive() and not t.daemon]
    for thread in left:
        thread.join(2)
    alive = [t.name for t in left if t.is_alive()]
    assert not alive, f"threads left behind: {alive}"


@pytest.fixture(autouse=True)
def _no_leaked_timers(qapp, _own_settings):
    before = active_timers()
    yield
    left, late = active_timers() - before, time.monotonic() + 1
    while left and all(timer.isSingleShot() and timer.interval() <= 200 for timer in left) and time.monotonic() < late:
        time.sleep(0.01)  # what happens once and soon is let happen
        qapp.processEvents()
        left = active_timers() - before
    for timer in left:
        timer.stop()  # the next test is not to blame
    assert not left, f"timers left running: {[describe(timer) for timer in left]}"
