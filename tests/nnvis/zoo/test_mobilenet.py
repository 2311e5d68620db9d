"""MobileNet V1 and V2 beside the same networks written in PyTorch."""

from __future__ import annotations

from collections import OrderedDict

import pytest

import nnvis as nv
from nnvis.errors import ConfigError
from tests.nnvis.torch_twin import assert_twins_agree, shake_batch_norms, torch

nn = torch.nn


class DepthwiseSeparable(nn.Module):
    def __init__(self, inputs: int, channels: int, stride: int):
        super().__init__()
        self.conv_dw = nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False)
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv_pw = nn.Conv2d(inputs, channels, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x):
        x = self.bn1(self.conv_dw(x)).relu()
        return self.bn2(self.conv_pw(x)).relu()


class MobileNetV1(nn.Module):
    """Width 0.25."""

    def __init__(self, classes: int = 10):
        super().__init__()
        self.conv_stem = nn.Conv2d(3, 8, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        stages, inputs = [], 8
        for channels, blocks, stride in ((16, 1, 1), (32, 2, 2), (64, 2, 2), (128, 6, 2), (256, 2, 2)):
            stage = [DepthwiseSeparable(inputs, channels, stride)]
            stage += [DepthwiseSeparable(channels, channels, 1) for _ in range(blocks - 1)]
            stages.append(nn.Sequential(*stage))
            inputs = channels
        self.blocks = nn.Sequential(*stages)
        self.classifier = nn.Linear(256, classes)

    def forward(self, x):
        x = self.bn1(self.conv_stem(x)).relu()
        return self.classifier(self.blocks(x).mean((2, 3)))


def conv_bn(inputs: int, channels: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Module:
    conv = nn.Conv2d(inputs, channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU6())


class InvertedResidual(nn.Module):
    def __init__(self, inputs: int, channels: int, stride: int, expansion: int):
        super().__init__()
        hidden = inputs * expansion
        layers = [conv_bn(inputs, hidden, 1)] if expansion != 1 else []
        layers += [conv_bn(hidden, hidden, 3, stride, hidden), nn.Conv2d(hidden, channels, 1, bias=False)]
        self.conv = nn.Sequential(*layers, nn.BatchNorm2d(channels))
        self.skip = stride == 1 and inputs == channels

    def forward(self, x):
        return x + self.conv(x) if self.skip else self.conv(x)


def mobilenet_v2_quarter(classes: int = 10) -> nn.Module:
    """Width 0.25."""
    stages = ((1, 8, 1, 1), (6, 8, 2, 2), (6, 8, 3, 2), (6, 16, 4, 2), (6, 24, 3, 1), (6, 40, 3, 2), (6, 80, 1, 1))
    layers, inputs = [conv_bn(3, 8, 3, 2)], 8
    for expansion, channels, blocks, stride in stages:
        for block in range(blocks):
            layers.append(InvertedResidual(inputs, channels, 1 if block else stride, expansion))
            inputs = channels
    layers.append(conv_bn(80, 1280, 1))
    features = nn.Sequential(*layers)
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    classifier = nn.Sequential(nn.Dropout(0), nn.Linear(1280, classes))
    return nn.Sequential(OrderedDict(features=features, pool=pool, classifier=classifier))


TWINS = {"mobilenet_v1": MobileNetV1, "mobilenet_v2": mobilenet_v2_quarter}


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("name", list(TWINS))
def test_logits_and_gradients_agree(name, training):
    torch.manual_seed(0)
    model = TWINS[name]()
    shake_batch_norms(model)
    graph = nv.zoo.build(name, num_classes=10, input_shape=(64, 64, 3), width_mult=0.25, dropout=0)
    assert_twins_agree(model, graph, training)


@pytest.mark.parametrize("name", list(TWINS))
def test_small_images_are_halved_three_times_and_large_ones_five_times(name):
    last = {"mobilenet_v1": "blocks.4.1.act2", "mobilenet_v2": "features.18.2"}[name]
    for size, expected in ((32, 4), (224, 7)):
        assert nv.zoo.build(name, input_shape=(size, size, 3)).shapes()[last][:2] == (expected, expected)


def test_the_multipliers_of_mobilenet_scale_width_and_resolution():
    graph = nv.zoo.mobilenet_v1(width_mult=0.5, resolution_mult=160 / 224)
    assert graph.input_shape == (160, 160, 3)
    assert graph.num_parameters() == 1_331_592
    assert graph.multiply_adds() == pytest.approx(76e6, rel=0.02)  # the paper's table 8
    with pytest.raises(ConfigError, match="resolution_mult"):
        nv.zoo.mobilenet_v1(resolution_mult=0)
