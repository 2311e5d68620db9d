"""The limits of the machine, and the roofline that they make."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from kernels.ladder import limits
from nnvis.bench import Row
from nnvis.bench.peak import Peak, measured_peak


def test_the_roof_slopes_with_memory_and_ends_at_arithmetic():
    peak = Peak(threads=1, gflops=200.0, gigabytes=20.0)
    assert peak.ridge == 10.0
    assert [peak.bound(intensity) for intensity in (0.5, 10.0, 100.0)] == [10.0, 200.0, 200.0]


def test_arithmetic_and_memory_are_measured():
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    peak = measured_peak(1)
    numba.set_num_threads(before)
    assert peak.gflops > 1 and peak.gigabytes > 0.1


def test_each_chain_multiplies_and_adds_once_a_turn():
    registers = np.ones((1, 64), np.float32)
    registers[0, 16:32] = np.arange(16) % 2
    limits.multiply_add_turns(10, registers)
    lanes = limits.FLOPS_A_TURN // (2 * limits.CHAINS)
    expected = limits.CHAINS * (1 + 10 * (np.arange(lanes) % 2))
    np.testing.assert_array_equal(registers[0, 32 : 32 + lanes], expected)


def test_the_triad_reads_two_arrays_and_writes_one():
    a, b, c = (np.full(64, value, np.float32) for value in (0, 1, 2))
    limits.triad(a, b, c, 4)
    np.testing.assert_array_equal(a, 7)


def test_the_share_of_the_peak_is_there_where_a_rate_is():
    assert Row("matmul", "", 1, 0.1, {}, gflops=50.0, peak=200.0).share == pytest.approx(0.25)
    assert Row("pool", "", 1, 0.1, {}).share is None
