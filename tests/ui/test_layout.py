"""The tidy layout: nothing overlaps, wires run to the right or to a lower line, long networks fit a screen."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

import nnvis as nv
from nnvis.graph import INPUT
from ui.document import edits
from ui.document.blocks import parents, shown_alone
from ui.document.layout import frames, place_after, rects, tidy, union
from ui.document.state import DocumentState, from_graph

NETWORKS = {
    "lenet5": {}, "resnet20": {}, "vgg11": {}, "resnet56": {}, "googlenet": {}, "vit_ti_16": {"num_layers": 2},
    "darts_v2": {"num_layers": 6, "input_shape": (32, 32, 3)}, "sknet50": {"blocks": (1, 1, 1, 1)},
}  # fmt: skip


@pytest.mark.parametrize("collapsed", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_nodes_do_not_overlap_and_wires_run_to_the_right_or_to_a_lower_line(name, collapsed):
    state = tidy(_all_blocks(from_graph(nv.zoo.build(name, **NETWORKS[name])), collapsed))
    drawn = rects(state)
    assert not any(_overlap(a, b) for a, b in itertools.combinations(drawn.values(), 2))
    stands = {node: name for name, nodes in shown_alone(state).items() for node in nodes} | {INPUT: INPUT}
    for source, target, _ in state.wires():
        one, other = drawn[stands[source]], drawn[stands[target]]
        assert one == other or one[2] < other[0] or one[3] < other[1]
    assert all(x % 8 == 0 and y % 8 == 0 for x, y, *_ in drawn.values())


@pytest.mark.parametrize("name", ["resnet20", "googlenet", "vit_ti_16", "sknet50"])
def test_frames_of_open_blocks_hold_their_nodes_alone(name):
    state = tidy(_all_blocks(from_graph(nv.zoo.build(name, **NETWORKS[name])), False))
    areas, around = frames(state), parents(state)
    for (one, a), (other, b) in itertools.combinations(areas.items(), 2):
        assert around[one] == other or around[other] == one or state.blocks[one].members & state.blocks[other].members \
            or not _overlap(a, b), (one, other)  # fmt: skip
    for block, area in areas.items():
        inside = {n for n, r in rects(state).items() if _overlap(r, area)}
        assert inside == state.blocks[block].members


def _all_blocks(state: DocumentState, collapsed: bool) -> DocumentState:
    for name in state.blocks:
        state = edits.collapse(state, name, collapsed)
    return state


def _overlap(a, b) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def test_a_short_chain_is_a_straight_line_and_a_long_one_is_broken_into_lines_of_one_length():
    short = tidy(from_graph(nv.Sequential([nv.ReLU(), nv.Tanh(), nv.ReLU()], input_shape=(4,))))
    assert len({y for _, y in (short.position(n) for n in (*short.nodes, INPUT))}) == 1
    state = tidy(from_graph(nv.zoo.build("vgg11")))
    counts = Counter(y for _, y in (state.position(n) for n in (*state.nodes, INPUT)))
    assert len(counts) >= 3 and max(counts.values()) - min(counts.values()) <= 4


@pytest.mark.parametrize("name", ["lenet5", "resnet20", "resnet56"])
def test_a_tidy_network_is_about_as_wide_as_a_screen(name):
    state = tidy(from_graph(nv.zoo.build(name)))
    left, top, right, bottom = union(rects(state).values())
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
