"""Alternating timing: rivals take turns in one process, so that what slows the machine slows both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

#: Seconds between turns, in which the other side's idle threads stop spinning (those of OpenBLAS take some 0.1 s).
PAUSE = 0.2
#: Fewest calls of a turn: the first after a pause can find cores that have gone to sleep.
LEAST_CALLS = 5


def alternate(rivals: list[Callable[[], object]], rounds: int = 7, turn: float = 0.04) -> list[float]:
    """Median seconds of one call of each rival.

    Parameters
    ----------
    rivals : list of callable
    rounds : int
        Turns of each rival.
    turn : float
        Seconds of one turn, in which a rival is called as often as fits, but some times at least.

    Returns
    -------
    list of float
        Median over turns of the median within a turn.
    """
    repeats = [_repeats(rival, turn) for rival in rivals]
    medians: list[list[float]] = [[] for _ in rivals]
    for _ in range(rounds):
        for rival, count, found in zip(rivals, repeats, medians, strict=True):
            time.sleep(PAUSE)
            rival()
            found.append(statistics.median(_timed(rival) for _ in range(count)))
    return [statistics.median(found) for found in medians]


def median_seconds(work: Callable[[], object], turn: float = 0.3) -> float:
    """Median seconds of a call, of at least three and as many as `turn` seconds hold; the first does not count."""
    work()
    return statistics.median(_timed(work) for _ in range(max(3, int(turn / max(_timed(work), 1e-7)))))


def _repeats(rival: Callable[[], object], turn: float) -> int:
    rival()
    rival()
    return max(LEAST_CALLS, min(200, int(turn / max(_timed(rival), 1e-7))))


def _timed(rival: Callable[[], object]) -> float:
    start = time.perf_counter()
    rival()
    return time.perf_counter() - start
