"""Maximum pooling of the GPU against the textbook's, in the simulator."""

from __future__ import annotations

import numpy as np
import pytest

from kernels import reference
from kernels.cuda import max_pooling
from tests.kernels.cuda.helpers import Output, assert_agree, on_gpu
from tests.kernels.helpers import normal

pytestmark = pytest.mark.usefixtures("small_blocks")

TILES = ((2, 2), (2, 2), (0, 0))
OVERLAPPING = ((3, 3), (2, 2), (1, 1))
#: Shape of the image, size of the output, and kernel, stride, padding; the fourth hangs over the lower right corner.
POOLS = [
    ((1, 1, 1, 1), (1, 1), ((1, 1), (1, 1), (0, 0))),
    ((2, 5, 4, 5), (2, 2), TILES),
    ((1, 7, 6, 5), (4, 3), OVERLAPPING),
    ((1, 6, 5, 1), (3, 3), ((3, 2), (2, 2), (0, 0))),
    ((1, 5, 7, 3), (2, 2), ((2, 3), (3, 4), (1, 0))),
    ((1, 3, 2, 33), (2, 2), ((2, 1), (1, 1), (0, 0))),
]


def assert_both_ways_agree(x, size, pool, dtype=np.uint8, rectified=False):
    outer = (x.shape[0], *size, x.shape[3])
    outputs = Output(*outer), Output(*outer, dtype=dtype)
    assert_agree("max_pool2d_forward", max_pooling, reference, x, *outputs, *pool, rectified, tolerance=0.0)
    _, argmax = on_gpu(max_pooling.max_pool2d_forward, x, *outputs, *pool, rectified)
    arguments = (normal(1, *outer), argmax, Output(*x.shape), *pool)
    assert_agree("max_pool2d_backward", max_pooling, reference, *arguments, tolerance=1e-6)


@pytest.mark.parametrize(("shape", "size", "pool"), POOLS)
def test_the_maximum_and_its_winners_agree_both_ways(shape, size, pool):
    assert_both_ways_agree(normal(0, *shape), size, pool)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_of_equal_values_the_first_wins(dtype):
    assert_both_ways_agree(np.round(normal(0, 1, 7, 6, 5)), (4, 3), OVERLAPPING, dtype)


def test_large_windows_have_winners_as_int32():
    assert_both_ways_agree(normal(0, 1, 18, 17, 1), (2, 1), ((17, 17), (1, 1), (0, 0)), np.int32)


@pytest.mark.parametrize(("size", "pool"), [((3, 3), TILES), ((3, 3), OVERLAPPING)])
def test_a_window_that_holds_not_a_number_gives_it(size, pool):
    x = normal(0, 1, 6, 6, 3)
    x[0, 3, 4, 0] = x[0, 5, 5, 2] = x[0, 2, 5, 0] = x[0, 2, 4, 0] = np.nan
    outputs = Output(1, *size, 3), Output(1, *size, 3, dtype=np.uint8)
    found = on_gpu(max_pooling.max_pool2d_forward, x, *outputs, *pool)
    expected = [np.empty((1, *size, 3)) for _ in range(2)]
    reference.max_pool2d_forward(x, *expected, *pool)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])
    assert np.isnan(found[0]).any()


def test_images_of_minus_infinity_have_winners():
    x = np.full((1, 5, 5, 3), -np.inf, np.float32)
    outputs = Output(1, 3, 3, 3), Output(1, 3, 3, 3, dtype=np.uint8)
    y, argmax = on_gpu(max_pooling.max_pool2d_forward, x, *outputs, *OVERLAPPING)
    expected = [np.empty(y.shape) for _ in range(2)]
    reference.max_pool2d_forward(x, *expected, *OVERLAPPING)
    np.testing.assert_array_equal((y, argmax), expected)


def test_rectified_tiles_are_relu_and_then_the_pool():
    x = np.round(2 * normal(0, 1, 5, 6, 5))  # with ties
    x[0, 2:4, 2:4] = -1
    assert_both_ways_agree(x, (2, 3), TILES, rectified=True)


@pytest.mark.parametrize(("shape", "size"), [((1, 4, 5, 3), (1, 1)), ((2, 5, 7, 1), (2, 3)), ((1, 3, 2, 5), (7, 7))])
def test_adaptive_pools_agree_both_ways(shape, size):
    x, outer = normal(0, *shape), (shape[0], *size, shape[3])
    outputs = Output(*outer), Output(*outer, dtype=np.int32)
    assert_agree("adaptive_max_pool2d_forward", max_pooling, reference, x, *outputs, tolerance=0.0)
    _, argmax = on_gpu(max_pooling.adaptive_max_pool2d_forward, x, *outputs)
    arguments = (normal(1, *outer), argmax, Output(*shape))
    assert_agree("adaptive_max_pool2d_backward", max_pooling, reference, *arguments, tolerance=1e-6)


def test_arrays_that_do_not_fit_are_refused():
    x, argmax = normal(0, 1, 4, 4, 3), Output(1, 2, 2, 3, dtype=np.uint8)
    with pytest.raises(ValueError, match="do not fit"):
        on_gpu(max_pooling.max_pool2d_forward, x, Output(1, 2, 2, 2), argmax, *TILES)
    with pytest.raises(ValueError, match="argmax must be"):
        on_gpu(max_pooling.max_pool2d_forward, x, Output(1, 2, 2, 3), argmax, (17, 17), (1, 1), (8, 8))
    with pytest.raises(ValueError, match="2x2 tiles"):
        on_gpu(max_pooling.max_pool2d_forward, x, Output(1, 2, 2, 3), argmax, *OVERLAPPING, True)
    with pytest.raises(ValueError, match="outside the image"):
        winners = np.zeros((1, 5, 5, 3), np.uint8)
        arguments = (normal(0, 1, 5, 5, 3), winners, Output(1, 1, 1, 3), (1, 1), (1, 1), (2, 2))
        on_gpu(max_pooling.max_pool2d_backward, *arguments)
