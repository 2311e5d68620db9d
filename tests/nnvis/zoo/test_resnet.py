"""ResNet and SE-ResNet beside the same networks written in PyTorch."""

from __future__ import annotations

from collections import OrderedDict

import pytest

import nnvis as nv
from tests.nnvis.torch_twin import assert_twins_agree, shake_batch_norms, torch

nn = torch.nn


class SqueezeExcite(nn.Module):
    def __init__(self, channels: int, squeezed: int):
        super().__init__()
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x):
        return x * self.fc2(self.fc1(x.mean((2, 3), keepdim=True)).relu()).sigmoid()


class Block(nn.Module):
    """Basic or bottleneck."""

    def __init__(self, inputs: int, channels: int, stride: int, bottleneck: bool, se: bool):
        super().__init__()
        outputs = 4 * channels if bottleneck else channels
        kernels = ((1, 1), (3, stride), (1, 1)) if bottleneck else ((3, stride), (3, 1))
        widths = [inputs, *[channels] * (len(kernels) - 1), outputs]
        for number, (kernel, step) in enumerate(kernels):
            conv = nn.Conv2d(widths[number], widths[number + 1], kernel, step, kernel // 2, bias=False)
            setattr(self, f"conv{number + 1}", conv)
            setattr(self, f"bn{number + 1}", nn.BatchNorm2d(widths[number + 1]))
        self.count = len(kernels)
        self.se = SqueezeExcite(outputs, max(8, outputs // 16)) if se else nn.Identity()
        self.downsample = nn.Identity()
        if stride != 1 or inputs != outputs:
            conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = x
        for number in range(1, self.count + 1):
            y = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(y))
            y = y.relu() if number < self.count else y
        return (self.se(y) + self.downsample(x)).relu()


def resnet(blocks: tuple[int, ...], bottleneck: bool, small: bool = False, se: bool = False) -> nn.Module:
    """Width 1/8."""
    stem = nn.Conv2d(3, 8, 3, 1, 1, bias=False) if small else nn.Conv2d(3, 8, 7, 2, 3, bias=False)
    layers = OrderedDict(conv1=stem, bn1=nn.BatchNorm2d(8), relu=nn.ReLU())
    if not small:
        layers["maxpool"] = nn.MaxPool2d(3, 2, 1)
    inputs = 8
    for stage, count in enumerate(blocks):
        channels, made = 8 * 2**stage, []
        for block in range(count):
            made.append(Block(inputs, channels, 2 if stage and not block else 1, bottleneck, se))
            inputs = 4 * channels if bottleneck else channels
        layers[f"layer{stage + 1}"] = nn.Sequential(*made)
    layers |= OrderedDict(avgpool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), fc=nn.Linear(inputs, 10))
    return nn.Sequential(layers)


CASES = {
    "resnet18": (64, lambda: resnet((2, 2, 2, 2), False)),
    "resnet34": (32, lambda: resnet((3, 4, 6, 3), False, small=True)),
    "resnet50": (64, lambda: resnet((3, 4, 6, 3), True)),
    "se_resnet50": (64, lambda: resnet((3, 4, 6, 3), True, se=True)),
}


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("name", list(CASES))
def test_logits_and_gradients_agree(name, training):
    torch.manual_seed(0)
    size, make = CASES[name]
    model = make()
    shake_batch_norms(model)
    graph = nv.zoo.build(name, num_classes=10, input_shape=(size, size, 3), width_mult=0.125)
    assert_twins_agree(model, graph, training)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_small_images_are_halved_three_times_and_large_ones_five_times(name):
    last = nv.zoo.entry(name).build().nodes["avgpool"].inputs[0]
    for size, expected in ((32, 4), (224, 7)):
        assert nv.zoo.build(name, input_shape=(size, size, 3)).shapes()[last][:2] == (expected, expected)


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnet110"])
def test_the_plain_twin_has_no_shortcut(name):
    plain = nv.zoo.build(name, skip=False)
    assert not any(isinstance(node.layer, nv.Add) for node in plain)
    assert not any("downsample" in node.name for node in plain)
    assert plain.name.startswith("plain")


def test_squeeze_and_excitation_is_an_option_of_the_resnets_for_cifar():
    graph = nv.zoo.resnet20(se=True)
    assert sum(isinstance(node.layer, nv.Multiply) for node in graph) == 9
    extra = sum(3 * (2 * c * (c // 16) + c // 16 + c) for c in (16, 32, 64))
    assert graph.num_parameters() == nv.zoo.resnet20().num_parameters() + extra
