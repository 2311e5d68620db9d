"""The way of batches to the GPU, beside its computing.

A copy from ordinary memory makes the host wait for the GPU. From pinned memory it runs on its own; so a batch is
written into one of two pinned arrays, goes to a waiting room of the GPU on a stream of its own, while kernels still
read the batch before, and from there to its place when those are done. The two take turns.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kernels.cuda import toolkit
from kernels.cuda.toolkit import cuda, explained

_TURNS = 2


class _Turn:
    """Pinned memory, the room on the GPU that it is copied to, and when that room is full and empty again."""

    def __init__(self, count: int, dtype: np.dtype):
        self.count, self.dtype = count, dtype
        self.pinned = cuda.pinned_array(count, dtype)
        self.room = toolkit.empty(count, dtype)
        self.arrived, self.emptied = cuda.event(timing=False), cuda.event(timing=False)

    def fits(self, count: int, dtype: np.dtype) -> bool:
        """Whether it is for arrays of this size and type."""
        return (self.count, self.dtype) == (count, dtype)


class Uploads:
    """Sends batches, two of which may be on their way."""

    def __init__(self) -> None:
        self._turns: list[_Turn | None] = [None] * _TURNS
        self._next = 0
        self._stream: Any = None

    def send(self, target: Any, values: Any) -> None:
        """Give the device array `target` these numbers of the host; kernels that are called from now on see them."""
        with explained("take a batch"):
            turn = self._turn(math.prod(target.shape), np.dtype(target.dtype))
            np.copyto(turn.pinned.reshape(target.shape), values, casting="unsafe")
            self._copy(turn, target)

    def _copy(self, turn: _Turn, target: Any) -> None:
        """From pinned memory to the room, and from there to `target` when all that was asked for before is done."""
        computing = toolkit.stream()
        turn.emptied.wait(self._stream)
        turn.room.copy_to_device(turn.pinned, stream=self._stream)
        turn.arrived.record(self._stream)
        turn.arrived.wait(computing)
        target.reshape(turn.count).copy_to_device(turn.room, stream=computing)
        turn.emptied.record(computing)

    def _turn(self, count: int, dtype: np.dtype) -> _Turn:
        """The turn after the last one, whose pinned memory has been read."""
        if self._stream is None:
            self._stream = cuda.stream()
        self._next = (self._next + 1) % _TURNS
        turn = self._turns[self._next]
        if turn is None or not turn.fits(count, dtype):
            self._turns[self._next] = turn = _Turn(count, dtype)
        else:
            turn.arrived.synchronize()
        return turn
