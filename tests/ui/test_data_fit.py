"""Data that do not fit the network are told before they are loaded, with what helps."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QBoxLayout

import nnvis as nv
from tests.ui.nets import moons
from tests.ui.windows import choose
from ui.document import edits, templates
from ui.document.analysis import analyse
from ui.document.data_fit import data_fixes, misfit
from ui.document.state import DocumentState
from ui.window.banner import Banner


def _on(state: DocumentState, data: str) -> DocumentState:
    return replace(state, settings=replace(state.settings, data=data))


def _lenet() -> DocumentState:
    return next(t for t in templates.TEMPLATES if t.key == "lenet5").make()


def test_the_shape_of_examples_and_the_number_of_classes_are_compared():
    assert misfit(moons(), analyse(moons())) == ""
    wider = _on(moons(), "mnist")
    assert "28x28x1" in misfit(wider, analyse(wider))
    few = _on(moons(), "gaussians")
    assert misfit(few, analyse(few)) == "The network has 2 outputs, but gaussians has 3 classes."
    unknown = _on(moons(), "/my/own/folder")
    assert misfit(unknown, analyse(unknown)) == ""
    broken = edits.delete(wider, ["fc1"])
    assert misfit(broken, analyse(broken)) == "", "what is wrong with the network itself comes first"


def test_one_output_is_too_few_for_the_cross_entropy():
    single = edits.set_layer(moons(), "out", nv.Linear(1))
    assert "bce" in misfit(single, analyse(single))
    assert any("out" in fix.label and not misfit(fix.apply(), analyse(fix.apply()))
               for fix in data_fixes(single, analyse(single)))  # fmt: skip


@pytest.mark.parametrize(
    ("state", "data", "label"),
    [(_lenet, "shapes", "Set the input shape to 32x32x3"), (moons, "gaussians", "Give out 3 outputs"),
     (_lenet, "moons", "Train on mnist")],
)  # fmt: skip
def test_each_fix_makes_the_data_fit(state, data, label):
    faulty = _on(state(), data)
    found = data_fixes(faulty, analyse(faulty))
    assert found[0].label == label
    for fix in found:
        after = fix.apply()
        assert analyse(after).works and not misfit(after, analyse(after)), fix.label


def test_the_window_says_so_and_offers_the_fix(qtbot, app_window):
    window = app_window
    choose(qtbot, window, "moons")
    assert window.status._fit.text() == "✓ all shapes fit"
    window.document.apply("Data", _on(window.document.state, "gaussians"))
    assert window.status._fit.text() == "✕ the data do not fit"
    qtbot.mouseClick(window.status._fit, Qt.MouseButton.LeftButton)
    assert "3 classes" in window.banner.text
    qtbot.mouseClick(window.banner._buttons[0], Qt.MouseButton.LeftButton)
    assert window.status._fit.text() == "✓ all shapes fit" and not window.banner.isVisible()
    window.document.stack.undo()
    window.toggle_run()
    assert window.banner.isVisible()
    window.document.stack.undo()
    assert not window.banner.isVisible()


def test_many_buttons_of_the_banner_stand_below_its_sentence(qtbot):
    banner = Banner()
    qtbot.addWidget(banner)
    beside, below = QBoxLayout.Direction.LeftToRight, QBoxLayout.Direction.TopToBottom
    banner.resize(560, 60)
    banner.say("Something does not fit, and this can be done about it.", "warn", {"Do that": print})
    assert banner._column.direction() == beside
    banner.say("Something does not fit.", "warn", {f"Do something about it in this way {n}": print for n in range(3)})
    assert banner._column.direction() == below
    banner.resize(2000, 60)
    assert banner._column.direction() == beside
