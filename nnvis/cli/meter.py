"""Running figures of a training run: speed, mean loss and accuracy of the epoch, time left."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from nnvis.events import EpochDone, Event, Started, StepDone

#: Seconds that the speed is averaged over, and between two samples of it.
_WINDOW, _SAMPLE = 5.0, 0.1


class Meter:
    """Follows the events of a run.

    Parameters
    ----------
    clock : callable
        Seconds since whenever; exchanged by tests.

    Attributes
    ----------
    epochs, steps_per_epoch : int
    epoch : int
        The current one, from 1.
    step : int
        Finished steps of this epoch.
    rate : float or None
        Examples per second; None until it can be told.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter):
        self._clock = clock
        self.epochs = self.steps_per_epoch = 1
        self.epoch = 1
        self.step = 0
        self.rate: float | None = None
        self._seconds_per_step: float | None = None
        self._between_epochs = 0.0
        self._samples: deque[tuple[float, int, int]] = deque()
        self._last_step_at: float | None = None
        self._clear_epoch()

    def _clear_epoch(self) -> None:
        self._examples = 0
        self._steps_seen = 0
        self._loss_sum = 0.0
        self._accuracy_sum: float | None = 0.0
        self._samples.clear()

    def handle(self, event: Event) -> None:
        """Take in an event."""
        if isinstance(event, StepDone):
            self._on_step(event)
        elif isinstance(event, EpochDone):
            self._on_epoch(event)
        elif isinstance(event, Started):
            self.epochs, self.steps_per_epoch = event.epochs, max(1, event.steps_per_epoch)
            self.epoch = min(event.epoch + 1, event.epochs)
            self.step = event.step - event.epoch * event.steps_per_epoch

    def _on_step(self, event: StepDone) -> None:
        self.epoch = event.epoch
        self.step = event.step - (event.epoch - 1) * self.steps_per_epoch
        self._examples += event.examples
        self._steps_seen += 1
        self._loss_sum += event.loss * event.examples
        if event.accuracy is None or self._accuracy_sum is None:
            self._accuracy_sum = None
        else:
            self._accuracy_sum += event.accuracy * event.examples
        self._sample_speed()

    def _sample_speed(self) -> None:
        now = self._last_step_at = self._clock()
        samples = self._samples
        if samples and now - samples[-1][0] < _SAMPLE:
            return
        samples.append((now, self._steps_seen, self._examples))
        while len(samples) > 2 and now - samples[0][0] > _WINDOW:
            samples.popleft()
        then, steps, examples = samples[0]
        if self._steps_seen > steps and now > then:
            self.rate = (self._examples - examples) / (now - then)
            self._seconds_per_step = (now - then) / (self._steps_seen - steps)

    def _on_epoch(self, event: EpochDone) -> None:
        if self._last_step_at is not None:
            self._between_epochs = self._clock() - self._last_step_at
        self._clear_epoch()
        self.epoch = min(event.epoch + 1, self.epochs)
        self.step = 0

    # --- figures ------------------------------------------------------------------------------------------

    @property
    def share(self) -> float:
        """How much of the epoch is done, 0 to 1."""
        return min(1.0, self.step / self.steps_per_epoch)

    @property
    def loss(self) -> float | None:
        """Mean over this epoch's examples so far."""
        return self._loss_sum / self._examples if self._examples else None

    @property
    def accuracy(self) -> float | None:
        """Mean over this epoch's examples so far; None where there are no classes."""
        if not self._examples or self._accuracy_sum is None:
            return None
        return self._accuracy_sum / self._examples

    @property
    def epoch_left(self) -> float | None:
        """Seconds until the epoch's last step."""
        if self._seconds_per_step is None:
            return None
        return (self.steps_per_epoch - self.step) * self._seconds_per_step

    @property
    def run_left(self) -> float | None:
        """Seconds until the run's end, with the tests between epochs."""
        if self._seconds_per_step is None or self.epoch_left is None:
            return None
        whole = self.steps_per_epoch * self._seconds_per_step + self._between_epochs
        return self.epoch_left + self._between_epochs + (self.epochs - self.epoch) * whole
