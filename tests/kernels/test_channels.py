"""The fast channel shuffle against the oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels import cpu, reference
from tests.kernels.helpers import FEW, SEEDS, blank, check, normal

GROUPS = st.sampled_from([1, 2, 3, 5, 8, 16])
PAIRS = st.sampled_from([1, 3, 6, 8, 10, 24, 29, 130])


@FEW
@given(
    pixels=st.sampled_from([1, 2, 9, 500]), groups=GROUPS, per_group=st.sampled_from([1, 2, 3, 8, 10, 29]), seed=SEEDS
)
def test_shuffles_agree_both_ways(pixels, groups, per_group, seed):
    x = normal(seed, pixels, groups * per_group)
    (y,) = check("channel_shuffle_forward", x, blank(*x.shape), groups, outputs=[1], tolerance=0.0)
    (back,) = check("channel_shuffle_backward", y, blank(*x.shape), groups, outputs=[1], tolerance=0.0)
    np.testing.assert_array_equal(back, x)


def test_large_arrays_agree_on_any_number_of_threads():
    check("channel_shuffle_forward", normal(0, 3001, 58), blank(3001, 58), 2, outputs=[1], tolerance=0.0)


def test_the_oracle_interleaves_the_groups():
    y = np.empty((1, 6))
    reference.channel_shuffle_forward(np.arange(6.0)[None], y, 2)
    np.testing.assert_array_equal(y, [[0, 3, 1, 4, 2, 5]])


def test_groups_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(ValueError, match="cannot shuffle"):
        cpu.channel_shuffle_forward(normal(0, 2, 7), blank(2, 7), 2)


@FEW
@given(rows=st.sampled_from([1, 2, 9, 500]), pairs=PAIRS, start=st.integers(0, 9), more=st.integers(0, 9), seed=SEEDS)
def test_channels_in_turn_agree_both_ways(rows, pairs, start, more, seed):
    a, b = normal(seed, rows, start + pairs), normal(seed + 1, rows, start + pairs + more)
    (y,) = check("interleave_forward", a, b, blank(rows, 2 * pairs), start, outputs=[2], tolerance=0.0)
    da, db = check("interleave_backward", y, a, b, start, outputs=[1, 2], tolerance=0.0)
    np.testing.assert_array_equal(da, a)
    np.testing.assert_array_equal(db, b)


def test_many_channels_in_turn_agree_on_any_number_of_threads():
    a, b = normal(0, 3001, 58), normal(1, 3001, 29)
    check("interleave_forward", a, b, blank(3001, 58), 0, outputs=[2], tolerance=0.0)


def test_a_shuffle_of_two_arrays_side_by_side_has_their_channels_in_turn():
    a, b, y, expected = normal(0, 5, 10), normal(1, 5, 10), blank(5, 8), blank(5, 20)
    cpu.channel_shuffle_forward(np.hstack([a, b]), expected, 2)
    cpu.interleave_forward(a, b, y, 3)
    np.testing.assert_array_equal(y, expected[:, 6:14])


@pytest.mark.parametrize(("pairs", "start"), [(8, 0), (4, 4), (4, -1)])
def test_pairs_that_do_not_exist_are_refused(pairs, start):
    with pytest.raises(ValueError, match="do not make pairs"):
        cpu.interleave_forward(normal(0, 2, 7), normal(0, 2, 9), blank(2, 2 * pairs), start)
