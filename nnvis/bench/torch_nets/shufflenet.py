"""ShuffleNet V2 in PyTorch."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

_REPEATS = (4, 8, 4)


def _conv(inputs: int, channels: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, channels, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]


def _depthwise(channels: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False), nn.BatchNorm2d(channels)]


class Unit(nn.Module):
    """Half of the channels passes by; where the image is halved, a branch takes them along."""

    def __init__(self, inputs: int, channels: int, stride: int):
        super().__init__()
        half = channels // 2
        self.stride = stride
        if stride == 2:
            self.branch1 = nn.Sequential(*_depthwise(inputs, 2), *_conv(inputs, half))
        entering = inputs if stride == 2 else half
        self.branch2 = nn.Sequential(*_conv(entering, half), *_depthwise(half, stride), *_conv(half, half))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        left, right = (self.branch1(x), x) if self.stride == 2 else x.chunk(2, 1)
        y = torch.cat([left, self.branch2(right)], 1)
        return y.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)


def shufflenet_v2(
    classes: int = 1000,
    small: bool = False,
    stem: int = 24,
    stages: tuple[int, ...] = (116, 232, 464),
    last: int = 1024,
) -> nn.Module:
    """Twin of ``zoo.shufflenet_v2_x1_0``; `small` is the form for 32x32 images."""
    first = [nn.Conv2d(3, stem, 3, 1 if small else 2, 1, bias=False), nn.BatchNorm2d(stem), nn.ReLU(inplace=True)]
    layers: OrderedDict[str, nn.Module] = OrderedDict(conv1=nn.Sequential(*first))
    if not small:
        layers["maxpool"] = nn.MaxPool2d(3, 2, 1)
    inputs = stem
    for number, (channels, repeats) in enumerate(zip(stages, _REPEATS, strict=True), 2):
        units = [Unit(inputs, channels, 2), *[Unit(channels, channels, 1) for _ in range(repeats - 1)]]
        layers[f"stage{number}"] = nn.Sequential(*units)
        inputs = channels
    layers["conv5"] = nn.Sequential(*_conv(inputs, last))
    ends = OrderedDict(pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), fc=nn.Linear(last, classes))
    return nn.Sequential(layers | ends)
