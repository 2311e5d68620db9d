"""The way of batches to the GPU, beside its computing.

A copy from ordinary memory makes the host wait for the GPU. From pinned memory it runs on its own; so a batch is
written into one of two pinned arrays, goes to a waiting room of the GPU on a stream of its own, while kernels still
read the batch before, and from there to its place when those are done. The two take turns.
"""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np

from kernels.cuda import toolkit
from kernels.cuda.toolkit import cuda, explained

_TURNS = 2


class _Turn:
    """Pinned memory, the room on the GPU that it is copied to, and when that room is full and empty again."""

    def __init__(self, count: int, dtype: np.dtype):
        self.pinned = cuda.pinned_array(count, dtype)
        self.room = toolkit.empty(count, dtype)
        self.arrived, self.emptied = cuda.event(timing=False), cuda.event(timing=False)

    def wait(self) -> None:
        """Let both copies end."""
        self.arrived.synchronize()
        self.emptied.synchronize()


class Uploads:
    """Sends arrays of any size and type; of each type two may be on their way."""

    def __init__(self) -> None:
        self._turns: dict[np.dtype, list[_Turn | None]] = {}
        self._stream: Any = None
        self._lock = threading.Lock()

    def send(self, target: Any, values: Any) -> None:
        """Give the device array `target` these numbers of the host; kernels that are called from now on see them."""
        count = math.prod(target.shape)
        if not count:
            return
        toolkit.require()  # events do not make their thread the GPU's
        with self._lock, explained("take a batch"):
            turn = self._turn(count, np.dtype(target.dtype))
            np.copyto(turn.pinned[:count].reshape(target.shape), values, casting="unsafe")
            self._copy(turn, target, count)

    def _copy(self, turn: _Turn, target: Any, count: int) -> None:
        """From pinned memory to the room, and from there to `target` when all that was asked for before is done."""
        computing, room = toolkit.stream(), turn.room[:count]
        turn.emptied.wait(self._stream)
        room.copy_to_device(turn.pinned[:count], stream=self._stream)
        turn.arrived.record(self._stream)
        turn.arrived.wait(computing)
        target.reshape(count).copy_to_device(room, stream=computing)
        turn.emptied.record(computing)

    def _turn(self, count: int, dtype: np.dtype) -> _Turn:
        """The turn after the last one, large enough, whose pinned memory has been read."""
        if self._stream is None:
            self._stream = cuda.stream()
        turns = self._turns.setdefault(dtype, [None] * _TURNS)
        turn = turns.pop(0)
        if turn is not None and len(turn.pinned) >= count:
            turn.arrived.synchronize()
        else:
            if turn is not None:
                turn.wait()
            turn = _Turn(count, dtype)
        turns.append(turn)
        return turn
