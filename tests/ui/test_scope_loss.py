"""The loss scope: runs compared by name, a crosshair, and marks that can be read."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QApplication

from tests.ui.scope_feed import at, curves, drawn, point, show
from ui.app import make_application
from ui.scopes.loss import LossScope
from ui.scopes.runs import MOST_DRAWN, Run, smoothed, thinned
from ui.session.messages import Curves


@pytest.fixture(autouse=True)
def _dressed(qapp):
    make_application("dark")
    yield
    qapp.setStyleSheet("")


@pytest.fixture
def loss(qtbot):
    scope = LossScope()
    scope.smooth.setValue(0)
    ends = ((50, {"val_loss": 0.5, "val_accuracy": 0.75}), (100, {"val_loss": 0.4, "val_accuracy": 0.875}))
    marks = ((30, "lr 0.05"), (31, "lr 0.04"), (32, "momentum 0.5"), (50, "epoch 1"), (100, "epoch 2"))
    scope.add_curves(curves("run 1", epochs=ends, marks=marks))
    scope.add_curves(curves("run 2", loss=2.0, marks=((60, "lr 0.2"),)))
    show(qtbot, scope, 1000, 300)
    drawn(qtbot, scope)
    return scope


def _lines(scope, name):
    return {key[0] for key, item in scope._curves.items() if key[1] == name and item.isVisible()}


def test_smoothing_is_the_exponential_mean_of_the_finite_values():
    values = np.random.default_rng(0).normal(size=200)
    values[[0, 7, 8]] = np.nan
    for amount in (0.05, 0.6, 0.99):
        total, weight, expected = 0.0, 0.0, []
        for value in values:
            if np.isfinite(value):
                total, weight = amount * total + (1 - amount) * value, amount * weight + 1 - amount
            expected.append(total / weight if weight else np.nan)
        np.testing.assert_allclose(smoothed(values, amount), expected, rtol=1e-9)
    assert smoothed(values, 0) is values


def test_every_run_has_a_row_with_its_line_and_can_be_hidden(qtbot, loss):
    items = [loss.legend.topLevelItem(n) for n in range(loss.legend.topLevelItemCount())]
    assert [item.text(0) for item in items] == ["run 2", "run 1"]
    assert not any(item.icon(0).isNull() for item in items)
    assert _lines(loss, "loss") == _lines(loss, "accuracy") == {"run 1", "run 2"}
    items[1].setCheckState(0, Qt.CheckState.Unchecked)
    drawn(qtbot, loss)
    assert _lines(loss, "loss") == {"run 2"}
    assert {m.text for m in loss.plots["loss"].marks} == {"lr 0.2"}
    items[1].setCheckState(0, Qt.CheckState.Checked)
    drawn(qtbot, loss)
    assert _lines(loss, "accuracy") == {"run 1", "run 2"}


def test_a_run_is_renamed_in_place(qtbot, loss):
    item = loss.legend.row("run 1")
    loss.legend.itemDoubleClicked.emit(item, 0)
    editor = QApplication.focusWidget() or loss.legend.viewport().findChild(type(loss.legend.indexWidget), None)
    assert loss.legend.state() == loss.legend.State.EditingState, editor
    loss.legend.closePersistentEditor(item, 0)
    item.setText(0, "small steps")
    drawn(qtbot, loss)
    assert loss.runs["run 1"].label == "small steps"
    assert "small steps: loss" in loss.reading(50) and "small steps," in loss.csv()
    item.setText(0, "")
    drawn(qtbot, loss)
    assert loss.runs["run 1"].label == "run 1" == item.text(0)


def test_a_removed_run_stays_away_until_it_is_brought_back_with_what_it_gathered(qtbot, loss):
    line = loss._curves["run 1", "loss", "batches"].opts["pen"].color().name()
    qtbot.mouseClick(loss.legend.itemWidget(loss.legend.row("run 2"), 3), Qt.MouseButton.LeftButton)
    drawn(qtbot, loss)
    assert list(loss.runs) == ["run 1"] and loss.legend.topLevelItemCount() == 1 and "run 2" not in loss.csv()
    assert loss._curves["run 1", "loss", "batches"].opts["pen"].color().name() == line
    loss.add_curves(curves("run 2", 101, 50))
    assert list(loss.runs) == ["run 1"]
    qtbot.mouseClick(loss.back, Qt.MouseButton.LeftButton)
    drawn(qtbot, loss)
    assert list(loss.runs) == ["run 1", "run 2"] and len(loss.runs["run 2"].steps) == 150
    for key in ("run 1", "run 2"):
        loss.remove(key)
    loss.add_curves(curves("run 1", 101, 50))
    drawn(qtbot, loss)
    assert not loss.runs and loss.back.isVisible() and "removed" in loss.line.text


def test_the_crosshair_reads_every_visible_run_in_both_plots(qtbot, loss):
    plot = loss.plots["accuracy"]
    point(plot.viewport(), at(plot, 70, 60))
    assert abs(loss.plots["loss"].cross - 70) < 1 and loss.plots["accuracy"].cross == loss.plots["loss"].cross
    reading = loss.line.text
    assert reading.startswith("step 70, epoch 2")
    assert f"run 1: loss {np.exp(-0.35):.3g}" in reading and f"run 2: loss {2 * np.exp(-0.35):.3g}" in reading
    assert "held-out 0.5," in reading and "held-out 75.0 %" in reading
    assert loss.legend.row("run 2").text(1) == f"{2 * np.exp(-0.35):.3g}"
    loss.show_run("run 2", False)
    drawn(qtbot, loss)
    assert "run 2" not in loss.line.text
    QApplication.sendEvent(plot.viewport(), QMouseEvent(
        QMouseEvent.Type.Leave, QPointF(), QPointF(), Qt.MouseButton.NoButton, Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier))  # fmt: skip
    assert plot.cross is None and "epoch" not in loss.line.text


def test_events_and_epochs_are_marked_in_both_plots_and_texts_never_overlap(qtbot, loss):
    for plot in loss.plots.values():
        assert {m.text for m in plot.marks} == {"lr 0.05", "lr 0.04", "momentum 0.5", "lr 0.2", "epoch 1", "epoch 2"}
        plot.grab()
        assert len(plot.texts) >= 3
        assert not any(a.intersects(b) for n, a in enumerate(plot.texts) for b in plot.texts[:n])
    many = tuple((n, f"epoch {n}") for n in range(1, 101)) + tuple((n, f"lr {n}") for n in range(20, 40))
    loss.add_curves(curves("run 3", marks=many))
    drawn(qtbot, loss)
    plot.grab()
    assert plot.texts and not any(a.intersects(b) for n, a in enumerate(plot.texts) for b in plot.texts[:n])
    assert "lr 0.2 (run 2)" in loss.reading(60, 1)


def test_a_run_is_read_only_where_it_has_batches():
    run = Run("run 1")
    run.add(curves("run 1", 10, 50))
    assert run.at(10) == 0 and run.at(30.4) == 20 and run.at(59) == 49
    assert run.at(200) is None and run.at(-50) is None and Run("empty").at(1) is None


def test_a_long_curve_is_drawn_by_few_points_and_keeps_its_peaks(qtbot, loss):
    steps = np.arange(1.0, 50_001)
    values = np.sin(steps / 5000)
    values[30_000] = 7.0
    x, y = thinned(steps, values)
    assert len(x) == len(y) <= 1.1 * MOST_DRAWN and y.max() == 7.0 and (np.diff(x) >= 0).all()
    near_x, near_y = thinned(steps, values, (29_990, 30_010))
    np.testing.assert_array_equal(near_y, values[(steps >= near_x[0]) & (steps <= near_x[-1])])
    loss.add_curves(Curves("run 9", steps, values, values, values))
    drawn(qtbot, loss)
    assert len(loss._curves["run 9", "loss", "batches"].getData()[0]) <= 1.1 * MOST_DRAWN
    loss.plots["loss"].getPlotItem().setXRange(29_990, 30_010)
    drawn(qtbot, loss)
    assert len(loss._curves["run 9", "loss", "batches"].getData()[0]) < 30
    qtbot.mouseDClick(loss.plots["loss"].viewport(), Qt.MouseButton.LeftButton)
    drawn(qtbot, loss)
    assert len(loss._curves["run 9", "loss", "batches"].getData()[0]) > 1000


def test_of_very_many_runs_the_newest_and_the_named_ones_stay(qtbot):
    scope = LossScope()
    qtbot.addWidget(scope)
    some = np.arange(3.0)
    for number in range(1, 12):
        scope.add_curves(Curves(f"run {number}", some, some, some, some))
        if number == 2:
            scope.rename("run 2", "without dropout")
    assert list(scope.runs) == ["run 2", *(f"run {k}" for k in range(7, 12))]


def test_a_run_that_goes_on_from_a_small_loss_is_shown_whole(qtbot, loss):
    for run in list(loss.runs):
        loss.remove(run)
    steps = np.arange(1.0, 101)
    loss.add_curves(Curves("goes on", steps, np.where(steps % 9, 0.002, 0.08), np.full(100, 0.99), steps))
    drawn(qtbot, loss)
    view = loss.plots["loss"].getPlotItem().getViewBox()
    view.updateAutoRange()
    assert view.viewRange()[1][1] > 0.06 and "beyond" not in loss.line.text


def test_a_run_that_diverges_does_not_flatten_the_others(qtbot, loss):
    steps = np.arange(1.0, 101)
    wild = np.where(steps < 50, 2.0, np.exp(steps))
    wild[-1] = np.inf
    loss.add_curves(Curves("run 3", steps, wild, np.full(100, 0.1), steps))
    drawn(qtbot, loss)
    view = loss.plots["loss"].getPlotItem().getViewBox()
    view.updateAutoRange()
    assert 2 < view.viewRange()[1][1] < 10 and "run 3 goes beyond the axis" in loss.line.text
    loss.log.setChecked(True)
    drawn(qtbot, loss)
    view.updateAutoRange()
    assert 0.3 < view.viewRange()[1][1] < 4
    loss.log.setChecked(False)
    view.setYRange(0, 1e9)
    drawn(qtbot, loss)
    assert view.viewRange()[1][1] > 1e8, "what the user has chosen stays"
    loss.show_run("run 3", False)
    loss.plots["loss"].getPlotItem().enableAutoRange()
    drawn(qtbot, loss)
    assert view.viewRange()[1][1] < 3 and "beyond" not in loss.line.text


def test_another_network_has_runs_of_its_own(qtbot, loss):
    loss.remove("run 1")
    loss.begin_anew()
    drawn(qtbot, loss)
    assert not loss.runs and not loss._curves and not loss.back.isVisible() and not loss.has_data
    loss.add_curves(curves("run 1", loss=3.0))
    drawn(qtbot, loss)
    assert loss.runs["run 1"].loss[0] > 2.9 and _lines(loss, "loss") == {"run 1"}
