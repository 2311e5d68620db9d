"""Kernel calls that are noted once and then made again without the Python around them."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from kernels import cpu
from kernels.cpu import bounds, jit
from kernels.cpu.repeat import Repeated

pytestmark = pytest.mark.skipif(bounds.asked_for(), reason="arrays are copied before every call, so nothing is noted")


class Doubling:
    """Work of one kernel call, which counts how often it is asked."""

    def __init__(self, alone: bool = True):
        self.x, self.y, self.asked, self.alone = np.zeros(5, np.float32), np.zeros(5, np.float32), 0, alone

    def __call__(self) -> None:
        self.asked += 1
        if not self.alone:
            jit.not_noted()
        cpu.scale_forward(self.x, self.y, 2.0)

    def check(self, again: Repeated, value: float) -> None:
        self.x[...] = value
        again()
        np.testing.assert_array_equal(self.y, 2 * self.x)


def test_calls_are_made_again_on_what_the_arrays_hold_by_then():
    work = Doubling()
    again = Repeated(work)
    for value in (1, 2, 3):
        work.check(again, value)
    assert work.asked == 1


def test_work_that_is_more_than_kernel_calls_is_done_every_time():
    work = Doubling(alone=False)
    again = Repeated(work)
    for value in (1, 2, 3):
        work.check(again, value)
    assert work.asked == 3


def test_another_thread_notes_calls_with_scratch_of_its_own():
    work = Doubling()
    again = Repeated(work)
    work.check(again, 1)
    thread = threading.Thread(target=work.check, args=(again, 2))
    thread.start()
    thread.join()
    work.check(again, 3)
    assert work.asked == 3


def test_calls_of_other_threads_are_not_noted():
    work, other = Doubling(), Doubling()

    def both() -> None:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        work()

    assert len(jit.note_calls(both)) == 1


def test_while_needed_kernels_are_recorded_nothing_is_computed():
    work = Doubling()
    again = Repeated(work)
    work.check(again, 1)
    work.x[...] = 5
    with jit.recording() as needed:
        again()
    assert "scale_kernel" in needed
    np.testing.assert_array_equal(work.y, 2)


def test_work_that_fails_is_tried_again():
    def fail() -> None:
        raise ValueError("no")

    again = Repeated(fail)
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            again()
    work = Doubling()
    work()
    assert jit._notes.calls is None
