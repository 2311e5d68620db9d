"""How every GPU kernel is compiled, counted and called.

``@kernel("signature")`` makes an entry point with explicit types, compiled once and never again for another shape;
``@inner`` a function that kernels call.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from kernels.cuda.launch import Shape
from kernels.cuda.relaunch import relaunching
from kernels.cuda.toolkit import SIMULATED, cuda, explained, ptx_of, stream

#: Every entry point by name, in the order of definition.
KERNELS: dict[str, Kernel] = {}


class _Taking(threading.local):
    """What a thread's kernel calls do besides running, or instead of it."""

    #: Where calls leave the kernels that they need, and do nothing else.
    needed: dict[str, Kernel] | None = None
    #: Where calls leave themselves, after they were made.
    calls: list[Callable[[], None]] | None = None


_taking = _Taking()


class Kernel:
    """An entry point with one fixed signature.

    Parameters
    ----------
    function : callable
        The Python source.
    signature : str
        Numba signature, for example ``"void(float32[::1], float32[::1], int32)"``.
    """

    def __init__(self, function: Callable, signature: str):
        self.name, self.function, self.signature = function.__name__, function, signature
        self._compiled: Any = None
        self.__doc__ = function.__doc__

    @property
    def compiled(self) -> bool:
        """Whether machine code is in memory."""
        return self._compiled is not None

    def compile(self) -> None:
        """Make machine code of it for this GPU."""
        if self._compiled is None:
            with explained(f"compile the kernel {self.name}"):
                self._compiled = cuda.jit(self.signature)(self.function)

    def __call__(self, shape: Shape, *arguments: Any) -> None:
        """Run the kernel on so many blocks and threads; returns before it is done."""
        if _taking.needed is not None:
            _taking.needed[self.name] = self
            return
        self.compile()
        where = shape.blocks, shape.threads, stream()
        with explained(f"run the kernel {self.name}"):
            self._compiled[where](*arguments)
        if _taking.calls is not None:
            _taking.calls.append(relaunching(self._compiled, where, arguments))

    def ptx(self, capability: tuple[int, int]) -> str:
        """What the compiler makes of it for GPUs of this compute capability; needs none."""
        return ptx_of(self.function, self.signature, capability)


@contextlib.contextmanager
def recording() -> Iterator[dict[str, Kernel]]:
    """Within this context kernel calls do nothing but note which kernels they need."""
    outer, _taking.needed = _taking.needed, {}
    try:
        yield _taking.needed
    finally:
        _taking.needed = outer


def is_recording() -> bool:
    """Whether kernel calls do nothing, within :func:`recording`."""
    return _taking.needed is not None


def note_calls(work: Callable[[], None]) -> list[Callable[[], None]]:
    """Do the `work` and return what makes its kernel calls again, with the same arguments."""
    calls: list[Callable[[], None]] = []
    _taking.calls = calls
    try:
        work()
    finally:
        _taking.calls = None
    return calls


def compiling(kernels: list[Kernel]) -> Iterator[tuple[int, int, str]]:
    """Compile `kernels`; a generator of ``(done, total, name)``, before each one and at the end."""
    waiting = [each for each in kernels if not each.compiled]
    for done, each in enumerate(waiting):
        yield done, len(waiting), each.name
        each.compile()
    if waiting:
        yield len(waiting), len(waiting), ""


def kernel(signature: str) -> Callable[[Callable], Kernel]:
    """Decorator: make `function` an entry point with this Numba `signature`."""

    def decorate(function: Callable) -> Kernel:
        made = Kernel(function, signature)
        assert made.name not in KERNELS, f"two GPU kernels are called {made.name}"
        KERNELS[made.name] = made
        return made

    return decorate


def inner(function: Callable) -> Callable:
    """Decorator: a function that kernels call."""
    return function if SIMULATED else cuda.jit(device=True)(function)
