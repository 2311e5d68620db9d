from __future__ import annotations

import inspect
import re

import numpy as np
import pytest

import nnvis as nv
from nnvis.errors import ConfigError, ShapeError, UnknownNameError


@pytest.mark.parametrize(
    ("name", "options", "parameters"),
    [
        ("logistic", {}, 784 * 10 + 10),
        ("mlp", {}, 784 * 256 + 256 + 256 * 128 + 128 + 128 * 10 + 10),
        ("lenet5", {}, 61_706),
        ("lenet5", {"form": "1998"}, 61_706),
        ("vgg11", {"num_classes": 10, "input_shape": (32, 32, 3)}, 9_225_610),
        ("resnet20", {}, 269_722),
        ("resnet20", {"option": "B"}, 272_474),
        ("resnet32", {}, 464_154),
        ("resnet44", {}, 658_586),
        ("resnet56", {}, 853_018),
        ("mobilenet_v1", {}, 4_231_976),
        ("mobilenet_v1", {"width_mult": 0.5}, 1_331_592),
        ("mobilenet_v2", {}, 3_504_872),
        ("mobilenet_v2", {"width_mult": 0.5}, 1_968_680),
        ("vit_ti_16", {}, 5_717_416),
        ("vit_s_16", {}, 22_050_664),
        ("vit_b_16", {}, 86_567_656),
        ("vit_b_32", {}, 88_224_232),
        ("resnet110", {}, 1_727_962),
        ("resnet1202", {}, 19_421_274),
        ("resnet18", {}, 11_689_512),
        ("resnet34", {}, 21_797_672),
        ("resnet50", {}, 25_557_032),
        ("resnet101", {}, 44_549_160),
        ("resnet152", {}, 60_192_808),
        ("se_resnet50", {}, 28_088_024),
        ("alexnet", {}, 61_100_840),
        ("alexnet", {"form": "2012"}, 60_965_224),
        ("nin", {}, 7_595_176),
        ("nin", {"num_classes": 10, "input_shape": (32, 32, 3)}, 966_986),
        ("shufflenet_v2_x0_5", {}, 1_366_792),
        ("shufflenet_v2_x1_0", {}, 2_278_604),
        ("shufflenet_v2_x1_5", {}, 3_503_624),
        ("shufflenet_v2_x2_0", {}, 7_393_996),
        ("mnasnet0_5", {}, 2_218_512),
        ("mnasnet0_75", {}, 3_170_208),
        ("mnasnet1_0", {}, 4_383_312),
        ("mnasnet1_3", {}, 6_282_256),
        ("mnasnet_a1", {}, 3_887_038),
        ("sknet50", {}, 27_479_784),
        ("nonlocal_resnet50", {}, 32_907_304),
        ("deform_resnet50", {"version": 1}, 25_805_918),
        ("deform_resnet50", {}, 26_428_295),
        ("condconv_mobilenet_v1", {}, 32_826_824),
        ("darts_v2", {}, 4_718_752),
        ("darts_v2", {"num_classes": 10, "input_shape": (32, 32, 3)}, 3_349_342),
        ("googlenet", {}, 13_004_888),
        ("googlenet", {"aux": False}, 6_624_904),
        ("sk_resnet18", {}, 11_958_056),
        ("vgg11", {}, 132_863_336),
        ("vgg13", {}, 133_047_848),
        ("vgg16", {}, 138_357_544),
        ("vgg19", {}, 143_667_240),
        ("vgg11_bn", {}, 132_868_840),
        ("vgg13_bn", {}, 133_053_736),
        ("vgg16_bn", {}, 138_365_992),
        ("vgg19_bn", {}, 143_678_248),
    ],
)
def test_parameter_counts_are_the_published_ones(name, options, parameters):
    assert nv.zoo.build(name, **options).num_parameters() == parameters


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("mobilenet_v2", 300),
        ("mobilenet_v1", 569),
        ("resnet18", 1814),
        ("resnet50", 4100),
        ("vgg16", 15_500),
        ("googlenet", 1498),
        ("shufflenet_v2_x1_0", 146),
        ("mnasnet1_0", 315),
        ("condconv_mobilenet_v1", 600),
        ("mnasnet_a1", 312),
        ("alexnet", 714),
    ],
)
def test_multiply_adds_are_the_published_ones(name, millions):
    assert nv.zoo.build(name).multiply_adds() == pytest.approx(1e6 * millions, rel=0.02)


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("logistic", 1),
        ("lenet5", 5),
        ("alexnet", 8),
        ("vgg16", 16),
        ("vgg19_bn", 19),
        ("googlenet", 22),
        ("resnet18", 18),
        ("resnet50", 50),
        ("resnet152", 152),
        ("resnet56", 56),
        ("resnet1202", 1202),
        ("mobilenet_v1", 28),
    ],
)
def test_depth_is_counted_as_the_papers_count_it(name, layers):
    assert nv.zoo.build(name).depth() == layers


