"""ResNet-20 for CIFAR with gates, attention and deformable convolution, beside the same written in PyTorch."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import pytest

import nnvis as nv
from nnvis.errors import ConfigError
from tests.nnvis.torch_twin import assert_twins_agree, shake_batch_norms, torch
from tests.nnvis.zoo.test_resnet import Deformable, NonLocal, SqueezeExcite

nn = torch.nn


class BasicBlock(nn.Module):
    """Its shortcut picks every second pixel and adds zero channels (option A)."""

    def __init__(self, inputs: int, channels: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, channels, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.se, self.nl = nn.Identity(), nn.Identity()
        self.stride, self.grows = stride, channels - inputs

    def branch(self, x):
        return self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))

    def forward(self, x):
        picked = x[:, :, :: self.stride, :: self.stride]
        half = self.grows // 2
        shortcut = nn.functional.pad(picked, (0, 0, 0, 0, half, self.grows - half))
        return self.nl((self.se(self.branch(x)) + shortcut).relu())


def cifar(width: int, block: Callable[[int, int, int, int, int], nn.Module]) -> nn.Module:
    """Nine blocks, each made by ``block(stage, number, inputs, channels, stride)``."""
    layers = OrderedDict(conv1=nn.Conv2d(3, width, 3, 1, 1, bias=False), bn1=nn.BatchNorm2d(width), relu=nn.ReLU())
    inputs = width
    for stage in range(3):
        channels, made = width * 2**stage, []
        for number in range(3):
            made.append(block(stage, number, inputs, channels, 2 if stage and not number else 1))
            inputs = channels
        layers[f"layer{stage + 1}"] = nn.Sequential(*made)
    layers |= OrderedDict(avgpool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), fc=nn.Linear(inputs, 10))
    return nn.Sequential(layers)


def gated(stage: int, number: int, inputs: int, channels: int, stride: int) -> nn.Module:
    block = BasicBlock(inputs, channels, stride)
    block.se = SqueezeExcite(channels, max(1, channels // 16))
    return block


def attentive(stage: int, number: int, inputs: int, channels: int, stride: int) -> nn.Module:
    block = BasicBlock(inputs, channels, stride)
    if stage and number == 1:
        block.nl = NonLocal(channels)
    return block


def bent(version: int) -> Callable[[int, int, int, int, int], nn.Module]:
    def block(stage: int, number: int, inputs: int, channels: int, stride: int) -> nn.Module:
        made = BasicBlock(inputs, channels, stride)
        if stage == 2:
            made.conv2 = Deformable(channels, 1, version)
        return made

    return block


CASES = {
    "se_resnet20": (gated, {}),
    "nonlocal_resnet20": (attentive, {}),
    "deform_resnet20": (bent(2), {}),
    "deform_resnet20, version 1": (bent(1), {"version": 1}),
}


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("case", list(CASES))
def test_logits_and_gradients_agree(case, training):
    torch.manual_seed(0)
    block, options = CASES[case]
    model = cifar(8, block)
    shake_batch_norms(model)
    graph = nv.zoo.build(case.partition(",")[0], num_classes=10, input_shape=(16, 16, 3), width=8, **options)
    assert_twins_agree(model, graph, training)


def test_parameters_are_those_of_a_resnet20_and_what_the_formulas_say():
    plain = nv.zoo.resnet20().num_parameters()
    gates = sum(3 * (2 * c * (c // 16) + c // 16 + c) for c in (16, 32, 64))
    assert nv.zoo.se_resnet20().num_parameters() == plain + gates
    # Three 1x1 convolutions to half of the channels and one back, all with biases.
    attention = sum(3 * (c * c // 2 + c // 2) + c // 2 * c + c for c in (32, 64))
    assert nv.zoo.nonlocal_resnet20().num_parameters() == plain + attention
    for version, outputs in ((1, 18), (2, 27)):
        offsets = 3 * (9 * 64 * outputs + outputs)
        assert nv.zoo.deform_resnet20(version=version).num_parameters() == plain + offsets


def test_the_gated_one_is_the_option_of_the_plain_one():
    named, option = nv.zoo.se_resnet20(), nv.zoo.resnet20(se=True)
    x, nets = np.random.default_rng(0).normal(size=(2, 32, 32, 3)), [nv.Network(named), nv.Network(option)]
    np.testing.assert_array_equal(nets[0].forward(x), nets[1].forward(x))


def test_attention_and_offsets_do_nothing_at_first():
    plain, x = nv.Network(nv.zoo.resnet20()), np.random.default_rng(0).normal(size=(2, 32, 32, 3))
    for graph in (nv.zoo.nonlocal_resnet20(), nv.zoo.deform_resnet20(version=1)):
        net = nv.Network(graph)
        plain.load_state_dict(net.state_dict(), strict=False)
        np.testing.assert_allclose(net.forward(x), plain.forward(x), rtol=1e-3, atol=1e-4)
    with pytest.raises(ConfigError, match="versions 1 and 2"):
        nv.zoo.deform_resnet20(version=3)
