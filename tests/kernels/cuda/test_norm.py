"""Batch normalisation of the GPU against the textbook's, in the simulator."""

from __future__ import annotations

import numpy as np
import pytest

from kernels import reference
from kernels.cuda import launch, norm, reduce
from tests.kernels.cuda.helpers import Output, assert_agree, changed_on_gpu, in_textbook, on_gpu
from tests.kernels.helpers import normal

pytestmark = pytest.mark.usefixtures("small_blocks")

SIZES = [(1, 5), (7, 1), (300, 1), (70, 5), (17, 33)]
ACTIVATIONS = ["none", "relu", "relu6"]
EPS = 1e-5


def inputs(samples, channels, offset=0.0):
    """x, gamma, beta, running mean and running variance."""
    x = normal(0, samples, channels) + np.float32(offset) * normal(1, channels)
    gamma, beta, mean, spread = (normal(i, channels) for i in range(2, 6))
    return x, gamma, 3 * beta, mean, spread**2 + np.float32(0.1)


def trained(x, gamma, beta, shortcut, mean, var, activation):
    """y, mean, inv_std, offset and the running statistics of the GPU."""
    channels = x.shape[1]
    outputs = np.empty_like(x), *(np.empty(channels, np.float32) for _ in range(3))
    arguments = (x, gamma, beta, shortcut, *outputs, mean, var, 0.1, EPS, activation)
    return changed_on_gpu(norm.batch_norm_activation_forward_train, *arguments)[-6:]


@pytest.mark.parametrize(("size", "offset"), [*((size, 0.0) for size in SIZES), ((40, 5), 20.0)])
def test_training_agrees_both_ways(size, offset):
    x, gamma, beta, *running = inputs(*size, offset)
    channels = size[1]
    ours, theirs = ([each.copy() for each in running] for _ in range(2))
    y, mean, inv_std, _, *ours = trained(x, gamma, beta, None, *ours, "none")
    expected = [np.empty(size)] + [np.empty(channels) for _ in range(2)]
    reference.batch_norm_forward_train(x, gamma, beta, *expected, *theirs, 0.1, EPS)
    for found, wanted in zip((y, mean, inv_std, *ours), (*expected, *theirs), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-5 * np.abs(wanted).max())
    arguments = (x, gamma, mean, inv_std, normal(9, *size), Output(*size), Output(channels), Output(channels))
    found = on_gpu(norm.batch_norm_backward_train, *arguments)
    wanted = in_textbook(reference.batch_norm_backward_train, *arguments)
    largest = max(1.0, float(np.abs(gamma * inv_std).max()))
    for mine, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=2e-5 * max(largest, np.abs(theirs).max()))


@pytest.mark.parametrize("size", SIZES)
def test_inference_agrees_both_ways(size):
    x, gamma, beta, mean, var = inputs(*size)
    assert_agree("batch_norm_forward_inference", norm, reference, x, gamma, beta, mean, var, Output(*size), EPS)
    outputs = Output(*size), Output(size[1]), Output(size[1])
    arguments = (x, gamma, mean, var, normal(9, *size), *outputs, EPS)
    assert_agree("batch_norm_backward_inference", norm, reference, *arguments)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("added", [False, True])
@pytest.mark.parametrize("size", [(21, 5)])
def test_all_forms_agree_both_ways(size, added, activation):
    x, gamma, beta, mean, var = inputs(*size)
    shortcut = 4 * normal(8, *size) if added else None
    inference = (x, gamma, beta, mean, var, shortcut, Output(*size), EPS, activation)
    assert_agree("batch_norm_activation_forward_inference", norm, reference, *inference)
    y, *kept, _, _ = trained(x, gamma, beta, shortcut, mean.copy(), var.copy(), activation)
    outputs = Output(*size), *(Output(size[1]) for _ in range(3))
    arguments = (x, gamma, beta, shortcut, *outputs, mean.copy(), var.copy(), 0.1, EPS, activation)
    for found, wanted in zip(
        (y, *kept), in_textbook(reference.batch_norm_activation_forward_train, *arguments), strict=True
    ):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4)
    v = (x.astype(np.float64) - kept[0]) * kept[1] * gamma + kept[2] + (shortcut if added else 0)
    near = (np.abs(v) < 1e-3) | (np.abs(v - 6) < 1e-3)  # rounding may move these over a kink
    outputs = Output(*size), Output(*size) if added else None, Output(size[1]), Output(size[1])
    backward = (x, gamma, *kept, y, np.where(near, np.float32(0), normal(9, *size)), *outputs, activation)
    assert_agree("batch_norm_activation_backward_train", norm, reference, *backward)


def test_statistics_are_those_of_the_pass_that_normalises():
    x, gamma, beta, mean, var = inputs(33, 5)
    expected = trained(x, gamma, beta, None, mean, var, "relu")[1:]
    outputs = [np.empty(5, np.float32) for _ in range(3)]
    found = changed_on_gpu(norm.batch_norm_statistics, x, gamma, beta, *outputs, mean, var, 0.1, EPS)[3:]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("outlier", [False, True])
