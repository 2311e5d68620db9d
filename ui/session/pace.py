"""Rates, time left, and the points of curves that wait to be sent."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

import numpy as np

from ui.session.messages import Curves

#: Up to the double of this all epochs are sent, up to the triple every other one, and so on.
EPOCHS = 1000


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
        self._begun = False

    def __bool__(self) -> bool:
        """Whether there is something to send; a run is first heard of with its first step."""
        return bool(self._rows or (self._begun and (self.epochs or self.marks)))

    def add(self, step: int, loss: float, accuracy: float | None, lr: float) -> None:
        """A step has ended."""
        self._rows.append((step, loss, float("nan") if accuracy is None else accuracy, lr))

    def add_epoch(self, epoch: int, step: int, metrics: Mapping[str, float]) -> None:
        """An epoch has ended. Of very many, the later ones are sent more and more sparsely."""
        if epoch % max(1, epoch // EPOCHS) == 0:
            self.epochs.append((step, metrics))
            self.marks.append((step, f"epoch {epoch}"))

    def add_history(self, history: Iterable[Mapping[str, float]], steps_per_epoch: int) -> None:
        """Epochs that ended before: of their steps only the mean is known."""
        for number, metrics in enumerate(history, 1):
            step = number * steps_per_epoch
            self.add_epoch(number, step, metrics)
            self.add(step, metrics["loss"], metrics.get("accuracy"), metrics["lr"])

    def take(self) -> Curves:
        """What has gathered, as a message; nothing is left."""
        columns = np.array(self._rows, float).reshape(-1, 4).T
        made = Curves(self.run, *columns, epochs=tuple(self.epochs), marks=tuple(self.marks))
        self._rows, self.epochs, self.marks, self._begun = [], [], [], True
        return made
