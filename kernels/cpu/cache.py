"""Where compiled kernels are kept on the disk.

The kernels of a file lie in a folder named after its content and that of every file it imports from this package.
Numba itself watches only the file that holds the entry point, so an edited helper would leave stale code; and it takes
a copy of the same file elsewhere for another one, which would be compiled again.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator
from numba.core.runtime import rtsys
from numba.misc.appdirs import AppDirs


@functools.cache
def _depends_on(source: Path) -> frozenset[Path]:
    """The file itself and every file of compiled kernels that it imports, directly or not."""
    pattern = r"^from kernels\.(cpu|ladder)(?:\.(\w+))? import (\([^)]*\)|.+)$"
    imports = re.findall(pattern, source.read_text(), re.M)
    names = {(room, n) for room, module, rest in imports for n in ([module] if module else re.findall(r"\w+", rest))}
    direct = {Path(__file__).parents[1] / room / f"{name}.py" for room, name in names} - {source}
    return frozenset({source}.union(*(_depends_on(path) for path in direct if path.exists())))


@functools.cache
def _folder(source: Path) -> Path:
    digest = hashlib.sha256(f"numba {numba.__version__}".encode())
    for path in sorted(_depends_on(source)):
        digest.update(path.read_bytes())
    base = os.environ.get("NUMBA_CACHE_DIR") or AppDirs("nnvis", False).user_cache_dir
    folder = Path(base) / "kernels" / f"{source.stem}-{digest.hexdigest()[:16]}"
    if not folder.exists():
        _forget_old(folder.parent, source.stem, keep=8)
    return folder


def _forget_old(parent: Path, stem: str, keep: int) -> None:
    with contextlib.suppress(OSError):
        folders = sorted(parent.glob(f"{stem}-*"), key=lambda folder: folder.stat().st_mtime)
        for folder in folders[:-keep]:
            shutil.rmtree(folder, ignore_errors=True)


class _Locator(_CacheLocator):
    """Says where the kernel `function` of the file `source` is kept."""

    def __init__(self, function: Callable, source: str):
        self._py_file, self._line = source, function.__code__.co_firstlineno

    @classmethod
    def from_function(cls, py_func, py_file):
        """Numba's way to make one."""
        return cls(py_func, py_file)

    def get_cache_path(self):
        """The folder."""
        return str(_folder(Path(self._py_file)))

    def get_source_stamp(self):
        """Nothing: the folder's name says what the source holds, and when the file was written does not matter."""

    def get_disambiguator(self):
        """A part of the file's name."""
        return str(self._line)


class _Storage(CompileResultCacheImpl):
    _locator_classes: ClassVar = [_Locator]  # type: ignore[misc]


class KernelCache(FunctionCache):
    """The disk cache of one kernel.

    What is there is loaded without setting up Numba's compiler, which takes longer than all kernels of a network.
    """

    _impl_class = _Storage

    def load_overload(self, sig, target_context):
        """What is kept for this signature, or None."""
        rtsys.initialize(target_context)
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)
