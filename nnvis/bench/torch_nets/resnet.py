"""The ResNets for ImageNet in PyTorch."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn


class Block(nn.Module):
    """Basic or bottleneck; `se` and `nl` are places for what others put behind the convolutions and the block."""

    def __init__(self, inputs: int, channels: int, stride: int, bottleneck: bool):
        super().__init__()
        outputs = 4 * channels if bottleneck else channels
        kernels = ((1, 1), (3, stride), (1, 1)) if bottleneck else ((3, stride), (3, 1))
        widths = [inputs, *[channels] * (len(kernels) - 1), outputs]
        for number, (kernel, step) in enumerate(kernels):
            conv = nn.Conv2d(widths[number], widths[number + 1], kernel, step, kernel // 2, bias=False)
            setattr(self, f"conv{number + 1}", conv)
            setattr(self, f"bn{number + 1}", nn.BatchNorm2d(widths[number + 1]))
        self.channels, self.stride, self.outputs, self.count = channels, stride, outputs, len(kernels)
        self.se: nn.Module = nn.Identity()
        self.nl: nn.Module = nn.Identity()
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x
        for number in range(1, self.count + 1):
            y = self.get_submodule(f"bn{number}")(self.get_submodule(f"conv{number}")(y))
            y = y.relu_() if number < self.count else y
        return self.nl((self.se(y) + self.downsample(x)).relu_())


def resnet(
    blocks: tuple[int, ...] = (2, 2, 2, 2),
    bottleneck: bool = False,
    small: bool = False,
    classes: int = 1000,
    width: int = 64,
) -> nn.Module:
    """Twin of ``zoo.resnet18`` (these `blocks`) and its deeper kin, with `width` channels in the first stage."""
    stem = nn.Conv2d(3, width, 3, 1, 1, bias=False) if small else nn.Conv2d(3, width, 7, 2, 3, bias=False)
    layers: OrderedDict[str, nn.Module] = OrderedDict(conv1=stem, bn1=nn.BatchNorm2d(width), relu=nn.ReLU(inplace=True))
    if not small:
        layers["maxpool"] = nn.MaxPool2d(3, 2, 1)
    inputs = width
    for stage, count in enumerate(blocks):
        made = []
        for number in range(count):
            made.append(Block(inputs, width * 2**stage, 2 if stage and not number else 1, bottleneck))
            inputs = made[-1].outputs
        layers[f"layer{stage + 1}"] = nn.Sequential(*made)
    ends = OrderedDict(avgpool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), fc=nn.Linear(inputs, classes))
    return nn.Sequential(layers | ends)
