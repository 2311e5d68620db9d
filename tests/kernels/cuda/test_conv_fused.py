"""Convolutions of the GPU with the layer before or behind them, against the textbook, in the simulator."""

from __future__ import annotations

import numpy as np
import pytest

from kernels import reference
from kernels.cuda import conv_norm, conv_normalised, conv_pool
from tests.kernels.cuda.helpers import Output, assert_agree, in_textbook, on_gpu
from tests.kernels.cuda.test_conv import CASES, output_shape
from tests.kernels.helpers import normal

pytestmark = pytest.mark.usefixtures("small_blocks")

EPS = 1e-5
FUSED = ["3x3", "first layer", "groups of three", "depthwise"]
BETWEEN = ["none", "relu", "relu6"]


def sizes(name):
    """Shapes of image, weights and output, and the geometry."""
    image, weights, *geometry = CASES[name]
    return image, weights, output_shape(image, weights, *geometry), geometry


def statistics(channels):
    """gamma, beta, mean and variance, such that ReLU6 cuts at both ends."""
    gamma, beta, mean, spread = (normal(seed, channels) for seed in range(5, 9))
    return 3 * gamma, 2 + beta, mean, spread**2 + np.float32(0.5)


@pytest.mark.parametrize("with_bias", [False, True], ids=["without bias", "with bias"])
@pytest.mark.parametrize("name", FUSED)
def test_a_convolution_does_the_normalisation_behind_it(name, with_bias):
    image, weights, out, geometry = sizes(name)
    inputs = normal(0, *image), normal(1, *weights), normal(2, weights[3]) if with_bias else None
    assert_agree(
        "conv2d_norm_forward", conv_norm, reference, *inputs, *statistics(out[3]), Output(*out), *geometry, EPS
    )


def test_and_the_activation_behind_that_cuts_at_both_ends():
    image, weights, out, geometry = sizes("3x3")
    inputs = normal(0, *image), normal(1, *weights), None, *statistics(out[3])
    arguments = *inputs, Output(*out), *geometry, EPS, "auto", "relu6"
    (ours,) = on_gpu(conv_norm.conv2d_norm_forward, *arguments)
    (theirs,) = in_textbook(reference.conv2d_norm_forward, *arguments)
    assert (ours.min(), ours.max()) == (0, 6)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("between", BETWEEN)
@pytest.mark.parametrize("name", ["3x3", "depthwise, stride"])
def test_a_convolution_of_what_is_normalised_agrees_both_ways(name, between):
    image, weights, out, geometry = sizes(name)
    norm = [normal(seed, image[3]) for seed in range(5, 9)]
    x, w, b, dy = normal(0, *image), normal(1, *weights), normal(2, weights[3]), normal(3, *out)
    arguments = x, *norm, w, b, Output(*out), *geometry, between
    assert_agree("conv2d_normalised_forward", conv_normalised, reference, *arguments)
    for db in (Output(weights[3]), None):
        arguments = x, *norm, dy, Output(*weights), db, *geometry, between
        assert_agree("conv2d_normalised_backward_weights", conv_normalised, reference, *arguments)


@pytest.mark.parametrize("rectified", [False, True])
@pytest.mark.parametrize("name", FUSED)
def test_a_convolution_and_the_pool_behind_it_agree_both_ways(name, rectified):
    image, weights, out, geometry = sizes(name)
    pooled = out[0], out[1] // 2, out[2] // 2, out[3]
    x, w, b = normal(0, *image), normal(1, *weights), normal(2, weights[3])
    arguments = x, w, b, Output(*pooled), Output(*pooled, dtype=np.uint8), *geometry, rectified
    assert_agree("conv2d_pool_forward", conv_pool, reference, *arguments)
    _, winners = on_gpu(conv_pool.conv2d_pool_forward, *arguments)
    assert winners.max() == (4 if rectified else 3)
    slopes = x, w, normal(3, *pooled), winners, Output(*weights), Output(weights[3])
    assert_agree("conv2d_pool_backward", conv_pool, reference, *slopes, Output(*image), *geometry)


def test_a_pooled_first_layer_needs_no_gradient_of_its_input():
    image, weights, out, geometry = sizes("first layer")
    pooled = out[0], out[1] // 2, out[2] // 2, out[3]
    winners = np.full(pooled, 3, np.uint8)
    arguments = normal(0, *image), normal(1, *weights), normal(3, *pooled), winners, Output(*weights), None, None
    assert_agree("conv2d_pool_backward", conv_pool, reference, *arguments, *geometry)


@pytest.mark.parametrize("applies", [conv_normalised.conv2d_normalised_applies, conv_pool.conv2d_pool_applies])
def test_networks_are_told_to_do_one_after_the_other(applies):
    assert not applies((64, 32, 32, 16), (3, 3, 16, 16), (1, 1), (1, 1), (1, 1), 1)
