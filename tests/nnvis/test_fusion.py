"""Neighbours that run as one: when they do, that nobody can tell by the numbers, and that nothing is out of sight."""

from __future__ import annotations

import numpy as np
import pytest

import nnvis as nv
from nnvis.fusion import FusedNode, pooled
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
    exact = nv.Network(residual(), precision="exact")
    assert fused(exact, Mode()) == [("bn1", "act1"), ("bn2", "add", "act2")]


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
    np.testing.assert_allclose(alone.forward(images()), watched.forward(images()), rtol=1e-4)


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


def test_a_shortcut_from_the_input_needs_no_gradient_and_keeps_the_normalisation_apart():
    g = nv.Graph(SHAPE)
    normal = g.add(nv.BatchNorm2d(), g.add(nv.Conv2d(3, padding=1), g.input), name="bn")
    joined = g.add(nv.Add(), [normal, g.input], name="add")
    g.output = g.add(nv.GlobalAvgPool2d(), g.add(nv.ReLU(), joined))
    net = nv.Network(g)
    assert fused(net) == [("add", "relu")]
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


# --- convolutions that normalise what they read -----------------------------------------------------------------------


def separable() -> nv.Graph:
    """Depthwise and 1x1 convolutions behind normalisations, of arrays that are large enough."""
    layers = [
        nv.Conv2d(24, padding=1, bias=False), nv.BatchNorm2d(),
        nv.Conv2d(24, padding=1, groups=24, bias=False), nv.BatchNorm2d(), nv.ReLU6(),
        nv.Conv2d(12, 1), nv.BatchNorm2d(), nv.ReLU(),
        nv.Conv2d(24, padding=1), nv.BatchNorm2d(), nv.ReLU(),
        nv.GlobalAvgPool2d(), nv.Linear(4),
    ]  # fmt: skip
    return nv.Sequential(layers, input_shape=(24, 24, 3))


LARGE = np.random.default_rng(1).normal(size=(16, 24, 24, 3)).astype(np.float32)


def test_normalisation_and_what_only_reads_it_are_one_step():
    steps = [node.covers for node in nv.Network(separable()).plan(16, TRAINING).nodes if isinstance(node, FusedNode)]
    assert steps == [
        ("1", "2"), ("3", "4", "5"), ("6", "7"), ("9", "10"),
    ]  # fmt: skip
    rows = [row.does for row in plan_table(nv.Network(separable()).plan(16, TRAINING))]
    assert rows[1:3] == ["BatchNorm2d + Conv2d 3x3, 24 groups", "BatchNorm2d + ReLU6 + Conv2d 1x1"]


@pytest.mark.parametrize("mode", [Mode(), Mode(training=True), Mode(backward=True, input_gradient=True)])
def test_without_the_way_back_of_training_they_are_apart(mode):
    nodes = (
        nv.Network(separable(), precision="exact").plan(16, mode).nodes + nv.Network(separable()).plan(16, mode).nodes
    )
    assert not [node for node in nodes if isinstance(node, FusedNode) and node.covers[-1] in ("2", "5")]


def test_convolutions_that_normalise_learn_the_same_bits_with_less_memory():
    nets = [nv.Network(separable(), seed=3) for _ in range(2)]
    nets[1].watch("*")
    losses = []
    for net in nets:
        trainer = nv.Trainer(net, optimizer=nv.SGD(lr=0.1, momentum=0.9))
        losses.append([trainer.step(LARGE, np.arange(16) % 4) for _ in range(3)])
    assert losses[0] == losses[1]
    states = [net.state_dict() for net in nets]
    for name, value in states[0].items():
        np.testing.assert_array_equal(value, states[1][name])
    watched = frozenset(["1", "3", "4"])
    assert nets[0].plan(16, TRAINING).nbytes < nets[0].plan(16, TRAINING, watched).nbytes


@pytest.mark.parametrize("name", ["1", "3", "4"])
def test_a_value_that_was_normalised_on_the_way_can_be_asked_for(name):
    nets = [nv.Network(separable(), seed=2) for _ in range(2)]
    nets[1].watch("*")
    for net in nets:
        net.forward(LARGE, training=True)
        net.backward(np.ones((16, 4), np.float32))
    np.testing.assert_array_equal(nets[0].activation(name), nets[1].activation(name))
    np.testing.assert_array_equal(nets[0].activation_gradient(name), nets[1].activation_gradient(name))


def test_a_normalisation_of_the_input_or_with_two_readers_stays_apart():
    g = nv.Graph((24, 24, 16))
    first = g.add(nv.Conv2d(16, 1), g.add(nv.BatchNorm2d(), g.input), name="first")
    normal = g.add(nv.BatchNorm2d(), first, name="normal")
    joined = g.add(nv.Add(), [g.add(nv.Conv2d(16, 1), normal), normal])
    g.output = g.add(nv.Linear(4), g.add(nv.GlobalAvgPool2d(), joined))
    assert not [node for node in nv.Network(g).plan(16, TRAINING).nodes if isinstance(node, FusedNode)]


