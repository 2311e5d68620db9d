"""Batch normalisation with a shortcut and an activation against the oracle, and against one step after the other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels import cpu
from tests.kernels.helpers import CHANNELS, FEW, SEEDS, blank, check, normal

SAMPLES = st.sampled_from([2, 3, 7, 64, 65, 1000])
ACTIVATIONS = ["none", "relu", "relu6"]
LARGE = [(9001, 6), (4097, 16), (513, 130)]
LARGEST = 1e-5


def inputs(seed, samples, channels, shortcut):
    """x, gamma, beta, and the shortcut or None; spread so widely that ReLU6 cuts at both ends."""
    gamma, beta = 4 * normal(seed + 1, channels), 3 * normal(seed + 2, channels)
    x = normal(seed, samples, channels) + 20 * normal(seed + 3, channels)
    return x, gamma, beta, normal(seed + 4, samples, channels) if shortcut else None


def away_from_kinks(v, dy):
    """`dy`, but 0 where rounding may move `v` over a kink, since there the two sides of a test may differ."""
    near = (np.abs(v) < 1e-3) | (np.abs(v - 6) < 1e-3)
    return np.where(near, np.float32(0), dy)


def forward(samples, channels, seed, shortcut, activation):
    """What the forward kernels give, after comparison: inputs, y, and mean, inv_std, offset."""
    x, gamma, beta, s = inputs(seed, samples, channels, shortcut)
    running = normal(seed + 5, channels), normal(seed + 6, channels) ** 2 + np.float32(0.1)
    outputs = (blank(*x.shape), *(blank(channels) for _ in range(3)))
    name = "batch_norm_activation_forward"
    arguments = (x, gamma, beta, s, *outputs, *running, 0.1, LARGEST, activation)
    y, *kept, _, _ = check(f"{name}_train", *arguments, outputs=[4, 5, 6, 7, 8, 9], scale=10.0)
    check(f"{name}_inference", x, gamma, beta, *running, s, blank(*x.shape), LARGEST, activation, outputs=[6])
    return (x, gamma, beta, s), y, kept


def check_both_ways(samples, channels, seed, shortcut, activation):
    (x, gamma, _, s), y, (mean, inv_std, offset) = forward(samples, channels, seed, shortcut, activation)
    v = (x.astype(np.float64) - mean) * inv_std * gamma + offset + (s if shortcut else 0)
    dy, ds = away_from_kinks(v, normal(seed + 9, *x.shape)), blank(*x.shape) if shortcut else None
    arguments = (x, gamma, mean, inv_std, offset, y, dy, blank(*x.shape), ds, blank(channels), blank(channels))
    outputs, scale = [7, 8, 9, 10] if shortcut else [7, 9, 10], float(np.abs(gamma * inv_std).max())
    check("batch_norm_activation_backward_train", *arguments, activation, outputs=outputs, scale=scale)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shortcut", [False, True])
@FEW
@given(samples=SAMPLES, channels=CHANNELS, seed=SEEDS)
def test_all_forms_agree_both_ways(shortcut, activation, samples, channels, seed):
    check_both_ways(samples, channels, seed, shortcut, activation)


@pytest.mark.parametrize(("samples", "channels"), LARGE)
@pytest.mark.parametrize("shortcut", [False, True])
def test_large_arrays_agree_on_any_number_of_threads(samples, channels, shortcut):
    check_both_ways(samples, channels, 0, shortcut, "relu")


def one_after_the_other(x, gamma, beta, s, dy, activation):
    """Normalisation, addition and activation by kernels of their own, there and back; y, dx, ds, dgamma, dbeta."""
    channels = x.shape[1]
    v, g, dx = blank(*x.shape), dy.copy(), blank(*x.shape)
    mean, inv_std, dgamma, dbeta = (blank(channels) for _ in range(4))
    running = np.zeros(channels, np.float32), np.ones(channels, np.float32)
    cpu.batch_norm_forward_train(x, gamma, beta, v, mean, inv_std, *running, 0.1, LARGEST)
    if s is not None:
        cpu.add_forward(v, s, v)
    if activation != "none":
        getattr(cpu, f"{activation}_forward")(v, v)
        getattr(cpu, f"{activation}_backward")(v, g, g)
    cpu.batch_norm_backward_train(x, gamma, mean, inv_std, g, dx, dgamma, dbeta)
    return v, dx, g, dgamma, dbeta


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shortcut", [False, True])
@pytest.mark.parametrize("channels", [3, 24, 64, 130])
def test_one_pass_has_the_bits_of_one_step_after_the_other(shortcut, activation, channels):
    x, gamma, beta, s = inputs(0, 4001, channels, shortcut)
    dy = normal(9, *x.shape)
    expected = one_after_the_other(x, gamma, beta, s, dy, activation)
    y, dx, ds = blank(*x.shape), blank(*x.shape), blank(*x.shape) if shortcut else None
    mean, inv_std, offset, dgamma, dbeta = (blank(channels) for _ in range(5))
    running = np.zeros(channels, np.float32), np.ones(channels, np.float32)
    kept = mean, inv_std, offset
    cpu.batch_norm_activation_forward_train(x, gamma, beta, s, y, *kept, *running, 0.1, LARGEST, activation)
    cpu.batch_norm_activation_backward_train(x, gamma, *kept, y, dy, dx, ds, dgamma, dbeta, activation)
    for name, found, wanted in zip(
        ("y", "dx", "ds", "dgamma", "dbeta"), (y, dx, ds, dgamma, dbeta), expected, strict=True
    ):
        if found is not None:
            np.testing.assert_array_equal(found, wanted, err_msg=name)


@pytest.mark.parametrize("activation", ["relu", "relu6"])
def test_outputs_may_lie_over_what_is_read_last(activation):
    x, gamma, beta, s = inputs(0, 1001, 10, True)
    dy = normal(9, *x.shape)
    expected = one_after_the_other(x, gamma, beta, s, dy, activation)
    kept, sums = [blank(10) for _ in range(3)], [blank(10) for _ in range(2)]
    running = np.zeros(10, np.float32), np.ones(10, np.float32)
    cpu.batch_norm_activation_forward_train(x, gamma, beta, s, s, *kept, *running, 0.1, LARGEST, activation)
    dx, ds = dy.copy(), blank(*x.shape)
    cpu.batch_norm_activation_backward_train(x, gamma, *kept, s, dx, dx, ds, *sums, activation)
    for found, wanted in zip((s, dx, ds, *sums), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("activation", ["relu", "relu6"])
@pytest.mark.parametrize("shortcut", [False, True])
def test_not_a_number_spoils_its_channel_there_and_back(activation, shortcut):
    x, gamma, beta, s = inputs(0, 70, 10, shortcut)
    x[69, 3] = np.nan
    y, dx, ds = blank(70, 10), np.zeros((70, 10), np.float32), blank(70, 10) if shortcut else None
    kept, sums = [blank(10) for _ in range(3)], [blank(10) for _ in range(2)]
    running = np.zeros(10, np.float32), np.ones(10, np.float32)
    cpu.batch_norm_activation_forward_train(x, gamma, beta, s, y, *kept, *running, 0.1, LARGEST, activation)
    cpu.batch_norm_activation_backward_train(x, gamma, *kept, y, np.ones_like(x), dx, ds, *sums, activation)
    spoiled = np.broadcast_to(np.arange(10) == 3, (70, 10))
    np.testing.assert_array_equal(np.isnan(y), spoiled)
    np.testing.assert_array_equal(np.isnan(dx), spoiled)
