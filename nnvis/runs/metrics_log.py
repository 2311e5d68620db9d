"""``metrics.jsonl``: one JSON object a line, for some steps and for every epoch."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from nnvis.runs.files import write_bytes, writing


class MetricsLog:
    """Appends to the file; lines reach the system at once, and the disk with :meth:`sync`."""

    def __init__(self, path: Path):
        self.path = path
        self._file: TextIO | None = None

    def append(self, kind: str, **values: Any) -> None:
        """Add a line ``{"kind": kind, ...}``."""
        with writing(self.path):
            if self._file is None:
                self._file = open(self.path, "a", encoding="utf-8", buffering=1)  # noqa: SIM115 - closed in close()
            self._file.write(json.dumps({"kind": kind, **values}) + "\n")

    def sync(self) -> None:
        """Make sure that all lines are on the disk."""
        if self._file is not None:
            with writing(self.path):
                self._file.flush()
                os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            # What could not be written was reported when it was appended.
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None

    def truncate(self, step: int, epoch: int) -> None:
        """Forget what came after a checkpoint: later steps, epochs not finished then, and the end."""

        def known(line: dict[str, Any]) -> bool:
            if line.get("kind") == "epoch":
                return line.get("epoch", 0) <= epoch
            return line.get("kind") == "step" and line.get("step", 0) <= step

        kept = _lines(self.path, known) if self.path.exists() else []
        write_bytes(self.path, "".join(json.dumps(line) + "\n" for line in kept).encode())


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All lines of a metrics file; a line that a killed process left half-written is skipped."""
    return _lines(path, lambda line: True)


def _lines(path: Path, accept: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    found = []
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            line = json.loads(text)
            if isinstance(line, dict) and accept(line):
                found.append(line)
    return found
