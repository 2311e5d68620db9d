"""MobileNet V2 in PyTorch."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

from nnvis.blocks.chains import scaled

#: Expansion, output channels, number of blocks and first stride of each stage.
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def conv_bn(inputs: int, channels: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Module:
    """A convolution with batch normalisation and ReLU6."""
    conv = nn.Conv2d(inputs, channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU6(inplace=True))


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution, projection."""

    def __init__(self, inputs: int, channels: int, stride: int, expansion: int):
        super().__init__()
        hidden = inputs * expansion
        layers = [conv_bn(inputs, hidden, 1)] if expansion != 1 else []
        layers += [conv_bn(hidden, hidden, 3, stride, hidden), nn.Conv2d(hidden, channels, 1, bias=False)]
        self.conv = nn.Sequential(*layers, nn.BatchNorm2d(channels))
        self.skip = stride == 1 and inputs == channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv(x) if self.skip else self.conv(x)


def mobilenet_v2(classes: int = 1000, small: bool = False, width: float = 1.0, dropout: float = 0.2) -> nn.Module:
    """Twin of ``zoo.mobilenet_v2``; `small` is the form for 32x32 images."""
    inputs = scaled(32, width)
    layers: list[nn.Module] = [conv_bn(3, inputs, 3, 1 if small else 2)]
    for stage, (expansion, channels, blocks, stride) in enumerate(_STAGES):
        for block in range(blocks):
            step = 1 if block or (small and stage == 1) else stride
            layers.append(InvertedResidual(inputs, scaled(channels, width), step, expansion))
            inputs = scaled(channels, width)
    last = scaled(1280, max(1.0, width))
    features = nn.Sequential(*layers, conv_bn(inputs, last, 1))
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(last, classes))
    return nn.Sequential(OrderedDict(features=features, pool=pool, classifier=classifier))
