"""AlexNet and Network in Network beside the same networks written in PyTorch."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest

import nnvis as nv
from nnvis.errors import ConfigError
from tests.nnvis.torch_twin import assert_twins_agree, torch

nn = torch.nn


def one_tower() -> nn.Module:
    """Width 1/8, and 40 hidden units."""
    features = [
        nn.Conv2d(3, 8, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(8, 24, 5, padding=2), nn.ReLU(),
        nn.MaxPool2d(3, 2), nn.Conv2d(24, 48, 3, padding=1), nn.ReLU(), nn.Conv2d(48, 32, 3, padding=1), nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
    ]  # fmt: skip
    classifier = [
        nn.Dropout(0), nn.Linear(32 * 36, 40), nn.ReLU(),
        nn.Dropout(0), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 10),
    ]  # fmt: skip
    return nn.Sequential(
        OrderedDict(
            features=nn.Sequential(*features),
            avgpool=nn.AdaptiveAvgPool2d(6),
            flatten=nn.Flatten(),
            classifier=nn.Sequential(*classifier),
        )
    )


def two_towers(small: bool) -> nn.Module:
    layers = OrderedDict(conv1=nn.Conv2d(3, 16, 3, padding=1) if small else nn.Conv2d(3, 16, 11, 4, 2))
    layers |= OrderedDict(
        relu1=nn.ReLU(), norm1=nn.LocalResponseNorm(5, 5e-4, 0.75, 2.0), pool1=nn.MaxPool2d(3, 2),
        conv2=nn.Conv2d(16, 32, 5, padding=2, groups=2), relu2=nn.ReLU(),
        norm2=nn.LocalResponseNorm(5, 5e-4, 0.75, 2.0), pool2=nn.MaxPool2d(3, 2),
        conv3=nn.Conv2d(32, 48, 3, padding=1), relu3=nn.ReLU(),
        conv4=nn.Conv2d(48, 48, 3, padding=1, groups=2), relu4=nn.ReLU(),
        conv5=nn.Conv2d(48, 32, 3, padding=1, groups=2), relu5=nn.ReLU(), pool5=nn.MaxPool2d(3, 2),
        flatten=nn.Flatten(),
    )  # fmt: skip
    if small:
        layers["classifier"] = nn.Linear(32 * 9, 10)
    else:
        layers |= OrderedDict(fc6=nn.Linear(32, 40), relu6=nn.ReLU(), fc7=nn.Linear(40, 40), relu7=nn.ReLU())
        layers["fc8"] = nn.Linear(40, 10)
    return nn.Sequential(layers)


def nin(small: bool) -> nn.Module:
    """Width 1/8."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()

    def mlpconv(number: int, first: nn.Conv2d, *widths: int) -> None:
        layers[f"conv{number}"], layers[f"relu{number}"] = first, nn.ReLU()
        inputs = first.out_channels
        for position, width in enumerate(widths, 2 * number - 1):
            layers[f"cccp{position}"], layers[f"relu_cccp{position}"] = nn.Conv2d(inputs, width, 1), nn.ReLU()
            inputs = width

    if small:
        mlpconv(1, nn.Conv2d(3, 24, 5, padding=2), 24, 16)
        layers["pool1"] = nn.MaxPool2d(3, 2, ceil_mode=True)
        mlpconv(2, nn.Conv2d(16, 24, 5, padding=2), 24, 24)
        layers["pool2"] = nn.AvgPool2d(3, 2, ceil_mode=True)
        mlpconv(3, nn.Conv2d(24, 24, 3, padding=1), 24, 10)
    else:
        mlpconv(1, nn.Conv2d(3, 16, 11, 4), 16, 16)
        layers["pool1"] = nn.MaxPool2d(3, 2, ceil_mode=True)
        mlpconv(2, nn.Conv2d(16, 32, 5, padding=2), 32, 32)
        layers["pool2"] = nn.MaxPool2d(3, 2, ceil_mode=True)
        mlpconv(3, nn.Conv2d(32, 48, 3, padding=1), 48, 48)
        layers["pool3"] = nn.MaxPool2d(3, 2, ceil_mode=True)
        mlpconv(4, nn.Conv2d(48, 128, 3, padding=1), 128, 10)
    return nn.Sequential(layers | OrderedDict(global_pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten()))


