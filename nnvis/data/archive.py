"""Unpack .tar, .tar.gz, .tar.xz, .tar.bz2 and .zip into the cache, never outside it."""

from __future__ import annotations

import lzma
import re
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from nnvis.data.cache import cache_folder, digest, forget_others, replacing, slug
from nnvis.data.progress import Progress, silent
from nnvis.errors import DataError, OutputError

_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2", ".zip")
_TORN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,  # zipfile: an entry needs a password
)


def is_archive(path: Path) -> bool:
    """Whether the name of `path` is that of an archive."""
    return path.name.lower().endswith(_ENDINGS)


def unpack(path: Path, progress: Progress = silent) -> Path:
    """Unpack once; the same archive (name, size, time) is found in the cache the next time.

    Only plain files are made: links and devices are left out.

    Returns
    -------
    Path
        The folder with the archive's content.

    Raises
    ------
    DataError
        If the archive is torn or an entry would land outside that folder.
    OutputError
        If the cache cannot be written.
    """
    status = path.stat()
    prefix = slug(path)
    target = cache_folder("archives") / f"{prefix}-{digest([status.st_size, status.st_mtime_ns])}"
    if target.is_dir():
        return target
    try:
        with replacing(target) as scratch:
            scratch.mkdir()
            _unpack_into(path, scratch, progress)
    except _TORN as error:
        raise DataError(f"{path} is a damaged archive ({error}): get it again.") from None
    except OSError as error:
        if _is_torn_gzip(error):
            raise DataError(f"{path} is a damaged archive ({error}): get it again.") from None
        raise OutputError(
            f"Cannot unpack {path} into {target.parent} ({error.strerror or error}): make room there, "
            "set NNVIS_CACHE to another folder, or unpack it yourself."
        ) from None
    forget_others(target, prefix)
    return target


def _is_torn_gzip(error: OSError) -> bool:
    """Torn compressed streams raise a plain OSError without an error number."""
    return error.errno is None


def _unpack_into(path: Path, folder: Path, progress: Progress) -> None:
    total = path.stat().st_size
    made: set[Path] = set()
    with path.open("rb") as raw:
        for number, (name, content) in enumerate(_entries(path, raw)):
            target = folder / _inside(name, path)
            if target.parent not in made:
                target.parent.mkdir(parents=True, exist_ok=True)
                made.add(target.parent)
            with content, target.open("wb") as out:
                shutil.copyfileobj(content, out, 2**18)
            if number % 500 == 0:
                progress(f"unpacking {path.name}", min(raw.tell(), total), total)
    progress(f"unpacking {path.name}", total, total)


def _entries(path: Path, raw: IO[bytes]) -> Iterator[tuple[str, IO[bytes]]]:
    """Name and content of each plain file."""
    if path.name.lower().endswith(".zip"):
        with zipfile.ZipFile(raw) as bundle:
            for info in bundle.infolist():
                if not info.is_dir():
                    yield info.filename, bundle.open(info)
    else:
        with tarfile.open(fileobj=raw, mode="r:*") as tape:
            for member in tape:
                content = tape.extractfile(member) if member.isreg() else None
                if content is not None:
                    yield member.name, content


def _inside(name: str, path: Path) -> PurePosixPath:
    """`name` as a relative path, or an error if it leads elsewhere."""
    relative = PurePosixPath(name.replace("\\", "/"))
    drive = re.match(r"[A-Za-z]:", name)
    if drive or relative.is_absolute() or ".." in relative.parts or not relative.parts:
        raise DataError(f"{path} has the entry '{name}', which would land outside its folder: it was not unpacked.")
    return relative
