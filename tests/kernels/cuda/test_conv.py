"""Convolutions of the GPU against the textbook."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from kernels import reference
from kernels.cuda import conv, depthwise, sums, tiles
from tests.kernels.cuda.helpers import Output, assert_agree, in_textbook, on_gpu

#: The module: the package gives this name to its function.
matmul = importlib.import_module("kernels.cuda.matmul")

ONE, NONE = (1, 1), (0, 0)
#: Image, weights, stride, padding, dilation, groups.
CASES = {
    "3x3": ((2, 5, 6, 4), (3, 3, 4, 8), ONE, (1, 1), ONE, 1),
    "first layer": ((2, 6, 5, 3), (3, 3, 3, 5), ONE, (1, 1), ONE, 1),
    "stride": ((2, 7, 8, 4), (3, 3, 4, 6), (2, 2), (1, 1), ONE, 1),
    "window that is not square": ((1, 6, 7, 2), (2, 3, 2, 3), (1, 2), (0, 2), ONE, 1),
    "dilation": ((1, 7, 7, 4), (3, 3, 4, 4), ONE, (2, 2), (2, 2), 1),
    "1x1": ((2, 3, 3, 8), (1, 1, 8, 5), ONE, NONE, ONE, 1),
    "groups": ((2, 4, 4, 8), (3, 3, 4, 6), ONE, (1, 1), ONE, 2),
    "groups of three": ((1, 4, 4, 6), (3, 3, 3, 6), (2, 2), (1, 1), ONE, 2),
    "depthwise": ((2, 5, 5, 6), (2, 3, 1, 6), ONE, (1, 1), ONE, 6),
    "depthwise, stride": ((1, 6, 7, 5), (2, 3, 1, 5), (2, 2), (1, 1), ONE, 5),
}


def values(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def output_shape(image, weights, stride, padding, dilation, groups):
    sides = ((image[i + 1] + 2 * padding[i] - dilation[i] * (weights[i] - 1) - 1) // stride[i] + 1 for i in range(2))
    return (image[0], *sides, weights[3])


@pytest.mark.parametrize("name", CASES)
def test_forward_and_both_gradients(name):
    image, weights, *geometry = CASES[name]
    out = output_shape(image, weights, *geometry)
    x, w, b, dy = values(*image), values(*weights), values(weights[3]), values(*out)
    assert_agree("conv2d_forward", conv, reference, x, w, b, Output(*out), *geometry)
    assert_agree("conv2d_backward_data", conv, reference, dy, w, Output(*image), *geometry)
    arguments = x, dy, Output(*weights), Output(weights[3]), *geometry
    assert_agree("conv2d_backward_weights", conv, reference, *arguments)


def test_large_tiles(monkeypatch):
    monkeypatch.setattr(tiles, "fitting", lambda sizes: tiles.LARGE)
    test_forward_and_both_gradients("3x3")


@pytest.mark.parametrize("name", ["3x3", "groups", "depthwise"])
def test_sums_over_pixels_in_splits(monkeypatch, name):
    monkeypatch.setattr(matmul, "SPLIT_DEPTH", 16)
    monkeypatch.setattr(depthwise, "SPLIT_PIXELS", 25)
    monkeypatch.setattr(sums, "SPLIT_ROWS", 8)
    image, weights, *geometry = CASES[name]
    out = output_shape(image, weights, *geometry)
    arguments = values(*image), values(*out), Output(*weights), Output(weights[3]), *geometry
    assert_agree("conv2d_backward_weights", conv, reference, *arguments)


@pytest.mark.parametrize("name", ["3x3", "depthwise"])
def test_activation_and_no_bias(name):
    image, weights, *geometry = CASES[name]
    out = Output(*output_shape(image, weights, *geometry))
    arguments = values(*image), 3 * values(*weights), None, out, *geometry, "auto", "relu6"
    (ours,), (theirs,) = on_gpu(conv.conv2d_forward, *arguments), in_textbook(reference.conv2d_forward, *arguments)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_not_a_number_stays_in_its_windows():
    x, w = values(1, 6, 6, 4), values(3, 3, 4, 5)
    x[0, 0, 0, 1] = np.nan
    (y,) = on_gpu(conv.conv2d_forward, x, w, None, Output(1, 6, 6, 5), ONE, (1, 1), ONE, 1)
    assert np.isnan(y[0, :2, :2]).all()
    assert np.isnan(y).sum() == 4 * 5
