"""The fast batch normalisation against the oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels import cpu
from tests.kernels.helpers import CHANNELS, FEW, SEEDS, assert_close, blank, check, normal

SAMPLES = st.sampled_from([1, 2, 3, 7, 64, 65, 1000])
LARGE = [(9001, 6), (4097, 16), (513, 130), (33, 4096)]


def inputs(seed, samples, channels, offset=0.0):
    """x, gamma, beta, running mean and running variance."""
    x = normal(seed, samples, channels) + offset * normal(seed + 1, channels)
    gamma, beta, mean, spread = (normal(seed + i, channels) for i in range(2, 6))
    return x, gamma, beta, mean, spread**2 + np.float32(0.1)


def check_training(samples, channels, seed, offset):
    x, gamma, beta, running_mean, running_var = inputs(seed, samples, channels, offset)
    arguments = (
        x,
        gamma,
        beta,
        blank(*x.shape),
        blank(channels),
        blank(channels),
        running_mean,
        running_var,
        0.1,
        1e-5,
    )
    # Two equal samples have a variance of 0: their difference is then rounding error times 1 / sqrt(eps).
    _, mean, inv_std, *_ = check("batch_norm_forward_train", *arguments, outputs=[3, 4, 5, 6, 7])
    outputs = (blank(*x.shape), blank(channels), blank(channels))
    scale = float(np.abs(gamma * inv_std).max())
    arguments = (x, gamma, mean, inv_std, normal(seed + 9, *x.shape), *outputs)
    check("batch_norm_backward_train", *arguments, outputs=[5, 6, 7], scale=scale)


def check_inference(samples, channels, seed, offset):
    x, gamma, beta, mean, var = inputs(seed, samples, channels, offset)
    check("batch_norm_forward_inference", x, gamma, beta, mean, var, blank(*x.shape), 1e-5, outputs=[5])
    outputs = (blank(*x.shape), blank(channels), blank(channels))
    arguments = (x, gamma, mean, var, normal(seed + 9, *x.shape), *outputs, 1e-5)
    check("batch_norm_backward_inference", *arguments, outputs=[5, 6, 7])


@FEW
@given(samples=SAMPLES, channels=CHANNELS, seed=SEEDS, offset=st.sampled_from([0.0, 20.0]))
def test_training_agrees_both_ways(samples, channels, seed, offset):
    check_training(samples, channels, seed, offset)


@FEW
@given(samples=SAMPLES, channels=CHANNELS, seed=SEEDS, offset=st.sampled_from([0.0, 20.0]))
def test_inference_agrees_both_ways(samples, channels, seed, offset):
    check_inference(samples, channels, seed, offset)


@pytest.mark.parametrize(("samples", "channels"), LARGE)
def test_large_arrays_agree_on_any_number_of_threads(samples, channels):
    check_training(samples, channels, 0, 5.0)
    check_inference(samples, channels, 0, 5.0)


def test_a_mean_far_from_zero_does_not_spoil_the_variance():
    x = np.float32(1e4) + normal(0, 5000, 3)
    ones, zeros = np.ones(3, np.float32), np.zeros(3, np.float32)
    arguments = (x, ones, zeros, blank(5000, 3), blank(3), blank(3), zeros, ones, 0.1, 1e-5)
    check("batch_norm_forward_train", *arguments, outputs=[3, 4, 5, 6, 7], tolerance=1e-5)


def test_without_momentum_the_running_statistics_stay():
    x, gamma, beta, mean, var = inputs(0, 50, 6)
    before = mean.copy(), var.copy()
    cpu.batch_norm_forward_train(x, gamma, beta, blank(50, 6), blank(6), blank(6), mean, var, 0.0, 1e-5)
    np.testing.assert_array_equal((mean, var), before)


def test_a_constant_channel_gives_its_offset():
    y, statistics = blank(64, 5), [blank(5) for _ in range(2)]
    gamma, beta, running = np.ones(5, np.float32), normal(0, 5), [np.zeros(5, np.float32) for _ in range(2)]
    cpu.batch_norm_forward_train(np.full((64, 5), 7, np.float32), gamma, beta, y, *statistics, *running, 0.1, 1e-5)
    assert_close(y, np.broadcast_to(beta, (64, 5)), 1e-6)


def test_not_a_number_spoils_its_channel_only():
    x, gamma, beta, mean, var = inputs(0, 70, 10)
    x[69, 3] = np.nan
    y = blank(70, 10)
    cpu.batch_norm_forward_train(x, gamma, beta, y, blank(10), blank(10), mean, var, 0.1, 1e-5)
    np.testing.assert_array_equal(np.isnan(y), np.broadcast_to(np.arange(10) == 3, (70, 10)))
    np.testing.assert_array_equal(np.isnan(var), np.arange(10) == 3)


@FEW
@given(shape=st.sampled_from([(7, 5), (3, 3, 2, 6), (1, 1, 4, 1)]), seed=SEEDS)
def test_folding_agrees_and_gives_one_layer_that_does_the_work_of_two(shape, seed):
    w, channels = normal(seed, *shape), shape[-1]
    b, gamma, beta, mean = (normal(seed + i, channels) for i in range(1, 5))
    var = normal(seed + 5, channels) ** 2
    arguments = (w, b, gamma, beta, mean, var, 1e-5, blank(*shape), blank(channels))
    # The folded bias is a sum of terms up to 10 that may cancel.
    w_folded, b_folded = check("fold_batch_norm", *arguments, outputs=[7, 8], tolerance=1e-6, scale=10.0)
    x = normal(seed + 6, 9, w.size // channels)
    y = blank(9, channels)
    cpu.batch_norm_forward_inference(x @ w.reshape(-1, channels) + b, gamma, beta, mean, var, y, 1e-5)
    assert_close(x @ w_folded.reshape(-1, channels) + b_folded, y)


def test_shapes_that_do_not_fit_are_refused():
    x, gamma, beta, mean, var = inputs(0, 8, 3)
    with pytest.raises(ValueError, match=r"\(M, C\)"):
        cpu.batch_norm_forward_inference(x, gamma[:2], beta, mean, var, blank(8, 3), 1e-5)
