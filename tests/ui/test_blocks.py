"""Blocks in the app: inserted, opened, wired, copied, renamed, deleted, saved; and what lies around them makes room."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QPointF
from PySide6.QtWidgets import QInputDialog

import nnvis as nv
from nnvis.graph import INPUT
from ui.canvas.view import CanvasView
from ui.canvas.wire_drag import WireDrag, port_at
from ui.document import blocks, edits, files, room
from ui.document.analysis import analyse, working_graph
from ui.document.catalog import BY_KEY, ENTRIES
from ui.document.layout import rects, tidy
from ui.document.script import python_script
from ui.document.state import DocumentState, from_graph, to_graph
from ui.history import Document
from ui.inspector import Inspector
from ui.palette.actions import add_entry

block_entries = pytest.mark.parametrize("entry", [e for e in ENTRIES if e.block], ids=lambda e: e.key)


def _resnet20(collapsed: bool = True) -> DocumentState:
    state = from_graph(nv.zoo.build("resnet20"))
    for name in state.blocks:
        state = edits.collapse(state, name, collapsed)
    return tidy(state)


@pytest.fixture
def canvas(qtbot):
    view = CanvasView(Document(_resnet20()))
    qtbot.addWidget(view)
    view.resize(900, 600)
    return view


@block_entries
def test_a_block_is_inserted_as_one_collapsed_node_and_works(tmp_path, entry):
    document = Document(DocumentState(input_shape=entry.block.shape))
    names = add_entry(document, entry.key, (8.0, 16.0), source=INPUT)
    state = document.state
    assert document.analysis.works and document.stack.count() == 1
    (block,) = [name for name, b in state.blocks.items() if b.members == set(names)]
    assert list(blocks.shown_alone(state)) == [block] and rects(state)[block][:2] == (8.0, 16.0)
    assert len(rects(room.toggle(state, block))) > 2
    for suffix in (".nnvis", ".json"):
        files.save(tmp_path / f"a{suffix}", state)
        found = files.load(tmp_path / f"a{suffix}")[0]
        assert {n: (b.members, b.kind) for n, b in found.blocks.items()} == {
            n: (b.members, b.kind) for n, b in state.blocks.items()
        }
    again = add_entry(document, entry.key, (8.0, 200.0))
    assert not set(again) & set(names) and len(document.state.nodes) == 2 * len(names)


def test_a_block_that_does_not_fit_is_inserted_with_its_fault():
    state, names = BY_KEY["block:basic_residual"].insert(DocumentState(input_shape=(5,)), (0.0, 0.0), INPUT)
    analysis = analyse(state)
    assert names and "needs images" in analysis.faults[0].message


@pytest.mark.parametrize("name", ["resnet20", "googlenet", "sknet50", "vit_ti_16"])
def test_blocks_go_from_the_engine_to_the_document_and_back(name):
    graph = nv.zoo.build(name)
    state = from_graph(graph)
    assert state.blocks and all(b.collapsed == (len(graph) > 100) for b in state.blocks.values())
    assert to_graph(state).to_json() == graph.to_json() == working_graph(state).to_json()


def test_a_script_makes_the_blocks_too():
    state = _resnet20()
    space: dict = {}
    exec(python_script(state).partition("data = ")[0], space)
    assert {n: (set(b.nodes), b.kind) for n, b in space["g"].blocks.items()} == {
        n: (set(b.members), b.kind) for n, b in state.blocks.items()
    }


def test_what_lies_around_makes_room_for_an_open_block_and_moves_together_again():
    state = _resnet20()
    opened = room.toggle(state, "layer1.1")
    drawn = list(rects(opened).values())
    for number, a in enumerate(drawn):
        assert not any(a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3] for b in drawn[:number])
    assert room.toggle(opened, "layer1.1") == state


def test_opening_a_block_within_a_block_widens_both():
    state = tidy(from_graph(nv.zoo.build("googlenet")))
    opened = room.toggle(room.toggle(state, "inception4b"), "inception4b.branch2.0")
    drawn = list(rects(opened).values())
    for number, a in enumerate(drawn):
        assert not any(a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3] for b in drawn[:number])
    closed = room.toggle(room.toggle(opened, "inception4b.branch2.0"), "inception4b")
    assert rects(closed) == rects(state)


def test_a_wire_to_a_collapsed_block_leads_to_all_that_reads_its_input(qtbot):
    document = Document(DocumentState(input_shape=(8, 8, 16)))
    names = add_entry(document, "block:basic_residual", (300.0, 0.0), target=("nothing", 0))
    assert all(INPUT not in node.inputs for node in document.state.nodes.values())
    view = CanvasView(document)
    qtbot.addWidget(view)
    scene = view.graph_scene
    start = port_at(scene, scene.nodes[INPUT].output_port(), 10)
    drag, at = WireDrag(scene, start), scene.nodes["basic_residual"].input_port(0)
    assert drag.move(at, 20) == "8x8x16"
    assert drag.drop(at, 20)
    drag.end()
    assert document.analysis.works and document.stack.count() == 2
    assert sum(INPUT in node.inputs for node in document.state.nodes.values()) == 2 and names
    back = WireDrag(scene, port_at(scene, at, 10))
    assert back.drop(QPointF(-400, -400), 20)
    back.end()
    assert all(INPUT not in node.inputs for node in document.state.nodes.values())


def test_a_collapsed_block_is_read_from_its_end(canvas):
    scene = canvas.graph_scene
    port = port_at(scene, scene.nodes["layer3.2"].output_port(), 10)
    assert port.node == "layer3.2.relu2" and port.slot is None
    assert scene.nodes["layer3.2"].face.shape == (8, 8, 64)
    assert scene.nodes["layer3.2"].face.kind == "Residual block"


def test_the_inspector_says_what_a_selected_block_holds(qtbot):
    document = Document(_resnet20())
    inspector = Inspector(document)
    qtbot.addWidget(inspector)
    document.select(["layer1.0"])
    assert inspector.page.title.text() == "layer1.0"
    assert "Residual block: 7 nodes, 4,672 parameters" in inspector.page.facts.text()


def test_nodes_are_called_by_short_names_within_the_frame_of_their_block(canvas):
    canvas.document.select(["layer1.0"])
    canvas.toggle_collapse()
    item = canvas.graph_scene.nodes["layer1.0.conv1"]
    assert item.face.title == "conv1" and item.toolTip().startswith("layer1.0.conv1")
    title = canvas.graph_scene.frames["layer1.0"].topLeft() + QPointF(5, 5)
    assert canvas.graph_scene.frame_at(title) == "layer1.0"
    canvas.document.select(["layer1.0.conv1"])
    canvas.toggle_collapse()
    assert "layer1.0" in canvas.graph_scene.nodes and canvas.document.selection == ("layer1.0",)


def test_a_block_is_copied_pasted_renamed_and_deleted_as_a_whole(canvas, monkeypatch):
    document = canvas.document
    first = document.state
    document.select(["layer1.1"])
    canvas.copy()
    canvas.paste()
    assert document.selection == ("layer1.1_2",) and document.state.blocks["layer1.1_2"].kind == "basic_residual"
    canvas.duplicate()
    assert "layer1.1_2_2" in document.state.blocks
    monkeypatch.setattr(QInputDialog, "getText", lambda *_, **__: ("mine", True))
    canvas.rename_selected()
    assert "mine" in document.state.blocks and "layer1.1_2_2" not in document.state.blocks
    document.select(["mine"])
    canvas.delete_selection()
    assert "mine" not in document.state.blocks and len(document.state.nodes) == len(first.nodes) + 7
    assert document.stack.count() == 4
    while document.stack.canUndo():
        document.stack.undo()
    assert document.state == first


def test_all_blocks_open_and_close_with_one_command(canvas):
    canvas.toggle_all()
    assert not any(b.collapsed for b in canvas.document.state.blocks.values())
    canvas.toggle_all()
    assert all(b.collapsed for b in canvas.document.state.blocks.values())
    assert canvas.document.stack.count() == 2


def test_groups_nest_or_take_nodes_out_of_what_they_cut():
    state = _resnet20(collapsed=False)
    inside, name = edits.group(state, ["layer1.0.conv1", "layer1.0.bn1"])
    assert blocks.parents(inside)[name] == "layer1.0" and blocks.nested(inside.blocks.values())
    around, name = edits.group(inside, [*inside.blocks["layer1.0"].members, *inside.blocks["layer1.1"].members])
    assert blocks.parents(around)["layer1.0"] == name and blocks.levels(around)[name] == 3
    cut, _ = edits.group(state, ["layer1.0.relu2", "layer1.1.conv1"])
    assert "layer1.0.relu2" not in cut.blocks["layer1.0"].members and blocks.nested(cut.blocks.values())


def test_a_project_whose_blocks_cut_each_other_is_refused(tmp_path):
    state = _resnet20()
    data = files.state_to_dict(state)
    data["blocks"].append({"name": "cut", "members": ["layer1.0.relu2", "layer1.1.conv1"], "collapsed": True})
    assert not blocks.nested(files.state_from_dict(data).blocks.values())
