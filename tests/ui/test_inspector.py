"""The inspector edits every value in place, says why one cannot be, and never takes a widget away while it is used."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QPushButton

import nnvis as nv
from kernels.cpu.conv_choice import OUTPUTS
from nnvis.init import initializer
from ui.document import edits
from ui.document.execution import ALGORITHMS
from ui.document.state import from_graph
from ui.history import Document
from ui.inspector import Inspector
from ui.inspector.node_page import short


def test_the_inspector_says_why_a_value_cannot_be_and_keeps_the_old_one(qtbot):
    document = Document(from_graph(nv.zoo.build("lenet5")))
    inspector = Inspector(document)
    qtbot.addWidget(inspector)
    document.select(["conv2"])
    inspector.editors["groups"].focusProxy().setValue(7)
    assert document.state.nodes["conv2"].layer.groups == 1
    assert "7 groups" in inspector.fault.text()


def test_a_number_being_typed_survives_its_own_edit_and_undo_shows_the_old_one(qtbot):
    document = Document(from_graph(nv.zoo.build("lenet5")))
    inspector = Inspector(document)
    qtbot.addWidget(inspector)
    with qtbot.waitActive(inspector):
        inspector.show()
        inspector.activateWindow()
    document.select(["conv1"])
    box = inspector.editors["out channels"].focusProxy()
    box.setFocus()
    box.selectAll()
    qtbot.keyClicks(box, "12")
    qtbot.keyClick(box, Qt.Key.Key_Tab)  # the value is entered while the widget loses the keyboard
    assert document.state.nodes["conv1"].layer.out_channels == 12
    assert inspector.editors["out channels"].focusProxy() is box
    document.stack.undo()
    assert box.value() == 6


def test_the_inspector_tells_how_the_engine_runs_a_node_and_follows_edits(qtbot):
    document = Document(from_graph(nv.zoo.build("resnet20")))
    inspector = Inspector(document)
    qtbot.addWidget(inspector)
    document.select(["layer1.0.relu2"])
    assert "runs in one with layer1.0.bn2 and layer1.0.add" in inspector.page.facts.text()
    document.select(["layer3.1.conv1"])
    assert "runs by Winograd" in inspector.page.facts.text()
    inspector.editors["stride"].focusProxy().setValue(2)  # the addition's shapes no longer agree
    assert "runs" not in inspector.page.facts.text()
    inspector.editors["stride"].focusProxy().setValue(1)
    assert "runs by Winograd" in inspector.page.facts.text()


def test_an_algorithm_is_told_of_the_convolution_not_of_what_runs_with_it(qtbot):
    document = Document(from_graph(nv.zoo.build("mobilenet_v2", input_shape=(32, 32, 3))))
    inspector = Inspector(document)
    qtbot.addWidget(inspector)
    for name, is_product in (("features.5.conv.1.1", False), ("features.5.conv.2", True)):
        document.select([name])
        assert "runs in one with features.5.conv.1." in inspector.page.facts.text()
        assert ("runs as a matrix product" in inspector.page.facts.text()) == is_product


def test_an_initialiser_is_chosen_and_its_option_changed(qtbot):
    document = Document(from_graph(nv.zoo.build("lenet5")))
    inspector = Inspector(document)
    qtbot.addWidget(inspector)
    document.select(["conv1"])
    widget = inspector.editors["weight init"]
    widget.combo.textActivated.emit("normal")
    assert document.state.nodes["conv1"].layer.weight_init == initializer("normal")
    widget.options["std"].setValue(0.5)
    assert document.state.nodes["conv1"].layer.weight_init == initializer("normal:0.5")
    widget.combo.textActivated.emit("he")
    widget.options["mode"].textActivated.emit("fan_out")
    assert document.state.nodes["conv1"].layer.weight_init.mode == "fan_out"
    widget.combo.textActivated.emit(widget.field.unset)
    assert document.state.nodes["conv1"].layer.weight_init is None


def _two_heads() -> nv.Graph:
    g = nv.Graph((4,), name="two heads")
    h = g.add(nv.ReLU(), g.add(nv.Linear(6), g.input, name="fc"), name="act")
    g.add(nv.Linear(3), h, name="early")
    g.output = g.add(nv.Linear(3), g.add(nv.Linear(6), h, name="more"), name="late")
    return g


def test_an_end_is_made_an_auxiliary_output_and_its_fault_is_shown_before_training(qtbot):
    document = Document(from_graph(_two_heads()))
    inspector = Inspector(document)
    qtbot.addWidget(inspector)
    document.select(["early"])
    inspector.editors["auxiliary loss"].focusProxy().setValue(0.3)
    assert document.state.aux_outputs == {"early": 0.3} and document.analysis.works
    inspector.editors["out features"].focusProxy().setValue(5)
    assert not document.analysis.works and "has shape 5, but the output 3" in inspector.fault.text()
    inspector.editors["auxiliary loss"].focusProxy().setValue(0)
    assert document.state.aux_outputs == {} and document.analysis.works
    inspector.editors["is output"].focusProxy().setChecked(True)
    assert document.analysis.output == "early"
    document.select(["fc"])
    assert "is output" not in inspector.editors  # an inner node


def test_a_selected_block_tells_what_is_wrong_inside(qtbot):
    document = Document(from_graph(nv.zoo.build("lenet5")))
    inspector = Inspector(document)
    qtbot.addWidget(inspector)
    state = edits.delete(document.state, ["flatten"], heal=True)
    document.apply("Delete", state)
    document.select(["act3", "fc1", "fc2"])
    (button,) = [b for b in inspector.page.findChildren(QPushButton) if b.isVisibleTo(inspector.page)]
    assert "Flatten" in button.toolTip()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert document.selection == ("fc1",)


def test_a_wrong_input_shape_is_refused_with_a_sentence_and_the_old_one_shown(qtbot):
    document = Document(from_graph(nv.zoo.build("lenet5")))
    inspector = Inspector(document)
    qtbot.addWidget(inspector)
    line = inspector.editors["input shape"]
    line.setText("28, banana")
    line.editingFinished.emit()
    assert "banana" in inspector.fault.text() and line.text() == "28, 28, 1"


def test_textbook_source_has_colours(qtbot):
    document = Document(from_graph(nv.zoo.build("lenet5")))
    inspector = Inspector(document)
    qtbot.addWidget(inspector)
    document.select(["conv1"])
    assert "def conv2d_forward" in inspector.source.toPlainText()
    block = inspector.source.document().findBlockByLineNumber(0)
    assert block.layout().formats(), block.text()


def test_numbers_of_parameters_are_short():
    assert [short(v) for v in (0.0, -0.12345, 12.3456, 1e-7, -123456.0)] == ["0", "-0.123", "12.346", "1e-7", "-1e5"]


def test_every_algorithm_of_convolutions_has_words_for_a_learner():
    assert set(OUTPUTS) <= set(ALGORITHMS)
