"""Where the app keeps its runs: one folder each, the newest few of them."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Collection
from pathlib import Path

from ui.locking import held

#: Runs that are kept, and bytes that all together may take; the newest run may take more.
MOST, MOST_BYTES = 10, 1 << 30
#: Beside the files of a run while a window works with it.
LOCK = "app.lock"


def new_folder(base: Path, name: str) -> Path:
    """A folder that is not there yet: ``<name>-<date>-<time>``."""
    stem = re.sub(r"[^\w.]+", "-", name).strip("-.")[:60] or "net"
    stem = f"{stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    number, path = 1, base / stem
    while os.path.exists(path):  # unlike Path's, this is no error where one may not look
        number += 1
        path = base / f"{stem}-{number}"
    return path


def prune(base: Path, spared: Collection[Path] = ()) -> None:
    """Remove the oldest runs, but none that is in use or `spared`."""
    size = 0
    for number, path in enumerate(_newest_first(base)):
        size += _size(path)
        in_the_way = number >= MOST or (number > 0 and size > MOST_BYTES)
        if in_the_way and path not in spared and not held(path / LOCK):
            shutil.rmtree(path, ignore_errors=True)


def _newest_first(base: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        found = [path for path in base.iterdir() if (path / "graph.json").exists()]
        return sorted(found, key=_last_change, reverse=True)
    return []


def _last_change(path: Path) -> float:
    times = [0.0]
    for name in ("graph.json", "checkpoints/last.safetensors"):
        with contextlib.suppress(OSError):
            times.append((path / name).stat().st_mtime)
    return max(times)


def _size(path: Path) -> int:
    total = 0
    for file in path.rglob("*"):
        with contextlib.suppress(OSError):
            total += file.stat().st_size
    return total
