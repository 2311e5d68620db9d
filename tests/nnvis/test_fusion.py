"""Neighbours that run as one: when they do, that nobody can tell by the numbers, and that nothing is out of sight."""

from __future__ import annotations

import numpy as np
import pytest

import nnvis as nv
from nnvis.fusion import FusedNode
from nnvis.plan import Mode
from nnvis.plan_table import plan_table

TRAINING = Mode(training=True, backward=True)
SHAPE = (8, 8, 3)


def images(count: int = 5) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, *SHAPE)).astype(np.float32)


def residual(activation: nv.Layer | None = None) -> nv.Graph:
    """Convolution, normalisation and activation; then a residual block around another pair."""
    activation = activation or nv.ReLU()
    g = nv.Graph(SHAPE)
    stem = g.add(activation, g.add(nv.BatchNorm2d(), g.add(nv.Conv2d(6, padding=1), g.input), name="bn1"), name="act1")
    conv = g.add(nv.Conv2d(6, padding=1), stem, name="conv2")
    joined = g.add(nv.Add(), [g.add(nv.BatchNorm2d(), conv, name="bn2"), stem], name="add")
    g.output = g.add(nv.Linear(4), g.add(nv.GlobalAvgPool2d(), g.add(activation, joined, name="act2")))
    return g


def fused(net: nv.Network, mode: Mode = TRAINING) -> list[tuple[str, ...]]:
    return [node.covers for node in net.plan(5, mode).nodes if isinstance(node, FusedNode)]


def trained(net: nv.Network, steps: int = 3) -> tuple[list[float], dict[str, np.ndarray]]:
    trainer = nv.Trainer(net, optimizer=nv.SGD(lr=0.1, momentum=0.9))
    return [trainer.step(images(), np.arange(5) % 4) for _ in range(steps)], net.state_dict()


def test_normalisation_shortcut_and_activation_are_one_step():
    assert fused(nv.Network(residual())) == [("bn1", "act1"), ("bn2", "add", "act2")]
    assert fused(nv.Network(residual()), Mode()) == [("bn1", "act1"), ("bn2", "add", "act2")]


def test_gradients_in_inference_mode_have_a_way_back_of_their_own():
    assert fused(nv.Network(residual()), Mode(backward=True, input_gradient=True)) == []


@pytest.mark.parametrize("activation", [nv.ReLU(), nv.ReLU6()], ids=["relu", "relu6"])
@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_a_watched_network_runs_apart_and_learns_the_same_bits(activation, device):
    alone, watched = (nv.Network(residual(activation), device, seed=1) for _ in range(2))
    watched.watch("*")
    assert fused(watched) == []
    (losses, state), (others, other) = trained(alone), trained(watched)
    assert losses == others
    for name in state:
        np.testing.assert_array_equal(state[name], other[name])
    np.testing.assert_array_equal(alone.forward(images()), watched.forward(images()))


@pytest.mark.parametrize("name", ["bn1", "bn2", "add"])
def test_a_value_within_a_fused_step_can_be_asked_for(name):
    net = nv.Network(residual(), seed=2)
    net.forward(images(), training=True)
    net.backward(np.ones((5, 4), np.float32))
    twin = nv.Network(residual(), seed=2)
    twin.watch("*")
    twin.forward(images(), training=True)
    twin.backward(np.ones((5, 4), np.float32))
    np.testing.assert_array_equal(net.activation(name), twin.activation(name))
    np.testing.assert_array_equal(net.activation_gradient(name), twin.activation_gradient(name))


def test_a_value_with_two_readers_is_written():
    g = nv.Graph(SHAPE)
    normal = g.add(nv.BatchNorm2d(), g.input, name="bn")
    g.output = g.add(nv.Add(), [g.add(nv.ReLU(), normal), normal])
    assert fused(nv.Network(g)) == []


def test_an_output_is_written():
    g = nv.Graph(SHAPE)
    normal = g.add(nv.BatchNorm2d(), g.input, name="bn")
    g.output = g.add(nv.ReLU(), normal)
    g.add_aux_output(normal, 0.3)
    assert fused(nv.Network(g)) == []


def test_a_shortcut_from_the_input_needs_no_gradient_and_stays_apart():
    g = nv.Graph(SHAPE)
    normal = g.add(nv.BatchNorm2d(), g.add(nv.Conv2d(3, padding=1), g.input), name="bn")
    joined = g.add(nv.Add(), [normal, g.input], name="add")
    g.output = g.add(nv.GlobalAvgPool2d(), g.add(nv.ReLU(), joined))
    net = nv.Network(g)
    assert fused(net) == []
    assert fused(net, Mode(training=True, backward=True, input_gradient=True)) == [("bn", "add", "relu")]


def test_a_shortcut_is_not_kept_for_the_way_back():
    net = nv.Network(residual())
    last = net.plan(5, TRAINING).nodes[-3]
    assert [last.layer.reads_back(number) for number in range(2)] == [True, False]
    apart = net.plan(5, TRAINING, frozenset(["bn1", "bn2"]))
    assert net.plan(5, TRAINING).nbytes < apart.nbytes


def test_exact_precision_convolves_directly_and_agrees_with_the_fast_one():
    def algorithms(precision: str) -> set[str]:
        plan = nv.Network(nv.zoo.vgg11(10, (32, 32, 3)), precision=precision).plan(16, TRAINING)
        return {name for row in plan_table(plan) for name in row.algorithms.values()}

    assert algorithms("exact") == {"direct"}
    assert "winograd4" in algorithms("fast")
    x = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype(np.float32)
    fast, exact = (nv.Network(nv.zoo.vgg11(10, (32, 32, 3)), precision=p).forward(x) for p in ("fast", "exact"))
    layers = 11  # each may add its own error
    assert np.abs(fast - exact).max() < 5e-5 * layers * np.abs(exact).max()


def test_another_precision_is_refused():
    with pytest.raises(nv.errors.ConfigError, match="'fast' or 'exact', not 'double'"):
        nv.Network(residual(), precision="double")
