"""Unsaved work survives a crash: a copy every few seconds, offered at the next start."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from PySide6.QtCore import QObject, QTimer

from nnvis.errors import NnvisError
from ui.document import files
from ui.history import Document

#: Longest time between an edit and its copy on disk.
SECONDS = 10


class Recovery(QObject):
    """Keeps a copy of the document of this process in `folder` while it has unsaved edits."""

    def __init__(self, document: Document, folder: Path, parent: QObject | None = None):
        super().__init__(parent)
        self.document, self.folder = document, folder
        self.path = folder / f"{os.getpid()}{files.PROJECT}"
        self._timer = QTimer(self, interval=SECONDS * 1000, singleShot=True)
        self._timer.timeout.connect(self.save)
        document.changed.connect(self._changed)

    def _changed(self, before: object, after: object) -> None:
        if not self._timer.isActive():
            self._timer.start()

    def save(self) -> None:
        """Write the copy now. That it cannot be written must not disturb the user's work."""
        with contextlib.suppress(NnvisError, OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            files.save(self.path, self.document.state)

    def clear(self) -> None:
        """The work is safe elsewhere, or not wanted: forget the copy."""
        self._timer.stop()
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)

    def left_behind(self) -> list[Path]:
        """Copies of processes that are no more, newest first."""
        with contextlib.suppress(OSError):
            found = [p for p in self.folder.glob(f"*{files.PROJECT}") if p.stem.isdigit() and not _alive(int(p.stem))]
            return sorted(found, key=lambda p: p.stat().st_mtime, reverse=True)
        return []


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
