"""One training step: what it returns, clipping, divergence, compiling ahead."""

from __future__ import annotations

import math

import numpy as np
import pytest

import nnvis as nv
from nnvis.errors import ConfigError, DivergedError, ShapeError
from tests.nnvis.small import conv_net, mlp, same_state

RANDOM = np.random.default_rng(0)
X, LABELS = RANDOM.normal(size=(20, 2)), RANDOM.integers(2, size=20)


def take_steps(trainer: nv.Trainer, x: np.ndarray, count: int) -> None:
    for _ in range(count):
        trainer.step(x, LABELS)


def test_steps_on_one_batch_lower_the_loss_and_report_what_they_found():
    trainer = nv.Trainer(mlp(), optimizer=nv.SGD(lr=0.5))
    losses = [trainer.step(X, LABELS) for _ in range(30)]
    assert losses[-1] < 0.6 * losses[0]
    assert trainer.last.loss == losses[-1]
    assert trainer.last.examples == 20 and 0 <= trainer.last.accuracy <= 1
    assert trainer.last.gradient_norm is None and trainer.updater.step == 30


def test_a_step_is_the_gradient_times_the_learning_rate():
    net, twin = mlp(), mlp()
    trainer = nv.Trainer(net, optimizer=nv.SGD(lr=0.5))
    trainer.step(X, LABELS, lr=0.25)
    output = twin.forward(X, training=True)
    probs = np.exp(output) / np.exp(output).sum(axis=1, keepdims=True)
    twin.backward((probs - np.eye(2)[LABELS]) / len(X))
    for name, value in twin.state_dict().items():
        np.testing.assert_allclose(net.state_dict()[name], value - 0.25 * twin.gradients()[name], atol=1e-12)


@pytest.mark.parametrize("outputs", [1, 2])
def test_a_binary_head_learns_with_bce(outputs):
    trainer = nv.Trainer(mlp(outputs=outputs), loss="bce", optimizer=nv.Adam(lr=0.05))
    labels = (X[:, 0] * X[:, 1] > 0).astype(int)
    targets = labels if outputs == 1 else np.stack([labels, 1 - labels], axis=1)
    for _ in range(150):
        trainer.step(X, targets)
    assert trainer.last.accuracy == 1.0


def test_regression_with_mse_has_no_accuracy():
    trainer = nv.Trainer(mlp(outputs=1), loss="mse", optimizer=nv.Adam(lr=0.02))
    for _ in range(200):
        loss = trainer.step(X, X[:, 0] ** 2)
    assert loss < 0.1 and trainer.last.accuracy is None


def test_clipping_by_norm_scales_the_whole_gradient():
    net, free = mlp(), mlp()
    clipped = nv.Trainer(net, optimizer=nv.SGD(lr=1.0), clip_norm=0.01)
    nv.Trainer(free, optimizer=nv.SGD(lr=1.0)).step(X, LABELS)
    before = mlp().state_dict()
    clipped.step(X, LABELS)
    norm = math.sqrt(sum((g**2).sum() for g in free.gradients().values()))
    assert clipped.last.gradient_norm == pytest.approx(norm)
    for name, value in net.state_dict().items():
        expected = before[name] + (free.state_dict()[name] - before[name]) * 0.01 / (norm + 1e-6)
        np.testing.assert_allclose(value, expected, atol=1e-12)


def test_a_norm_below_the_limit_changes_nothing():
    net, free = mlp(), mlp()
    nv.Trainer(net, clip_norm=1e6).step(X, LABELS)
    nv.Trainer(free).step(X, LABELS)
    assert same_state(net.state_dict(), free.state_dict())


def test_clipping_by_value_cuts_each_gradient_value():
    net, before = mlp(), mlp().state_dict()
    nv.Trainer(net, optimizer=nv.SGD(lr=1.0), clip_value=1e-3).step(X, LABELS)
    change = np.concatenate([(net.state_dict()[k] - v).ravel() for k, v in before.items()])
    assert np.abs(change).max() == pytest.approx(1e-3)
    both = nv.Trainer(mlp(), clip_value=1e-3, clip_norm=1e-4)
    both.step(X, LABELS)
    assert both.last.gradient_norm > 1e-2  # before any clipping


