"""Optimisers: parity with PyTorch in float64, penalties, state and names."""

from __future__ import annotations

import numpy as np
import pytest

import nnvis as nv
from nnvis.errors import CheckpointError, ConfigError, NnvisError
from nnvis.optim import NAMES, optimizer, optimizer_from_config
from tests.nnvis.small import conv_net, mlp

CASES = {
    "sgd": ({}, "SGD", {}),
    "momentum": ({"momentum": 0.8, "weight_decay": 0.01}, "SGD", {"momentum": 0.8, "weight_decay": 0.01}),
    "nesterov": ({"weight_decay": 0.01}, "SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    "rmsprop": ({"alpha": 0.9, "weight_decay": 0.01}, "RMSprop", {"alpha": 0.9, "weight_decay": 0.01}),
    "adam": ({"weight_decay": 0.02}, "Adam", {"weight_decay": 0.02}),
    "adamw": ({}, "AdamW", {}),
}


def fill_gradients(net: nv.Network, random: np.random.Generator) -> None:
    for gradient in net.parameters.gradients.values():
        gradient[...] = random.normal(size=gradient.shape)


@pytest.mark.parametrize("name", CASES)
def test_ten_steps_in_float64_equal_those_of_pytorch(name):
    torch = pytest.importorskip("torch")
    options, theirs, their_options = CASES[name]
    net, random = mlp(), np.random.default_rng(1)
    twins = {k: torch.tensor(v, dtype=torch.float64) for k, v in net.parameters.values.items()}
    their = getattr(torch.optim, theirs)(twins.values(), lr=0.03, **their_options)
    own = optimizer(name, lr=0.03, **options).bind(net.parameters, net.device)
    for _ in range(10):
        fill_gradients(net, random)
        for key, twin in twins.items():
            twin.grad = torch.tensor(net.parameters.gradients[key] * 0.5)
        own.update(grad_scale=0.5)
        their.step()
    for key, twin in twins.items():
        np.testing.assert_allclose(net.parameters.values[key], twin.numpy(), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_the_fast_update_equals_the_textbook_one(name):
    nets = {device: mlp(device) for device in ("cpu", "reference")}
    for net in nets.values():
        net.load_state_dict({k: v.astype(np.float32) for k, v in nets["reference"].state_dict().items()})
        random = np.random.default_rng(2)
        updater = optimizer(name, lr=0.02, weight_decay=0.01, l1=1e-3, decay="weights").bind(net.parameters, net.device)
        for _ in range(5):
            fill_gradients(net, random)
            updater.update()
    for key, value in nets["cpu"].parameters.values.items():
        np.testing.assert_allclose(value, nets["reference"].parameters.values[key], rtol=2e-5, atol=2e-6)


def test_penalties_spare_vectors_when_decay_is_weights():
    net = conv_net()
    before = net.state_dict()
    for gradient in net.parameters.gradients.values():
        gradient[...] = 0.0
    nv.SGD(lr=0.1, weight_decay=0.5, decay="weights").bind(net.parameters, net.device).update()
    after = net.state_dict()
    np.testing.assert_allclose(after["conv.weight"], before["conv.weight"] * 0.95)
    np.testing.assert_array_equal(after["bn.weight"], before["bn.weight"])


def test_l1_pulls_every_weight_towards_zero_by_the_same_amount():
    net = mlp()
    before = net.parameters.values["0.weight"].copy()
    net.parameters.flat_gradients[...] = 0.0
    nv.SGD(lr=0.1, l1=0.01).bind(net.parameters, net.device).update()
    np.testing.assert_allclose(net.parameters.values["0.weight"], before - 0.001 * np.sign(before))


@pytest.mark.parametrize("name", NAMES)
def test_state_round_trips_and_the_next_steps_are_the_same(name):
    made, random = optimizer(name, lr=0.05), np.random.default_rng(0)
    first, second = mlp(), mlp()
    one, two = made.bind(first.parameters, first.device), made.bind(second.parameters, second.device)
    for _ in range(3):
        fill_gradients(first, random)
        one.update()
    second.load_state_dict(first.state_dict())
    two.load_state_dict(one.state_dict())
    assert two.step == 3
    for _ in range(2):
        fill_gradients(first, random)
        second.parameters.flat_gradients[...] = first.parameters.flat_gradients
        one.update()
        two.update()
    assert first.parameters.flat_values.tobytes() == second.parameters.flat_values.tobytes()


def test_state_is_named_after_parameters_and_foreign_state_is_refused():
    net = mlp()
    updater = nv.Adam().bind(net.parameters, net.device)
    assert {"mean/0.weight", "square/2.bias", "step"} <= set(updater.state_dict())
    with pytest.raises(CheckpointError, match="momentum"):
        updater.load_state_dict(nv.SGD(momentum=0.9).bind(net.parameters, net.device).state_dict())


def test_an_update_marks_the_parameters_as_changed():
    net = mlp()
    version = net.parameters.version
    nv.SGD().bind(net.parameters, net.device).update()
    assert net.parameters.version == version + 1


def test_the_padding_between_parameters_stays_zero():
    net = mlp()
    updater = nv.Adam(weight_decay=0.1).bind(net.parameters, net.device)
    used = np.zeros(net.parameters.flat_values.size, bool)
    for view in net.parameters.views(used).values():
        view[...] = True
    for _ in range(3):
        updater.update()
    assert not net.parameters.flat_values[~used].any()


@pytest.mark.parametrize("name", NAMES)
def test_config_round_trips(name):
    made = optimizer(name, lr=0.5, weight_decay=0.25)
    assert optimizer_from_config(made.config()) == made


def test_wrong_names_and_values_are_one_sentence():
    for make in (
        lambda: optimizer("adm"), lambda: optimizer("sgd", beta=1), lambda: nv.SGD(lr=-1),
        lambda: nv.SGD(lr=float("nan")),
        lambda: nv.SGD(nesterov=True), lambda: nv.SGD(momentum=1.0), lambda: nv.Adam(betas=(0.9, 1.0)),
        lambda: nv.Adam(eps=0), lambda: nv.SGD(decay="some"), lambda: nv.SGD(lr="fast"),
        lambda: optimizer_from_config({"name": "x"}),
    ):  # fmt: skip
        with pytest.raises(NnvisError) as caught:
            make()
        assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="momentum"):
        nv.SGD(momentum=2)
    assert nv.SGD(0.1, 0.9).momentum == 0.9  # learning rate and momentum may be given by position
