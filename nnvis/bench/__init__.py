"""Speed beside PyTorch and BLAS: ratios in one process, equal threads, alternating turns, medians."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from nnvis.bench.case import Case
from nnvis.bench.kernel_cases import kernel_cases
from nnvis.bench.net_cases import net_cases
from nnvis.bench.peak import measured_peak
from nnvis.bench.threads import equal_threads
from nnvis.bench.timer import alternate
from nnvis.errors import UnknownNameError

__all__ = ["GROUPS", "Row", "run"]

#: What can be timed.
GROUPS = ("matmul", "conv", "norm", "pool", "train", "inference")


@dataclass(frozen=True)
class Row:
    """One result.

    Attributes
    ----------
    group, name : str
    threads : int
    seconds : float
        Median of one call of ours.
    rivals : dict of str to float
        Median seconds of the others: "BLAS", or PyTorch's "contiguous" and "channels-last".
    gflops : float or None
        Billions of floating-point operations a second, ours.
    peak : float or None
        What the machine can do at best on so many threads, in the same unit.
    """

    group: str
    name: str
    threads: int
    seconds: float
    rivals: dict[str, float]
    gflops: float | None = None
    peak: float | None = None

    @property
    def ratio(self) -> float | None:
        """Time of the fastest rival over ours: above 1, we are faster."""
        return min(self.rivals.values()) / self.seconds if self.rivals else None

    @property
    def share(self) -> float | None:
        """Of the machine's peak. Algorithms that multiply less than the formula does, as Winograd's, can exceed 1."""
        return self.gflops / self.peak if self.gflops and self.peak else None


def run(
    groups: Iterable[str] = GROUPS,
    threads: Iterable[int] = (1, 2),
    rounds: int = 7,
    report: Callable[[Row], None] | None = None,
    only: str = "",
) -> list[Row]:
    """Time the cases of these groups.

    Parameters
    ----------
    groups : iterable of str
        Of :data:`GROUPS`.
    threads : iterable of int
        Thread counts, given to both sides.
    rounds : int
        Turns of each side.
    report : callable, optional
        Called with each row as it is done.
    only : str
        Part of the names of the cases to time; all of a group without it.
    """
    chosen = _choose(groups, only)
    rows = []
    for count in threads:
        with equal_threads(count):
            for group, case in chosen:
                rows.append(_time(group, case, count, rounds))
                if report:
                    report(rows[-1])
    return rows


def _choose(groups: Iterable[str], only: str) -> list[tuple[str, Case]]:
    cases = kernel_cases() | net_cases()
    for group in groups:
        if group not in cases:
            raise UnknownNameError(f"There is no benchmark {group!r}; known are {', '.join(GROUPS)}.")
    chosen = [(group, case) for group in groups for case in cases[group] if only in case.name]
    if not chosen:
        names = "; ".join(case.name for group in groups for case in cases[group])
        raise UnknownNameError(f"No case has {only!r} in its name; known are {names}.")
    return chosen


def _time(group: str, case: Case, threads: int, rounds: int) -> Row:
    ours, rivals = case.make()
    seconds, *others = alternate([ours, *rivals.values()], rounds)
    rate = case.flops / seconds / 1e9 if case.flops else None
    peak = measured_peak(threads).gflops if rate else None
    return Row(group, case.name, threads, seconds, dict(zip(rivals, others, strict=True)), rate, peak)
