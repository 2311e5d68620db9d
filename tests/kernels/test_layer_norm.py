"""The fast layer and group normalisation against the oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels import cpu
from tests.kernels.helpers import CHANNELS, FEW, SEEDS, blank, check, normal


def check_groups(shape, groups, seed, offset=0.0, affine=True):
    images, _, channels = shape
    x = normal(seed, *shape) + np.float32(offset)
    gamma, beta = (normal(seed + 1, channels), normal(seed + 2, channels)) if affine else (None, None)
    statistics = blank(images, groups), blank(images, groups)
    y, mean, inv_std = check(
        "group_norm_forward", x, gamma, beta, blank(*shape), *statistics, 1e-2, outputs=[3, 4, 5], scale=1.0
    )
    assert np.isfinite(y).all()
    slopes = (blank(channels), blank(channels)) if affine else (None, None)
    arguments = (x, gamma, mean, inv_std, normal(seed + 3, *shape), blank(*shape), *slopes)
    check("group_norm_backward", *arguments, outputs=[5, 6, 7] if affine else [5], scale=1.0)


@FEW
@given(
    images=st.sampled_from([1, 2, 5]), pixels=st.sampled_from([1, 2, 49, 70]), groups=st.sampled_from([1, 2, 3, 8]),
    per_group=st.sampled_from([1, 3, 8, 24]), seed=SEEDS, offset=st.sampled_from([0.0, 20.0]), affine=st.booleans(),
)  # fmt: skip
def test_groups_agree_both_ways(images, pixels, groups, per_group, seed, offset, affine):
    check_groups((images, pixels, groups * per_group), groups, seed, offset, affine)


@pytest.mark.parametrize(("shape", "groups"), [((1, 900, 96), 8), ((3, 900, 96), 1), ((40, 99, 17), 17)])
def test_large_arrays_agree_on_any_number_of_threads(shape, groups):
    check_groups(shape, groups, 0, 3.0)


@FEW
@given(rows=st.sampled_from([1, 7, 700]), channels=CHANNELS, seed=SEEDS)
def test_rows_agree_both_ways(rows, channels, seed):
    x, gamma, beta = normal(seed, rows, channels), normal(seed + 1, channels), normal(seed + 2, channels)
    _, mean, inv_std = check(
        "layer_norm_forward", x, gamma, beta, blank(*x.shape), blank(rows), blank(rows), 1e-2, outputs=[3, 4, 5],
        scale=1.0,
    )  # fmt: skip
    arguments = (x, gamma, mean, inv_std, normal(seed + 3, *x.shape), blank(*x.shape), blank(channels), blank(channels))
    check("layer_norm_backward", *arguments, outputs=[5, 6, 7], scale=1.0)


def test_a_mean_far_from_zero_and_an_outlier_do_not_spoil_the_variance():
    x, ones, zeros = normal(0, 3, 400), np.ones(400, np.float32), np.zeros(400, np.float32)
    x[0] += 1e4
    x[1, 0] = 1e3
    check("layer_norm_forward", x, ones, zeros, blank(*x.shape), blank(3), blank(3), 1e-5, outputs=[3, 4, 5])


def test_not_a_number_stays_in_its_row():
    x, y = normal(0, 3, 11), blank(3, 11)
    x[1, 10] = np.nan
    cpu.layer_norm_forward(x, None, None, y, blank(3), blank(3), 1e-5)
    assert np.isnan(y[1]).all() and np.isfinite(y[::2]).all()


def test_groups_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(ValueError, match="group normalisation"):
        cpu.group_norm_forward(blank(1, 4, 6), None, None, blank(1, 4, 6), blank(1, 4), blank(1, 4), 1e-5)
