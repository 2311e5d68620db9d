"""Rates, time left, and the points of curves that wait to be sent."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from ui.session.messages import Curves


class Meter:
    """Examples and steps per second, smoothed; time spent elsewhere is left out by :meth:`pause`."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._seconds = self._examples = self._steps = 0.0

    def pause(self) -> None:
        """The time until the next step does not count."""
        self._last = None

    def add(self, examples: int) -> None:
        """A step has ended."""
        now = time.perf_counter()
        if self._last is not None:
            # Older steps fade, so that the rate follows what the machine does now.
            self._seconds = 0.98 * self._seconds + now - self._last
            self._examples = 0.98 * self._examples + examples
            self._steps = 0.98 * self._steps + 1
        self._last = now

    @property
    def rate(self) -> float:
        """Examples per second."""
        return self._examples / self._seconds if self._seconds else 0.0

    def seconds_left(self, step: int, total: int) -> float:
        """Until step `total`, as far as the steps before tell."""
        return (total - step) * self._seconds / self._steps if self._steps else 0.0


class Points:
    """Points of a run's curves since the last message."""

    def __init__(self, run: str):
        self.run = run
        self.epochs: list[tuple[int, Mapping[str, float]]] = []
        self.marks: list[tuple[int, str]] = []
        self._rows: list[tuple[float, float, float, float]] = []

    def __bool__(self) -> bool:
        return bool(self._rows or self.epochs or self.marks)

    def add(self, step: int, loss: float, accuracy: float | None, lr: float) -> None:
        """A step has ended."""
        self._rows.append((step, loss, float("nan") if accuracy is None else accuracy, lr))

    def take(self) -> Curves:
        """What has gathered, as a message; nothing is left."""
        columns = np.array(self._rows, float).reshape(-1, 4).T
        made = Curves(self.run, *columns, epochs=tuple(self.epochs), marks=tuple(self.marks))
        self._rows, self.epochs, self.marks = [], [], []
        return made
