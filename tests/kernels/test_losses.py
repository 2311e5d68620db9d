"""The fast losses against the oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels import cpu
from tests.kernels.helpers import FEW, SEEDS, blank, check, normal

SIZES = st.tuples(st.sampled_from([1, 2, 7, 64]), st.sampled_from([1, 2, 3, 8, 10, 17, 100]))
LARGE = (257, 211)
SMOOTHING = st.sampled_from([0.0, 0.1, 1.0])


def labels_of(size, seed):
    return np.random.default_rng(seed).integers(0, size[1], size[0])


def check_cross_entropy(size, seed, smoothing, spread):
    logits, labels = spread * normal(seed, *size), labels_of(size, seed)
    arguments = (logits, labels, blank(*size), blank(size[0]), smoothing)
    probs, _ = check("softmax_cross_entropy_forward", *arguments, outputs=[2, 3], tolerance=1e-5, scale=1.0)
    arguments = (probs, labels, blank(*size), smoothing, 0.25)
    check("softmax_cross_entropy_backward", *arguments, outputs=[2], tolerance=1e-5, scale=0.25)


def check_against_targets(name, size, seed, spread):
    x, targets = spread * normal(seed, *size), np.random.default_rng(seed).random(size, np.float32)
    check(f"{name}_forward", x, targets, blank(size[0]), outputs=[2], tolerance=1e-5)
    check(f"{name}_backward", x, targets, blank(*size), 0.25, outputs=[2], tolerance=1e-5)


@FEW
@given(size=SIZES, seed=SEEDS, smoothing=SMOOTHING, spread=st.sampled_from([0.1, 1.0, 30.0]))
def test_the_cross_entropy_agrees_both_ways(size, seed, smoothing, spread):
    check_cross_entropy(size, seed, smoothing, spread)


@pytest.mark.parametrize("name", ["bce_with_logits", "mse"])
@FEW
@given(size=SIZES, seed=SEEDS, spread=st.sampled_from([0.1, 1.0, 30.0]))
def test_losses_against_targets_agree_both_ways(name, size, seed, spread):
    check_against_targets(name, size, seed, spread)


def test_large_batches_agree_on_any_number_of_threads():
    check_cross_entropy(LARGE, 0, 0.1, 3.0)
    check_against_targets("bce_with_logits", LARGE, 1, 3.0)
    check_against_targets("mse", LARGE, 2, 3.0)


def test_targets_may_have_more_axes():
    check_against_targets("mse", (3, 4, 5, 2), 3, 1.0)
    check_against_targets("bce_with_logits", (3, 4, 5, 2), 4, 1.0)


def test_the_loss_stays_exact_where_the_logits_are_large():
    logits = np.array([[1e4, 1e4 - 2, 1e4 - 1], [1000, -1000, 0]], np.float32)
    labels = np.array([1, 0])
    check("softmax_cross_entropy_forward", logits, labels, blank(2, 3), blank(2), 0.0, outputs=[2, 3], tolerance=1e-6)


def test_a_label_of_probability_zero_costs_an_infinite_loss():
    logits = np.array([[0, -np.inf, 1]], np.float32)
    check("softmax_cross_entropy_forward", logits, np.array([1]), blank(1, 3), blank(1), 0.0, outputs=[2, 3])


@pytest.mark.parametrize("name", ["softmax_cross_entropy", "bce_with_logits", "mse"])
def test_not_a_number_shows_in_the_loss_of_its_example_only(name):
    x, losses = normal(0, 5, 11), blank(5)
    x[2, 9] = np.nan
    inputs = (
        (labels_of((5, 11), 0), blank(5, 11), losses, 0.0) if name.startswith("soft") else (normal(1, 5, 11), losses)
    )
    getattr(cpu, f"{name}_forward")(x, *inputs)
    np.testing.assert_array_equal(np.isnan(losses), np.arange(5) == 2)


@pytest.mark.parametrize("label", [-1, 3, 2**40])
def test_labels_that_are_not_classes_are_refused(label):
    logits, labels = normal(0, 2, 3), np.array([0, label])
    with pytest.raises(ValueError, match="between 0 and 2"):
        cpu.softmax_cross_entropy_forward(logits, labels, blank(2, 3), blank(2), 0.0)
    with pytest.raises(ValueError, match="between 0 and 2"):
        cpu.softmax_cross_entropy_backward(logits, labels, blank(2, 3), 0.0, 1.0)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        cpu.mse_forward(normal(0, 2, 3), normal(0, 2, 4), blank(2))
    with pytest.raises(ValueError, match="N numbers"):
        cpu.softmax_cross_entropy_forward(normal(0, 2, 3), np.zeros(3, np.int64), blank(2, 3), blank(2), 0.0)
