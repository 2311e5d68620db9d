"""ResNet, and with gates, attention and deformable convolution, beside the same networks written in PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import nnvis as nv
from nnvis.errors import ConfigError
from tests.nnvis.torch_twin import assert_twins_agree, shake_batch_norms, torch, torch_nets

nn = torch.nn


class SqueezeExcite(nn.Module):
    def __init__(self, channels: int, squeezed: int):
        super().__init__()
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x):
        return x * self.fc2(self.fc1(x.mean((2, 3), keepdim=True)).relu()).sigmoid()


class NonLocal(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        half = channels // 2
        self.theta, self.phi, self.g = (nn.Conv2d(channels, half, 1) for _ in range(3))
        self.out = nn.Conv2d(half, channels, 1)

    def forward(self, x):
        pooled = nn.functional.max_pool2d(x, 2)
        theta, phi, g = (part.flatten(2) for part in (self.theta(x), self.phi(pooled), self.g(pooled)))
        weights = (theta.transpose(1, 2) @ phi / theta.shape[1] ** 0.5).softmax(2)
        return x + self.out((g @ weights.transpose(1, 2)).unflatten(2, x.shape[2:]))


class Deformable(nn.Module):
    """A 3x3 window, each tap of which reads the image by interpolation, as its offset says."""

    def __init__(self, channels: int, stride: int, version: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, channels, 3, 3) / (9 * channels) ** 0.5)
        self.conv_offset = nn.Conv2d(channels, 18 if version == 1 else 27, 3, stride, 1)
        # Interpolation has a kink at each pixel: offsets around halves keep off them.
        self.conv_offset.weight.data *= 0.1
        self.conv_offset.bias.data = torch.randint(-1, 2, self.conv_offset.bias.shape) + 0.5
        self.stride, self.version = stride, version

    def forward(self, x):
        found, (height, width) = self.conv_offset(x), x.shape[2:]
        rows, columns = (torch.arange(size, dtype=x.dtype) * self.stride - 1 for size in found.shape[2:])
        taps = []
        for tap in range(9):
            down = rows[:, None] + tap // 3 + found[:, 2 * tap]
            right = columns + tap % 3 + found[:, 2 * tap + 1]
            places = torch.stack([2 * right / (width - 1) - 1, 2 * down / (height - 1) - 1], 3)
            read = nn.functional.grid_sample(x, places, padding_mode="zeros", align_corners=True)
            factor = found[:, 18 + tap].sigmoid()[:, None] if self.version == 2 else 1
            taps.append(read * factor)
        return torch.einsum("tnchw,oct->nohw", torch.stack(taps), self.weight.flatten(2))


def resnet(
    blocks: tuple[int, ...], bottleneck: bool, small: bool = False, se: bool = False, non_local: bool = False,
    deformable: int = 0,
) -> nn.Module:  # fmt: skip
    """Width 1/8, with what the variants put into the blocks."""
    model = torch_nets.resnet(blocks, bottleneck, small, classes=10, width=8)
    for stage in range(len(blocks)):
        for number, block in enumerate(model.get_submodule(f"layer{stage + 1}")):
            if deformable and stage >= (3 if deformable == 1 else 1):
                block.conv2 = Deformable(block.channels, block.stride, deformable)
            if se:
                block.se = SqueezeExcite(block.outputs, max(8, block.outputs // 16))
            if non_local and stage in (1, 2) and number % 2:
                block.nl = NonLocal(block.outputs)
    return model


CASES = {
    "resnet18": (64, lambda: resnet((2, 2, 2, 2), False)),
    "resnet34": (32, lambda: resnet((3, 4, 6, 3), False, small=True)),
    "resnet50": (64, lambda: resnet((3, 4, 6, 3), True)),
    "se_resnet50": (64, lambda: resnet((3, 4, 6, 3), True, se=True)),
    "nonlocal_resnet50": (16, lambda: resnet((3, 4, 6, 3), True, small=True, non_local=True)),
    "deform_resnet50": (16, lambda: resnet((3, 4, 6, 3), True, small=True, deformable=2)),
    "deform_resnet50, version 1": (64, lambda: resnet((3, 4, 6, 3), True, deformable=1)),
}


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("name", list(CASES))
def test_logits_and_gradients_agree(name, training):
    torch.manual_seed(0)
    size, make = CASES[name]
    model = make()
    shake_batch_norms(model)
    name, _, version = name.partition(", version ")
    options = {"version": int(version)} if version else {}
    graph = nv.zoo.build(name, num_classes=10, input_shape=(size, size, 3), width_mult=0.125, **options)
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


def test_non_local_blocks_and_offsets_do_nothing_at_first():
    for name, options in (("nonlocal_resnet50", {}), ("deform_resnet50", {"version": 1})):
        net = nv.Network(nv.zoo.build(name, num_classes=10, input_shape=(32, 32, 3), width_mult=0.125, **options))
        plain = nv.Network(nv.zoo.resnet50(10, (32, 32, 3), width_mult=0.125))
        plain.load_state_dict(net.state_dict(), strict=False)
        x = np.random.default_rng(0).normal(size=(2, 32, 32, 3))
        np.testing.assert_allclose(net.forward(x), plain.forward(x), rtol=1e-3, atol=1e-4)
    with pytest.raises(ConfigError, match="versions 1 and 2"):
        nv.zoo.deform_resnet50(version=3)


def test_parameters_of_attention_and_offsets_are_as_the_formulas_say():
    plain = nv.zoo.resnet50().num_parameters()
    # Two blocks on 512 channels and three on 1024: three 1x1 convolutions to half of them and one back, with biases.
    attention = sum(n * (3 * (c * c // 2 + c // 2) + c * c // 2 + c) for n, c in ((2, 512), (3, 1024)))
    assert nv.zoo.nonlocal_resnet50().num_parameters() == plain + attention
    # Offsets of three blocks on 512 channels; in version 2 factors too, and of four and six blocks before.
    for version, outputs, blocks in ((1, 18, [(3, 512)]), (2, 27, [(4, 128), (6, 256), (3, 512)])):
        offsets = sum(n * (9 * c * outputs + outputs) for n, c in blocks)
        assert nv.zoo.deform_resnet50(version=version).num_parameters() == plain + offsets
