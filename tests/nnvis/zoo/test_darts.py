"""The network of DARTS beside the same network written in PyTorch."""

from __future__ import annotations

import pytest

import nnvis as nv
from tests.nnvis.torch_twin import assert_twins_agree, shake_batch_norms, torch

nn = torch.nn


def conv(inputs: int, channels: int, kernel: int = 1, stride: int = 1) -> nn.Module:
    return nn.Conv2d(inputs, channels, kernel, stride, kernel // 2, bias=False)


class Separable(nn.Module):
    def __init__(self, channels: int, stride: int, dilation: int = 1, times: int = 1):
        super().__init__()
        layers = []
        for step in (stride, 1)[:times]:
            depthwise = nn.Conv2d(channels, channels, 3, step, dilation, dilation, groups=channels, bias=False)
            layers += [nn.ReLU(), depthwise, conv(channels, channels), nn.BatchNorm2d(channels)]
        self.op = nn.Sequential(*layers)

    def forward(self, x):
        return self.op(x)


class FactorizedReduce(nn.Module):
    def __init__(self, inputs: int, channels: int):
        super().__init__()
        self.conv_1, self.conv_2 = conv(inputs, channels // 2, 1, 2), conv(inputs, channels // 2, 1, 2)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x):
        x = x.relu()
        return self.bn(torch.cat([self.conv_1(x), self.conv_2(x[:, :, 1:, 1:])], 1))


class ReluConvBn(nn.Module):
    def __init__(self, inputs: int, channels: int):
        super().__init__()
        self.op = nn.Sequential(nn.ReLU(), conv(inputs, channels), nn.BatchNorm2d(channels))

    def forward(self, x):
        return self.op(x)


SEP, DIL, POOL, SKIP = "sep", "dil", "pool", "skip"
NORMAL = ((SEP, 0), (SEP, 1), (SEP, 0), (SEP, 1), (SEP, 1), (SKIP, 0), (SKIP, 0), (DIL, 2))
REDUCE = ((POOL, 0), (POOL, 1), (SKIP, 2), (POOL, 1), (POOL, 0), (SKIP, 2), (SKIP, 2), (POOL, 1))


def operation(kind: str, channels: int, stride: int) -> nn.Module:
    if kind == SKIP:
        return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels)
    if kind == POOL:
        return nn.MaxPool2d(3, stride, 1)
    return Separable(channels, stride, times=2) if kind == SEP else Separable(channels, stride, dilation=2)


class Cell(nn.Module):
    def __init__(self, before: int, last: int, channels: int, reduction: bool, reduction_before: bool):
        super().__init__()
        self.preprocess0 = (FactorizedReduce if reduction_before else ReluConvBn)(before, channels)
        self.preprocess1 = ReluConvBn(last, channels)
        self.edges = REDUCE if reduction else NORMAL
        made = [operation(kind, channels, 2 if reduction and source < 2 else 1) for kind, source in self.edges]
        self._ops = nn.ModuleList(made)

    def forward(self, before, last):
        states = [self.preprocess0(before), self.preprocess1(last)]
        for node in range(4):
            pair = range(2 * node, 2 * node + 2)
            states.append(sum(self._ops[i](states[self.edges[i][1]]) for i in pair))
        return torch.cat(states[2:], 1)


class Head(nn.Module):
    def __init__(self, inputs: int, small: bool):
        super().__init__()
        layers = [nn.ReLU(), nn.AvgPool2d(5, 3 if small else 2, 0, count_include_pad=False), conv(inputs, 128)]
        layers += [nn.BatchNorm2d(128), nn.ReLU(), nn.Conv2d(128, 768, 2, bias=False)]
        self.features = nn.Sequential(*layers, *[nn.BatchNorm2d(768)] * small, nn.ReLU())
        self.classifier = nn.Linear(768, 10)

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


class Darts(nn.Module):
    """Three cells on 4 channels; the two last ones reduce."""

    def __init__(self, small: bool, aux: bool):
        super().__init__()
        if small:
            self.stem = nn.Sequential(conv(3, 12, 3), nn.BatchNorm2d(12))
            before = last = 12
        else:
            first = [conv(3, 4, 3, 2), nn.BatchNorm2d(4), nn.ReLU(), conv(4, 8, 3, 2), nn.BatchNorm2d(8)]
            self.stem0 = nn.Sequential(*first)
            self.stem1 = nn.Sequential(nn.ReLU(), conv(8, 8, 3, 2), nn.BatchNorm2d(8))
            before = last = 8
        cells, channels, reduced = [], 4 if small else 8, not small
        for number in range(3):
            reduction = number > 0
            channels *= 2 if reduction else 1
            cells.append(Cell(before, last, channels, reduction, reduced))
            before, last, reduced = last, 4 * channels, reduction
        self.small, self.cells = small, nn.ModuleList(cells)
        self.auxiliary_head = Head(last, small) if aux else None
        self.classifier = nn.Linear(last, 10)

    def forward(self, x):
        if self.small:
            before = last = self.stem(x)
        else:
            before = self.stem0(x)
            last = self.stem1(before)
        for cell in self.cells:
            before, last = last, cell(before, last)
        logits = self.classifier(last.mean((2, 3)))
        return (logits, self.auxiliary_head(last)) if self.training and self.auxiliary_head else logits


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize(("size", "aux"), [(32, True), (64, False), (224, True)])
def test_logits_and_gradients_agree(size, aux, training):
    torch.manual_seed(0)
    model = Darts(small=size == 32, aux=aux)
    shake_batch_norms(model)
    width = 4 / 36 if size == 32 else 8 / 48
    graph = nv.zoo.darts_v2(10, (size, size, 3), aux, num_layers=3, width_mult=width)
    assert_twins_agree(model, graph, training, batch=2 if size == 224 else 4)


def test_drop_path_touches_all_operations_but_identities():
    graph = nv.zoo.darts_v2(10, (32, 32, 3), drop_path=0.2)
    dropped = sum(isinstance(node.layer, nv.StochasticDepth) for node in graph)
    assert dropped == 18 * 6 + 2 * 5
    assert nv.zoo.darts_v2(10, (32, 32, 3)).num_parameters() == graph.num_parameters()
