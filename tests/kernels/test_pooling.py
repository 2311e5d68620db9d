"""The fast pools against the oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kernels import cpu
from tests.kernels.helpers import FEW, IMAGES, LARGE_IMAGE, SEEDS, blank, check, normal

PAIRS = st.tuples(st.integers(1, 4), st.integers(1, 4))


def output_size(size, kernel, stride, padding, ceil_mode):
    """PyTorch's rule: with `ceil_mode` a last window may hang over, if it starts inside the image or its padding."""
    sizes = []
    for n, k, s, p in zip(size, kernel, stride, padding, strict=True):
        count = (n + 2 * p - k + (s - 1 if ceil_mode else 0)) // s + 1
        sizes.append(count - 1 if ceil_mode and (count - 1) * s >= n + p else count)
    return tuple(sizes)


@st.composite
def pools(draw):
    """Image shape, output shape, and (kernel, stride, padding); windows may overlap, leave gaps and hang over."""
    shape, kernel, stride = draw(IMAGES), draw(PAIRS), draw(PAIRS)
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    size = output_size(shape[1:3], kernel, stride, padding, draw(st.booleans()))
    assume(min(size) >= 1)
    return shape, (shape[0], *size, shape[3]), (kernel, stride, padding)


TILES = ((2, 2), (2, 2), (0, 0))
LARGE_POOLS = [
    (LARGE_IMAGE, (5, 16, 15, 17), TILES),
    ((4, 32, 32, 16), (4, 16, 16, 16), TILES),
    (LARGE_IMAGE, (5, 17, 16, 17), ((3, 3), (2, 2), (1, 1))),
    (LARGE_IMAGE, (5, 11, 11, 17), ((3, 3), (3, 3), (0, 0))),
    (LARGE_IMAGE, (5, 5, 5, 17), ((17, 16), (5, 5), (4, 4))),
    ((1, 61, 67, 24), (1, 61, 67, 24), ((3, 3), (1, 1), (1, 1))),
]


def index_type(kernel):
    return np.uint8 if kernel[0] * kernel[1] <= 256 else np.int32


def check_max(shape, outer, pool, seed, levels=None):
    x = normal(seed, *shape)
    if levels:  # few levels make ties
        x = np.round(levels * x)
    outputs = (blank(*outer), blank(*outer, dtype=index_type(pool[0])))
    _, argmax = check("max_pool2d_forward", x, *outputs, *pool, outputs=[1, 2], tolerance=0.0)
    dy = normal(seed + 1, *outer)
    check("max_pool2d_backward", dy, argmax, blank(*shape), *pool, outputs=[2], tolerance=1e-5)


def check_average(shape, outer, pool, seed, count_include_pad):
    arguments = (*pool, count_include_pad)
    check("avg_pool2d_forward", normal(seed, *shape), blank(*outer), *arguments, outputs=[1], tolerance=1e-5)
    check("avg_pool2d_backward", normal(seed, *outer), blank(*shape), *arguments, outputs=[1], tolerance=1e-5)


@FEW
@given(pool=pools(), seed=SEEDS, levels=st.sampled_from([None, 1]))
def test_the_maximum_and_its_winners_agree_both_ways(pool, seed, levels):
    check_max(*pool, seed, levels)


@FEW
@given(pool=pools(), seed=SEEDS, count_include_pad=st.booleans())
def test_the_average_and_its_divisors_agree_both_ways(pool, seed, count_include_pad):
    check_average(*pool, seed, count_include_pad)


