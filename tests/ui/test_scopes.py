"""What all scopes share, each by itself: words, small panels, saving, and items that are used again."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog

from tests.ui.scope_feed import classified, curves, drawn, show, with_nodes
from ui.app import make_application
from ui.scopes import ALL_SCOPES
from ui.scopes.gradients import GradientScope
from ui.scopes.loss import LossScope
from ui.scopes.plots import Plot
from ui.theme import look


@pytest.fixture(autouse=True)
def _dressed(qapp):
    make_application("dark")
    yield
    qapp.setStyleSheet("")


def test_a_plot_that_cannot_be_saved_is_said_and_stays(qtbot, monkeypatch, tmp_path):
    loss = show(qtbot, _filled(LossScope))
    drawn(qtbot, loss)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a: (str(tmp_path / "no" / "such" / "x.png"), ""))
    (tmp_path / "no").write_text("a file, not a folder")
    with qtbot.waitSignal(loss.failed) as said:
        loss._choose_and_save("png")
    assert "x.png" in said.args[0] or "no" in said.args[0]
    assert loss._stack.currentIndex() == 1


def _filled(kind):
    made = with_nodes(kind())
    made.add_curves(curves("run 1"))
    for step in (0, 10):
        made.show_snapshot(classified(step))
    return made


@pytest.mark.parametrize("kind", ALL_SCOPES, ids=lambda k: k.name)
def test_an_empty_scope_says_what_will_appear_and_a_full_one_what_is_seen(qtbot, kind):
    empty = show(qtbot, kind())
    drawn(qtbot, empty)
    assert empty._stack.currentIndex() == 0 and empty.accessibleDescription() == empty.empty == empty.summary()
    made = show(qtbot, _filled(kind))
    drawn(qtbot, made)
    assert made._stack.currentIndex() == 1
    assert made.accessibleDescription() == made.summary() != made.empty
    assert made.line.text


@pytest.mark.parametrize("scale", [1.0, 1.4])
@pytest.mark.parametrize(("width", "height"), [(800, 150), (365, 300), (1100, 260)])
@pytest.mark.parametrize("kind", ALL_SCOPES, ids=lambda k: k.name)
def test_nothing_is_cut_off_in_a_small_panel(qtbot, kind, width, height, scale):
    look().set_scale(scale)
    try:
        made = show(qtbot, _filled(kind), width, height)
        drawn(qtbot, made)
        qtbot.wait(20)
        made.grab()
        for plot in (p for p in made.findChildren(Plot) if p.isVisible()):
            for side in ("left", "bottom"):
                axis = plot.getAxis(side)
                assert plot._labels[side] in plot.getAxis("bottom").labelText or axis.labelText in (
                    plot._labels[side], plot.short)  # fmt: skip
                name = axis.label.mapRectToScene(axis.label.boundingRect().adjusted(4, 4, -4, -4))  # it has a margin
                assert not axis.labelText or plot.sceneRect().contains(name), (plot.accessibleName(), side)
        assert made.body.rect().contains(made.bar.geometry()) and not made.bar.geometry().intersects(
            made.panes.geometry())  # fmt: skip
        seen = [w for w in made.bar.controls if w.isVisible()]
        for number, widget in enumerate(seen):
            assert made.bar.rect().contains(widget.geometry()), widget
            assert widget.width() >= min(widget.sizeHint().width(), widget.maximumWidth(), made.bar.width()), widget
            assert not any(widget.geometry().intersects(other.geometry()) for other in [*seen[:number], made.line])
        assert made.line.height() >= made.line.sizeHint().height() - 1
        shown = [pane.widget for pane in made.panes.shown]
        assert shown and all(made.panes.rect().contains(w.geometry()) for w in shown)
        assert {pane.name for pane in made.panes.shown} == {p.name for p in made.panes.panes if p.chip.isChecked()}
    finally:
        look().set_scale(1.0)


def test_chips_choose_what_is_seen_where_there_is_not_room_for_all(qtbot):
    made = show(qtbot, _filled(GradientScope), 420, 180)
    drawn(qtbot, made)
    assert [pane.name for pane in made.panes.shown] == ["norms", "updates"]
    qtbot.mouseClick(made.panes["histogram"].chip, Qt.MouseButton.LeftButton)
    assert "histogram" in [pane.name for pane in made.panes.shown]
    for pane in made.panes.shown[:-1]:
        made.panes.toggle(pane)
    made.resize(1400, 300)
    assert len(made.panes.shown) >= 2
    for pane in made.panes.panes:
        if pane in made.panes.shown:
            made.panes.toggle(pane)
    assert made.panes.shown


@pytest.mark.parametrize("kind", ALL_SCOPES, ids=lambda k: k.name)
def test_items_of_the_plots_are_used_again(qtbot, kind):
    made = show(qtbot, _filled(kind), 1300, 420)
    drawn(qtbot, made)
    before = [id(item) for plot in made.findChildren(Plot) for item in plot.scene().items()]
    for step in (20, 30, 40):
        made.show_snapshot(classified(step))
        made.add_curves(curves("run 1", 100 + step, 10))
        drawn(qtbot, made)
    after = [id(item) for plot in made.findChildren(Plot) for item in plot.scene().items()]
    assert set(before) == set(after)
