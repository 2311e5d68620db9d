"""Average pooling of the GPU against the textbook's, in the simulator."""

from __future__ import annotations

import pytest

from kernels import reference
from kernels.cuda import avg_pooling
from tests.kernels.cuda.helpers import Output, assert_agree, on_gpu
from tests.kernels.cuda.test_max_pooling import POOLS, TILES
from tests.kernels.helpers import normal

pytestmark = pytest.mark.usefixtures("small_blocks")


@pytest.mark.parametrize(("shape", "size", "pool"), [*POOLS, ((1, 3, 3, 2), (5, 5), ((2, 2), (2, 2), (3, 3)))])
@pytest.mark.parametrize("count_include_pad", [True, False])
def test_the_average_and_its_divisors_agree_both_ways(shape, size, pool, count_include_pad):
    outer = (shape[0], *size, shape[3])
    arguments = (*pool, count_include_pad)
    forward = normal(0, *shape), Output(*outer), *arguments
    assert_agree("avg_pool2d_forward", avg_pooling, reference, *forward, tolerance=1e-6)
    backward = normal(1, *outer), Output(*shape), *arguments
    assert_agree("avg_pool2d_backward", avg_pooling, reference, *backward, tolerance=1e-6)


WHOLE = [((2, 5, 7, 1), (1, 1)), ((1, 2, 3, 33), (1, 1)), ((2, 1, 1, 5), (1, 1))]


@pytest.mark.parametrize(("shape", "size"), [*WHOLE, ((1, 5, 7, 3), (2, 3)), ((1, 3, 2, 5), (7, 7))])
def test_adaptive_pools_agree_both_ways(shape, size):
    outer = (shape[0], *size, shape[3])
    forward, backward = (normal(0, *shape), Output(*outer)), (normal(1, *outer), Output(*shape))
    assert_agree("adaptive_avg_pool2d_forward", avg_pooling, reference, *forward, tolerance=1e-6)
    assert_agree("adaptive_avg_pool2d_backward", avg_pooling, reference, *backward, tolerance=1e-6)


def test_arrays_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="do not fit"):
        on_gpu(avg_pooling.avg_pool2d_forward, normal(0, 1, 4, 4, 3), Output(2, 2, 2, 3), *TILES, True)
