"""CondConv MobileNet V1 beside the same network written in PyTorch."""

from __future__ import annotations

import pytest

import nnvis as nv
from tests.nnvis.torch_twin import assert_twins_agree, shake_batch_norms, torch
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
    def __init__(self):
        super().__init__(256, 10, 1, bias=True)
        self.routing_fn = nn.Linear(256, EXPERTS)

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


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_logits_and_gradients_agree(training):
    torch.manual_seed(0)
    model = CondConvMobileNet()
    shake_batch_norms(model)
    graph = nv.zoo.condconv_mobilenet_v1(10, (64, 64, 3), experts=EXPERTS, dropout=0, width_mult=0.25)
    assert_twins_agree(model, graph, training)


def test_with_experts_that_are_all_alike_it_is_a_mobilenet():
    conditional, plain = nv.zoo.condconv_mobilenet_v1(experts=1), nv.zoo.mobilenet_v1()
    routing = sum(row.parameters for row in conditional.summary() if row.kind == "Linear")
    assert conditional.num_parameters() - routing == plain.num_parameters()
