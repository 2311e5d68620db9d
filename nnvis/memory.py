"""Where the arrays of a pass live: arrays that are never needed at the same time share memory.

Each array has a lifetime, from the step that writes it to the last step that reads it. Offsets in one arena are
given to the largest arrays first, each at the lowest place that is free during its lifetime.
(Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020, "greedy by size".)
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from nnvis.errors import OutOfMemoryError

#: Arrays start on a cache line.
ALIGNMENT = 64
#: Arrays of whole pages would all begin at the same place of a page, and their pixels share a few places of the caches;
#: so many bytes more keep the next one from that.
_PAGE, _SHIFT = 4096, 5 * ALIGNMENT
#: Arrays above this are compared with the memory that is left.
_LARGE = 64 * 2**20
FOREVER = 1 << 40


@dataclass(eq=False)
class Storage:
    """A stretch of memory and the steps during which it is in use."""

    nbytes: int
    first: int
    last: int
    offset: int = field(default=-1)

    def use(self, step: int) -> None:
        """Note that the content is read or written at `step`."""
        self.first = min(self.first, step)
        self.last = max(self.last, step)


def place(storages: list[Storage]) -> int:
    """Give every storage its offset; return the size in bytes of the arena that holds them all."""
    placed: list[Storage] = []
    total = 0
    for storage in sorted(storages, key=lambda s: -s.nbytes):
        storage.offset = _lowest_gap(storage, placed)
        placed.append(storage)
        total = max(total, storage.offset + storage.nbytes)
    return -(-total // ALIGNMENT) * ALIGNMENT


def _lowest_gap(storage: Storage, placed: list[Storage]) -> int:
    busy = [p for p in placed if p.first <= storage.last and storage.first <= p.last]
    offset = 0
    for other in sorted(busy, key=lambda s: s.offset):
        if other.offset - offset >= storage.nbytes:
            break
        offset = max(offset, other.offset + _rounded(other.nbytes))
    return offset


def _rounded(nbytes: int) -> int:
    """Bytes from the beginning of an array to where the next one may begin."""
    return -(-nbytes // ALIGNMENT) * ALIGNMENT + (0 if nbytes % _PAGE else _SHIFT)


def aligned_bytes(nbytes: int) -> np.ndarray:
    """A zeroed byte array that starts on a cache line.

    Raises
    ------
    OutOfMemoryError
        There is not so much memory; without this, a system that promises more than it has ends the process later.
    """
    if nbytes > _LARGE and nbytes > (free := available_bytes()):
        raise _too_large(nbytes, free)
    try:
        raw = np.zeros(nbytes + ALIGNMENT, np.uint8)
    except (MemoryError, ValueError):
        raise _too_large(nbytes, available_bytes()) from None
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + nbytes]


def available_bytes() -> float:
    """Memory that the system can still give; without bound where it does not say (it does on Linux)."""
    with contextlib.suppress(OSError, ValueError), open("/proc/meminfo", encoding="ascii") as lines:
        for line in lines:
            if line.startswith("MemAvailable:"):
                return 1024.0 * int(line.split()[1])
    return math.inf


def _too_large(nbytes: int, free: float) -> OutOfMemoryError:
    left = f", but {_gigabytes(free)} are free" if free < math.inf else ", which cannot be had"
    return OutOfMemoryError(
        f"The network's arrays need {_gigabytes(nbytes)} of memory{left}; use a smaller batch, smaller images or "
        "fewer channels."
    )


def _gigabytes(nbytes: float) -> str:
    return f"{nbytes / 1e9:,.1f} GB"


class Memory(Protocol):
    """Where a device's arrays lie, and the way there and back. Arrays of the host are NumPy's."""

    def zeros(self, nbytes: int) -> Any:
        """An array of so many zero bytes, which starts on a cache line; OutOfMemoryError if there is no room."""

    def write(self, target: Any, values: Any) -> None:
        """Give `target` these numbers of the host, or this one number everywhere."""

    def upload(self, target: Any, values: np.ndarray) -> None:
        """:meth:`write` for a batch, without waiting for what the device is computing."""

    def copy(self, target: Any, source: Any) -> None:
        """Copy one array of the device to another, without waiting for what the device is computing."""

    def read(self, array: Any) -> np.ndarray:
        """A copy of `array` on the host."""

    def look(self, array: Any) -> np.ndarray:
        """The numbers of `array` for the host to look at: the array itself where that can be done."""


class HostMemory:
    """The memory of the host."""

    zeros = staticmethod(aligned_bytes)

    def write(self, target: np.ndarray, values: Any) -> None:
        np.copyto(target, values, casting="unsafe")

    upload = copy = write

    def read(self, array: np.ndarray) -> np.ndarray:
        return array.copy()

    def look(self, array: np.ndarray) -> np.ndarray:
        return array


class Arena:
    """One block of memory that grows when a plan needs more.

    Parameters
    ----------
    memory : Memory
    """

    def __init__(self, memory: Memory):
        self._memory = memory
        self.block = memory.zeros(0)

    def reserve(self, nbytes: int) -> bool:
        """Make room; True if the block moved, so that older views are void."""
        if nbytes <= self.block.size:
            return False
        self.block = self._memory.zeros(0)  # so that the old one can go before the new one comes
        self.block = self._memory.zeros(nbytes)
        return True

    def view(self, storage: Storage, shape: tuple[int, ...], dtype: np.dtype) -> Any:
        """The array of this `shape` in `storage`."""
        nbytes = math.prod(shape) * dtype.itemsize
        return self.block[storage.offset : storage.offset + nbytes].view(dtype).reshape(shape)
