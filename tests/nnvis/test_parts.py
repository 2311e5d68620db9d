"""Channels that are read in parts: written once on the way back, moved once between joining and splitting."""

from __future__ import annotations

import numpy as np
import pytest

import nnvis as nv
from nnvis.plan import Mode
from nnvis.plan_table import plan_table

SHAPE = (5, 4, 6)
TRAINING = Mode(training=True, backward=True)


def images() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(3, *SHAPE)).astype(np.float32)


def passes(net: nv.Network) -> list[np.ndarray]:
    y = net.forward(images(), training=True)
    dx = net.backward(np.random.default_rng(1).normal(size=y.shape).astype(np.float32))
    return [y, dx, *net.gradients().values(), net.forward(images())]


def kinds(net: nv.Network, mode: Mode = TRAINING) -> list[str]:
    return [node.layer.kind for node in net.plan(3, mode).nodes]


def conv(g: nv.Graph, x: nv.Node, channels: int, name: str) -> nv.Node:
    return g.add(nv.Conv2d(channels, 1), x, name=name)


def shuffled(width: int = 10, parts: tuple[nv.Split, ...] = (nv.Split(2, 0), nv.Split(2, 1))) -> nv.Graph:
    """Two convolutions, joined and shuffled; every part goes through one more, and all are joined again."""
    g = nv.Graph(SHAPE)
    joined = g.add(nv.Concat(), [conv(g, g.input, width, name) for name in ("left", "right")], name="concat")
    shuffle = g.add(nv.ChannelShuffle(2), joined, name="shuffle")
    split = [g.add(part, shuffle, name=f"split{number}") for number, part in enumerate(parts)]
    g.output = g.add(nv.Concat(), [conv(g, each, 3, f"{each.name}.conv") for each in split], name="out")
    return g


def assert_same_bits(graph: nv.Graph, device: str, *watched: str) -> None:
    alone, apart = (nv.Network(graph, device, seed=3) for _ in range(2))
    apart.watch(*watched)
    for ours, theirs in zip(passes(alone), passes(apart), strict=True):
        np.testing.assert_array_equal(ours, theirs)


FUSED = "Concat + ChannelShuffle + Split"


def test_channels_that_are_joined_shuffled_and_split_move_once():
    net = nv.Network(shuffled())
    for mode in (TRAINING, Mode()):
        assert kinds(net, mode) == ["Conv2d", "Conv2d", FUSED, "Conv2d", FUSED, "Conv2d", "Concat"]
    covered = [node.covers for node in net.plan(3, TRAINING).nodes if node.layer.kind == FUSED]
    assert covered == [("concat", "shuffle", "split0"), ("split1",)]
    assert [row.nodes for row in plan_table(net.plan(3, TRAINING)) if "Split" in row.does] == covered


@pytest.mark.parametrize(
    "graph",
    [
        shuffled(),
        shuffled(29, (nv.Split((8, 50), 0), nv.Split((8, 50), 1))),
        shuffled(10, (nv.Split((4, 8, 8), 0), nv.Split((4, 8, 8), 2))),
        shuffled(10, (nv.Split((4, 8, 8), 2), nv.Split((4, 16), 1))),
        shuffled(5),
        shuffled(10, (nv.Split(1, 0), nv.Split(1, 0))),
        shuffled(10, (nv.Split(2, 0), nv.Split(2, 0))),
    ],
    ids=["halves", "unequal", "hole", "overlap", "odd", "whole", "twice"],
)
@pytest.mark.parametrize("device", ["cpu", "reference"])
@pytest.mark.parametrize("watched", ["*", "shuffle", "concat", "split1"])
def test_moving_apart_gives_the_same_bits(graph, device, watched):
    if watched == "*" or watched in {node.name for node in graph.order()}:
        assert_same_bits(graph, device, watched)


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_gradients_are_those_of_the_formulas(device):
    hole = shuffled(6, (nv.Split((4, 4, 4), 0), nv.Split((4, 4, 4), 2)))
    for graph in (shuffled(), hole):
        alone, exact = nv.Network(graph, device, seed=1), nv.Network(graph, "reference", seed=1)
        exact.watch("*")
        for ours, theirs in zip(passes(alone), passes(exact), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_parts_that_halve_a_pair_leave_the_split_alone():
    assert kinds(nv.Network(shuffled(5)))[2:4] == ["Concat + ChannelShuffle", "Split"]


@pytest.mark.parametrize("name", ["left", "right", "concat", "shuffle", "split0", "split1"])
def test_values_and_gradients_around_a_shuffle_can_be_asked_for(name):
    net, twin = (nv.Network(shuffled(), seed=3) for _ in range(2))
    twin.watch("*")
    for each in (net, twin):
        each.forward(images(), training=True)
        each.backward(np.ones((3, 5, 4, 6), np.float32))
    np.testing.assert_array_equal(net.activation(name), twin.activation(name))
    np.testing.assert_array_equal(net.activation_gradient(name), twin.activation_gradient(name))


def test_a_shuffle_with_other_readers_is_written():
    g = shuffled()
    g.output = g.add(nv.Concat(), [g.output, g["shuffle"]])
    assert "Concat + ChannelShuffle" in kinds(nv.Network(g)) and FUSED not in kinds(nv.Network(g))
    assert_same_bits(g, "cpu", "*")


def test_inputs_without_a_gradient_on_one_side_keep_the_shuffle_apart():
    g = nv.Graph(SHAPE)
    joined = g.add(nv.Concat(), [g.input, conv(g, g.input, 6, "conv")])
    g.output = conv(g, g.add(nv.ChannelShuffle(2), joined), 2, "last")
    assert kinds(nv.Network(g)) == ["Conv2d", "Concat", "ChannelShuffle", "Conv2d"]
    both = Mode(training=True, backward=True, input_gradient=True)
    assert kinds(nv.Network(g), both) == ["Conv2d", "Concat + ChannelShuffle", "Conv2d"]
    assert_same_bits(g, "cpu", "*")


@pytest.mark.parametrize("other", [False, True])
def test_parts_of_a_gradient_are_written_side_by_side(other):
    g = nv.Graph(SHAPE)
    x = conv(g, g.input, 7, "conv")
    parts = [conv(g, g.add(nv.Split((2, 5), n), x, name=f"split{n}"), 7, f"conv{n}") for n in (1, 0)]
    g.output = g.add(nv.Add(), [*parts, x, x] if other else parts)
    plan = nv.Network(g).plan(3, TRAINING)
    sums = sum(len(step.sums) for step in plan._lives.backward)
    assert sums == (3 if other else 0)
    alone, exact = nv.Network(g, seed=1), nv.Network(g, "reference", seed=1)
    for ours, theirs in zip(passes(alone), passes(exact), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
