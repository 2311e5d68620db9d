"""Frozen networks: what depends on weights alone is computed once, nothing else changes, and nothing is ever stale."""

from __future__ import annotations

import numpy as np
import pytest

import nnvis as nv
from kernels.cpu import jit
from nnvis import zoo
from nnvis.errors import NnvisError

SMALL = {
    "lenet5": lambda: zoo.lenet5(),
    "resnet20": lambda: zoo.resnet20(),
    "mobilenet_v2": lambda: zoo.mobilenet_v2(input_shape=(32, 32, 3), num_classes=10),
    "mlp": lambda: zoo.mlp(),
    "condconv_resnet20": lambda: zoo.condconv_resnet20(),  # mixes filters for every image
    "nonlocal_resnet20": lambda: zoo.nonlocal_resnet20(),
    "deform_resnet20": lambda: zoo.deform_resnet20(),
}


def network(name: str) -> nv.Network:
    """A network whose normalisations have seen a batch."""
    net = nv.Network(SMALL[name]())
    net.forward(images(net, 8), training=True)
    return net


def images(net: nv.Network, count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, *net.input_shape)).astype(np.float32)


@pytest.mark.parametrize("count", [1, 3, 40])
@pytest.mark.parametrize("name", SMALL)
def test_the_same_bits_frozen_or_not(name, count):
    net = network(name)
    batches = [images(net, count), images(net, count, seed=1)]
    expected = [net.forward(x) for x in batches]
    assert not np.array_equal(*expected)
    with net.frozen():
        for x, answers in 2 * list(zip(batches, expected, strict=True)):
            np.testing.assert_array_equal(net.forward(x), answers)
    np.testing.assert_array_equal(net.forward(batches[0]), expected[0])


def calls_of_a_pass(net: nv.Network, x: np.ndarray, monkeypatch) -> int:
    """Kernel calls that are made when a pass is repeated."""
    found = []
    noted = jit.note_calls

    def note(work, constants=False):
        calls = noted(work, constants)
        found.append(len(calls))
        return calls

    monkeypatch.setattr("kernels.cpu.repeat.note_calls", note)
    net.forward(x)
    return sum(found)


@pytest.mark.parametrize("name", ["resnet20", "mobilenet_v2"])
def test_weights_are_packed_and_folded_only_once(name, monkeypatch):
    net = network(name)
    x = images(net, 8)
    every_time = calls_of_a_pass(net, x, monkeypatch)
    with net.frozen():
        once = calls_of_a_pass(net, x, monkeypatch)
    convolutions = sum(isinstance(node.layer, nv.Conv2d) for node in net.graph.order())
    assert once <= every_time - convolutions  # the folding of each normalisation, and packed weights


def test_two_networks_keep_their_own_weights():
    one, other = network("resnet20"), nv.Network(zoo.resnet20(), seed=5)
    x = images(one, 4)
    expected = one.forward(x), other.forward(x)
    with one.frozen(), other.frozen():
        for _ in range(2):
            np.testing.assert_array_equal(one.forward(x), expected[0])
            np.testing.assert_array_equal(other.forward(x), expected[1])


def test_loaded_weights_count_at_once():
    net = network("resnet20")
    x, other = images(net, 2), nv.Network(zoo.resnet20(), seed=9)
    with net.frozen():
        before = net.forward(x)
        net.load_state_dict(other.state_dict())
        np.testing.assert_array_equal(net.forward(x), other.forward(x))
    assert not np.array_equal(before, other.forward(x))


def test_what_is_written_into_arrays_counts_after_the_block():
    net = network("resnet20")
    x = images(net, 2)
    before = net.forward(x)
    with net.frozen():
        net.forward(x)
        for value in net.parameters.values.values():
            value *= 0.5
    after = net.forward(x)
    assert not np.array_equal(before, after)
    with net.frozen():
        np.testing.assert_array_equal(net.forward(x), after)


def test_nothing_is_trained_meanwhile():
    net = network("lenet5")
    x = images(net, 4)
    with net.frozen():
        with pytest.raises(NnvisError, match="The network is frozen"):
            net.forward(x, training=True)
        with net.frozen():
            pass
        with pytest.raises(NnvisError, match="The network is frozen"):
            net.forward(x, training=True)
    net.forward(x, training=True)


def test_activations_and_saliency_are_there_as_ever():
    net = network("resnet20")
    x = images(net, 2)
    scores = net.forward(x)
    kept = {node.name: net.activation(node.name) for node in net.graph.order()}
    gradient = net.backward(np.ones_like(scores))
    with net.frozen():
        scores = net.forward(x)
        for name, values in kept.items():
            np.testing.assert_array_equal(net.activation(name), values)
        np.testing.assert_array_equal(net.backward(np.ones_like(scores)), gradient)


def test_the_reference_device_can_be_frozen_too():
    net = nv.Network(zoo.lenet5(), device="reference")
    x = images(net, 2)
    expected = net.forward(x)
    with net.frozen():
        np.testing.assert_array_equal(net.forward(x), expected)
