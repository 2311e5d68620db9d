"""MnasNet B1 and A1 beside the same networks written in PyTorch."""

from __future__ import annotations

from collections import OrderedDict

import pytest

import nnvis as nv
from tests.nnvis.torch_twin import assert_twins_agree, shake_batch_norms, torch

nn = torch.nn


def conv(inputs: int, channels: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Module:
    return nn.Conv2d(inputs, channels, kernel, stride, kernel // 2, groups=groups, bias=False)


def norm(channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels, momentum=3e-4)


class BlockB1(nn.Module):
    def __init__(self, inputs: int, channels: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        hidden = inputs * expansion
        layers = [conv(inputs, hidden), norm(hidden), nn.ReLU()]
        layers += [conv(hidden, hidden, kernel, stride, hidden), norm(hidden), nn.ReLU()]
        self.layers = nn.Sequential(*layers, conv(hidden, channels), norm(channels))
        self.skip = stride == 1 and inputs == channels

    def forward(self, x):
        return self.layers(x) + x if self.skip else self.layers(x)


def mnasnet_b1() -> nn.Module:
    """Width 1/4."""
    layers = [conv(3, 8, 3, 2), norm(8), nn.ReLU(), conv(8, 8, 3, 1, 8), norm(8), nn.ReLU(), conv(8, 8), norm(8)]
    rows = (
        (8, 3, 2, 3, 3), (16, 5, 2, 3, 3), (24, 5, 2, 6, 3), (24, 3, 1, 6, 2), (48, 5, 2, 6, 4), (80, 3, 1, 6, 1),
    )  # fmt: skip
    inputs = 8
    for channels, kernel, stride, expansion, count in rows:
        stack = []
        for block in range(count):
            stack.append(BlockB1(inputs, channels, kernel, 1 if block else stride, expansion))
            inputs = channels
        layers.append(nn.Sequential(*stack))
    layers += [conv(80, 1280), norm(1280), nn.ReLU()]
    ends = OrderedDict(pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten())
    ends["classifier"] = nn.Sequential(nn.Dropout(0), nn.Linear(1280, 10))
    return nn.Sequential(OrderedDict(layers=nn.Sequential(*layers)) | ends)


class SqueezeExcite(nn.Module):
    def __init__(self, channels: int, squeezed: int):
        super().__init__()
        self.conv_reduce, self.conv_expand = nn.Conv2d(channels, squeezed, 1), nn.Conv2d(squeezed, channels, 1)

    def forward(self, x):
        return x * self.conv_expand(self.conv_reduce(x.mean((2, 3), keepdim=True)).relu()).sigmoid()


class BlockA1(nn.Module):
    def __init__(self, inputs: int, channels: int, kernel: int, stride: int, expansion: int, se: bool):
        super().__init__()
        hidden = inputs * expansion
        self.conv_pw, self.bn1 = conv(inputs, hidden), norm(hidden)
        self.conv_dw, self.bn2 = conv(hidden, hidden, kernel, stride, hidden), norm(hidden)
        self.se = SqueezeExcite(hidden, inputs // 4) if se else nn.Identity()
        self.conv_pwl, self.bn3 = conv(hidden, channels), norm(channels)
        self.skip = stride == 1 and inputs == channels

    def forward(self, x):
        y = self.bn1(self.conv_pw(x)).relu()
        y = self.se(self.bn2(self.conv_dw(y)).relu())
        y = self.bn3(self.conv_pwl(y))
        return y + x if self.skip else y


class DepthwiseSeparable(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv_dw, self.bn1, self.conv_pw, self.bn2 = conv(8, 8, 3, 1, 8), norm(8), conv(8, 8), norm(8)

    def forward(self, x):
        return self.bn2(self.conv_pw(self.bn1(self.conv_dw(x)).relu()))


class MnasNetA1(nn.Module):
    """Width 1/4."""

    def __init__(self):
        super().__init__()
        self.conv_stem, self.bn1 = conv(3, 8, 3, 2), norm(8)
        stages, inputs = [nn.Sequential(DepthwiseSeparable())], 8
        rows = (
            (8, 3, 2, 6, 2, False), (16, 5, 2, 3, 3, True), (24, 3, 2, 6, 4, False), (32, 3, 1, 6, 2, True),
            (40, 5, 2, 6, 3, True), (80, 3, 1, 6, 1, False),
        )  # fmt: skip
        for channels, kernel, stride, expansion, count, se in rows:
            stage = []
            for block in range(count):
                stage.append(BlockA1(inputs, channels, kernel, 1 if block else stride, expansion, se))
                inputs = channels
            stages.append(nn.Sequential(*stage))
        self.blocks = nn.Sequential(*stages)
        self.conv_head, self.bn2, self.classifier = conv(80, 1280), norm(1280), nn.Linear(1280, 10)

    def forward(self, x):
        x = self.blocks(self.bn1(self.conv_stem(x)).relu())
        return self.classifier(self.bn2(self.conv_head(x)).relu().mean((2, 3)))


TWINS = {"mnasnet1_0": mnasnet_b1, "mnasnet_a1": MnasNetA1}


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("name", list(TWINS))
def test_logits_and_gradients_agree(name, training):
    torch.manual_seed(0)
    model = TWINS[name]()
    shake_batch_norms(model)
    graph = nv.zoo.build(name, num_classes=10, input_shape=(64, 64, 3), width_mult=0.25, dropout=0)
    assert_twins_agree(model, graph, training)


def test_running_statistics_move_as_slowly_as_the_authors_had_them():
    graph = nv.zoo.mnasnet1_0()
    assert {node.layer.momentum for node in graph if isinstance(node.layer, nv.BatchNorm2d)} == {3e-4}
