"""The fast channel shuffle against the oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels import cpu, reference
from tests.kernels.helpers import FEW, SEEDS, blank, check, normal

GROUPS = st.sampled_from([1, 2, 3, 5, 8, 16])


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
