"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nnvis.errors import OutputError

_TEMPORARY = ".tmp"


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError inside into an OutputError that names `path`."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"Cannot write {path}: {error.strerror or error}; {_advice(error, path)}.") from None


def _advice(error: OSError, path: Path) -> str:
    """What helps against an error."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "free space there or choose another folder"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "choose a folder that you may write to"
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return f"make the folder {path.parent} first or choose another"
    if error.errno == errno.ENAMETOOLONG:
        return "choose a shorter name"
    return "choose another name or folder"


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file: to a temporary name beside it, to the disk, and then into place.

    Raises
    ------
    OutputError
        No permission, no space. What was there before is untouched, and no temporary file stays.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{_TEMPORARY}")
    with writing(path):
        try:
            _write_through(temporary, content)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


def _write_through(path: Path, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut, where the system can do that."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_json(path: Path, value: Any) -> None:
    """Write plain values as an indented JSON file; see :func:`write_bytes`."""
    write_bytes(path, (json.dumps(value, indent=1) + "\n").encode())


def remove_temporaries(folder: Path) -> None:
    """Remove what a killed process left behind in a folder of ours."""
    with writing(folder):
        for path in folder.glob(f".*{_TEMPORARY}"):
            path.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Make a folder and its parents; OutputError if that fails, or if files cannot be written there."""
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".probe.{os.getpid()}{_TEMPORARY}"
        try:
            # More than a few bytes: a full disk may still have room for an empty file.
            _write_through(probe, bytes(1 << 16))
        finally:
            probe.unlink(missing_ok=True)
