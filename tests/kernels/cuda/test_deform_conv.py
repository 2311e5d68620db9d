"""Deformable convolutions of the GPU against the textbook."""

from __future__ import annotations

import numpy as np
import pytest

from kernels import reference
from kernels.cuda import deform_conv
from tests.kernels.cuda.helpers import Output, assert_agree, on_gpu
from tests.kernels.test_deform_conv import PLACES, Case, bent_to

CASES = {
    "version 2": Case(2, (3, 4), 4, 5),
    "version 1": Case(1, (4, 4), 3, 4, masked=False),
    "stride, dilation and padding": Case(1, (7, 6), 4, 3, (2, 3), (2, 1), (0, 2), (1, 2)),
    "groups": Case(1, (3, 3), 4, 3, (2, 2), groups=2),
    "offset groups": Case(1, (3, 3), 4, 3, (2, 2), offset_groups=2),
    "groups that cut each other": Case(1, (2, 3), 2, 2, (2, 1), groups=2, offset_groups=3),
    "a channel for each group": Case(1, (3, 3), 1, 1, (1, 2), groups=6, padding=(0, 0)),
    "image of several tiles": Case(2, (9, 10), 2, 2, (1, 1), stride=(2, 2), padding=(0, 0), spread=6.0),
    "more channels than lanes": Case(1, (2, 2), 36, 2, (1, 1), padding=(0, 0)),
    "more points than a block lists": Case(1, (6, 6), 1, 1, spread=0.5),
}  # fmt: skip


def check_all(case: Case, x, offset, mask, w, dy) -> None:
    b, out, how = np.arange(dy.shape[3], dtype=np.float32), Output(*dy.shape), case.how
    assert_agree("deform_conv2d_forward", deform_conv, reference, x, offset, mask, w, b, out, *how)
    slopes = Output(*x.shape), Output(*offset.shape), None if mask is None else Output(*mask.shape)
    assert_agree("deform_conv2d_backward_data", deform_conv, reference, x, offset, mask, w, dy, *slopes, *how)
    slopes = Output(*w.shape), Output(*b.shape)
    assert_agree("deform_conv2d_backward_weights", deform_conv, reference, x, offset, mask, dy, *slopes, *how)


@pytest.mark.parametrize("name", CASES)
def test_forward_and_all_gradients(small_blocks, name):
    check_all(CASES[name], *CASES[name].inputs(0))


@pytest.mark.parametrize("seed", range(3))
def test_gradients_near_borders_of_cells_and_outside_the_image(small_blocks, seed):
    case = Case(1, (5, 5), 2, 3, (2, 2))
    x, _, mask, w, dy = case.inputs(seed)
    check_all(case, x, bent_to([*PLACES, -1.0, 0.0, 5.0], case, seed).astype(np.float32), mask, w, dy)


@pytest.mark.parametrize("place", [-np.inf, -1e30, -1.0, 4.0, 5.0, 1e30, np.inf, -1e-12])
def test_the_border_of_the_image_is_where_it_should_be(small_blocks, place):
    case = Case(1, (5, 5), 1, 1, (1, 1), stride=(9, 9), padding=(0, 0), masked=False)
    x, offset, mask, w, dy = case.inputs(0)
    offset[...] = 2
    offset[..., 0] = place
    with np.errstate(invalid="ignore"):
        check_all(case, x, offset, mask, w, dy)


def test_a_point_is_never_rounded_across_a_border_between_cells(small_blocks):
    case = Case(1, (4, 4), 1, 1, (1, 1), padding=(0, 0), masked=False)
    x, offset, mask, w, dy = case.inputs(0)
    offset[...] = -1e-9  # 3 - 1e-9 is 3 in float32, where another pair of pixels begins
    check_all(case, x, offset, mask, w, dy)


@pytest.mark.parametrize("pixels", [4, 8])
def test_parts_of_the_columns_give_the_same(small_blocks, monkeypatch, pixels):
    """Parts that begin within an image, and parts of more than one image."""
    case = Case(2, (3, 3), 2, 3, (1, 2), padding=(0, 0))
    monkeypatch.setattr(deform_conv, "COLUMN_FLOATS", pixels * 2 * 2)
    check_all(case, *case.inputs(0))


@pytest.mark.parametrize("wanted", [(True, False, False), (False, True, False), (False, False, True)])
def test_gradients_that_are_not_wanted_are_left_out(small_blocks, wanted):
    case = Case(1, (3, 3), 2, 2, (2, 1))
    x, offset, mask, w, dy = case.inputs(0)
    shapes = x.shape, offset.shape, mask.shape
    slopes = [Output(*shape) if want else None for shape, want in zip(shapes, wanted, strict=True)]
    assert_agree("deform_conv2d_backward_data", deform_conv, reference, x, offset, mask, w, dy, *slopes, *case.how)


def test_the_gradient_of_the_image_has_the_same_bits_in_parts(small_blocks, monkeypatch):
    case = Case(1, (4, 3), 1, 1, (2, 2), padding=(0, 0), spread=0.5)
    x, offset, mask, w, dy = case.inputs(0)
    arguments = x, offset, mask, w, dy, Output(*x.shape), None, None, *case.how
    (whole,) = on_gpu(deform_conv.deform_conv2d_backward_data, *arguments)
    monkeypatch.setattr(deform_conv, "COLUMN_FLOATS", 1)
    (parts,) = on_gpu(deform_conv.deform_conv2d_backward_data, *arguments)
    np.testing.assert_array_equal(whole, parts)


def test_an_offset_that_is_not_a_number_shows(small_blocks):
    case = Case(1, (4, 4), 2, 4, (2, 2))
    x, offset, mask, w, dy = case.inputs(0)
    offset[0, 2, 3, 5] = np.nan
    (y,) = on_gpu(deform_conv.deform_conv2d_forward, x, offset, mask, w, None, Output(*dy.shape), *case.how)
    assert np.isnan(y[0, 2, 3]).all() and np.isnan(y).sum() == 4


def test_arrays_that_do_not_fit_are_refused():
    case = Case(1, (6, 6), 3, 4)
    x, offset, mask, w, dy = case.inputs(0)
    with pytest.raises(ValueError, match="do not fit"):
        deform_conv.deform_conv2d_forward(x, offset[..., 1:].copy(), mask, w, None, dy, *case.how)
