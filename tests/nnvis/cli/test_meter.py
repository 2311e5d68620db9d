"""Speed, running means and time left, from events with made-up times."""

from __future__ import annotations

import pytest

from nnvis.cli.meter import Meter
from nnvis.events import EpochDone, Started, StepDone


class Clock:
    """A clock that the test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def _run(steps_per_epoch: int = 10, epochs: int = 3, epoch: int = 0, step: int = 0) -> tuple[Meter, Clock]:
    clock = Clock()
    meter = Meter(clock)
    meter.handle(Started(epochs, steps_per_epoch, epoch, step))
    return meter, clock


def _step(meter: Meter, clock: Clock, step: int, loss: float = 1.0, seconds: float = 0.5, examples: int = 64) -> None:
    clock.now += seconds
    epoch = (step - 1) // meter.steps_per_epoch + 1
    meter.handle(StepDone(step, epoch, loss, loss / 2, 0.1, examples))


def test_nothing_is_told_before_it_is_known():
    meter, clock = _run()
    assert (meter.rate, meter.loss, meter.accuracy, meter.epoch_left, meter.run_left) == (None,) * 5
    _step(meter, clock, 1)
    assert meter.rate is None and meter.loss == 1.0


def test_speed_leaves_out_the_time_before_the_first_step():
    meter, clock = _run()
    for step in (1, 2, 3):
        _step(meter, clock, step, seconds=30.0 if step == 1 else 0.5)
    assert meter.rate == pytest.approx(128)


def test_means_weigh_a_smaller_last_batch_less():
    meter, clock = _run()
    _step(meter, clock, 1, loss=1.0, examples=30)
    _step(meter, clock, 2, loss=4.0, examples=10)
    assert meter.loss == pytest.approx(1.75) and meter.accuracy == pytest.approx(0.875)


def test_time_left_counts_the_tests_between_epochs():
    meter, clock = _run(steps_per_epoch=10, epochs=3)
    for step in range(1, 11):
        _step(meter, clock, step)
    assert meter.epoch_left == 0 and meter.run_left == pytest.approx(2 * 5)
    clock.now += 2.0
    meter.handle(EpochDone(1, 10))
    assert (meter.epoch, meter.step, meter.loss) == (2, 0, None)
    assert meter.epoch_left == pytest.approx(5) and meter.run_left == pytest.approx(5 + 2 + 5 + 2)


def test_the_pause_between_epochs_does_not_slow_the_speed():
    meter, clock = _run(steps_per_epoch=3)
    for step in (1, 2, 3):
        _step(meter, clock, step)
    clock.now += 60
    meter.handle(EpochDone(1, 3))
    for step in (4, 5):
        _step(meter, clock, step)
    assert meter.rate == pytest.approx(128)


def test_a_resumed_run_starts_in_the_middle_of_its_epoch():
    meter, clock = _run(steps_per_epoch=10, epochs=3, epoch=1, step=14)
    assert (meter.epoch, meter.step, meter.share) == (2, 4, 0.4)
    _step(meter, clock, 15)
    assert (meter.epoch, meter.step) == (2, 5)


def test_speed_follows_the_last_seconds():
    meter, clock = _run(steps_per_epoch=1000)
    for step in range(1, 101):
        _step(meter, clock, step, seconds=0.5 if step < 80 else 1.0)
    assert meter.rate == pytest.approx(64)


def test_a_run_without_classes_has_no_accuracy():
    meter, _ = _run()
    meter.handle(StepDone(1, 1, 1.0, None, 0.1, 64))
    assert meter.accuracy is None and meter.loss == 1.0