# --- activations of sums, and pools ----------------------------------------------------------------------------------


def sums(activation: nv.Layer | None = None) -> nv.Graph:
    """Convolutions by tiles and directly, a pool, two branches that meet, and linear layers, all with activations."""
    activation = activation or nv.ReLU()
    g = nv.Graph((12, 12, 3))
    y = g.add(activation, g.add(nv.Conv2d(16, padding=1), g.input, name="conv1"), name="act1")
    y = g.add(activation, g.add(nv.Conv2d(16, padding=1), y, name="conv2"), name="act2")
    y = g.add(nv.MaxPool2d(2), y, name="pool")
    left = g.add(activation, g.add(nv.Conv2d(16, 5, padding=2), y, name="conv3"), name="act3")
    joined = g.add(nv.Add(), [left, y, g.add(nv.Conv2d(16, 1), y, name="conv4")], name="add")
    y = g.add(nv.Flatten(), g.add(activation, joined, name="act4"), name="flatten")
    y = g.add(activation, g.add(nv.Linear(20), y, name="fc1"), name="act5")
    g.output = g.add(nv.Linear(4), y, name="fc2")
    return g


def twins(graph: nv.Graph, device: str, *watched: str) -> list[nv.Network]:
    made = [nv.Network(graph, device, seed=3) for _ in range(2)]
    made[1].watch(*watched)
    return made


def large_images() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(6, 12, 12, 3)).astype(np.float32)


def passes(net: nv.Network) -> list[np.ndarray]:
    y = net.forward(large_images(), training=True)
    dx = net.backward(np.random.default_rng(1).normal(size=y.shape).astype(np.float32))
    return [y, dx, *net.gradients().values(), net.forward(large_images())]


def test_sums_take_their_activations_with_them_and_pools_the_relu_before_them():
    found = [("conv1", "act1"), ("act2", "pool"), ("conv3", "act3"), ("add", "act4"), ("fc1", "act5")]
    assert fused(nv.Network(sums())) == found
    assert fused(nv.Network(sums()), Mode()) == found


def test_a_pool_takes_no_activation_but_relu():
    found = [("conv1", "act1"), ("conv2", "act2"), ("conv3", "act3"), ("add", "act4"), ("fc1", "act5")]
    assert fused(nv.Network(sums(nv.ReLU6()))) == found


@pytest.mark.parametrize(
    "pool", [nv.MaxPool2d(3, stride=2), nv.MaxPool2d(2, padding=1), nv.MaxPool2d(2, ceil_mode=True)]
)
def test_a_pool_of_other_windows_leaves_relu_to_the_convolution(pool):
    g = nv.Graph((9, 9, 3))
    conv = g.add(nv.Conv2d(6), g.input, name="conv")
    g.output = g.add(nv.Linear(2), g.add(nv.Flatten(), g.add(pool, g.add(nv.ReLU(), conv, name="relu"), name="pool")))
    assert fused(nv.Network(g)) == [("conv", "relu")]


