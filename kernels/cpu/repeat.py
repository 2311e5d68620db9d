"""Work that makes the same kernel calls every time, done again without the Python around them.

The arrays of a pass lie where they lay at the last step; only what is in them has changed. To look up shapes, choose
algorithms, find plans and scratch takes Python tens of microseconds a layer, as long as the kernels of a small network
take to run. So the calls are noted the first time, with all their arguments, and later they alone are made.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from kernels.cpu import bounds
from kernels.cpu.jit import is_recording, note_calls


class Repeated:
    """Work that is nothing but kernel calls with arguments that never change.

    Parameters
    ----------
    work : callable
        Arrays may hold other numbers each time, but must be the same arrays. Work that also does something else says so
        (:func:`kernels.cpu.jit.not_noted`), and is then done as it is every time.
    constants : bool
        Whether the weights that are read stay what they are: what depends on them alone is computed once.
    """

    def __init__(self, work: Callable[[], None], constants: bool = False):
        self._work, self._constants = work, constants
        self._calls: list[Callable[[], None]] | None = None
        #: Who noted the calls: scratch belongs to a thread.
        self._thread = 0
        self._fixed = not bounds.asked_for()  # else arrays are copied to new memory before every call

    def __call__(self) -> None:
        if self._calls is not None and self._thread == threading.get_ident() and not is_recording():
            for call in self._calls:
                call()
        elif self._fixed and not is_recording():
            self._calls, self._thread = note_calls(self._work, self._constants), threading.get_ident()
            self._fixed = self._calls is not None
        else:
            self._work()
