"""Enlarging images on the GPU against the textbook's, in the simulator."""

from __future__ import annotations

import numpy as np
import pytest

from kernels import reference
from kernels.cuda import resample
from tests.kernels.cuda.helpers import Output, assert_agree, on_gpu
from tests.kernels.helpers import normal

pytestmark = pytest.mark.usefixtures("small_blocks")

SIZES = [
    ((1, 1, 1, 5), (3, 2)),
    ((2, 3, 2, 1), (6, 4)),
    ((1, 3, 4, 3), (7, 5)),
    ((1, 5, 4, 2), (2, 3)),
    ((1, 2, 2, 1), (1, 1)),
]
FORMS = [(False, False), (True, False), (True, True)]


@pytest.mark.parametrize(("shape", "size"), SIZES)
@pytest.mark.parametrize(("bilinear", "align_corners"), FORMS)
def test_all_forms_agree_both_ways(shape, size, bilinear, align_corners):
    outer = (shape[0], *size, shape[3])
    how = bilinear, align_corners
    assert_agree("upsample2d_forward", resample, reference, normal(0, *shape), Output(*outer), *how, tolerance=1e-6)
    assert_agree("upsample2d_backward", resample, reference, normal(1, *outer), Output(*shape), *how, tolerance=1e-6)


@pytest.mark.parametrize("bilinear", [False, True])
def test_scales_that_are_not_the_ratio_of_the_sizes(bilinear):
    how = bilinear, False, (1.7, 2.3)
    assert_agree("upsample2d_forward", resample, reference, normal(0, 1, 3, 4, 2), Output(1, 5, 9, 2), *how)
    assert_agree("upsample2d_backward", resample, reference, normal(0, 1, 5, 9, 2), Output(1, 3, 4, 2), *how)


def test_infinity_stays_where_it_has_weight():
    x = np.array([1, np.inf, 2], np.float32).reshape(1, 1, 3, 1)
    (y,) = on_gpu(resample.upsample2d_forward, x, Output(1, 1, 3, 1), True)
    np.testing.assert_array_equal(y, x)


def test_other_numbers_of_images_or_channels_are_refused():
    with pytest.raises(ValueError, match="cannot be enlarged"):
        on_gpu(resample.upsample2d_forward, normal(0, 1, 2, 2, 3), Output(1, 4, 4, 2), True)