def test_a_mean_far_from_zero_does_not_spoil_the_variance(outlier):
    x = np.float32(1e4) + normal(0, 100, 3)
    if outlier:
        x[0] += 500
    ones, zeros = np.ones(3, np.float32), np.zeros(3, np.float32)
    y, mean, inv_std, offset, _, _ = trained(x, ones, zeros, None, zeros.copy(), ones.copy(), "none")
    exact = x.astype(np.float64)
    np.testing.assert_allclose(inv_std, 1 / np.sqrt(exact.var(axis=0) + EPS), rtol=1e-5)
    np.testing.assert_allclose(y, (exact - exact.mean(axis=0)) / np.sqrt(exact.var(axis=0) + EPS), atol=2e-5)
    np.testing.assert_allclose(offset, (mean - exact.mean(axis=0)) * inv_std, rtol=0, atol=2e-6)


def test_without_momentum_the_running_statistics_stay():
    x, gamma, beta, *running = inputs(9, 5)
    outputs = [np.empty_like(x), *(np.empty(5, np.float32) for _ in range(2))]
    found = changed_on_gpu(norm.batch_norm_forward_train, x, gamma, beta, *outputs, *running, 0.0, EPS)
    np.testing.assert_array_equal(found[-2:], running)


def test_a_constant_channel_gives_its_offset():
    x, (gamma, beta) = np.full((33, 5), 7.3, np.float32), (normal(i, 5) for i in range(2))
    y = trained(x, gamma, beta, None, beta.copy(), gamma.copy(), "none")[0]
    np.testing.assert_array_equal(y, np.broadcast_to(beta, y.shape))


@pytest.mark.parametrize(("activation", "added"), [("relu", False), ("relu6", True)])
def test_not_a_number_spoils_its_channel_there_and_back(activation, added):
    size = (20, 5)
    x, gamma, beta, mean, var = inputs(*size)
    x[19, 3] = np.nan
    shortcut = normal(8, *size) if added else None
    y, *kept, mean, var = trained(x, gamma, beta, shortcut, mean, var, activation)
    outputs = Output(*size), Output(*size) if added else None, Output(5), Output(5)
    arguments = (x, gamma, *kept, y, np.ones_like(x), *outputs, activation)
    dx = on_gpu(norm.batch_norm_activation_backward_train, *arguments)[0]
    spoiled = np.arange(5) == 3
    np.testing.assert_array_equal(np.isnan([mean, var]), [spoiled, spoiled])
    np.testing.assert_array_equal(np.isnan([y, dx]), np.broadcast_to(spoiled, (2, *size)))


def test_outputs_may_lie_over_what_is_read_last():
    x, gamma, beta, mean, var = inputs(33, 5)
    s, dy = 4 * normal(8, 33, 5), normal(9, 33, 5)
    y, *kept, _, _ = trained(x, gamma, beta, s, mean, var, "relu6")
    outputs = Output(33, 5), Output(33, 5), Output(5), Output(5)
    arguments = (x, gamma, *kept, y, dy, *outputs, "relu6")
    expected = on_gpu(norm.batch_norm_activation_backward_train, *arguments)

    def over_dy(x, gamma, mean, inv_std, offset, y, dy, ds, dgamma, dbeta, activation):
        norm.batch_norm_activation_backward_train(
            x, gamma, mean, inv_std, offset, y, dy, dy, ds, dgamma, dbeta, activation
        )

    *_, dx, ds, dgamma, dbeta = changed_on_gpu(over_dy, *arguments[:7], *arguments[8:])
    for found, wanted in zip((dx, ds, dgamma, dbeta), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("shape", [(7, 5), (3, 3, 2, 6), (1, 1, 4, 1)])
def test_folding_agrees(shape):
    channels = shape[-1]
    b, gamma, beta, mean, spread = (normal(i, channels) for i in range(1, 6))
    outputs = Output(*shape), Output(channels)
    arguments = (normal(0, *shape), b, gamma, beta, mean, spread**2 + np.float32(0.1), EPS, *outputs)
    assert_agree("fold_batch_norm", norm, reference, *arguments)


def test_shapes_that_do_not_fit_are_refused():
    x, gamma, beta, mean, var = inputs(8, 3)
    with pytest.raises(ValueError, match=r"\(M, C\)"):
        on_gpu(norm.batch_norm_forward_inference, x, gamma[:2], beta, mean, var, Output(8, 3), EPS)
    with pytest.raises(ValueError, match="folding"):
        on_gpu(norm.fold_batch_norm, x, gamma[:2], gamma, beta, mean, var, EPS, Output(8, 3), Output(3))


def test_tables_have_blocks_for_every_row_and_channel(monkeypatch):
    monkeypatch.setattr(launch, "THREADS", 256)
    for rows, channels in [(1, 1), (392, 2048), (1_605_632, 64), (50_000_000, 3), (7, 33)]:
        table = reduce.table_of(rows, channels)
        assert table.parts * table.lanes >= channels > (table.parts - 1) * table.lanes
        assert 1 <= table.splits <= max(1, min(rows, 2048 // table.parts))
