"""At inference a batch normalisation is a part of the convolution before it: when, and that nothing is ever stale."""

from __future__ import annotations

import numpy as np
import pytest

import nnvis as nv
from nnvis.plan import Mode
from tests.nnvis.test_fusion import fused, images, residual, trained


def mobile() -> nv.Graph:
    """Depthwise and pointwise convolutions, with normalisation that has an activation behind it or none."""
    layers = [
        nv.Conv2d(16, padding=1, stride=2, bias=False), nv.BatchNorm2d(), nv.ReLU6(),
        nv.Conv2d(16, padding=1, groups=16), nv.BatchNorm2d(eps=1e-3), nv.ReLU6(),
        nv.Conv2d(7, 1), nv.BatchNorm2d(), nv.GlobalAvgPool2d(), nv.Linear(4),
    ]  # fmt: skip
    return nv.Sequential(layers, input_shape=(8, 8, 3))


GRAPHS = {"residual": residual, "mobile": mobile}


def learned(graph: nv.Graph, device: str = "cpu", **options) -> nv.Network:
    """A network whose normalisations have statistics of their own."""
    net = nv.Network(graph, device, seed=1, **options)
    trained(net)
    return net


def alike(net: nv.Network) -> np.ndarray:
    """The answers of a new network with the same state, which has no past."""
    twin = nv.Network(net.graph, net.device.name)
    twin.load_state_dict(net.state_dict())
    return twin.forward(images())


def test_convolution_and_normalisation_and_activation_are_one_step():
    assert fused(nv.Network(residual()), Mode())[:2] == [("conv2d", "bn1", "act1"), ("conv2", "bn2")]
    assert [len(covers) for covers in fused(nv.Network(mobile()), Mode())] == [3, 3, 2]


def test_they_stay_apart_where_gradients_flow_back_or_results_shall_be_exact():
    assert ("conv2", "bn2") not in fused(nv.Network(residual()), Mode(training=True, backward=True))
    assert fused(nv.Network(residual()), Mode(backward=True)) == []
    assert ("conv2", "bn2") not in fused(nv.Network(residual(), precision="exact"), Mode())


def test_a_convolution_with_two_readers_stays_apart():
    g = nv.Graph((8, 8, 3))
    conv = g.add(nv.Conv2d(4), g.input)
    g.output = g.add(nv.Add(), [g.add(nv.BatchNorm2d(), conv), conv])
    assert fused(nv.Network(g), Mode()) == []


@pytest.mark.parametrize("device", ["cpu", "reference"])
@pytest.mark.parametrize("name", GRAPHS)
def test_answers_are_equal_up_to_rounding(name, device):
    net = learned(GRAPHS[name](), device)
    answers = net.forward(images())
    net.watch("*")
    assert fused(net, Mode()) == []
    np.testing.assert_allclose(answers, net.forward(images()), rtol=1e-4, atol=1e-5)


def test_values_within_can_be_asked_for_after_the_pass():
    net = learned(residual())
    net.forward(images())
    found = {name: net.activation(name) for name in ("bn1", "conv2", "bn2", "add")}
    net.watch("*")
    net.forward(images())
    for name, values in found.items():
        np.testing.assert_allclose(values, net.activation(name), rtol=1e-4, atol=1e-5)


def test_an_exact_network_gives_the_same_bits_watched_or_not():
    net = learned(residual(), precision="exact")
    answers = net.forward(images())
    net.watch("*")
    np.testing.assert_array_equal(answers, net.forward(images()))


def train(net: nv.Network) -> None:
    trained(net, steps=1)


def load(net: nv.Network) -> None:
    net.load_state_dict({name: 0.9 * value for name, value in net.state_dict().items()})


def write_weights(net: nv.Network) -> None:
    net.parameters.values["bn.weight"][0] = 3
    net.parameters.values["conv.weight"][..., 1] *= 2


def write_statistics(net: nv.Network) -> None:
    net.buffers["bn.running_mean"] += 1
    net.buffers["bn.running_var"][...] = 2


def initialise(net: nv.Network) -> None:
    net.parameters.initialise(5)


@pytest.mark.parametrize("change", [train, load, write_weights, write_statistics, initialise])
def test_every_change_counts_from_the_next_answer_on(change):
    g = nv.Graph((8, 8, 3))
    normal = g.add(nv.BatchNorm2d(), g.add(nv.Conv2d(6, padding=1), g.input, name="conv"), name="bn")
    g.output = g.add(nv.Linear(4), g.add(nv.GlobalAvgPool2d(), g.add(nv.ReLU(), normal)))
    net = nv.Network(g)
    before = net.forward(images())
    change(net)
    after = net.forward(images())
    assert not np.allclose(before, after, rtol=1e-3)
    np.testing.assert_array_equal(after, alike(net))
