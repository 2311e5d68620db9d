"""MobileNet V1 and V2 beside the same networks written in PyTorch."""

from __future__ import annotations

from functools import partial

import pytest

import nnvis as nv
from nnvis.errors import ConfigError
from tests.nnvis.torch_twin import assert_twins_agree, shake_batch_norms, torch, torch_nets

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


TWINS = {"mobilenet_v1": MobileNetV1, "mobilenet_v2": partial(torch_nets.mobilenet_v2, 10, width=0.25, dropout=0)}


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
