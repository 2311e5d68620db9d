"""CondConv MobileNets and ResNet-20 beside the same networks written in PyTorch."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest

import nnvis as nv
from tests.nnvis.torch_twin import assert_twins_agree, shake_batch_norms, torch, torch_nets
from tests.nnvis.zoo.test_cifar import BasicBlock, cifar
from tests.nnvis.zoo.test_mobilenet import DepthwiseSeparable

nn = torch.nn
EXPERTS = 3


class CondConv(nn.Module):
    """Every expert's output, weighted and added up."""

    def __init__(self, inputs: int, channels: int, kernel: int, stride: int = 1, groups: int = 1, bias: bool = False):
        super().__init__()
        self.shape = (channels, inputs // groups, kernel, kernel)
        size = channels * inputs // groups * kernel**2
        self.weight = nn.Parameter(torch.randn(EXPERTS, size) / (kernel * (inputs / groups) ** 0.5))
        self.bias = nn.Parameter(torch.randn(EXPERTS, channels)) if bias else None
        self.options = {"stride": stride, "padding": kernel // 2, "groups": groups}

    def forward(self, x, routing):
        biases = [None] * EXPERTS if self.bias is None else self.bias
        made = [
            nn.functional.conv2d(x, weight.reshape(self.shape), bias, **self.options)
            for weight, bias in zip(self.weight, biases, strict=True)
        ]
        return sum(weight[:, None, None, None] * y for weight, y in zip(routing.T, made, strict=True))


class Conditional(nn.Module):
    def __init__(self, inputs: int, channels: int, stride: int):
        super().__init__()
        self.routing_fn = nn.Linear(inputs, EXPERTS)
        self.conv_dw, self.bn1 = CondConv(inputs, inputs, 3, stride, inputs), nn.BatchNorm2d(inputs)
        self.conv_pw, self.bn2 = CondConv(inputs, channels, 1), nn.BatchNorm2d(channels)

    def forward(self, x):
        routing = self.routing_fn(x.mean((2, 3))).sigmoid()
        x = self.bn1(self.conv_dw(x, routing)).relu()
        return self.bn2(self.conv_pw(x, routing)).relu()


class Classifier(CondConv):
    def __init__(self, inputs: int = 256):
        super().__init__(inputs, 10, 1, bias=True)
        self.routing_fn = nn.Linear(inputs, EXPERTS)

    def forward(self, x):
        routing = self.routing_fn(x.mean((2, 3))).sigmoid()
        return super().forward(x.mean((2, 3), keepdim=True), routing).flatten(1)


class CondConvMobileNet(nn.Module):
    """Width 0.25."""

    def __init__(self):
        super().__init__()
        self.conv_stem, self.bn1 = nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8)
        stages, inputs, count = [], 8, 0
        for channels, blocks, stride in ((16, 1, 1), (32, 2, 2), (64, 2, 2), (128, 6, 2), (256, 2, 2)):
            stage = []
            for block in range(blocks):
                kind = DepthwiseSeparable if count < 5 else Conditional
                stage.append(kind(inputs, channels, 1 if block else stride))
                inputs, count = channels, count + 1
            stages.append(nn.Sequential(*stage))
        self.blocks, self.classifier = nn.Sequential(*stages), Classifier()

    def forward(self, x):
        return self.classifier(self.blocks(self.bn1(self.conv_stem(x)).relu()))


class ConditionalInverted(nn.Module):
    """Expanded six times."""

    def __init__(self, inputs: int, channels: int, stride: int):
        super().__init__()
        hidden = 6 * inputs
        self.routing_fn = nn.Linear(inputs, EXPERTS)
        expand = nn.Sequential(CondConv(inputs, hidden, 1), nn.BatchNorm2d(hidden))
        depthwise = nn.Sequential(CondConv(hidden, hidden, 3, stride, hidden), nn.BatchNorm2d(hidden))
        self.conv = nn.ModuleList([expand, depthwise, CondConv(hidden, channels, 1), nn.BatchNorm2d(channels)])
        self.skip = stride == 1 and inputs == channels

    def forward(self, x):
        routing, y = self.routing_fn(x.mean((2, 3))).sigmoid(), x
        for conv, norm in self.conv[:2]:
            y = nn.functional.relu6(norm(conv(y, routing)))
        y = self.conv[3](self.conv[2](y, routing))
        return x + y if self.skip else y


def condconv_mobilenet_v2(small: bool) -> nn.Module:
    """Width 0.25; the last six of seventeen blocks are conditional."""
    stages = ((1, 8, 1, 1), (6, 8, 2, 2), (6, 8, 3, 2), (6, 16, 4, 2), (6, 24, 3, 1), (6, 40, 3, 2), (6, 80, 1, 1))
    layers, inputs = [torch_nets.mobilenet.conv_bn(3, 8, 3, 1 if small else 2)], 8
    for stage, (expansion, channels, blocks, stride) in enumerate(stages):
        for block in range(blocks):
            step = 1 if block or (small and stage == 1) else stride
            plain = len(layers) <= 11
            made = torch_nets.mobilenet.InvertedResidual(inputs, channels, step, expansion) if plain else None
            layers.append(made or ConditionalInverted(inputs, channels, step))
            inputs = channels
    features = nn.Sequential(*layers, torch_nets.mobilenet.conv_bn(80, 1280, 1))
    return nn.Sequential(OrderedDict(features=features, classifier=Classifier(1280)))


class ConditionalBasic(BasicBlock):
    def __init__(self, inputs: int, channels: int, stride: int):
        super().__init__(inputs, channels, stride)
        self.routing_fn = nn.Linear(inputs, EXPERTS)
        self.conv1, self.conv2 = CondConv(inputs, channels, 3, stride), CondConv(channels, channels, 3)

    def branch(self, x):
        routing = self.routing_fn(x.mean((2, 3))).sigmoid()
        y = self.bn1(self.conv1(x, routing)).relu()
        return self.bn2(self.conv2(y, routing))


def condconv_resnet20() -> nn.Module:
    """Width 8."""

    def block(stage: int, number: int, inputs: int, channels: int, stride: int) -> nn.Module:
        return (ConditionalBasic if stage == 2 else BasicBlock)(inputs, channels, stride)

    model = cifar(8, block)
    del model.avgpool, model.flatten
    model.fc = Classifier(32)
    return model


CASES = {
    "condconv_mobilenet_v1": (CondConvMobileNet, (64, 64, 3), {"dropout": 0, "width_mult": 0.25}),
    "condconv_mobilenet_v2": (lambda: condconv_mobilenet_v2(False), (64, 64, 3), {"dropout": 0, "width_mult": 0.25}),
    "condconv_mobilenet_v2, small": (
        lambda: condconv_mobilenet_v2(True), (32, 32, 3), {"dropout": 0, "width_mult": 0.25}
    ),
    "condconv_resnet20": (condconv_resnet20, (16, 16, 3), {"width": 8}),
}  # fmt: skip


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("case", list(CASES))
def test_logits_and_gradients_agree(case, training):
    torch.manual_seed(0)
    make, shape, options = CASES[case]
    model = make()
    shake_batch_norms(model)
    graph = nv.zoo.build(case.partition(",")[0], num_classes=10, input_shape=shape, experts=EXPERTS, **options)
    assert_twins_agree(model, graph, training)


def by_experts(filters: int, inputs: int, experts: int = 8) -> int:
    """Parameters that experts add to a block of so many filter values: theirs, and the routing's."""
    return (experts - 1) * filters + (inputs + 1) * experts


def test_parameters_of_the_conditional_mobilenet_v2_are_as_the_formula_says():
    #: Input and output channels of the last six inverted residuals.
    widths = (96, 96), (96, 96), (96, 160), (160, 160), (160, 160), (160, 320)
    blocks = sum(by_experts(6 * i * i + 9 * 6 * i + 6 * i * o, i) for i, o in widths)
    extra = blocks + by_experts(1280 * 1000 + 1000, 1280)
    assert nv.zoo.condconv_mobilenet_v2().num_parameters() == nv.zoo.mobilenet_v2().num_parameters() + extra


def test_parameters_of_the_conditional_resnet20_are_as_the_formula_says():
    blocks = sum(by_experts(9 * i * 64 + 9 * 64 * 64, i) for i in (32, 64, 64))
    extra = blocks + by_experts(64 * 10 + 10, 64)
    assert nv.zoo.condconv_resnet20().num_parameters() == nv.zoo.resnet20().num_parameters() + extra


def test_parameters_of_the_conditional_mobilenet_v1_are_as_the_formula_says():
    widths = [(256, 512)] + [(512, 512)] * 5 + [(512, 1024), (1024, 1024)]
    blocks = sum(by_experts(9 * i + i * o, i) for i, o in widths)
    extra = blocks + by_experts(1024 * 1000 + 1000, 1024)
    assert nv.zoo.condconv_mobilenet_v1().num_parameters() == nv.zoo.mobilenet_v1().num_parameters() + extra


def test_with_experts_that_are_all_alike_it_is_a_mobilenet():
    conditional, plain = nv.zoo.condconv_mobilenet_v1(experts=1), nv.zoo.mobilenet_v1()
    routing = sum(row.parameters for row in conditional.summary() if row.kind == "Linear")
    assert conditional.num_parameters() - routing == plain.num_parameters()


@pytest.mark.parametrize("name", ["condconv_mobilenet_v1", "condconv_mobilenet_v2", "condconv_resnet20"])
def test_networks_with_experts_are_trained_with_adam(name):
    defaults = nv.zoo.entry(name).defaults
    assert (defaults["optimizer"], defaults["lr"]) == ("adam", 1e-3)


def test_training_with_its_own_settings_shuts_off_no_experts():
    lr = nv.zoo.entry("condconv_resnet20").defaults["lr"]
    net = nv.Network(nv.zoo.condconv_resnet20(input_shape=(8, 8, 3), width=8))
    trainer, random = nv.Trainer(net, optimizer=nv.Adam(lr=lr)), np.random.default_rng(0)
    net.watch("fc.routing")
    for _ in range(12):
        trainer.step(random.normal(size=(32, 8, 8, 3)), random.integers(0, 10, 32))
    assert net.activation("fc.routing").mean() > 0.2
