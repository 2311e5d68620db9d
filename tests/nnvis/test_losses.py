"""Losses: values, gradients, what is accepted as targets."""

from __future__ import annotations

import numpy as np
import pytest

import nnvis as nv
from nnvis.device import get_device
from nnvis.errors import ConfigError, DataError, NnvisError, ShapeError
from nnvis.losses import BCEWithLogits, CrossEntropy, loss, loss_from_config, probabilities

RANDOM = np.random.default_rng(0)
CASES = [
    (CrossEntropy(), (6, 4), RANDOM.integers(4, size=6)),
    (CrossEntropy(0.1), (6, 4), RANDOM.integers(4, size=6)),
    (BCEWithLogits(), (6, 3), RANDOM.integers(2, size=(6, 3))),
    (BCEWithLogits(), (6, 1), RANDOM.integers(2, size=6)),
    (nv.MSE(), (6, 3), RANDOM.normal(size=(6, 3))),
    (nv.MSE(), (6, 1), RANDOM.normal(size=6)),
    (nv.MSE(), (2, 3, 3, 2), RANDOM.normal(size=(2, 3, 3, 2))),
]


@pytest.mark.parametrize(("chosen", "shape", "targets"), CASES)
def test_the_gradient_is_that_of_the_mean_loss(chosen, shape, targets):
    output = np.random.default_rng(1).normal(size=shape)
    bound = chosen.bind(get_device("reference"), output, np.full(shape, np.nan))
    middle = bound(targets)
    assert middle == pytest.approx(bound.losses.mean())
    gradient = bound.gradient.copy()
    for at in np.ndindex(shape):
        old = output[at]
        output[at] = old + 1e-6
        high = bound(targets)
        output[at] = old - 1e-6
        low = bound(targets)
        output[at] = old
        assert (high - low) / 2e-6 == pytest.approx(gradient[at], abs=1e-8)


@pytest.mark.parametrize(("chosen", "shape", "targets"), CASES)
def test_value_and_gradient_equal_those_of_pytorch(chosen, shape, targets):
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    output = np.random.default_rng(2).normal(size=shape)
    bound = chosen.bind(get_device("reference"), output, np.empty(shape))
    value = bound(targets)
    theirs, wanted = torch.tensor(output, requires_grad=True), torch.tensor(np.asarray(targets))
    if chosen.name == "cross_entropy":
        expected = functional.cross_entropy(theirs, wanted, label_smoothing=chosen.label_smoothing)
    else:
        function = functional.mse_loss if chosen.name == "mse" else functional.binary_cross_entropy_with_logits
        expected = function(theirs, wanted.double().reshape(shape))
    expected.backward()
    assert value == pytest.approx(expected.item(), rel=1e-12)
    np.testing.assert_allclose(bound.gradient, theirs.grad.numpy(), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(("chosen", "shape", "targets"), CASES)
def test_the_fast_loss_equals_the_textbook_one(chosen, shape, targets):
    output = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    found = {}
    for name in ("cpu", "reference"):
        device = get_device(name)
        bound = chosen.bind(device, output.astype(device.dtype), np.empty(shape, device.dtype))
        found[name] = bound(targets), bound.gradient
    assert found["cpu"][0] == pytest.approx(found["reference"][0], rel=1e-5)
    np.testing.assert_allclose(found["cpu"][1], found["reference"][1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("chosen", "shape", "targets", "says"),
    [
        ("cross_entropy", (3, 4), [0, 4, 1], "position 1 of the batch is 4"),
        ("cross_entropy", (3, 4), [0, 1, -1], "is -1"),
        ("cross_entropy", (3, 4), [0.0, 1.0, 2.0], "float64"),
        ("cross_entropy", (3, 4), [0, 1], "shape"),
        ("cross_entropy", (3, 4), np.eye(4)[:3], "shape"),
        ("bce", (3, 1), [0, 1, 2], "from 0 to 1"),
        ("bce", (3, 1), [0, 1, np.nan], "from 0 to 1"),
        ("bce", (3, 4), [0, 1, 1], "cross_entropy"),
        ("mse", (3, 2), [1.0, 2.0, 3.0], "shape"),
        ("mse", (2, 1), ["a", "b"], "numbers"),
    ],
)
def test_targets_that_cannot_be_right_are_one_sentence(chosen, shape, targets, says):
    bound = loss(chosen).bind(get_device("reference"), np.zeros(shape), np.zeros(shape))
    with pytest.raises(DataError) as caught:
        bound(np.asarray(targets))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_outputs_that_a_loss_cannot_judge_are_refused():
    for shape in ((4, 4, 3), (1,)):
        with pytest.raises(ShapeError):
            CrossEntropy().check_output(shape)


def test_names_and_configs():
    for chosen in (CrossEntropy(0.2), BCEWithLogits(), nv.MSE()):
        assert loss_from_config(chosen.config()) == chosen
    assert loss("cross_entropy", label_smoothing=0.1) == CrossEntropy(0.1)
    for make in (lambda: loss("crossentropy"), lambda: loss("mse", label_smoothing=0.1), lambda: loss(None)):
        with pytest.raises(NnvisError):
            make()
    with pytest.raises(ConfigError):
        CrossEntropy(1.0)


def test_probabilities_are_softmax_or_logistic_and_survive_large_scores():
    scores = np.array([[1000.0, 0.0], [0.0, 0.0]])
    np.testing.assert_allclose(probabilities(scores, "argmax"), [[1, 0], [0.5, 0.5]])
    np.testing.assert_allclose(probabilities(np.array([[-1000.0], [0.0]]), "threshold"), [[0], [0.5]])
    assert probabilities(scores, "none") is scores
