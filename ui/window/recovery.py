"""Unsaved work survives a crash: a copy every few seconds, offered at the next start with the run that was going on."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterable
from pathlib import Path

from PySide6.QtCore import QObject, QTimer

from nnvis.errors import NnvisError
from ui.document import files
from ui.locking import Lock, held
from ui.session.messages import Saved
from ui.session.run_folders import prune
from ui.window.project import Project

#: Longest time between an edit, or the first checkpoint of a run, and the copy that knows of it.
SECONDS = 10
_LOCK = ".lock"
_windows = itertools.count(1)


class Recovery(QObject):
    """Keeps a copy of a window's document while it has unsaved edits or training, and its runs with their checkpoints.

    Parameters
    ----------
    project : Project
    place : Path
        Of all copies (in its folder ``recovery``) and all runs (in ``runs``).

    Attributes
    ----------
    run : Path or None
        The folder of the run whose weights the session has.
    """

    def __init__(self, project: Project, place: Path):
        super().__init__(project)
        self.project, self.folder, self.runs = project, place / "recovery", place / "runs"
        self.run: Path | None = None
        self.path, self._lock = _free_place(self.folder)
        self._timer = QTimer(self, interval=int(SECONDS * 1000), singleShot=True)
        self._timer.timeout.connect(self._save_if_wanted)
        project.document.changed.connect(self._soon)
        project.session.saved.connect(self.note_run)
        project.title_changed.connect(self._name_runs)
        self._name_runs()

    def _name_runs(self) -> None:
        project = self.project
        project.session.keep_runs(self.runs, project.path.stem if project.path else project.document.state.name)

    def _soon(self, *_: object) -> None:
        if not self._timer.isActive():
            self._timer.start()

    def _save_if_wanted(self) -> None:
        if self.project.dirty:
            self.save()

    def note_run(self, saved: Saved) -> None:
        """The session has saved a run, or has left it."""
        before, self.run = self.run, None if saved.path is None else saved.path.parent.parent
        if self.run is None:
            return
        self._soon()
        if self.run != before:
            self._save_if_wanted()  # nothing but the copy says whose run it is
            self.prune()

    def prune(self) -> None:
        """Remove old runs that nobody needs."""
        prune(self.runs, {self.run, *_runs_of(self._copies())})

    def save(self) -> None:
        """Write the copy now. That it cannot be written must not disturb the user's work."""
        with contextlib.suppress(NnvisError, OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.take()
            files.save(self.path, self.project.document.state, origin=files.Origin(self.project.path, self.run))

    def clear(self) -> None:
        """The work is safe elsewhere, or not wanted: forget the copy."""
        self._timer.stop()
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)
            self._lock.release()

    def close(self) -> None:
        """The window closes, and whoever wanted to has saved."""
        self.project.document.changed.disconnect(self._soon)
        self.project.session.saved.disconnect(self.note_run)
        self.clear()

    # --- what others left ---------------------------------------------------------------------------------

    def left_behind(self) -> list[Path]:
        """Copies of processes that are no more, newest first."""
        with contextlib.suppress(OSError):
            self._sweep()
            found = [p for p in self._copies() if p != self.path and not held(p.with_suffix(_LOCK))]
            return sorted(found, key=lambda p: p.stat().st_mtime, reverse=True)
        return []

    def discard(self, copy: Path) -> None:
        """Remove a copy that was left behind."""
        with contextlib.suppress(OSError):
            copy.unlink(missing_ok=True)
            copy.with_suffix(_LOCK).unlink(missing_ok=True)

    def _copies(self) -> list[Path]:
        with contextlib.suppress(OSError):
            return list(self.folder.glob(f"[!.]*{files.PROJECT}"))
        return []

    def _sweep(self) -> None:
        """Remove what a process left behind that died while it wrote."""
        for torn in self.folder.glob(f".*{files.PROJECT}.*.tmp"):
            name = torn.name[1:].partition(files.PROJECT)[0]
            if not held(self.folder / f"{name}{_LOCK}"):
                torn.unlink(missing_ok=True)


def _free_place(folder: Path) -> tuple[Path, Lock]:
    """Where a window's copy lies, and its lock; a process may have several windows, and its number may come again."""
    path = folder / f"{os.getpid()}-{next(_windows)}{files.PROJECT}"
    while os.path.exists(path):
        path = folder / f"{os.getpid()}-{next(_windows)}{files.PROJECT}"
    return path, Lock(path.with_suffix(_LOCK))


def _runs_of(copies: Iterable[Path]) -> set[Path]:
    """The runs that copies of unsaved work need."""
    found = set()
    for copy in copies:
        with contextlib.suppress(NnvisError, OSError):
            found.add(files.read(copy).origin.run)
    return found - {None}
