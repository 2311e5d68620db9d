"""Plans make the kernel calls of most layers again without asking them: nobody can tell by the numbers."""

from __future__ import annotations

import numpy as np
import pytest

import nnvis as nv
from nnvis.device import Device
from nnvis.layers import LAYERS
from tests.nnvis import small


def learned(graph: nv.Graph, steps: int = 3) -> tuple[list[float], dict[str, np.ndarray]]:
    net = nv.Network(graph, seed=1)
    random = np.random.default_rng(0)
    trainer = nv.Trainer(net, optimizer=nv.SGD(lr=0.05, momentum=0.9))
    losses = []
    for _ in range(steps):
        x = random.normal(size=(4, *graph.input_shape)).astype(np.float32)
        losses.append(trainer.step(x, random.integers(0, 10, 4)))
    return losses, net.state_dict() | {"scores": net.forward(x)} | {"again": net.forward(x[::-1].copy())}


@pytest.mark.parametrize("name", ["lenet5", "resnet20", "shufflenet_v2_x0_5"])
def test_a_network_learns_the_same_bits_as_one_whose_layers_are_asked_every_time(name, monkeypatch):
    graph = getattr(nv.zoo, name)(10)
    losses, state = learned(graph)
    monkeypatch.setattr(Device, "repeated", lambda self, work, constants=False: work)
    others, other = learned(graph)
    assert losses == others
    assert small.same_state(state, other)


def test_looking_at_a_pass_again_leaves_running_statistics_alone():
    net = small.conv_net("cpu")
    x = np.random.default_rng(0).normal(size=(6, 8, 8, 1)).astype(np.float32)
    for _ in range(3):
        net.forward(x, training=True)
        before = net.state_dict()
        net.activation("bn")
        assert small.same_state(before, net.state_dict())


def test_preparing_after_steps_computes_nothing():
    net = small.conv_net("cpu")
    trainer = nv.Trainer(net)
    x = np.random.default_rng(0).normal(size=(6, 8, 8, 1)).astype(np.float32)
    for _ in range(2):
        trainer.step(x, np.arange(6) % 3)
    before, gradients = net.state_dict(), net.gradients()
    trainer.prepare(6)
    assert small.same_state(before, net.state_dict())
    assert small.same_state(gradients, net.gradients())


def test_a_layer_with_passes_of_its_own_is_asked_every_time():
    class Twice(nv.ReLU, listed=False):
        pass

    class Other(nv.ReLU):
        def forward(self, at):
            np.maximum(at.x, 0, out=at.y)

    LAYERS.pop("Other")
    assert Twice.repeats and nv.MaxPool2d.repeats and nv.GlobalAvgPool2d.repeats and nv.AdaptiveAvgPool2d.repeats
    assert not Other.repeats
