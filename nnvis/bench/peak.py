"""The limits of this machine, measured: floating-point operations and bytes a second."""

from __future__ import annotations

import functools
import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

#: Floats of each array that memory is measured with: 64 MiB, more than caches hold.
_FLOATS = 1 << 24


@dataclass(frozen=True)
class Peak:
    """What this machine can do at best.

    Attributes
    ----------
    threads : int
    gflops : float
        Billions of float32 operations a second: multiplications and additions in the widest registers.
    gigabytes : float
        Billions of bytes a second between memory and processor.
    """

    threads: int
    gflops: float
    gigabytes: float

    @property
    def ridge(self) -> float:
        """Operations a byte from which on arithmetic, not memory, is the limit."""
        return self.gflops / self.gigabytes

    def bound(self, intensity: float) -> float:
        """Gflop/s that work with so many operations a byte cannot exceed: the roofline."""
        return min(self.gflops, intensity * self.gigabytes)

    def seconds(self, flops: float, nbytes: float) -> float:
        """Least time for so many operations and bytes."""
        return max(flops / self.gflops, nbytes / self.gigabytes) / 1e9


@functools.cache
def measured_peak(threads: int) -> Peak:
    """Measure on so many threads; takes about a second, once.

    Numba is expected to be set to that number already.
    """
    limits = importlib.import_module("kernels.ladder.limits")
    registers, turns = np.ones((threads, 64), np.float32), 1_000_000
    a, b, c = (np.ones(_FLOATS, np.float32) for _ in range(3))
    compute = _best(lambda: limits.multiply_add_turns(turns, registers), 15)
    memory = _best(lambda: limits.triad(a, b, c, 4 * threads), 5)
    return Peak(threads, threads * turns * limits.FLOPS_A_TURN / compute / 1e9, 3 * a.nbytes / memory / 1e9)


def _best(work: Callable[[], object], turns: int) -> float:
    work()
    return min(_seconds(work) for _ in range(turns))


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
