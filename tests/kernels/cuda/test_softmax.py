"""The softmax of the GPU against the textbook's, in the simulator."""

from __future__ import annotations

import numpy as np
import pytest

from kernels import reference
from kernels.cuda import reduce, softmax
from tests.kernels.cuda.helpers import Output, assert_agree, changed_on_gpu, on_gpu
from tests.kernels.helpers import normal


@pytest.fixture(autouse=True)
def small_rows(small_blocks, monkeypatch):
    """Rows get 2 to 16 threads here, instead of 32 to 256."""
    monkeypatch.setattr(reduce, "_LANES", 2)


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (2, 33), (1, 2, 3)])
def test_rows_agree_both_ways(size):
    x = 9 * normal(0, *size)
    assert_agree("softmax_forward", softmax, reference, x, Output(*size))
    (y,) = on_gpu(softmax.softmax_forward, x, Output(*size))
    assert_agree("softmax_backward", softmax, reference, y, normal(1, *size), Output(*size))


@pytest.mark.parametrize(("rows", "branches", "width"), [(1, 1, 1), (7, 2, 5), (2, 3, 33)])
def test_branches_agree_both_ways(rows, branches, width):
    x = 5 * normal(0, rows, branches * width)
    assert_agree("branch_softmax_forward", softmax, reference, x, Output(*x.shape), branches)
    (y,) = on_gpu(softmax.branch_softmax_forward, x, Output(*x.shape), branches)
    assert_agree("branch_softmax_backward", softmax, reference, y, normal(1, *x.shape), Output(*x.shape), branches)


def test_large_numbers_do_not_overflow():
    x = np.array([[1e4, 1e4 - 1, -1e4], [-1e38, 1e38, 0]], np.float32)
    assert_agree("softmax_forward", softmax, reference, x, Output(2, 3))


def test_not_a_number_stays_in_its_row():
    x = normal(0, 3, 6)
    x[1, 5] = np.nan
    (y,) = on_gpu(softmax.softmax_forward, x, Output(3, 6))
    np.testing.assert_array_equal(np.isnan(y), [[False] * 6, [True] * 6, [False] * 6])
    (y,) = on_gpu(softmax.branch_softmax_forward, x, Output(3, 6), 2)
    np.testing.assert_array_equal(np.isnan(y), [[False] * 6, [False, False, True] * 2, [False] * 6])


def test_the_output_may_be_the_input():
    x, dy = normal(0, 2, 18), normal(1, 2, 18)
    (expected,) = on_gpu(softmax.softmax_forward, x, Output(2, 18))
    np.testing.assert_array_equal(changed_on_gpu(lambda a: softmax.softmax_forward(a, a), x), [expected])
    (slopes,) = on_gpu(softmax.softmax_backward, x, dy, Output(2, 18))
    found = changed_on_gpu(lambda y, d: softmax.softmax_backward(y, d, d), x, dy)[1]
    np.testing.assert_array_equal(found, slopes)


def test_nothing_is_done_to_nothing():
    assert on_gpu(softmax.softmax_forward, normal(0, 0, 5), Output(0, 5))[0].size == 0


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        on_gpu(softmax.softmax_forward, normal(0, 2, 6), Output(3, 4))
    with pytest.raises(ValueError, match="branches"):
        on_gpu(softmax.branch_softmax_forward, normal(0, 2, 6), Output(2, 6), 4)
