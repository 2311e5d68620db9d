"""Layer and group normalisation of the GPU against the textbook's, in the simulator."""

from __future__ import annotations

import numpy as np
import pytest

from kernels import reference
from kernels.cuda import layer_norm, reduce
from tests.kernels.cuda.helpers import Output, assert_agree, changed_on_gpu, in_textbook, on_gpu
from tests.kernels.helpers import normal


@pytest.fixture(autouse=True)
def small_rows(small_blocks, monkeypatch):
    """Units get 2 to 16 threads here, instead of 32 to 256."""
    monkeypatch.setattr(reduce, "_LANES", 2)


def assert_forms_agree(form, shape, statistics, affine=True, offset=0.0):
    """Both ways; `statistics` is the shape of mean and inv_std."""
    channels = shape[-1]
    x = normal(0, *shape) + np.float32(offset)
    gamma, beta = (normal(1, channels), normal(2, channels)) if affine else (None, None)
    arguments = (x, gamma, beta, Output(*shape), Output(*statistics), Output(*statistics), 1e-2)
    found = on_gpu(getattr(layer_norm, f"{form}_forward"), *arguments)
    for mine, expected in zip(found, in_textbook(getattr(reference, f"{form}_forward"), *arguments), strict=True):
        np.testing.assert_allclose(mine, expected, rtol=0, atol=2e-5 * max(1.0, float(np.abs(expected).max())))
    slopes = (Output(channels), Output(channels)) if affine else (None, None)
    arguments = (x, gamma, *found[1:], normal(3, *shape), Output(*shape), *slopes)
    found = on_gpu(getattr(layer_norm, f"{form}_backward"), *arguments)
    for mine, expected in zip(found, in_textbook(getattr(reference, f"{form}_backward"), *arguments), strict=True):
        np.testing.assert_allclose(mine, expected, rtol=0, atol=2e-5 * max(1.0, float(np.abs(expected).max())))


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (2, 33), (3, 1)])
def test_rows_agree_both_ways(size):
    assert_forms_agree("layer_norm", size, size[:1])


@pytest.mark.parametrize(("shape", "groups"), [((1, 1, 1), 1), ((2, 9, 6), 3), ((1, 35, 5), 1), ((1, 4, 5), 5)])
def test_groups_agree_both_ways(shape, groups):
    assert_forms_agree("group_norm", shape, (shape[0], groups), offset=20.0)


def test_without_factor_and_offset_they_agree_both_ways():
    assert_forms_agree("group_norm", (1, 5, 6), (1, 2), affine=False)


def test_a_mean_far_from_zero_and_an_outlier_do_not_spoil_the_variance():
    x, ones, zeros = normal(0, 3, 60), np.ones(60, np.float32), np.zeros(60, np.float32)
    x[0] += 1e4
    x[1, 0] = 1e3
    arguments = (x, ones, zeros, Output(*x.shape), Output(3), Output(3), 1e-5)
    assert_agree("layer_norm_forward", layer_norm, reference, *arguments, tolerance=1e-4)


def test_not_a_number_stays_in_its_row():
    x = normal(0, 3, 11)
    x[1, 10] = np.nan
    y, _, _ = on_gpu(layer_norm.layer_norm_forward, x, None, None, Output(3, 11), Output(3), Output(3), 1e-5)
    assert np.isnan(y[1]).all()
    assert np.isfinite(y[::2]).all()


def test_the_output_may_be_the_upstream_gradient():
    x, gamma, dy, mean, inv_std = normal(0, 2, 9), normal(1, 9), normal(2, 2, 9), normal(3, 2), normal(4, 2)
    outputs = Output(2, 9), Output(9), Output(9)
    expected = on_gpu(layer_norm.layer_norm_backward, x, gamma, mean, inv_std, dy, *outputs)

    def over_dy(x, gamma, mean, inv_std, dy, dgamma, dbeta):
        layer_norm.layer_norm_backward(x, gamma, mean, inv_std, dy, dy, dgamma, dbeta)

    slopes = np.empty(9, np.float32), np.empty(9, np.float32)
    found = changed_on_gpu(over_dy, x, gamma, mean, inv_std, dy, *slopes)[4:]
    for mine, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mine, wanted)


def test_groups_that_do_not_divide_the_channels_are_refused():
    x = normal(0, 1, 4, 6)
    with pytest.raises(ValueError, match="group normalisation"):
        on_gpu(layer_norm.group_norm_forward, x, None, None, Output(1, 4, 6), Output(1, 4), Output(1, 4), 1e-5)