#: What makes a network small enough for a test, where it has the option.
NARROW = {
    "width_mult": 0.125, "width": 4, "num_layers": 2, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 32,
}  # fmt: skip


def small(name: str) -> nv.Graph:
    """The network in its 32x32 form, or in a smaller one of its own, and narrow."""
    options = nv.zoo.entry(name).options
    shape = (32, 32, 3) if options["input_shape"][0] > 32 else options["input_shape"]
    narrow = {key: value for key, value in NARROW.items() if key in options}
    return nv.zoo.build(name, num_classes=10, input_shape=shape, **narrow)


@pytest.mark.parametrize("name", nv.zoo.names())
def test_every_network_survives_json(name):
    graph = nv.zoo.build(name)
    assert nv.Graph.from_json(graph.to_json()).to_json() == graph.to_json()


@pytest.mark.parametrize("name", nv.zoo.names())
def test_every_network_runs(name):
    graph = small(name)
    scores = nv.Network(graph).forward(np.zeros((2, *graph.input_shape)))
    assert scores.shape == (2, 10)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("name", nv.zoo.names())
def test_every_network_says_what_it_is_and_how_to_train_it(name):
    entry = nv.zoo.entry(name)
    assert entry.summary.endswith(".") or ":" in entry.summary
    assert {"lr", "epochs", "batch_size"} <= set(entry.defaults)


@pytest.mark.parametrize("name", nv.zoo.names())
def test_every_network_names_its_source_and_says_what_small_images_change(name):
    text = inspect.getdoc(nv.zoo.entry(name).build)
    assert re.search(r"\b(19|20)\d\d\b", text), "no year"
    assert re.search(r"\b(table|figure|section|chapter)s? \d", " ".join(text.split())), "no table, figure or section"
    assert re.search(r"32x32|mall images as|Strides|Of any size", text), "nothing on small images"
    assert max(map(len, nv.zoo.entry(name).build.__doc__.splitlines())) <= 120


def test_the_plain_twin_of_a_resnet_has_the_same_parameters_and_no_shortcut():
    plain, residual = nv.zoo.resnet20(skip=False), nv.zoo.resnet20()
    assert plain.num_parameters() == residual.num_parameters()
    assert not any(isinstance(node.layer, nv.Add) for node in plain)


def test_names_are_found_by_alias_and_misspelling():
    assert nv.zoo.entry("resnet20_cifar").name == "resnet20"
    assert nv.zoo.resnet20_cifar().num_parameters() == nv.zoo.resnet20().num_parameters()
    with pytest.raises(UnknownNameError, match="did you mean 'lenet5'"):
        nv.zoo.build("lenet")
    with pytest.raises(ConfigError, match="no option 'depth'"):
        nv.zoo.build("lenet5", depth=3)
    with pytest.raises(AttributeError):
        nv.zoo.nothing()


def test_a_network_that_cannot_take_a_shape_says_which_node_fails():
    with pytest.raises(ShapeError, match="features"):
        nv.zoo.vgg11(input_shape=(16, 16, 3))


def test_networks_follow_the_shape_of_the_data():
    assert nv.zoo.lenet5(input_shape=(32, 32, 3), num_classes=4).shapes()["pool2"] == (5, 5, 16)
    assert nv.zoo.mlp(input_shape=(2,), hidden=(8,), num_classes=2).num_parameters() == 2 * 8 + 8 + 8 * 2 + 2
