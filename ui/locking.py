"""Saying to other processes that a file or folder is in use; a process that dies says so no longer."""

from __future__ import annotations

import contextlib
from pathlib import Path

from PySide6.QtCore import QLockFile


class Lock:
    """Held from :meth:`take` to :meth:`release`, or to the end of the process however it ends."""

    def __init__(self, path: Path):
        self.path = path
        self._file = QLockFile(str(path))
        self._file.setStaleLockTime(0)  # only the death of its owner makes a lock stale, not its age

    def take(self) -> bool:
        """Whether it is ours now."""
        return self._file.isLocked() or self._file.tryLock(0)

    def release(self) -> None:
        """Others may have it."""
        self._file.unlock()


def held(path: Path) -> bool:
    """Whether somebody alive holds the lock."""
    with contextlib.suppress(OSError):
        if path.exists():
            lock = Lock(path)
            free = lock.take()
            lock.release()
            return not free
    return False
