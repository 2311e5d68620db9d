"""Work that makes the same kernel calls every time, done again without the Python around them."""

from __future__ import annotations

import threading
from collections.abc import Callable

from kernels.cuda.jit import is_recording, note_calls
from kernels.cuda.toolkit import explained


class Repeated:
    """Work that is nothing but kernel calls with arguments that never change.

    A network of small layers waits for Python, not for the GPU: the calls are noted the first time, and later they
    alone are made.

    Parameters
    ----------
    work : callable
        Arrays may hold other numbers each time, but must be the same arrays.
    constants : bool
        What the CPU's kernels make use of; here it changes nothing.
    """

    def __init__(self, work: Callable[[], None], constants: bool = False):
        self._work = work
        self._calls: list[Callable[[], None]] | None = None
        #: Who noted the calls: scratch belongs to a thread.
        self._thread = 0

    def __call__(self) -> None:
        if is_recording():
            self._work()
        elif self._calls is not None and self._thread == threading.get_ident():
            with explained("run a kernel"):
                for call in self._calls:
                    call()
        else:
            self._calls, self._thread = note_calls(self._work), threading.get_ident()