CASES = {
    "alexnet": (one_tower, "alexnet", 64, {"hidden": 40}),
    "alexnet of 2012": (lambda: two_towers(False), "alexnet", 64, {"hidden": 40, "form": "2012"}),
    "alexnet of 2012, small": (lambda: two_towers(True), "alexnet", 32, {"form": "2012"}),
    "nin": (lambda: nin(False), "nin", 64, {}),
    "nin, small": (lambda: nin(True), "nin", 32, {}),
}


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("case", list(CASES))
def test_logits_and_gradients_agree(case, training):
    torch.manual_seed(0)
    make, name, size, options = CASES[case]
    graph = nv.zoo.build(name, num_classes=10, input_shape=(size, size, 3), width_mult=0.125, dropout=0, **options)
    assert_twins_agree(make(), graph, training)


def test_alexnet_starts_as_the_paper_says():
    graph = nv.zoo.alexnet(form="2012", input_shape=(64, 64, 3), hidden=16, num_classes=4)
    state = nv.Network(graph).state_dict()
    ones = {name for name, value in state.items() if name.endswith("bias") and value.all()}
    assert ones == {f"{name}.bias" for name in ("conv2", "conv4", "conv5", "fc6", "fc7")}
    with pytest.raises(ConfigError, match="forms"):
        nv.zoo.alexnet(form="1998")


@pytest.mark.parametrize(("size", "name", "std"), [(32, "cccp6", 0.05), (64, "cccp8", 0.01)], ids=["small", "large"])
def test_no_class_of_network_in_network_starts_behind_its_last_rectifier(size, name, std):
    net = nv.Network(nv.zoo.nin(10, (size, size, 3), dropout=0))
    state = net.state_dict()
    assert (state[f"{name}.bias"] == 1).all()
    assert state[f"{name}.weight"].std() == pytest.approx(std, rel=0.1)
    images = np.random.default_rng(0).normal(size=(2, size, size, 3))
    assert (net.forward(images) > 0).all()


def test_network_in_network_loses_no_class_while_it_learns():
    random, labels = np.random.default_rng(0), np.arange(20) % 10
    images = random.normal(size=(10, 32, 32, 3))[labels] + random.normal(0, 0.5, (20, 32, 32, 3))
    net = nv.Network(nv.zoo.nin(10, (32, 32, 3), dropout=0, width_mult=0.25))
    trainer = nv.Trainer(net, optimizer=nv.Adam(lr=1e-3))
    losses = [trainer.step(images, labels) for _ in range(50)]
    assert losses[-1] < 1.0
    assert (net.forward(images).max(axis=0) > 0).all()


def convolutions(*layers: tuple[int, int, int]) -> int:
    """Parameters of convolutions given as (kernel size, input channels, output channels)."""
    return sum(k * k * inputs * outputs + outputs for k, inputs, outputs in layers)


def test_parameters_of_network_in_network_are_those_of_its_layers():
    cifar = convolutions(
        (5, 3, 192), (1, 192, 160), (1, 160, 96), (5, 96, 192), (1, 192, 192), (1, 192, 192),
        (3, 192, 192), (1, 192, 192), (1, 192, 10),
    )  # fmt: skip
    assert nv.zoo.nin(10, (32, 32, 3)).num_parameters() == cifar == 966_986
    imagenet = convolutions(
        (11, 3, 96), (1, 96, 96), (1, 96, 96), (5, 96, 256), (1, 256, 256), (1, 256, 256),
        (3, 256, 384), (1, 384, 384), (1, 384, 384), (3, 384, 1024), (1, 1024, 1024), (1, 1024, 1000),
    )  # fmt: skip
    assert nv.zoo.nin().num_parameters() == imagenet == 7_595_176
