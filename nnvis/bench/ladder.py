"""Rungs of :mod:`kernels.ladder` in seconds, against what the machine can do at best."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from nnvis.bench.case import random_array
from nnvis.bench.peak import Peak, measured_peak
from nnvis.bench.threads import equal_threads
from nnvis.bench.timer import median_seconds

Arrays = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Ladder:
    """An operation on a problem of one size.

    Attributes
    ----------
    operation : str
        File in :mod:`kernels.ladder`.
    problem : str
        Shapes, for people.
    make : callable
        Returns the arguments of every rung.
    flops : float
        Floating-point operations, as the formula counts them.
    """

    operation: str
    problem: str
    make: Callable[[], Arrays]
    flops: float

    def rungs(self) -> dict[str, Callable[..., None]]:
        """Functions by name, slowest idea first."""
        module = importlib.import_module(f"kernels.ladder.{self.operation}")
        return {name: getattr(module, f"{self.operation}_{name}") for name in module.RUNGS}


def _matmul(n: int) -> Ladder:
    return Ladder(
        "matmul", f"{n}x{n} @ {n}x{n}", lambda: tuple(random_array(n, n) for _ in range(3)), 2.0 * n**3
    )  # fmt: skip


def _conv2d(n: int, size: int, channels: int) -> Ladder:
    image, window = (n, size, size, channels), (3, 3, channels, channels)
    return Ladder(
        "conv2d",
        f"{n}x{size}x{size}x{channels} -> {channels}, 3x3",
        lambda: (random_array(*image), random_array(*window), random_array(*image)),
        2.0 * n * size**2 * 9 * channels**2,
    )


def _softmax(rows: int, columns: int) -> Ladder:
    # Comparison, difference, exponential (as one), sum and division.
    shape = (rows, columns)
    return Ladder(
        "softmax", f"{rows}x{columns}", lambda: (random_array(*shape), random_array(*shape)), 5.0 * rows * columns
    )


def _max_pool2d(n: int, size: int, channels: int) -> Ladder:
    image, pooled = (n, size, size, channels), (n, size // 2, size // 2, channels)
    return Ladder(
        "max_pool2d",
        f"{n}x{size}x{size}x{channels}, 2x2",
        lambda: (random_array(*image), random_array(*pooled), np.zeros(pooled, np.uint8)),
        0.75 * n * size**2 * channels,
    )


#: By the name of the operation. Those that memory limits have more data than caches hold.
LADDERS = {
    each.operation: each
    for each in (_conv2d(8, 32, 64), _matmul(512), _softmax(16384, 1000), _max_pool2d(64, 64, 64))
}  # fmt: skip


@dataclass(frozen=True)
class Rung:
    """How high one rung reaches.

    Attributes
    ----------
    name : str
    change : str
        What is new about it.
    threads : int
    seconds : float
    gflops : float
        Billions of the formula's operations a second.
    intensity : float
        Operations for each byte that has to be read or written at least once.
    bound : float
        Gflop/s that work of this intensity cannot exceed on so many threads of this machine.
    """

    name: str
    change: str
    threads: int
    seconds: float
    gflops: float
    intensity: float
    bound: float

    @property
    def share(self) -> float:
        """Of the bound. Algorithms that multiply less than the formula, as Winograd's, can exceed 1."""
        return self.gflops / self.bound


def climb(ladder: Ladder, threads: int = 1) -> Iterator[Rung]:
    """Time every rung on one thread, and the last one on `threads` too."""
    args = ladder.make()
    rungs = ladder.rungs()
    intensity = ladder.flops / sum(each.nbytes for each in args)

    def timed(name: str, work: Callable[..., None], change: str, count: int) -> Rung:
        with equal_threads(count):
            seconds = median_seconds(partial(work, *args))
            peak: Peak = measured_peak(count)
        rate = ladder.flops / seconds / 1e9
        return Rung(name, change, count, seconds, rate, intensity, peak.bound(intensity))

    for name, work in rungs.items():
        yield timed(name, work, _first_line(work), 1)
    if threads > 1:
        yield timed("threads", work, f"The same on {threads} threads.", threads)


def _first_line(work: Callable[..., None]) -> str:
    return (inspect.getdoc(work) or "").partition("\n")[0]
