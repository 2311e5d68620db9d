"""Convolutions with filters of their own for each example, of the GPU against the textbook."""

from __future__ import annotations

import numpy as np
import pytest

from kernels import reference
from kernels.cuda import conv_each, jit, tiles
from tests.kernels.cuda.helpers import Output, assert_agree, on_gpu
from tests.kernels.cuda.test_conv import NONE, ONE, output_shape, values

#: Image, weights of one example, stride, padding, dilation, groups.
CASES = {
    "3x3": ((2, 4, 5, 4), (3, 3, 4, 8), ONE, (1, 1), ONE, 1),
    "images that begin between aligned places": ((3, 3, 3, 3), (1, 2, 3, 5), ONE, NONE, ONE, 1),
    "stride and dilation": ((2, 6, 7, 2), (2, 3, 2, 3), (1, 2), (0, 2), (2, 1), 1),
    "groups": ((2, 3, 3, 8), (2, 2, 4, 6), ONE, (1, 1), ONE, 2),
    "groups of three": ((3, 3, 3, 6), (2, 2, 3, 6), (2, 2), (1, 1), ONE, 2),
    "a group for each channel, two filters each": ((2, 3, 3, 3), (2, 2, 1, 6), ONE, NONE, ONE, 3),
    "1x1, a single pixel": ((4, 1, 1, 8), (1, 1, 8, 5), ONE, NONE, ONE, 1),
    "depthwise": ((2, 4, 5, 6), (2, 3, 1, 6), (2, 1), (1, 1), ONE, 6),
    "depthwise, more channels than lanes": ((3, 2, 3, 33), (1, 2, 1, 33), ONE, NONE, ONE, 33),
}


def check_all(name: str) -> None:
    image, weights, *how = CASES[name]
    out, n = output_shape(image, weights, *how), image[0]
    x, w, b, dy = values(*image), values(n, *weights), values(n, weights[3]), values(*out)
    assert_agree("conv2d_each_forward", conv_each, reference, x, w, b, Output(*out), *how)
    assert_agree("conv2d_each_backward_data", conv_each, reference, dy, w, Output(*image), *how)
    slopes = Output(*w.shape), Output(*b.shape)
    assert_agree("conv2d_each_backward_weights", conv_each, reference, x, dy, *slopes, *how)


@pytest.mark.parametrize("name", CASES)
def test_forward_and_both_gradients(small_blocks, name):
    check_all(name)


def test_large_tiles(small_blocks, monkeypatch):
    monkeypatch.setattr(tiles, "fitting", lambda sizes: tiles.LARGE)
    check_all("groups")


@pytest.mark.parametrize("name", ["3x3", "depthwise"])
def test_without_bias(small_blocks, name):
    image, weights, *how = CASES[name]
    out, w = output_shape(image, weights, *how), values(image[0], *weights)
    assert_agree("conv2d_each_forward", conv_each, reference, values(*image), w, None, Output(*out), *how)
    slopes = Output(*w.shape), None
    assert_agree("conv2d_each_backward_weights", conv_each, reference, values(*image), values(*out), *slopes, *how)


@pytest.mark.parametrize("name", ["groups", "depthwise"])
def test_a_batch_takes_one_launch(small_blocks, monkeypatch, name):
    image, weights, *how = CASES[name]
    out, launched, call = output_shape(image, weights, *how), [], jit.Kernel.__call__
    monkeypatch.setattr(jit.Kernel, "__call__", lambda kernel, *a: (launched.append(kernel.name), call(kernel, *a))[1])
    x, w, b = values(*image), values(image[0], *weights), values(image[0], weights[3])
    on_gpu(conv_each.conv2d_each_forward, x, w, b, Output(*out), *how)
    assert len(launched) == 1


def test_not_a_number_stays_in_its_example(small_blocks):
    image, weights, *how = CASES["images that begin between aligned places"]
    x, w = values(*image), values(image[0], *weights)
    w[1, 0, 0, 0, 2] = np.nan
    (y,) = on_gpu(conv_each.conv2d_each_forward, x, w, None, Output(*output_shape(image, weights, *how)), *how)
    assert np.isnan(y[1, ..., 2]).all()
    assert np.isnan(y).sum() == y[1, ..., 2].size