@pytest.mark.parametrize("device", ["reference", "cpu"])
def test_a_huge_learning_rate_ends_in_one_sentence_that_names_step_and_parameter(device):
    trainer = nv.Trainer(mlp(device), optimizer=nv.SGD(lr=1e39 if device == "cpu" else 1e308))
    with np.errstate(all="ignore"), pytest.raises(DivergedError) as caught:
        take_steps(trainer, X * 1e3, 50)
    assert caught.value.step == trainer.updater.step + 1
    assert f"at step {caught.value.step}" in str(caught.value)
    assert caught.value.node in ("0", "2") and "learning rate" in str(caught.value)


def test_the_first_node_with_an_infinite_activation_is_named_and_nothing_is_updated():
    net = conv_net("cpu")
    net.parameters.values["fc.weight"][...] = 1e38
    before = {k: v.copy() for k, v in net.parameters.values.items()}
    trainer = nv.Trainer(net)
    with pytest.raises(DivergedError, match="output of node 'fc'") as caught:
        trainer.step(RANDOM.normal(size=(4, 8, 8, 1)) * 10, np.zeros(4, int))
    assert caught.value.node == "fc" and caught.value.step == 1
    assert same_state(net.parameters.values, before)


def test_a_batch_with_nan_is_blamed_on_the_data():
    x = X.copy()
    x[3, 1] = np.nan
    with pytest.raises(DivergedError, match="input batch") as caught:
        nv.Trainer(mlp()).step(x, LABELS)
    assert caught.value.node == "input"


def test_an_infinite_gradient_is_noticed_before_the_update_when_clipping():
    net = mlp()
    before = net.state_dict()
    net.parameters.values["2.weight"][...] = 1e300
    net.parameters.values["0.weight"][...] = 1e-301
    with np.errstate(all="ignore"), pytest.raises(DivergedError):
        take_steps(nv.Trainer(net, clip_norm=1.0), X * 1e10, 3)
    np.testing.assert_array_equal(net.state_dict()["0.bias"], before["0.bias"])


def test_batches_of_changing_size_and_evaluation_in_between_do_not_disturb_each_other():
    net, other = conv_net(), conv_net()
    one, two = nv.Trainer(net), nv.Trainer(other)
    x, labels = RANDOM.normal(size=(12, 8, 8, 1)), RANDOM.integers(3, size=12)
    for size in (4, 12, 3, 4):
        one.step(x[:size], labels[:size])
        net.forward(np.concatenate([x] * 4))  # moves the memory of all plans
        two.step(x[:size], labels[:size])
    assert same_state(net.state_dict(), other.state_dict())


def test_prepare_compiles_all_that_steps_need_and_learns_nothing():
    from kernels.cpu import jit

    net = conv_net("cpu")
    trainer = nv.Trainer(net, optimizer=nv.RMSprop(), clip_norm=1.0, clip_value=0.5)
    before = net.state_dict()
    seen = []
    trainer.prepare(6, lambda done, total, name: seen.append((done, total, name)))
    assert same_state(net.state_dict(), before)
    assert trainer.updater.step == 0 and net.training_passes == 0
    assert all(done <= total for done, total, _ in seen)
    ready = {name for name, kernel in jit.KERNELS.items() if kernel.compiled}
    trainer.step(RANDOM.normal(size=(6, 8, 8, 1)), np.zeros(6, int))
    assert {name for name, kernel in jit.KERNELS.items() if kernel.compiled} == ready


def test_wrong_arguments_are_refused():
    for options in ({"clip_norm": 0}, {"clip_value": -1}, {"clip_norm": float("nan")}):
        with pytest.raises(ConfigError):
            nv.Trainer(mlp(), **options)
    with pytest.raises(ShapeError, match="bce"):
        nv.Trainer(mlp(outputs=1))
    with pytest.raises(ShapeError):
        nv.Trainer(mlp()).step(np.zeros((4, 3)), np.zeros(4, int))
