"""How every CPU kernel is compiled, cached, counted and called.

``@kernel("signature")`` makes an entry point: explicit types, so that it is compiled once and never
again for another shape. ``@inner`` makes a helper that kernels call and LLVM inlines.
"""

from __future__ import annotations

import contextlib
import functools
import pickle
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
from numba import njit
from numba.core.registry import cpu_target
from numba.extending import is_jitted

from kernels.cpu.cache import KernelCache
from kernels.cpu.inlined import InlinedCompiler
from kernels.cpu.threads import load_thread_pool

load_thread_pool()

#: LLVM fast-math flags of every kernel. ``nnan`` and ``ninf`` are left out on purpose: not-a-number and
#: infinity must survive, since the training loop looks for them.
FAST_MATH = {"nsz", "arcp", "contract", "afn", "reassoc"}

#: Every entry point by name, in the order of definition.
KERNELS: dict[str, Kernel] = {}

#: Kernels that others call by a symbol which the linker does not know yet.
_EXPORTS: dict[str, Kernel] = {}

_recording: dict[str, Kernel] | None = None


class _Notes(threading.local):
    """The kernel calls that a thread notes, if it does, and whether they are all that happens."""

    calls: list[Callable[[], None]] | None = None
    complete = True
    #: Whether weights are constants, so that what depends on them alone need not be noted.
    constants = False


_notes = _Notes()


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
        #: Whether other kernels call it, see :func:`export`.
        self.exported = False
        self.dispatcher = njit(parallel=parallel, nogil=True, fastmath=FAST_MATH)(function)
        self.dispatcher._cache = KernelCache(function)
        self.__doc__ = function.__doc__

    @functools.cached_property
    def length(self) -> int:
        """Bytes of bytecode of the function and the helpers it calls: the longer, the longer it takes to compile."""
        return sum(len(each.__code__.co_code) for each in _called_by(self.dispatcher.py_func))

    def is_cached(self) -> bool:
        """Whether machine code for this processor is on the disk; much faster than loading it."""
        cache = self.dispatcher._cache
        files = cache._cache_file
        try:
            key = cache._index_key(self.signature, cpu_target.target_context.codegen())
            name = files._load_index().get(key)
            return name is not None and Path(files._data_path(name)).exists()
        except (OSError, EOFError, pickle.UnpicklingError):
            return False

    def compile(self) -> bool:
        """Load from the disk cache or compile; True if it had to be compiled."""
        if not self.compiled:
            _resolve_exports(self)
            self.dispatcher.compile(self.signature)
            self.dispatcher.disable_compile()
            self.compiled = True
            return bool(self.dispatcher.stats.cache_misses)
        return False

    def pointer(self) -> int:
        """Address of the machine code as a C function, for calls from other kernels; counts as a call."""
        if _recording is not None:
            self._note(_recording)
            return 0
        if not self._pointer:
            self.compile()
            (made,) = self.dispatcher.overloads.values()
            name = made.fndesc.llvm_cfunc_wrapper_name
            self._pointer = made.library.get_pointer_to_function(name)
        return self._pointer

    def _note(self, needed: dict[str, Kernel]) -> None:
        for each in (*_EXPORTS.values(), self):
            needed[each.name] = each

    def __call__(self, *args):
        if _recording is not None:
            self._note(_recording)
            return 0  # what a kernel that counts faults in its arguments gives when all is well
        if not self.compiled:
            self.compile()
        if _notes.calls is not None:
            # The entry point checks no types, which the dispatcher is about to do.
            (made,) = self.dispatcher.overloads.values()
            _notes.calls.append(functools.partial(made.entry_point, *args))
        return self.dispatcher(*args)


def _called_by(function: Callable) -> set[Callable]:
    """The function and all the helpers that it names, or that those do."""
    found, left = {function}, [function]
    while left:
        last = left.pop()
        values: list[Any] = [last.__globals__.get(name) for name in last.__code__.co_names]
        fresh = {each.py_func for each in values if is_jitted(each)} - found
        found |= fresh
        left += fresh
    return found


def kernel(signature: str, parallel: bool = True) -> Callable[[Callable], Kernel]:
    """Decorator: make `function` an entry point with this Numba `signature`."""

    def decorate(function: Callable) -> Kernel:
        made = Kernel(function, signature, parallel)
        assert made.name not in KERNELS, f"two kernels are called {made.name}"
        KERNELS[made.name] = made
        return made

    return decorate


def export(function: Kernel) -> str:
    """Let other kernels call this one as the C function of the name that is returned."""
    symbol = f"nnvis_{function.name}"
    _EXPORTS[symbol] = function
    function.exported = True
    return symbol


def _resolve_exports(user: Kernel) -> None:
    """Tell the linker where exported kernels are, before it loads `user`."""
    while _EXPORTS and user not in _EXPORTS.values():
        symbol, function = _EXPORTS.popitem()
        llvm.add_symbol(symbol, function.pointer())


def compile_only() -> None:
    """What is compiled from now on goes into the disk cache and is never run: exported kernels need not be there."""
    while _EXPORTS:
        llvm.add_symbol(_EXPORTS.popitem()[0], 1)


def inner(function: Callable) -> Callable:
    """Decorator: a helper, called only from kernels: there is nothing that Python could call."""
    options: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "pipeline_class": InlinedCompiler}
    return njit(nogil=True, fastmath=FAST_MATH, **options)(function)


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


def note_calls(work: Callable[[], None], constants: bool = False) -> list[Callable[[], None]] | None:
    """Do the `work` and return what makes its kernel calls again, with the same arguments.

    With `constants` weights stay what they are, and calls within :func:`for_good` are not made again. None if the work
    said, by :func:`not_noted`, that kernel calls are not all that it does.
    """
    calls: list[Callable[[], None]] = []
    _notes.calls, _notes.complete, _notes.constants = calls, True, constants
    try:
        work()
    finally:
        _notes.calls, _notes.constants = None, False
    return calls if _notes.complete else None


def has_constants() -> bool:
    """Whether what is computed from weights alone, within :func:`for_good`, is kept."""
    return _notes.constants


@contextlib.contextmanager
def for_good() -> Iterator[None]:
    """Within this context nothing but weights is read: where these are constants, kernel calls are not made again."""
    if not _notes.constants:
        yield
        return
    calls, _notes.calls = _notes.calls, None
    try:
        yield
    finally:
        _notes.calls = calls


def not_noted() -> None:
    """Say that something besides kernel calls is done here, so that the calls alone would not repeat it."""
    _notes.complete = False
