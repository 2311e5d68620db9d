"""The tidy layout: nothing overlaps, wires run to the right or to a lower line, long networks fit a screen."""

from __future__ import annotations

from collections import Counter

import pytest

import nnvis as nv
from nnvis.graph import INPUT
from ui.document import edits
from ui.document.layout import NODE_HEIGHT, NODE_WIDTH, bounds, place_after, tidy
from ui.document.state import DocumentState, from_graph


@pytest.mark.parametrize("name", ["lenet5", "resnet20", "vgg11", "resnet56"])
def test_nodes_do_not_overlap_and_wires_run_to_the_right_or_to_a_lower_line(name):
    state = tidy(from_graph(nv.zoo.build(name)))
    places = [state.position(n) for n in (*state.nodes, INPUT)]
    for number, (x, y) in enumerate(places):
        assert not any(abs(x - a) < NODE_WIDTH and abs(y - b) < NODE_HEIGHT for a, b in places[:number])
    for source, target, _ in state.wires():
        (x, y), (to_x, to_y) = state.position(source), state.position(target)
        assert x + NODE_WIDTH < to_x or y + NODE_HEIGHT < to_y
    assert all(x % 8 == 0 and y % 8 == 0 for x, y in places)


def test_a_short_chain_is_a_straight_line_and_a_long_one_is_broken_into_lines_of_one_length():
    short = tidy(from_graph(nv.Sequential([nv.ReLU(), nv.Tanh(), nv.ReLU()], input_shape=(4,))))
    assert len({y for _, y in (short.position(n) for n in (*short.nodes, INPUT))}) == 1
    state = tidy(from_graph(nv.zoo.build("vgg11")))
    counts = Counter(y for _, y in (state.position(n) for n in (*state.nodes, INPUT)))
    assert len(counts) >= 3 and max(counts.values()) - min(counts.values()) <= 4


@pytest.mark.parametrize("name", ["lenet5", "resnet20", "resnet56"])
def test_a_tidy_network_is_about_as_wide_as_a_screen(name):
    state = tidy(from_graph(nv.zoo.build(name)))
    left, top, right, bottom = bounds(state, (*state.nodes, INPUT))
    assert 1.0 < (right - left) / (bottom - top) < 4.0


def test_the_main_way_through_residual_blocks_is_straight():
    state = tidy(from_graph(nv.zoo.build("resnet20")))
    names = [f"layer1.0.{part}" for part in ("conv1", "bn1", "relu1", "conv2")]
    assert len({state.position(n)[1] for n in names}) == 1


def test_tidying_twice_changes_nothing_and_an_empty_canvas_can_be_tidied():
    state = tidy(from_graph(nv.zoo.build("resnet20")))
    assert tidy(state) == state
    assert not tidy(DocumentState()).nodes


def test_new_nodes_find_a_free_place():
    state = DocumentState()
    for _ in range(4):
        state, _ = edits.add_node(state, nv.ReLU(), place_after(state, INPUT))
    assert len({node.position for node in state.nodes.values()}) == 4
