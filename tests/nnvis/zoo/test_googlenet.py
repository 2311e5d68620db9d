"""GoogLeNet, with and without auxiliary classifiers, beside the same network written in PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import nnvis as nv
from tests.nnvis.torch_twin import assert_twins_agree, shake_batch_norms, torch

nn = torch.nn


class Conv(nn.Module):
    def __init__(self, inputs: int, channels: int, kernel: int = 1, stride: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(inputs, channels, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(channels, eps=0.001)

    def forward(self, x):
        return self.bn(self.conv(x)).relu()


class Inception(nn.Module):
    def __init__(self, inputs: int, one: int, reduce3: int, three: int, reduce5: int, five: int, projection: int):
        super().__init__()
        self.branch1 = Conv(inputs, one)
        self.branch2 = nn.Sequential(Conv(inputs, reduce3), Conv(reduce3, three, 3))
        self.branch3 = nn.Sequential(Conv(inputs, reduce5), Conv(reduce5, five, 3))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), Conv(inputs, projection))
        self.outputs = one + three + five + projection

    def forward(self, x):
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class Head(nn.Module):
    def __init__(self, inputs: int):
        super().__init__()
        self.conv = Conv(inputs, 16)
        self.fc1, self.fc2 = nn.Linear(256, 128), nn.Linear(128, 10)

    def forward(self, x):
        x = self.conv(nn.functional.adaptive_avg_pool2d(x, 4)).flatten(1)
        return self.fc2(self.fc1(x).relu())


MODULES = {
    "3a": (8, 16, 16, 8, 8, 8), "3b": (16, 16, 24, 8, 16, 8), "4a": (24, 16, 24, 8, 8, 8), "4b": (24, 16, 32, 8, 8, 8),
    "4c": (16, 16, 32, 8, 8, 8), "4d": (16, 24, 40, 8, 8, 8), "4e": (32, 24, 40, 8, 16, 16),
    "5a": (32, 24, 40, 8, 16, 16), "5b": (48, 24, 48, 8, 16, 16),
}  # fmt: skip


class GoogLeNet(nn.Module):
    """Width 1/8."""

    def __init__(self, aux: bool, small: bool = False):
        super().__init__()
        self.small = small
        self.conv1, self.conv2, self.conv3 = Conv(3, 8, *((3, 1) if small else (7, 2))), Conv(8, 8), Conv(8, 24, 3)
        inputs, self.heads = 24, {}
        for name, widths in MODULES.items():
            module = Inception(inputs, *widths)
            setattr(self, f"inception{name}", module)
            inputs = module.outputs
            if aux and name in ("4a", "4d"):
                self.heads[name] = f"aux{len(self.heads) + 1}"
                setattr(self, self.heads[name], Head(inputs))
        self.fc = nn.Linear(inputs, 10)

    def forward(self, x):
        def pool(x, kernel=3):
            return nn.functional.max_pool2d(x, kernel, 2, ceil_mode=True)

        x = self.conv1(x)
        x, found = pool(self.conv3(self.conv2(x if self.small else pool(x)))), []
        for name in MODULES:
            x = getattr(self, f"inception{name}")(x)
            if self.training and name in self.heads:
                found.append(getattr(self, self.heads[name])(x))
            x = pool(x) if name == "3b" else pool(x, 2) if name == "4e" else x
        logits = self.fc(x.mean((2, 3)))
        return (logits, *found) if found else logits


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize(("size", "aux"), [(64, True), (64, False), (32, True)])
def test_logits_and_gradients_agree(size, aux, training):
    torch.manual_seed(0)
    model = GoogLeNet(aux, small=size == 32)
    shake_batch_norms(model)
    options = {"aux": aux, "dropout": 0, "aux_dropout": 0, "width_mult": 0.125}
    assert_twins_agree(model, nv.zoo.googlenet(10, (size, size, 3), **options), training)


def test_auxiliary_classifiers_are_there_unless_asked_not_to_and_cost_inference_nothing():
    for size in (224, 32):
        with_heads, without = nv.zoo.googlenet(10, (size, size, 3)), nv.zoo.googlenet(10, (size, size, 3), aux=False)
        assert with_heads.aux_outputs == {"aux1.fc2": 0.3, "aux2.fc2": 0.3} and not without.aux_outputs
        assert with_heads.shapes()["aux1.pool"] == with_heads.shapes()["aux2.pool"][:2] + (512,) == (4, 4, 512)
        assert with_heads.num_parameters() > without.num_parameters()
        assert with_heads.multiply_adds() == without.multiply_adds()
        assert with_heads.activation_bytes() == without.activation_bytes()


def test_weights_with_auxiliary_classifiers_predict_in_a_network_without():
    options = {"num_classes": 4, "input_shape": (32, 32, 3), "width_mult": 0.125}
    net = nv.Network(nv.zoo.googlenet(**options), seed=3)
    bare = nv.Network(nv.zoo.googlenet(**options, aux=False))
    bare.load_state_dict(net.state_dict(), strict=False)
    x = np.random.default_rng(0).normal(size=(2, 32, 32, 3))
    np.testing.assert_array_equal(bare.forward(x), net.forward(x))


def test_it_learns_with_auxiliary_classifiers_and_predicts_without_them():
    net = nv.Network(nv.zoo.googlenet(4, (32, 32, 3), dropout=0, aux_dropout=0, width_mult=0.125))
    trainer = nv.Trainer(net, optimizer=nv.SGD(lr=0.05, momentum=0.9))
    random = np.random.default_rng(0)
    x, labels = random.normal(size=(16, 32, 32, 3)).astype(np.float32), np.arange(16) % 4
    losses = [trainer.step(x, labels) for _ in range(10)]
    assert losses[0] > 1.5 * np.log(4)
    assert losses[-1] < 0.7 * losses[0]
    assert net.forward(x).shape == (16, 4)
