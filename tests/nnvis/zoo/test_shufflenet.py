"""ShuffleNet V2 beside the same network written in PyTorch."""

from __future__ import annotations

from collections import OrderedDict

import pytest

import nnvis as nv
from tests.nnvis.torch_twin import assert_twins_agree, shake_batch_norms, torch

nn = torch.nn


def conv(inputs: int, channels: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, channels, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]


def depthwise(channels: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False), nn.BatchNorm2d(channels)]


class Unit(nn.Module):
    def __init__(self, inputs: int, channels: int, stride: int):
        super().__init__()
        half = channels // 2
        self.stride = stride
        if stride == 2:
            self.branch1 = nn.Sequential(*depthwise(inputs, 2), *conv(inputs, half))
        entering = inputs if stride == 2 else half
        self.branch2 = nn.Sequential(*conv(entering, half), *depthwise(half, stride), *conv(half, half))

    def forward(self, x):
        left, right = (self.branch1(x), x) if self.stride == 2 else x.chunk(2, 1)
        y = torch.cat([left, self.branch2(right)], 1)
        return y.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)


def shufflenet(small: bool) -> nn.Module:
    """x0.5 with a quarter of the channels."""
    stem = [nn.Conv2d(3, 8, 3, 1 if small else 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU()]
    layers = OrderedDict(conv1=nn.Sequential(*stem))
    if not small:
        layers["maxpool"] = nn.MaxPool2d(3, 2, 1)
    inputs = 8
    for number, (channels, repeats) in enumerate(((16, 4), (24, 8), (48, 4)), 2):
        first = Unit(inputs, channels, 2)
        layers[f"stage{number}"] = nn.Sequential(first, *[Unit(channels, channels, 1) for _ in range(repeats - 1)])
        inputs = channels
    layers["conv5"] = nn.Sequential(*conv(inputs, 256))
    ends = OrderedDict(pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), fc=nn.Linear(256, 10))
    return nn.Sequential(layers | ends)


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("size", [64, 32])
def test_logits_and_gradients_agree(size, training):
    torch.manual_seed(0)
    model = shufflenet(small=size == 32)
    shake_batch_norms(model)
    graph = nv.zoo.shufflenet_v2_x0_5(10, (size, size, 3), width_mult=0.25)
    assert_twins_agree(model, graph, training)
