"""The channel shuffle of the GPU against the textbook's, in the simulator."""

from __future__ import annotations

import numpy as np
import pytest

from kernels import reference
from kernels.cuda import channels
from tests.kernels.cuda.helpers import Output, assert_agree, changed_on_gpu, on_gpu
from tests.kernels.helpers import normal

pytestmark = pytest.mark.usefixtures("small_blocks")


@pytest.mark.parametrize(("pixels", "groups", "per_group"), [(1, 1, 1), (9, 2, 5), (3, 5, 2), (2, 3, 8)])
def test_shuffles_agree_both_ways(pixels, groups, per_group):
    x, output = normal(0, pixels, groups * per_group), Output(pixels, groups * per_group)
    assert_agree("channel_shuffle_forward", channels, reference, x, output, groups, tolerance=0.0)
    assert_agree("channel_shuffle_backward", channels, reference, x, output, groups, tolerance=0.0)


def test_groups_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(ValueError, match="cannot shuffle"):
        on_gpu(channels.channel_shuffle_forward, normal(0, 2, 7), Output(2, 7), 2)


@pytest.mark.parametrize(("rows", "pairs", "start", "more"), [(1, 1, 0, 0), (9, 6, 0, 2), (3, 5, 4, 1)])
def test_channels_in_turn_agree_both_ways(rows, pairs, start, more):
    a, b, y = normal(0, rows, start + pairs), normal(1, rows, start + pairs + more), Output(rows, 2 * pairs)
    assert_agree("interleave_forward", channels, reference, a, b, y, start, tolerance=0.0)
    dy = normal(2, rows, 2 * pairs)
    _, da, db = changed_on_gpu(channels.interleave_backward, dy, a, b, start)
    reference.interleave_backward(dy, a, b, start)
    np.testing.assert_array_equal(da, a)
    np.testing.assert_array_equal(db, b)


@pytest.mark.parametrize(("pairs", "start"), [(8, 0), (4, 4), (4, -1)])
def test_pairs_that_do_not_exist_are_refused(pairs, start):
    with pytest.raises(ValueError, match="do not make pairs"):
        on_gpu(channels.interleave_forward, normal(0, 2, 7), normal(0, 2, 9), Output(2, 2 * pairs), start)
