"""Sums, products, copies and paddings of the GPU against the textbook's, in the simulator."""

from __future__ import annotations

import numpy as np
import pytest

from kernels import reference
from kernels.cuda import broadcast, elementwise
from tests.kernels.cuda.helpers import Output, assert_agree, changed_on_gpu, on_gpu
from tests.kernels.helpers import normal

pytestmark = pytest.mark.usefixtures("small_blocks")

PAIRS = [
    ((1,), (1,)),
    ((3, 43), (3, 43)),
    ((2, 3, 4, 5), (1, 1, 1, 5)),
    ((2, 1, 1, 5), (2, 3, 4, 5)),
    ((2, 3, 4, 5), (2, 3, 4, 1)),
    ((2, 3, 4, 5), (1, 3, 1, 5)),
    ((1, 3, 1, 5), (2, 1, 4, 1)),
    ((2, 3, 7), (1, 1, 1)),
]


@pytest.mark.parametrize("operation", ["add", "multiply"])
@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_sums_and_products_agree_both_ways(operation, left, right):
    a, b, shape = normal(0, *left), normal(1, *right), np.broadcast_shapes(left, right)
    assert_agree(f"{operation}_forward", elementwise, reference, a, b, Output(*shape), tolerance=1e-6)
    inputs = [normal(2, *shape)] if operation == "add" else [a, b, normal(2, *shape)]
    assert_agree(f"{operation}_backward", elementwise, reference, *inputs, Output(*left), Output(*right))


@pytest.mark.parametrize("size", [(30, 3), (3, 37)])
@pytest.mark.parametrize("kept", [(False, False), (False, True), (True, False)])
def test_many_terms_are_summed_in_parts(size, kept, monkeypatch):
    monkeypatch.setattr(broadcast, "_TERMS", 1)
    monkeypatch.setattr(broadcast, "_SIDE_BY_SIDE", 8)
    monkeypatch.setattr(broadcast, "_BLOCKS", 20)
    shape = [n if keep else 1 for n, keep in zip(size, kept, strict=True)]
    assert_agree("add_backward", elementwise, reference, normal(0, *size), None, Output(*shape))


def test_there_are_parts_where_a_few_outputs_have_many_terms():
    assert broadcast._parts(1, 10**6, 1) > 1
    assert broadcast._parts(64, 10**6, 16) > 1
    assert broadcast._parts(10**6, 64, 16) == 1


def test_a_gradient_that_nobody_wants_is_not_computed():
    a, b = normal(0, 2, 3), normal(1, 2, 1)
    assert_agree("multiply_backward", elementwise, reference, a, b, a, Output(2, 3), None)
    assert_agree("multiply_backward", elementwise, reference, a, b, a, None, Output(2, 1))


def test_shapes_that_do_not_broadcast_are_refused():
    with pytest.raises(ValueError, match="do not broadcast"):
        on_gpu(elementwise.add_forward, normal(0, 2, 3), normal(0, 2, 2), Output(2, 3))
    with pytest.raises(ValueError, match="one size"):
        on_gpu(elementwise.add_forward, normal(0, 2, 3), normal(0, 2, 3), Output(2, 2))


def test_not_a_number_reaches_the_sums_it_belongs_to_and_no_others():
    dy = normal(0, 6, 11)
    dy[2, 9] = np.nan
    (db,) = on_gpu(elementwise.add_backward, dy, None, Output(1, 11))
    np.testing.assert_array_equal(np.isnan(db[0]), np.arange(11) == 9)


@pytest.mark.parametrize("activation", ["relu", "relu6"])
@pytest.mark.parametrize("right", [(3, 7), (1, 7)])
def test_a_sum_may_be_rectified_in_the_same_pass(right, activation):
    a, b = 4 * normal(0, 3, 7), 4 * normal(1, *right)
    a[0, 2] = np.nan
    (y,) = on_gpu(elementwise.add_forward, a, b, Output(3, 7), activation)
    np.testing.assert_array_equal(y, np.clip(a + b, 0, 6 if activation == "relu6" else None))


@pytest.mark.parametrize("shape", [(1,), (2, 3, 37)])
def test_accumulating_and_scaling_agree(shape):
    a, b = normal(0, *shape), normal(1, *shape)
    total, _ = changed_on_gpu(elementwise.accumulate, a, b)
    np.testing.assert_array_equal(total, a + b)
    assert_agree("scale_forward", elementwise, reference, a, Output(*shape), -0.3, tolerance=1e-6)


@pytest.mark.parametrize(
    ("rows", "src", "dst", "place"),
    [(1, 1, 1, (0, 0, 1)), (7, 9, 12, (2, 5, 7)), (9, 12, 16, (4, 8, 8)), (3, 5, 5, (1, 2, 0))],
)
def test_columns_are_copied_and_the_others_left_alone(rows, src, dst, place):
    a, b = normal(0, rows, src), normal(1, rows, dst)
    _, found = changed_on_gpu(elementwise.copy_columns, a, b, *place)
    reference.copy_columns(a, b, *place)
    np.testing.assert_array_equal(found, b)


@pytest.mark.parametrize("place", [(0, 0, 9), (-1, 0, 3), (6, 0, 3), (0, 2, 3)])
def test_columns_that_do_not_exist_are_refused(place):
    with pytest.raises(ValueError, match="cannot copy"):
        on_gpu(elementwise.copy_columns, normal(0, 2, 8), Output(2, 4), *place)


@pytest.mark.parametrize(
    ("shape", "margins"), [((1, 1, 1, 1), (0, 0, 0, 0)), ((2, 3, 4, 3), (1, 2, 3, 0)), ((2, 2, 3, 1), (0, 1, 0, 2))]
)
def test_padding_and_cropping_agree(shape, margins):
    (n, h, w, c), (top, bottom, left, right) = shape, margins
    outer = (n, top + h + bottom, left + w + right, c)
    assert_agree("pad2d_forward", elementwise, reference, normal(0, *shape), Output(*outer), top, left, tolerance=0.0)
    assert_agree("pad2d_backward", elementwise, reference, normal(1, *outer), Output(*shape), top, left, tolerance=0.0)


def test_an_image_that_does_not_lie_in_its_frame_is_refused():
    with pytest.raises(ValueError, match="does not lie inside"):
        on_gpu(elementwise.pad2d_forward, normal(0, 1, 3, 3, 2), Output(1, 4, 4, 2), 2, 0)
