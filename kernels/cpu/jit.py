"""How every CPU kernel is compiled, cached, counted and called.

``@kernel("signature")`` makes an entry point: explicit types, so that it is compiled once and never
again for another shape. ``@inner`` makes a helper that kernels call and LLVM inlines.

The disk cache of a file lives in a folder named after its content and that of every file it imports from this
package. Numba itself watches only the file that holds the entry point, so an edited helper would leave stale code.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import pickle
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numba
from numba import config, njit
from numba.core.registry import cpu_target
from numba.misc.appdirs import AppDirs

from kernels.cpu.threads import load_thread_pool

load_thread_pool()

#: LLVM fast-math flags of every kernel. ``nnan`` and ``ninf`` are left out on purpose: not-a-number and
#: infinity must survive, since the training loop looks for them.
FAST_MATH = {"nsz", "arcp", "contract", "afn", "reassoc"}

#: Every entry point by name, in the order of definition.
KERNELS: dict[str, Kernel] = {}

_recording: dict[str, Kernel] | None = None


class _Notes(threading.local):
    """The kernel calls that a thread notes, if it does, and whether they are all that happens."""

    calls: list[Callable[[], None]] | None = None
    complete = True


_notes = _Notes()


@functools.cache
def _depends_on(source: Path) -> frozenset[Path]:
    """The file itself and every file of compiled kernels that it imports, directly or not."""
    pattern = r"^from kernels\.(cpu|ladder)(?:\.(\w+))? import (\([^)]*\)|.+)$"
    imports = re.findall(pattern, source.read_text(), re.M)
    names = {(room, n) for room, module, rest in imports for n in ([module] if module else re.findall(r"\w+", rest))}
    direct = {Path(__file__).parents[1] / room / f"{name}.py" for room, name in names} - {source}
    return frozenset({source}.union(*(_depends_on(path) for path in direct if path.exists())))


@functools.cache
def _cache_folder(source: Path) -> str:
    digest = hashlib.sha256(f"numba {numba.__version__}".encode())
    for path in sorted(_depends_on(source) | {Path(__file__)}):
        digest.update(path.read_bytes())
    base = os.environ.get("NUMBA_CACHE_DIR") or AppDirs("nnvis", False).user_cache_dir
    folder = Path(base) / "kernels" / f"{source.stem}-{digest.hexdigest()[:16]}"
    if not folder.exists():
        _forget_old_caches(folder.parent, source.stem, keep=8)
    return str(folder)


def _forget_old_caches(parent: Path, stem: str, keep: int) -> None:
    with contextlib.suppress(OSError):
        folders = sorted(parent.glob(f"{stem}-*"), key=lambda folder: folder.stat().st_mtime)
        for folder in folders[:-keep]:
            shutil.rmtree(folder, ignore_errors=True)


class Kernel:
    """A compiled entry point with one fixed signature.

    Parameters
    ----------
    function : callable
        The Python source.
    signature : str
        Numba signature, for example ``"void(f4[:,::1], f4[:,::1])"``.
    parallel : bool
        Whether ``prange`` loops run on several threads.
    """

    def __init__(self, function: Callable, signature: str, parallel: bool):
        self.name = function.__name__
        self.signature = signature
        self._pointer = 0
        #: Whether machine code is in memory. (Asking the dispatcher costs 15 microseconds.)
        self.compiled = False
        folder = _cache_folder(Path(function.__code__.co_filename))
        previous, config.CACHE_DIR = config.CACHE_DIR, folder
        try:
            self.dispatcher = njit(parallel=parallel, nogil=True, cache=True, fastmath=FAST_MATH)(function)
        finally:
            config.CACHE_DIR = previous
        self.__doc__ = function.__doc__
        # The folder's name says what the source holds; when the file was written does not matter.
        self._files = self.dispatcher._cache._cache_file
        self._files._source_stamp = folder.rpartition("-")[2]

    def is_cached(self) -> bool:
        """Whether machine code for this processor is on the disk; much faster than loading it."""
        cache = self.dispatcher._cache
        try:
            key = cache._index_key(self.signature, cpu_target.target_context.codegen())
            name = self._files._load_index().get(key)
            return name is not None and Path(self._files._data_path(name)).exists()
        except (OSError, EOFError, pickle.UnpicklingError):
            return False

    def compile(self) -> bool:
        """Load from the disk cache or compile; True if it had to be compiled."""
        if not self.compiled:
            self.dispatcher.compile(self.signature)
            self.dispatcher.disable_compile()
            self.compiled = True
            return bool(self.dispatcher.stats.cache_misses)
        return False

    def pointer(self) -> int:
        """Address of the machine code as a C function, for calls from other kernels; counts as a call."""
        if _recording is not None:
            _recording[self.name] = self
            return 0
        if not self._pointer:
            self.compile()
            (made,) = self.dispatcher.overloads.values()
            name = made.fndesc.llvm_cfunc_wrapper_name
            self._pointer = made.library.get_pointer_to_function(name)
        return self._pointer

    def __call__(self, *args):
        if _recording is not None:
            _recording[self.name] = self
            return 0  # what a kernel that counts faults in its arguments gives when all is well
        if not self.compiled:
            self.compile()
        if _notes.calls is not None:
            # The entry point checks no types, which the dispatcher is about to do.
            (made,) = self.dispatcher.overloads.values()
            _notes.calls.append(functools.partial(made.entry_point, *args))
        return self.dispatcher(*args)


def kernel(signature: str, parallel: bool = True) -> Callable[[Callable], Kernel]:
    """Decorator: make `function` an entry point with this Numba `signature`."""

    def decorate(function: Callable) -> Kernel:
        made = Kernel(function, signature, parallel)
        assert made.name not in KERNELS, f"two kernels are called {made.name}"
        KERNELS[made.name] = made
        return made

    return decorate


def inner(function: Callable) -> Callable:
    """Decorator: a compiled helper, called only from kernels."""
    return njit(nogil=True, fastmath=FAST_MATH)(function)


@contextlib.contextmanager
def recording() -> Iterator[dict[str, Kernel]]:
    """Within this context kernel calls do nothing but note which kernels they need."""
    global _recording
    outer, _recording = _recording, {}
    try:
        yield _recording
    finally:
        _recording = outer


def is_recording() -> bool:
    """Whether kernel calls do nothing, within :func:`recording`."""
    return _recording is not None


def note_calls(work: Callable[[], None]) -> list[Callable[[], None]] | None:
    """Do the `work` and return what makes its kernel calls again, with the same arguments.

    None if the work said, by :func:`not_noted`, that kernel calls are not all that it does.
    """
    calls: list[Callable[[], None]] = []
    _notes.calls, _notes.complete = calls, True
    try:
        work()
    finally:
        _notes.calls = None
    return calls if _notes.complete else None


def not_noted() -> None:
    """Say that something besides kernel calls is done here, so that the calls alone would not repeat it."""
    _notes.complete = False
