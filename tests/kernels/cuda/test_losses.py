"""The losses of the GPU against the textbook's, in the simulator."""

from __future__ import annotations

import numpy as np
import pytest

from kernels import reference
from kernels.cuda import losses, reduce
from tests.kernels.cuda.helpers import Output, assert_agree, changed_on_gpu, in_textbook, on_gpu
from tests.kernels.helpers import normal

pytestmark = pytest.mark.usefixtures("small_blocks", "small_warps")


@pytest.fixture
def small_warps(monkeypatch):
    """Rows get 4 to 16 threads here, instead of 32 to 256."""
    monkeypatch.setattr(reduce, "_LANES", 4)


def labels_of(rows, classes):
    return np.random.default_rng(0).integers(0, classes, rows)


@pytest.mark.parametrize("size", [(1, 1), (2, 10), (2, 37)])
@pytest.mark.parametrize(("smoothing", "spread"), [(0.0, 30.0), (0.1, 1.0), (1.0, 1.0)])
def test_the_cross_entropy_agrees_both_ways(size, smoothing, spread):
    logits, labels = spread * normal(0, *size), labels_of(*size)
    arguments = (logits, labels, Output(*size), Output(size[0]), smoothing)
    assert_agree("softmax_cross_entropy_forward", losses, reference, *arguments, tolerance=1e-5)
    (probs, _) = on_gpu(losses.softmax_cross_entropy_forward, *arguments)
    (found,) = on_gpu(losses.softmax_cross_entropy_backward, probs, labels, Output(*size), smoothing, 0.25)
    (expected,) = in_textbook(reference.softmax_cross_entropy_backward, probs, labels, Output(*size), smoothing, 0.25)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2.5e-6)


@pytest.mark.parametrize("name", ["bce_with_logits", "mse"])
@pytest.mark.parametrize("size", [(1, 1), (2, 10), (2, 3, 5, 1)])
@pytest.mark.parametrize("spread", [0.1, 30.0])
def test_losses_against_targets_agree_both_ways(name, size, spread):
    x, targets = spread * normal(0, *size), np.random.default_rng(1).random(size, np.float32)
    assert_agree(f"{name}_forward", losses, reference, x, targets, Output(size[0]), tolerance=1e-5)
    assert_agree(f"{name}_backward", losses, reference, x, targets, Output(*size), 0.25, tolerance=1e-5)


def test_the_loss_stays_exact_where_the_logits_are_large():
    logits = np.array([[1e4, 1e4 - 2, 1e4 - 1], [1000, -1000, 0]], np.float32)
    arguments = (logits, np.array([1, 0]), Output(2, 3), Output(2), 0.0)
    assert_agree("softmax_cross_entropy_forward", losses, reference, *arguments, tolerance=1e-6)


def test_a_label_of_probability_zero_costs_an_infinite_loss():
    logits = np.array([[0, -np.inf, 1]], np.float32)
    arguments = (logits, np.array([1]), Output(1, 3), Output(1), 0.0)
    probs, loss = on_gpu(losses.softmax_cross_entropy_forward, *arguments)
    assert np.isfinite(probs).all() and probs[0, 1] == 0
    assert loss[0] == np.inf


@pytest.mark.parametrize("name", ["softmax_cross_entropy", "bce_with_logits", "mse"])
@pytest.mark.parametrize("place", [0, 9])
def test_not_a_number_shows_in_the_loss_of_its_example_only(name, place):
    x = normal(0, 3, 11)
    x[1, place] = np.nan
    inputs = (labels_of(3, 11), Output(3, 11), Output(3), 0.0)
    if not name.startswith("soft"):
        inputs = (normal(1, 3, 11), Output(3))
    loss = on_gpu(getattr(losses, f"{name}_forward"), x, *inputs)[-1]
    np.testing.assert_array_equal(np.isnan(loss), np.arange(3) == 1)


@pytest.mark.parametrize("label", [-1, 3, 2**40])
def test_the_loss_of_a_label_that_is_no_class_is_not_a_number(label):
    logits, labels = normal(0, 2, 3), np.array([0, label])
    loss = on_gpu(losses.softmax_cross_entropy_forward, logits, labels, Output(2, 3), Output(2), 0.0)[-1]
    np.testing.assert_array_equal(np.isnan(loss), [False, True])


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        on_gpu(losses.mse_forward, normal(0, 2, 3), normal(0, 2, 4), Output(2))
    with pytest.raises(ValueError, match="N numbers"):
        on_gpu(losses.softmax_cross_entropy_forward, normal(0, 2, 3), np.zeros(3, int), Output(2, 3), Output(2), 0.0)


def test_the_gradient_may_take_the_place_of_the_probabilities():
    probs, labels = np.abs(normal(0, 3, 5)), labels_of(3, 5)

    def in_place(p, labels):
        losses.softmax_cross_entropy_backward(p, labels, p, 0.1, 0.5)

    expected = np.empty((3, 5))
    reference.softmax_cross_entropy_backward(probs, labels, expected, 0.1, 0.5)
    np.testing.assert_allclose(changed_on_gpu(in_place, probs, labels)[0], expected, rtol=0, atol=1e-6)
