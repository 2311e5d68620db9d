"""What is typed into a box for numbers is what it holds: also as 1e-3, and never a part of it."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt

from ui.inspector.number_box import NumberBox, WholeBox


def _type(qtbot, box, text: str):
    qtbot.addWidget(box)
    box.selectAll()
    qtbot.keyClicks(box, text)
    qtbot.keyClick(box, Qt.Key.Key_Return)
    return box.value()


@pytest.mark.parametrize(
    ("text", "value"), [("1e-3", 0.001), ("0.05", 0.05), ("3E-7", 3e-7), ("1e2", 100), (".5", 0.5)]
)
def test_a_real_number_may_be_typed_in_every_way(qtbot, text, value):
    box = NumberBox(minimum=0, maximum=100, value=7, keyboardTracking=False)
    assert _type(qtbot, box, text) == pytest.approx(value)
    assert float(box.text()) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "value"), [("64", 64), ("1e3", 1000), ("99999", 4096), ("0", 1), ("1.5", 7), ("e", 7)]
)
def test_a_whole_number_is_never_cut_off_to_another(qtbot, text, value):
    box = WholeBox(minimum=1, maximum=4096, value=7, keyboardTracking=False)
    assert _type(qtbot, box, text) == value


def test_what_is_beyond_the_range_becomes_the_end_of_it_and_what_is_no_number_nothing(qtbot):
    box = NumberBox(minimum=0, maximum=100, value=7, keyboardTracking=False)
    assert _type(qtbot, box, "1e6") == 100
    assert _type(qtbot, box, "1e") == 100


def test_a_word_for_nothing_is_kept(qtbot):
    box = NumberBox(minimum=0, maximum=100, value=0, keyboardTracking=False)
    box.setSpecialValueText("off")
    assert box.text() == "off"
    assert _type(qtbot, box, "0.5") == 0.5


def test_the_arrow_leads_from_zero_to_the_single_step(qtbot):
    box = NumberBox(minimum=0, maximum=1, value=0, singleStep=0.0001)
    qtbot.addWidget(box)
    box.stepUp()
    assert box.value() == pytest.approx(0.0001)
    box.stepUp()
    assert box.value() == pytest.approx(0.00011)
