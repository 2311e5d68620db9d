"""The curves of runs, and what is read from them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ui.session.messages import Curves

#: Points kept of a run; beyond this every other old one is dropped.
MOST_POINTS = 100_000
#: Points of a curve that are drawn: more than that many could not be told apart.
MOST_DRAWN = 3000
#: Points with a symbol of their own.
MOST_MARKED = 40


@dataclass(eq=False)
class Run:
    """The curves of one run, and how they are shown."""

    key: str = ""
    number: int = 0
    label: str = ""
    shown: bool = True
    steps: np.ndarray = field(default_factory=lambda: np.zeros(0))
    loss: np.ndarray = field(default_factory=lambda: np.zeros(0))
    accuracy: np.ndarray = field(default_factory=lambda: np.zeros(0))
    epochs: list[tuple[int, dict]] = field(default_factory=list)
    marks: list[tuple[int, str]] = field(default_factory=list)
    _drawn: dict[str, tuple[float, int, np.ndarray]] = field(default_factory=dict)
    _added: int = 0

    def add(self, curves: Curves) -> None:
        """Append points."""
        for name in ("steps", "loss", "accuracy"):
            setattr(self, name, np.concatenate([getattr(self, name), getattr(curves, name)]))
        self.epochs += [(step, dict(metrics)) for step, metrics in curves.epochs]
        self.marks += curves.marks
        self._added += len(curves.steps)
        if len(self.steps) > MOST_POINTS:
            half = len(self.steps) // 2
            keep = np.r_[0:half:2, half : len(self.steps)]
            self.steps, self.loss, self.accuracy = self.steps[keep], self.loss[keep], self.accuracy[keep]

    def drawn(self, name: str, amount: float) -> np.ndarray:
        """The "loss" or "accuracy" as drawn: smoothed; remembered until points are added."""
        known = self._drawn.get(name)
        if known is None or known[:2] != (amount, self._added):
            known = amount, self._added, smoothed(getattr(self, name), amount)
            self._drawn[name] = known
        return known[2]

    def held_out(self, name: str) -> np.ndarray:
        """Steps and values (E, 2) of "loss" or "accuracy" on held-out data, after each epoch."""
        found = [(step, m[f"val_{name}"]) for step, m in self.epochs if f"val_{name}" in m]
        return np.array(found, float).reshape(-1, 2)

    def at(self, step: float) -> int | None:
        """Place of the batch nearest to a step; None before the run's first and after its last."""
        if not len(self.steps):
            return None
        place = int(np.searchsorted(self.steps, step))
        if place > 0 and (place == len(self.steps) or step - self.steps[place - 1] < self.steps[place] - step):
            place -= 1
        reach = max(1.0, 0.01 * float(self.steps[-1] - self.steps[0]))
        return place if abs(float(self.steps[place]) - step) <= reach else None

    def epoch(self, step: float) -> int:
        """Number of the epoch that a step belongs to, from 1."""
        return 1 + sum(end < step for end, _ in self.epochs)


def smoothed(values: np.ndarray, amount: float) -> np.ndarray:
    """Exponential mean with the given share of the past (0: as it is), corrected for its start.

    Values that are not finite repeat the mean before them.
    """
    finite = np.isfinite(values)
    if amount <= 0 or not finite.any():
        return values
    means = _faded(values[finite], amount)
    start = means[: int(-40 / np.log(amount)) + 1]  # later on, what is missing before the first value is nothing
    start /= 1 - amount ** np.arange(1.0, len(start) + 1)
    return np.concatenate([[np.nan], means])[np.cumsum(finite)]


def _faded(values: np.ndarray, amount: float) -> np.ndarray:
    """Sums ``s[i] = amount * s[i - 1] + (1 - amount) * values[i]``, a block at a time."""
    size = int(max(8, min(512, -138 / np.log(amount))))  # powers stay far from the smallest number there is
    powers = amount ** np.arange(size)
    padded = np.zeros(-(-len(values) // size) * size)
    padded[: len(values)] = values
    blocks = np.cumsum(padded.reshape(-1, size) / powers, axis=1) * powers * (1 - amount)
    carry = 0.0
    for block in blocks:
        block += carry * powers * amount
        carry = block[-1]
    return blocks.reshape(-1)[: len(values)]


def sparse(x: np.ndarray, y: np.ndarray, ends: tuple[float, float] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Of points within `ends` so many that each can be told apart, the last among them."""
    if ends is not None:
        left, right = np.searchsorted(x, ends)
        x, y = x[max(0, left - 1) : right + 1], y[max(0, left - 1) : right + 1]
    stride = -(-len(x) // MOST_MARKED) or 1
    keep = slice((len(x) - 1) % stride if len(x) else 0, None, stride)
    return x[keep], y[keep]


def thinned(x: np.ndarray, y: np.ndarray, ends: tuple[float, float] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """A curve within `ends` by few points: of many neighbours the smallest and the largest, so that peaks stay."""
    if ends is not None:
        left, right = np.searchsorted(x, ends)
        x, y = x[max(0, left - 1) : right + 1], y[max(0, left - 1) : right + 1]
    group = 2 * len(x) // MOST_DRAWN
    if group < 2:
        return x, y
    whole = len(x) // group * group
    parts = y[:whole].reshape(-1, group)
    pairs = np.stack([np.fmin.reduce(parts, axis=1), np.fmax.reduce(parts, axis=1)], axis=1).reshape(-1)
    places = np.stack([x[:whole:group], x[group // 2 : whole : group]], axis=1).reshape(-1)
    return np.concatenate([places, x[whole:]]), np.concatenate([pairs, y[whole:]])
