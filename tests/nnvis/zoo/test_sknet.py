"""SKNet beside the same network written in PyTorch."""

from __future__ import annotations

from collections import OrderedDict

import pytest

import nnvis as nv
from tests.nnvis.torch_twin import assert_twins_agree, shake_batch_norms, torch

nn = torch.nn
GROUPS = 4
BLOCKS = (1, 2, 2, 1)


def conv(inputs: int, channels: int, kernel: int = 1, stride: int = 1, dilation: int = 1, groups: int = 1) -> nn.Module:
    padding = dilation * (kernel // 2)
    one = nn.Conv2d(inputs, channels, kernel, stride, padding, dilation, groups, bias=False)
    return nn.Sequential(OrderedDict(conv=one, bn=nn.BatchNorm2d(channels)))


class Attention(nn.Module):
    def __init__(self, channels: int, squeezed: int):
        super().__init__()
        self.fc_reduce, self.bn = nn.Conv2d(channels, squeezed, 1, bias=False), nn.BatchNorm2d(squeezed)
        self.fc_select = nn.Conv2d(squeezed, 2 * channels, 1, bias=False)

    def forward(self, x):
        x = self.fc_select(self.bn(self.fc_reduce(x.mean((2, 3), keepdim=True))).relu())
        return x.unflatten(1, (2, -1)).softmax(1)


class SelectiveKernel(nn.Module):
    def __init__(self, channels: int, stride: int):
        super().__init__()
        self.paths = nn.ModuleList([conv(channels, channels, 3, stride, dilation, GROUPS) for dilation in (1, 2)])
        self.attn = Attention(channels, 32)

    def forward(self, x):
        paths = torch.stack([path(x).relu() for path in self.paths], 1)
        return (paths * self.attn(paths.sum(1))).sum(1)


class Block(nn.Module):
    def __init__(self, inputs: int, channels: int, stride: int):
        super().__init__()
        self.conv1, self.conv2 = conv(inputs, channels), SelectiveKernel(channels, stride)
        self.conv3, self.downsample = conv(channels, 2 * channels), nn.Identity()
        if stride > 1 or inputs != 2 * channels:
            pick = nn.Conv2d(inputs, 2 * channels, 1, stride, bias=False)
            self.downsample = nn.Sequential(pick, nn.BatchNorm2d(2 * channels))

    def forward(self, x):
        return (self.conv3(self.conv2(self.conv1(x).relu())) + self.downsample(x)).relu()


def sknet(small: bool) -> nn.Module:
    """Width 1/8, and six units in all."""
    stem = nn.Conv2d(3, 8, 3, 1, 1, bias=False) if small else nn.Conv2d(3, 8, 7, 2, 3, bias=False)
    layers = OrderedDict(conv1=stem, bn1=nn.BatchNorm2d(8), act1=nn.ReLU())
    if not small:
        layers["maxpool"] = nn.MaxPool2d(3, 2, 1)
    inputs = 8
    for stage, count in enumerate(BLOCKS):
        channels, made = 16 * 2**stage, []
        for block in range(count):
            made.append(Block(inputs, channels, 2 if stage and not block else 1))
            inputs = 2 * channels
        layers[f"layer{stage + 1}"] = nn.Sequential(*made)
    return nn.Sequential(layers | OrderedDict(pool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(), fc=nn.Linear(256, 10)))


class SplitSelectiveKernel(nn.Module):
    """Each path reads one half of the channels."""

    def __init__(self, inputs: int, channels: int, stride: int):
        super().__init__()
        self.paths = nn.ModuleList([conv(inputs // 2, channels, 3, stride, dilation) for dilation in (1, 2)])
        self.attn = Attention(channels, 16)

    def forward(self, x):
        halves = zip(self.paths, x.chunk(2, 1), strict=True)
        paths = torch.stack([path(half).relu() for path, half in halves], 1)
        return (paths * self.attn(paths.sum(1))).sum(1)


class BasicBlock(nn.Module):
    def __init__(self, inputs: int, channels: int, stride: int):
        super().__init__()
        self.conv1, self.conv2 = SplitSelectiveKernel(inputs, channels, stride), conv(channels, channels, 3)
        self.downsample = nn.Identity()
        if stride > 1:
            pick = nn.Conv2d(inputs, channels, 1, stride, bias=False)
            self.downsample = nn.Sequential(pick, nn.BatchNorm2d(channels))

    def forward(self, x):
        return (self.conv2(self.conv1(x)) + self.downsample(x)).relu()


def sk_resnet18(small: bool) -> nn.Module:
    """Width 1/4."""
    stem = nn.Conv2d(3, 16, 3, 1, 1, bias=False) if small else nn.Conv2d(3, 16, 7, 2, 3, bias=False)
    layers = OrderedDict(conv1=stem, bn1=nn.BatchNorm2d(16), act1=nn.ReLU())
    if not small:
        layers["maxpool"] = nn.MaxPool2d(3, 2, 1)
    inputs = 16
    for stage, channels in enumerate((16, 32, 64, 128)):
        first = BasicBlock(inputs, channels, 2 if stage else 1)
        layers[f"layer{stage + 1}"] = nn.Sequential(first, BasicBlock(channels, channels, 1))
        inputs = channels
    return nn.Sequential(layers | OrderedDict(pool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(), fc=nn.Linear(128, 10)))


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("size", [64, 32])
def test_sk_resnet18_agrees(size, training):
    torch.manual_seed(0)
    model = sk_resnet18(small=size == 32)
    shake_batch_norms(model)
    graph = nv.zoo.sk_resnet18(10, (size, size, 3), width_mult=0.25)
    assert_twins_agree(model, graph, training, batch=8)


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("size", [64, 16])
def test_logits_and_gradients_agree(size, training):
    torch.manual_seed(0)
    model = sknet(small=size == 16)
    shake_batch_norms(model)
    graph = nv.zoo.sknet50(10, (size, size, 3), BLOCKS, GROUPS, width_mult=0.125)
    # A batch norm within each gate sees one value of each image.
    assert_twins_agree(model, graph, training, batch=8)