@pytest.mark.parametrize("activation", [nv.ReLU(), nv.ReLU6()], ids=["relu", "relu6"])
@pytest.mark.parametrize("device", ["cpu", "reference"])
@pytest.mark.parametrize("watched", ["*", "act1", "act3", "act4", "pool"])
def test_activations_apart_give_the_same_bits(activation, device, watched):
    alone, apart = twins(sums(activation), device, watched)
    for ours, theirs in zip(passes(alone), passes(apart), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", ["conv1", "act1", "act2", "pool", "add", "act4", "fc1", "act5"])
def test_values_and_gradients_around_an_activation_can_be_asked_for(name):
    net, twin = twins(sums(), "cpu", "*")
    passes(net), passes(twin)
    for each in (net, twin):
        each.forward(large_images(), training=True)
        each.backward(np.ones((6, 4), np.float32))
    np.testing.assert_array_equal(net.activation(name), twin.activation(name))
    np.testing.assert_array_equal(net.activation_gradient(name), twin.activation_gradient(name))


def test_a_mask_does_not_disturb_another_reader_of_the_gradient():
    g = nv.Graph((12, 12, 3))
    left = g.add(nv.ReLU(), g.add(nv.Conv2d(8), g.input, name="left"), name="relu")
    right = g.add(nv.Conv2d(8), g.input, name="right")
    g.output = g.add(nv.Linear(4), g.add(nv.Flatten(), g.add(nv.Add(), [left, right])))
    alone, apart = twins(g, "cpu", "*")
    assert fused(alone) == [("left", "relu")]
    for ours, theirs in zip(passes(alone), passes(apart), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_sum_with_two_readers_is_written():
    g = nv.Graph((12, 12, 3))
    conv = g.add(nv.Conv2d(6), g.input, name="conv")
    relu = g.add(nv.ReLU(), conv, name="relu")
    g.output = g.add(nv.Linear(2), g.add(nv.Flatten(), g.add(nv.Add(), [relu, conv])))
    assert fused(nv.Network(g)) == []


def test_relu_with_two_readers_goes_to_the_convolution_not_to_the_pool():
    g = nv.Graph((12, 12, 3))
    relu = g.add(nv.ReLU(), g.add(nv.Conv2d(6), g.input, name="conv"), name="relu")
    one, two = (g.add(nv.MaxPool2d(2), relu, name=name) for name in ("one", "two"))
    g.output = g.add(nv.Linear(2), g.add(nv.Flatten(), g.add(nv.Add(), [one, two])))
    assert fused(nv.Network(g)) == [("conv", "relu")]


def test_the_table_of_a_plan_shows_the_activation_beside_the_algorithm():
    plan = nv.Network(sums()).plan(6, TRAINING)
    rows = {row.nodes: row for row in plan_table(plan)}
    assert rows["conv1", "act1"].does == "Conv2d 3x3 + ReLU"
    assert set(rows["conv3", "act3"].algorithms) == {"forward", "data", "weights"}
    assert rows["act2", "pool"].does == "ReLU + MaxPool2d"
    assert rows["fc1", "act5"].does == "Linear + ReLU"


def test_a_rectified_pool_keeps_neither_what_it_pools_nor_the_relu():
    net = nv.Network(nv.zoo.vgg11(10, (32, 32, 3)))
    apart = net.plan(16, TRAINING, frozenset(node.name for node in net.graph.order() if node.layer.kind == "ReLU"))
    assert net.plan(16, TRAINING).nbytes < apart.nbytes


# --- gradients behind pools ------------------------------------------------------------------------------------------


def pools() -> nv.Graph:
    """Convolutions before pools of tiles: with an activation, without, and with another reader."""
    g = nv.Graph((12, 12, 3))
    y = g.add(nv.ReLU(), g.add(nv.Conv2d(6, 5, padding=2), g.input, name="conv1"), name="act1")
    y = g.add(nv.Conv2d(16, 5, padding=2), g.add(nv.MaxPool2d(2), y, name="pool1"), name="conv2")
    y = g.add(nv.Conv2d(8, padding=1), g.add(nv.MaxPool2d(2), y, name="pool2"), name="conv3")
    joined = g.add(nv.Add(), [g.add(nv.MaxPool2d(3, stride=1, padding=1), y), y])
    g.output = g.add(nv.Linear(4), g.add(nv.Flatten(), joined))
    return g


def test_most_gradients_of_what_only_a_pool_of_tiles_reads_are_zero():
    net = nv.Network(pools())
    assert net.plan(64, TRAINING).pooled >= {"conv1", "act1", "conv2"}
    assert "conv3" not in net.plan(64, TRAINING).pooled
    plan = nv.Network(nv.zoo.lenet5()).plan(64, TRAINING)
    assert plan.pooled >= {"conv1", "conv2"}


def test_convolutions_of_few_channels_are_pooled_before_they_are_written():
    plan = nv.Network(nv.zoo.lenet5()).plan(64, TRAINING)
    rows = {row.nodes: row for row in plan_table(plan)}
    second = rows["conv2", "act2", "pool2"]  # the first depends on how long the machine's vectors are
    assert second.does == "Conv2d 5x5 + ReLU + MaxPool2d"
    assert second.algorithms["weights"] == "sparse"  # data: by how long the vectors are
    assert second.shape == (5, 5, 16)
    exact = nv.Network(nv.zoo.lenet5(), precision="exact").plan(64, TRAINING)
    assert ("conv2",) in {row.nodes for row in plan_table(exact)}


def test_an_activation_other_than_relu_is_not_pooled_with_its_sums():
    net = nv.Network(nv.zoo.lenet5(form="1998"))
    assert not fused(net)


def test_an_output_before_a_pool_has_any_gradient():
    g = nv.Graph((8, 8, 4))
    conv = g.add(nv.Conv2d(4, padding=1), g.input, name="conv")
    g.output = g.add(nv.MaxPool2d(2), conv)
    assert pooled(g.order(), {g.output.name}) == {"conv"}
    assert not pooled(g.order(), {g.output.name, "conv"})


@pytest.mark.parametrize("watched", ["*", "conv1", "act1", "pool1", "conv2"])
def test_gradients_behind_pools_are_the_same_bits_when_watched(watched):
    alone, apart = twins(pools(), "cpu", watched)
    for net in (alone, apart):
        rows = {row.nodes[0]: row for row in plan_table(net.plan(6, TRAINING))}
        assert rows["conv1"].algorithms["weights"] == "sparse"
    for ours, theirs in zip(passes(alone), passes(apart), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    exact, expected = nv.Network(pools(), "cpu", seed=3), nv.Network(pools(), "reference", seed=3)
    for ours, theirs in zip(passes(exact), passes(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)
