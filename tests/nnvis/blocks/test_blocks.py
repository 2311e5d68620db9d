"""Every block fits its example, has right gradients, and is recorded in the graph; the defaults follow the input."""

from __future__ import annotations

import math

import pytest

import nnvis as nv
from nnvis.blocks.registry import ENTRIES
from nnvis.errors import ConfigError, ShapeError, UnknownNameError

entries = pytest.mark.parametrize("entry", ENTRIES.values(), ids=lambda entry: entry.name)


def _graph_with(entry, **options) -> nv.Graph:
    g = nv.Graph(entry.shape)
    g.output = entry.build(g, g.input, name="here", **options)
    return g


def _awake(net: nv.Network) -> nv.Network:
    """With weights that do not start at zero, where a gradient behind them says nothing."""
    for value in net.parameters.values.values():
        if not value.any():
            value[...] = 0.1
    net.parameters.version += 1
    return net


@entries
def test_a_block_has_words_for_people(entry):
    assert entry.title and entry.family and entry.summary and len(entry.summary) < 110
    assert getattr(nv.blocks, entry.name) is entry.build
    assert "Parameters" in nv.blocks.entry(_graph_with(entry).blocks["here"].kind).build.__doc__


@entries
def test_the_gradients_of_a_block_are_right(entry):
    g = _graph_with(entry)
    assert nv.gradcheck(_awake(nv.Network(g, device="cpu", seed=1)), samples_per_parameter=2).ok


@entries
def test_a_block_is_recorded_with_its_nodes_and_survives_json(entry):
    g = _graph_with(entry)
    assert set(g.blocks["here"].nodes) == set(g.nodes) and all(n.startswith("here.") for n in g.nodes)
    assert nv.blocks.entry(g.blocks["here"].kind)
    assert nv.Graph.from_json(g.to_json()).to_json() == g.to_json()


@pytest.mark.parametrize("entry", [e for e in ENTRIES.values() if "patch" not in e.name], ids=lambda entry: entry.name)
def test_a_block_can_be_put_behind_itself_without_a_name(entry):
    g = nv.Graph(tuple(2 * size for size in entry.shape))
    y = entry.build(g, entry.build(g, g.input))
    assert g.output == y and math.prod(g.shape_of(y)) > 0
    outer = [name for name in g.blocks if "." not in name]
    assert len(outer) == 2 and outer[1] == f"{outer[0]}_2"


@pytest.mark.parametrize("channels", [8, 16, 48])
@pytest.mark.parametrize("name", ["basic_residual", "bottleneck_residual", "inception", "shuffle_unit", "darts_cell"])
def test_a_block_keeps_the_shape_that_it_is_put_behind(name, channels):
    g = nv.Graph((8, 8, channels))
    assert g.shape_of(nv.blocks.entry(name).build(g, g.input)) == (8, 8, channels)


@pytest.mark.parametrize("name", ["half_size_residual", "half_size_shuffle_unit", "darts_reduction_cell"])
def test_half_the_size_is_twice_the_channels(name):
    g = nv.Graph((8, 8, 16))
    assert g.shape_of(nv.blocks.entry(name).build(g, g.input)) == (4, 4, 32)


def test_blocks_within_a_block_are_recorded_too():
    g = nv.Graph((8, 8, 16))
    nv.blocks.se_residual(g, g.input, name="layer1.0")
    assert list(g.blocks) == ["layer1.0", "layer1.0.se"]
    assert set(g.blocks["layer1.0.se"].nodes) < set(g.blocks["layer1.0"].nodes)


def test_a_block_that_does_not_fit_leaves_no_trace():
    g = nv.Graph((5,))
    with pytest.raises(ShapeError, match="needs images"):
        nv.blocks.basic_residual(g, g.input)
    assert not g.nodes and not g.blocks


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda g: nv.blocks.non_local(g, g.input, form="cosine"), "'dot'"),
        (lambda g: nv.blocks.deformable_conv(g, g.input, version=3), "versions 1 and 2"),
        (lambda g: nv.blocks.basic_residual(g, g.input, 32, shortcut="C"), "1x1 convolution"),
        (lambda g: nv.blocks.patch_embedding(g, g.input, patch_size=3), "do not divide"),
    ],
)
def test_an_impossible_option_is_refused_by_name(make, words):
    with pytest.raises(ConfigError, match=words):
        make(nv.Graph((8, 8, 16)))


def test_an_unknown_block_is_answered_with_the_closest_name():
    with pytest.raises(UnknownNameError, match="did you mean 'inception'"):
        nv.blocks.entry("inceptoin")
    with pytest.raises(AttributeError):
        _ = nv.blocks.no_such_block
    assert "squeeze_excite" in dir(nv.blocks) and "non_local_dot" in nv.blocks.names()
