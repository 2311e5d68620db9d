"""Every entry of the palette can be dropped, edited, undone, saved and reloaded; the search offers what fits."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QPoint
from PySide6.QtWidgets import QCheckBox, QDoubleSpinBox, QSpinBox

import nnvis as nv
from nnvis.graph import INPUT
from nnvis.layers import LAYERS
from ui.document import edits, files
from ui.document.analysis import analyse
from ui.document.catalog import ENTRIES
from ui.document.fixes import fixes
from ui.document.state import DocumentState, from_graph
from ui.history import Document
from ui.inspector import Inspector
from ui.palette.actions import add_entry
from ui.palette.palette import Palette
from ui.palette.search import SearchPopup


def test_every_layer_of_the_engine_is_in_the_palette_with_a_word_about_it():
    assert {e.key for e in ENTRIES if e.layer} == {name for name in LAYERS if name != "Layer"}
    assert all(e.explanation for e in ENTRIES)
    assert len({e.key for e in ENTRIES}) == len(ENTRIES)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e.key)
def test_an_entry_is_dropped_edited_undone_saved_and_reloaded(qtbot, tmp_path, entry):
    document = Document(DocumentState(input_shape=(12, 12, 8)))
    inspector = Inspector(document)
    qtbot.addWidget(inspector)
    first = document.state
    names = add_entry(document, entry.key, (8.0, 16.0))
    assert set(names) == set(document.state.nodes)
    for name in names:
        document.select([name])
        _change_every_number(document, inspector, name)
    for suffix in (".nnvis", ".json") if analyse(document.state).works else (".nnvis",):
        files.save(tmp_path / f"a{suffix}", document.state)
        assert files.load(tmp_path / f"a{suffix}")[0].nodes == document.state.nodes
    while document.stack.canUndo():
        document.stack.undo()
    assert document.state == first


def _change_every_number(document, inspector, name):
    for title in (option.replace("_", " ") for option in document.state.nodes[name].layer.config()):
        if title not in inspector.editors:
            continue
        box = inspector.editors[title].focusProxy()
        before = document.state.nodes[name].layer
        if isinstance(box, QCheckBox):
            box.toggle()
        elif isinstance(box, QSpinBox | QDoubleSpinBox):
            box.setValue(box.value() + box.singleStep())
        else:
            continue
        after = document.state.nodes[name].layer
        assert after != before or inspector.fault.text(), title


def test_a_block_takes_its_channels_from_what_it_is_put_behind():
    document = Document(DocumentState(input_shape=(12, 12, 24)))
    add_entry(document, "block:basic_residual", (0.0, 0.0), source=INPUT)
    assert document.analysis.works
    assert document.analysis.shapes[document.analysis.output] == (12, 12, 24)


def test_the_search_of_the_palette_knows_synonyms(qtbot):
    palette = Palette()
    qtbot.addWidget(palette)
    palette.field.setText("fully connected")
    assert palette.visible_keys() == ["Linear"]
    with qtbot.waitSignal(palette.chosen) as chosen:
        palette.field.returnPressed.emit()
    assert chosen.args == ["Linear"]


def test_the_search_box_offers_only_what_fits_and_wires_it_in_one_step(qtbot):
    document = Document(from_graph(nv.zoo.build("mlp")))
    before = document.state
    popup = SearchPopup()
    qtbot.addWidget(popup)
    popup.open(document, (0.0, 0.0), QPoint(0, 0), source=document.analysis.output)
    assert "Linear" in popup.offered() and "Conv2d" not in popup.offered()
    popup.field.setText("Linear")
    popup.accept()
    (new,) = set(document.state.nodes) - set(before.nodes)
    assert document.state.nodes[new].inputs == (analyse(before).output,)
    document.stack.undo()
    assert document.state == before


def _broken_add():
    g = nv.Graph((8, 8, 4))
    a = g.add(nv.Conv2d(16, 3, padding=1), g.input, name="a")
    state = from_graph(g)
    state, join = edits.add_node(state, nv.Add(), (300.0, 0.0), "a", "join")
    return edits.connect(state, INPUT, join, 1), join, a


def test_fixes_remove_their_fault():
    state, join, _ = _broken_add()
    found = fixes(state, analyse(state), join)
    assert any("1x1" in fix.label for fix in found)
    for fix in found:
        assert join not in analyse(fix.apply()).fault_of


def test_a_linear_layer_behind_an_image_gets_a_flatten():
    state, name = edits.add_node(DocumentState(input_shape=(8, 8, 3)), nv.Linear(10), (200.0, 0.0), INPUT)
    labels = [fix.label for fix in fixes(state, analyse(state), name)]
    assert labels[0] == "Insert Flatten"


def test_an_open_input_and_two_ends_are_fixed():
    state, name = edits.add_node(DocumentState(), nv.ReLU(), (200.0, 0.0))
    (fix,) = fixes(state, analyse(state), name)
    assert analyse(fix.apply()).works
    two, _ = edits.add_node(fix.apply(), nv.Tanh(), (200.0, 200.0), INPUT)
    assert not analyse(two).works
    assert analyse(fixes(two, analyse(two), None)[0].apply()).works
