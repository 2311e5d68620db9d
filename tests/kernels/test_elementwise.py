"""The fast sums, products, copies and paddings against the oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels import cpu
from tests.kernels.helpers import FEW, IMAGES, LARGE_IMAGE, SEEDS, blank, check, normal


@st.composite
def broadcast_shapes(draw):
    """Two shapes of equal rank that broadcast."""
    sizes = draw(st.lists(st.sampled_from([1, 2, 3, 5, 8, 10, 24]), min_size=1, max_size=4))
    sides = [draw(st.sampled_from(["both", "left", "right"])) for _ in sizes]
    left = tuple(1 if side == "right" else n for n, side in zip(sizes, sides, strict=True))
    right = tuple(1 if side == "left" else n for n, side in zip(sizes, sides, strict=True))
    return left, right


LARGE_PAIRS = [
    (LARGE_IMAGE, LARGE_IMAGE),
    ((5, 1, 1, 17), LARGE_IMAGE),
    (LARGE_IMAGE, (1, 1, 1, 17)),
    (LARGE_IMAGE, (5, 33, 31, 1)),
    (LARGE_IMAGE, (1, 33, 1, 17)),
    ((1, 33, 1, 17), (5, 1, 31, 1)),
    (LARGE_IMAGE, (1, 1, 1, 1)),
]


def check_both_ways(operation, left, right, seed):
    a, b, shape = normal(seed, *left), normal(seed + 1, *right), np.broadcast_shapes(left, right)
    check(f"{operation}_forward", a, b, blank(*shape), outputs=[2], tolerance=1e-6)
    inputs = [normal(seed + 2, *shape)] if operation == "add" else [a, b, normal(seed + 2, *shape)]
    first = len(inputs)
    gradients = (blank(*left), blank(*right))
    check(f"{operation}_backward", *inputs, *gradients, outputs=[first, first + 1], tolerance=2e-5)


@pytest.mark.parametrize("operation", ["add", "multiply"])
@FEW
@given(shapes=broadcast_shapes(), seed=SEEDS)
def test_broadcast_sums_and_products_agree_both_ways(operation, shapes, seed):
    check_both_ways(operation, *shapes, seed)


@pytest.mark.parametrize("operation", ["add", "multiply"])
@pytest.mark.parametrize(("left", "right"), LARGE_PAIRS)
def test_large_operands_agree_on_any_number_of_threads(operation, left, right):
    check_both_ways(operation, left, right, 7)


@pytest.mark.parametrize("operation", ["add", "multiply"])
def test_a_gradient_that_nobody_wants_is_not_computed(operation):
    a, b = normal(0, 2, 3), normal(1, 2, 1)
    inputs, first = ([a], 1) if operation == "add" else ([a, b, a], 3)
    check(f"{operation}_backward", *inputs, blank(2, 3), None, outputs=[first])
    check(f"{operation}_backward", *inputs, None, blank(2, 1), outputs=[first + 1])


def test_shapes_that_do_not_broadcast_are_refused():
    with pytest.raises(ValueError, match="do not broadcast"):
        cpu.add_forward(normal(0, 2, 3), normal(0, 2, 2), blank(2, 3))
    with pytest.raises(ValueError, match="do not broadcast"):
        cpu.add_forward(normal(0, 2, 3), normal(0, 3), blank(2, 3))
    with pytest.raises(ValueError, match="one size"):
        cpu.add_forward(normal(0, 2, 3), normal(0, 2, 3), blank(2, 2))


def test_not_a_number_reaches_the_sums_it_belongs_to_and_no_others():
    dy, db = normal(0, 6, 11), blank(1, 11)
    dy[2, 9] = np.nan
    cpu.add_backward(dy, None, db)
    np.testing.assert_array_equal(np.isnan(db[0]), np.arange(11) == 9)


@FEW
@given(shape=IMAGES, seed=SEEDS, factor=st.floats(-3, 3, width=32))
def test_accumulating_and_scaling_agree(shape, seed, factor):
    a, b = normal(seed, *shape), normal(seed + 1, *shape)
    check("accumulate", a, b, outputs=[0], tolerance=1e-6)
    check("scale_forward", a, blank(*shape), factor, outputs=[1], tolerance=1e-6)


@pytest.mark.parametrize("shape", [(1,), (3, 5), (2, 7, 11)])
def test_all_elements_get_one_value(shape):
    check("fill", blank(*shape), -1.5, outputs=[0], tolerance=0.0)


@FEW
@given(
    rows=st.sampled_from([1, 5, 2000]),
    widths=st.tuples(st.integers(0, 9), st.integers(1, 40), st.integers(0, 9)),
    other=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    seed=SEEDS,
)
def test_columns_are_copied_and_the_others_left_alone(rows, widths, other, seed):
    before, width, after = widths
    src, dst = normal(seed, rows, before + width + after), normal(seed + 1, rows, other[0] + width + other[1])
    check("copy_columns", src, dst, before, other[0], width, outputs=[1], tolerance=0.0)


@pytest.mark.parametrize("place", [(0, 0, 9), (-1, 0, 3), (6, 0, 3), (0, 2, 3)])
def test_columns_that_do_not_exist_are_refused(place):
    with pytest.raises(ValueError, match="cannot copy"):
        cpu.copy_columns(normal(0, 2, 8), blank(2, 4), *place)


@FEW
@given(shape=IMAGES, margins=st.tuples(*[st.integers(0, 3)] * 4), seed=SEEDS)
def test_padding_and_cropping_agree(shape, margins, seed):
    (n, h, w, c), (top, bottom, left, right) = shape, margins
    x, outer = normal(seed, *shape), (n, top + h + bottom, left + w + right, c)
    (y,) = check("pad2d_forward", x, blank(*outer), top, left, outputs=[1], tolerance=0.0)
    check("pad2d_backward", y, blank(*shape), top, left, outputs=[1], tolerance=0.0)


def test_an_image_that_does_not_lie_in_its_frame_is_refused():
    with pytest.raises(ValueError, match="does not lie inside"):
        cpu.pad2d_forward(normal(0, 1, 3, 3, 2), blank(1, 4, 4, 2), 2, 0)


@pytest.mark.parametrize("activation", ["relu", "relu6"])
@pytest.mark.parametrize(("left", "right"), [((3, 7), (3, 7)), ((3, 7), (1, 7)), (LARGE_IMAGE, LARGE_IMAGE)])
def test_a_sum_may_be_rectified_in_the_same_pass(left, right, activation):
    a, b = 4 * normal(0, *left), 4 * normal(1, *right)
    a[0, 2] = np.nan
    (y,) = check("add_forward", a, b, blank(*left), activation, outputs=[2], tolerance=0.0)
    assert np.isnan(y).any()
    np.testing.assert_array_equal(y, np.clip(a + b, 0, 6 if activation == "relu6" else None))
