"""The tidy layout: nothing overlaps, wires run from left to right, large networks take little time."""

from __future__ import annotations

import pytest

import nnvis as nv
from nnvis.graph import INPUT
from ui.document import edits
from ui.document.layout import NODE_HEIGHT, NODE_WIDTH, place_after, tidy
from ui.document.state import DocumentState, from_graph


@pytest.mark.parametrize("name", ["lenet5", "resnet20", "vgg11", "resnet56"])
def test_nodes_do_not_overlap_and_wires_run_to_the_right(name):
    state = tidy(from_graph(nv.zoo.build(name)))
    places = [state.position(n) for n in (*state.nodes, INPUT)]
    for number, (x, y) in enumerate(places):
        assert not any(abs(x - a) < NODE_WIDTH and abs(y - b) < NODE_HEIGHT for a, b in places[:number])
    assert all(state.position(s)[0] + NODE_WIDTH < state.position(t)[0] for s, t, _ in state.wires())
    assert all(x % 8 == 0 and y % 8 == 0 for x, y in places)


def test_a_chain_is_a_straight_line():
    state = tidy(from_graph(nv.zoo.build("vgg11")))
    assert len({y for _, y in (state.position(n) for n in (*state.nodes, INPUT))}) == 1


def test_tidying_twice_changes_nothing_and_an_empty_canvas_can_be_tidied():
    state = tidy(from_graph(nv.zoo.build("resnet20")))
    assert tidy(state) == state
    assert not tidy(DocumentState()).nodes


def test_new_nodes_find_a_free_place():
    state = DocumentState()
    for _ in range(4):
        state, _ = edits.add_node(state, nv.ReLU(), place_after(state, INPUT))
    assert len({node.position for node in state.nodes.values()}) == 4
