"""Finding timers that a test has left running."""

from __future__ import annotations

import gc

import shiboken6
from PySide6.QtCore import QCoreApplication, QEvent, QObject, QTimer


def active_timers() -> set[QTimer]:
    """Every timer that runs: those that Python made, whoever owns them, and the children of the application."""
    app = QCoreApplication.instance()
    if app is None:
        return set()
    # Deleted widgets, and what waits for a turn of the event loop, are no leaks.
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    # asked of the type: what a weak reference pretends to be may be gone
    made = [thing for thing in gc.get_objects() if issubclass(type(thing), QTimer)]
    made += [timer for top in _roots() for timer in top.findChildren(QTimer)]
    return {timer for timer in made if shiboken6.isValid(timer) and timer.isActive()}


def _roots() -> list[QObject]:
    from PySide6.QtWidgets import QApplication

    app = QApplication.instance()
    return [app, *(app.topLevelWidgets() if isinstance(app, QApplication) else [])]


def describe(timer: QTimer) -> str:
    """What it is, for somebody who looks for its maker."""
    owner, parts = timer.parent(), []
    while owner is not None:
        parts.append(f"{type(owner).__name__} {owner.objectName()!r}")
        owner = owner.parent()
    every = "once" if timer.isSingleShot() else "again and again"
    return f"{timer.interval()} ms, {every}, of {' in '.join(parts) or 'nobody'}"
