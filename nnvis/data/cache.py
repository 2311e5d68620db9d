"""The folder of the user's machine in which downloads and decoded images are kept."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path


def cache_folder(*parts: str) -> Path:
    """A folder inside the cache; it need not exist. ``NNVIS_CACHE`` moves the whole cache."""
    base = os.environ.get("NNVIS_CACHE")
    if base:
        return Path(base, *parts)
    import platformdirs

    return Path(platformdirs.user_cache_path("nnvis", appauthor=False), *parts)


def digest(values: Iterable[object]) -> str:
    """Short name for `values`: equal values have equal names."""
    state = hashlib.sha256()
    for value in values:
        state.update(repr(value).encode("utf-8", "surrogateescape") + b"\0")
    return state.hexdigest()[:20]


def slug(path: Path, *options: object) -> str:
    """Readable file name that stands for a path and options, without its version."""
    stem = re.sub(r"[^\w-]+", "-", path.name)[:40] or "data"
    return f"{stem}-{digest([str(path.absolute()), *options])}"


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target` that takes its place if all goes well, else vanishes.

    Whatever exists under `target` is whole, also after a crash. The temporary path is inside a
    fresh folder, so that a file or a folder may be made there.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".new-", dir=target.parent))
    try:
        yield scratch / target.name
        try:
            os.replace(scratch / target.name, target)
        except OSError:
            if not target.exists():  # else another process made the same meanwhile
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def forget_others(kept: Path, prefix: str) -> None:
    """Delete older versions beside `kept`: entries whose name starts with `prefix`."""
    for old in kept.parent.glob(f"{prefix}*"):
        if old.name != kept.name:
            if old.is_dir():
                shutil.rmtree(old, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    old.unlink()
