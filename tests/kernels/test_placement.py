"""Threads of the pool move off the processor of the thread that waits for them."""

from __future__ import annotations

import os
import sys

import numba
import numpy as np
import pytest
from numba import njit, prange

from kernels.cpu.placement import caller, step_aside

linux_with_two = pytest.mark.skipif(
    sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2, reason="needs Linux and two processors"
)


@njit(parallel=True)
def _processors_after_stepping_aside(seen):
    """For both threads: the processor and whether it is the caller's thread."""
    cpu, thread = caller()
    for job in prange(2):
        step_aside(cpu, thread)
        here, me = caller()
        seen[job, 0], seen[job, 1], seen[job, 2] = here, me == thread, cpu


@linux_with_two
def test_a_pool_thread_never_works_on_its_callers_processor():
    before = numba.get_num_threads()
    numba.set_num_threads(min(2, numba.config.NUMBA_NUM_THREADS))
    if numba.get_num_threads() < 2:
        pytest.skip("Numba was started with one thread")
    try:
        for _ in range(20):
            seen = np.full((2, 3), -1)
            _processors_after_stepping_aside(seen)
            for here, is_caller, callers_cpu in seen:
                assert is_caller or here != callers_cpu
    finally:
        numba.set_num_threads(before)


@linux_with_two
def test_the_caller_keeps_all_its_processors():
    before = os.sched_getaffinity(0)
    _processors_after_stepping_aside(np.zeros((2, 3), np.int64))
    assert os.sched_getaffinity(0) == before
