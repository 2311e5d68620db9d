"""The fast enlargement of images against the oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels import cpu
from tests.kernels.helpers import FEW, IMAGES, SEEDS, blank, check, normal


def check_both_ways(shape, output_size, *how, seed):
    outer = (shape[0], *output_size, shape[3])
    check("upsample2d_forward", normal(seed, *shape), blank(*outer), *how, outputs=[1], tolerance=1e-6)
    check("upsample2d_backward", normal(seed, *outer), blank(*shape), *how, outputs=[1], tolerance=1e-5)


@FEW
@given(shape=IMAGES, scale=st.tuples(*[st.integers(1, 4)] * 2), bilinear=st.booleans(), seed=SEEDS)
def test_it_agrees_both_ways(shape, scale, bilinear, seed):
    check_both_ways(shape, (shape[1] * scale[0], shape[2] * scale[1]), bilinear, seed=seed)


@FEW
@given(shape=IMAGES, size=st.tuples(*[st.integers(1, 30)] * 2), bilinear=st.booleans(), seed=SEEDS)
def test_it_agrees_for_sizes_that_are_no_multiples(shape, size, bilinear, seed):
    check_both_ways(shape, size, bilinear, seed=seed)


@FEW
@given(shape=IMAGES, size=st.tuples(*[st.integers(1, 30)] * 2), seed=SEEDS)
def test_it_agrees_with_corners_that_keep_their_places(shape, size, seed):
    check_both_ways(shape, size, True, True, seed=seed)


@FEW
@given(
    shape=IMAGES, scale=st.tuples(*[st.sampled_from([0.75, 1.1, 1.5, 2.5, 3.0])] * 2), bilinear=st.booleans(),
    seed=SEEDS,
)  # fmt: skip
def test_it_agrees_for_factors_that_are_not_whole(shape, scale, bilinear, seed):
    size = [max(1, int(n * factor)) for n, factor in zip(shape[1:3], scale, strict=True)]
    check_both_ways(shape, size, bilinear, False, scale, seed=seed)


def test_corners_keep_their_places_where_they_are_told_to():
    x, y = normal(0, 1, 3, 4, 2), blank(1, 7, 10, 2)
    cpu.upsample2d_forward(x, y, True, True)
    np.testing.assert_allclose(y[:, ::3, ::3], x, rtol=1e-6)


@pytest.mark.parametrize("bilinear", [False, True])
def test_large_images_agree_on_any_number_of_threads(bilinear):
    check_both_ways((2, 33, 31, 17), (66, 62), bilinear, seed=0)


def test_a_constant_image_stays_constant():
    y = blank(1, 12, 9, 3)
    cpu.upsample2d_forward(np.full((1, 4, 3, 3), 2.5, np.float32), y, True)
    np.testing.assert_allclose(y, 2.5, rtol=1e-6)


def test_images_of_other_channels_are_refused():
    with pytest.raises(ValueError, match="cannot be enlarged"):
        cpu.upsample2d_forward(blank(1, 2, 2, 3), blank(1, 4, 4, 4), True)
