"""When the next checkpoint is due."""

from __future__ import annotations

import time

from nnvis.options import interval


class Due:
    """Says after which steps a checkpoint is due."""

    def __init__(self, every: str):
        self._unit, self._length = interval(every)
        self._next = time.monotonic() + self._length

    def __call__(self, step: int) -> bool:
        if self._unit == "steps":
            return step % self._length == 0
        if time.monotonic() < self._next:
            return False
        self._next = time.monotonic() + self._length
        return True