@FEW
@given(shape=IMAGES, seed=SEEDS)
def test_tiles_of_two_by_two_agree_both_ways(shape, seed):
    n, h, w, c = shape
    shape, outer = (n, h + 1, w + 1, c), (n, (h + 1) // 2, (w + 1) // 2, c)
    check_max(shape, outer, TILES, seed, 1)
    check_average(shape, outer, TILES, seed, True)


@pytest.mark.parametrize(("shape", "outer", "pool"), LARGE_POOLS)
def test_large_images_agree_on_any_number_of_threads(shape, outer, pool):
    check_max(shape, outer, pool, 0)
    check_average(shape, outer, pool, 0, False)


@st.composite
def adaptive_pools(draw):
    shape = draw(IMAGES)
    size = draw(st.sampled_from([(1, 1), (2, 3), (7, 7), (shape[1], shape[2])]))
    return shape, (shape[0], *size, shape[3])


def check_adaptive(shape, outer, seed):
    x, dy = normal(seed, *shape), normal(seed + 1, *outer)
    check("adaptive_avg_pool2d_forward", x, blank(*outer), outputs=[1], tolerance=1e-5, scale=0.1)
    check("adaptive_avg_pool2d_backward", dy, blank(*shape), outputs=[1], tolerance=1e-5)
    outputs = (blank(*outer), blank(*outer, dtype=np.int32))
    _, argmax = check("adaptive_max_pool2d_forward", x, *outputs, outputs=[1, 2], tolerance=0.0)
    check("adaptive_max_pool2d_backward", dy, argmax, blank(*shape), outputs=[2], tolerance=1e-5)


@FEW
@given(shapes=adaptive_pools(), seed=SEEDS)
def test_adaptive_pools_agree_both_ways(shapes, seed):
    check_adaptive(*shapes, seed)


@pytest.mark.parametrize("size", [(1, 1), (7, 7), (10, 3)])
def test_large_adaptive_pools_agree_on_any_number_of_threads(size):
    check_adaptive(LARGE_IMAGE, (5, *size, 17), 0)


@pytest.mark.parametrize("pool", [TILES, ((3, 3), (2, 2), (1, 1))])
@pytest.mark.parametrize("channels", [1, 6, 16])
def test_a_window_that_holds_not_a_number_gives_it(pool, channels):
    x = normal(0, 2, 12, 12, channels)
    x[0, 3, 4, 0] = x[1, 11, 11, channels - 1] = x[0, 2, 5, 0] = np.nan
    outer = (2, 6, 6, channels)
    y, _ = check("max_pool2d_forward", x, blank(*outer), blank(*outer, dtype=np.uint8), *pool, outputs=[1, 2])
    assert np.isnan(y).any()


def test_images_of_minus_infinity_have_winners():
    x, outer = np.full((1, 5, 5, 3), -np.inf, np.float32), (1, 3, 3, 3)
    arguments = (blank(*outer), blank(*outer, dtype=np.uint8), (3, 3), (2, 2), (1, 1))
    check("max_pool2d_forward", x, *arguments, outputs=[1, 2])


def test_winners_may_be_int32_for_small_windows_too():
    x, outer = normal(0, 2, 9, 8, 6), (2, 4, 4, 6)
    _, argmax = check("max_pool2d_forward", x, blank(*outer), blank(*outer, dtype=np.int32), *TILES, outputs=[1, 2])
    check("max_pool2d_backward", normal(1, *outer), argmax, blank(*x.shape), *TILES, outputs=[2])


def test_arrays_that_do_not_fit_are_refused():
    x, y, argmax = normal(0, 1, 4, 4, 3), blank(1, 2, 2, 3), blank(1, 2, 2, 3, dtype=np.uint8)
    with pytest.raises(ValueError, match="do not fit"):
        cpu.max_pool2d_forward(x, y[..., :2].copy(), argmax, *TILES)
    with pytest.raises(ValueError, match="argmax must be"):
        cpu.max_pool2d_forward(x, y, argmax, (17, 17), (1, 1), (8, 8))
    with pytest.raises(ValueError, match="do not fit"):
        cpu.avg_pool2d_forward(x, blank(2, 2, 2, 3), *TILES, True)
    with pytest.raises(ValueError, match="outside the image"):
        cpu.max_pool2d_backward(
            normal(0, 1, 5, 5, 3), blank(1, 5, 5, 3, dtype=np.uint8), blank(1, 1, 1, 3), (1, 1), (1, 1), (2, 2)
        )


@pytest.mark.parametrize("shape", [LARGE_IMAGE, (2, 6, 7, 1), (2, 5, 4, 6), (1, 8, 8, 130)])
def test_rectified_tiles_are_relu_and_then_the_pool(shape):
    x = np.round(2 * normal(0, *shape))  # with ties
    x[0, 1, 1], x[0, 2:4, 2:4], x[0, :2, 2:4] = np.nan, -np.inf, -1.0
    outer = (shape[0], shape[1] // 2, shape[2] // 2, shape[3])
    y, dy = blank(*outer), normal(1, *outer)
    y, argmax = check("max_pool2d_forward", x, y, blank(*outer, dtype=np.uint8), *TILES, True, outputs=[1, 2])
    (dx,) = check("max_pool2d_backward", dy, argmax, blank(*shape), *TILES, outputs=[2])

    rectified, pooled, apart, winners = blank(*shape), blank(*outer), blank(*shape), blank(*outer, dtype=np.uint8)
    cpu.relu_forward(x, rectified)
    cpu.max_pool2d_forward(rectified, pooled, winners, *TILES)
    cpu.max_pool2d_backward(dy, winners, apart, *TILES)
    cpu.relu_backward(rectified, apart, apart)
    np.testing.assert_array_equal(y, pooled)
    np.testing.assert_array_equal(dx, apart)


def test_only_tiles_can_be_rectified():
    outer = (1, 3, 3, 3)
    with pytest.raises(ValueError, match="2x2 tiles"):
        cpu.max_pool2d_forward(
            normal(0, 1, 5, 5, 3), blank(*outer), blank(*outer, dtype=np.uint8), (3, 3), (2, 2), (1, 1), True
        )
