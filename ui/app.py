"""``nnvis app``: the desktop application."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import platformdirs
import shiboken6
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication

from nnvis.errors import NnvisError
from ui.document import files
from ui.garbage import Collector
from ui.history import Document
from ui.session.session import Session
from ui.theme import look
from ui.theme.style import apply_look
from ui.window.main_window import MainWindow
from ui.window.project import run_of


def main(path: Path | None = None, theme: str = "system") -> int:
    """Show the window until it is closed; returns the exit code.

    Parameters
    ----------
    path : Path, optional
        A project or graph to open.
    theme : {"system", "light", "dark"}
    """
    # The GUI thread gets the interpreter within a millisecond, however busy the training thread is.
    sys.setswitchinterval(0.001)
    app = make_application(theme)
    window = make_window(state_folder())
    window.show()
    QTimer.singleShot(0, window, lambda: _first(window, path))
    Collector(app)
    code = app.exec()
    # Widgets must be gone before Python takes Qt apart, in an order of its own.
    shiboken6.delete(window)
    return code


def make_application(theme: str = "system") -> QApplication:
    """The application with its look."""
    existing = QApplication.instance()
    app = existing if isinstance(existing, QApplication) else QApplication(sys.argv[:1])
    app.setApplicationName("nnvis")
    app.setOrganizationName("nnvis")
    if not app.property("dressed"):
        app.setProperty("dressed", True)
        look().changed.connect(lambda: apply_look(app))
    look().choose(theme)
    sys.excepthook = _log_error
    return app


def make_window(folder: Path | None = None) -> MainWindow:
    """A window with a document and a session of its own; copies of unsaved work, and runs, are kept in `folder`."""
    document = Document()
    window = MainWindow(document, Session(), folder)
    document.setParent(window)
    if window.docks.restore():
        window.show_start_page()  # which stands without the docks that were just brought back
    return window


def state_folder() -> Path:
    """Where the app keeps what must survive its end."""
    return Path(platformdirs.user_state_dir("nnvis", appauthor=False))


def _first(window: MainWindow, path: Path | None) -> None:
    from nnvis.device import cpu_description, places

    window.status.show_machine(cpu_description())
    window.training_panel.offer_devices(places())
    if window.recovery:
        window.recovery.prune()
    if path is None or window.project.open(path):
        offer_left_behind(window)


def offer_left_behind(window: MainWindow) -> None:
    """Say that there is unsaved work of a process that died, and what can be done about it."""
    left = window.recovery.left_behind() if window.recovery else []
    if left:
        window.banner.say(
            f"nnvis ended unexpectedly and kept {_what(left[0])}.", "accent",
            {"Recover": lambda: _recover(window, left[0]), "Discard": lambda: _discard(window, left[0])},
        )  # fmt: skip


def _what(copy: Path) -> str:
    """The work in a copy, in words."""
    try:
        found = files.read(copy)
    except NnvisError:
        return "a copy of your work"
    name = found.origin.file.name if found.origin.file else found.state.name
    run = run_of(found.origin)
    trained = f", trained up to step {run.step:,}" if run is not None and run.step else ""
    return f"a copy of your work on {name}{trained}"


def _recover(window: MainWindow, copy: Path) -> None:
    recovery = window.recovery
    if recovery and window.closing.may_discard() and (origin := window.project.recover(copy)):
        recovery.run = origin.run  # which the session will say, too, but the old copy goes now
        recovery.save()
        recovery.discard(copy)


def _discard(window: MainWindow, copy: Path) -> None:
    if window.recovery:
        window.recovery.discard(copy)
        offer_left_behind(window)


def _log_error(kind, error, trace) -> None:
    """An error in a slot: one sentence for the user, the traceback for the log."""
    logging.getLogger("nnvis").error("unexpected error", exc_info=(kind, error, trace))
    for widget in QApplication.topLevelWidgets():
        if isinstance(widget, MainWindow):
            widget.banner.say(f"Something went wrong in nnvis: {error} ({kind.__name__}). Your work is still here.")
    if os.environ.get("NNVIS_DEBUG"):
        sys.__excepthook__(kind, error, trace)
