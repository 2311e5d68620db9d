"""The scopes, each by itself: fed with messages, pointed at, and asked what it shows."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QApplication, QFileDialog

from ui.app import make_application
from ui.canvas.pictures import table
from ui.scopes.activations import ActivationScope
from ui.scopes.base import Scope
from ui.scopes.gradients import GradientScope
from ui.scopes.heat import resampled
from ui.scopes.loss import LossScope
from ui.scopes.picture import RangeChoice, range_of
from ui.scopes.runs import Run, smoothed
from ui.scopes.weights import WeightScope
from ui.session.messages import Curves, Histogram, NodeStatistics, Snapshot


@pytest.fixture(autouse=True)
def _dressed(qapp):
    make_application("dark")
    yield
    qapp.setStyleSheet("")


def _shown(qtbot, scope: Scope, width=900, height=400) -> Scope:
    qtbot.addWidget(scope)
    scope.resize(width, height)
    scope.show()
    qtbot.waitExposed(scope)
    return scope


def _drawn(qtbot, scope: Scope) -> None:
    scope.redraw()
    qtbot.waitUntil(lambda: not scope._stale and not scope._timer.isActive(), timeout=5_000)


def _point(widget, at) -> None:
    """Move the mouse over a widget without pressing."""
    at = QPointF(at)
    QApplication.sendEvent(widget, QMouseEvent(
        QMouseEvent.Type.MouseMove, at, widget.mapToGlobal(at), Qt.MouseButton.NoButton, Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier))  # fmt: skip


def _at(plot, x, y) -> QPoint:
    return plot.pixel(x, y).toPoint()


def _curves(run, start=1, count=100, loss=1.0, epochs=(), marks=()):
    steps = np.arange(start, start + count, dtype=float)
    losses = loss * np.exp(-steps / 200)
    return Curves(run, steps, losses, 1 - losses / 4, np.full(count, 0.1), epochs, marks)


# --- loss ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def loss(qtbot):
    scope = LossScope()
    scope.smooth.setValue(0)
    ends = ((50, {"val_loss": 0.5, "val_accuracy": 0.75}), (100, {"val_loss": 0.4, "val_accuracy": 0.875}))
    marks = ((30, "lr 0.05"), (31, "lr 0.04"), (32, "momentum 0.5"), (50, "epoch 1"), (100, "epoch 2"))
    scope.add_curves(_curves("run 1", epochs=ends, marks=marks))
    scope.add_curves(_curves("run 2", loss=2.0, marks=((60, "lr 0.2"),)))
    _shown(qtbot, scope, 1000, 300)
    _drawn(qtbot, scope)
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
    _drawn(qtbot, loss)
    assert _lines(loss, "loss") == {"run 2"}
    assert {m.text for m in loss.plots["loss"].marks} == {"lr 0.2"}
    items[1].setCheckState(0, Qt.CheckState.Checked)
    _drawn(qtbot, loss)
    assert _lines(loss, "accuracy") == {"run 1", "run 2"}


def test_a_run_is_renamed_in_place(qtbot, loss):
    item = loss.legend.row("run 1")
    loss.legend.itemDoubleClicked.emit(item, 0)
    editor = QApplication.focusWidget() or loss.legend.viewport().findChild(type(loss.legend.indexWidget), None)
    assert loss.legend.state() == loss.legend.State.EditingState, editor
    loss.legend.closePersistentEditor(item, 0)
    item.setText(0, "small steps")
    _drawn(qtbot, loss)
    assert loss.runs["run 1"].label == "small steps"
    assert "small steps: loss" in loss.reading(50) and "small steps," in loss.csv()
    item.setText(0, "")
    _drawn(qtbot, loss)
    assert loss.runs["run 1"].label == "run 1" == item.text(0)


def test_a_removed_run_stays_away_until_it_is_brought_back_with_what_it_gathered(qtbot, loss):
    line = loss._curves["run 1", "loss", "batches"].opts["pen"].color().name()
    qtbot.mouseClick(loss.legend.itemWidget(loss.legend.row("run 2"), 3), Qt.MouseButton.LeftButton)
    _drawn(qtbot, loss)
    assert list(loss.runs) == ["run 1"] and loss.legend.topLevelItemCount() == 1 and "run 2" not in loss.csv()
    assert loss._curves["run 1", "loss", "batches"].opts["pen"].color().name() == line
    loss.add_curves(_curves("run 2", 101, 50))
    assert list(loss.runs) == ["run 1"]
    qtbot.mouseClick(loss.back, Qt.MouseButton.LeftButton)
    _drawn(qtbot, loss)
    assert list(loss.runs) == ["run 1", "run 2"] and len(loss.runs["run 2"].steps) == 150
    for key in ("run 1", "run 2"):
        loss.remove(key)
    loss.add_curves(_curves("run 1", 101, 50))
    _drawn(qtbot, loss)
    assert not loss.runs and loss.back.isVisible() and "removed" in loss.line.text


def test_the_crosshair_reads_every_visible_run_in_both_plots(qtbot, loss):
    plot = loss.plots["accuracy"]
    _point(plot.viewport(), _at(plot, 70, 60))
    assert abs(loss.plots["loss"].cross - 70) < 1 and loss.plots["accuracy"].cross == loss.plots["loss"].cross
    reading = loss.line.text
    assert reading.startswith("step 70, epoch 2")
    assert f"run 1: loss {np.exp(-0.35):.3g}" in reading and f"run 2: loss {2 * np.exp(-0.35):.3g}" in reading
    assert "held-out 0.5," in reading and "held-out 75.0 %" in reading
    assert loss.legend.row("run 2").text(1) == f"{2 * np.exp(-0.35):.3g}"
    loss.show_run("run 2", False)
    _drawn(qtbot, loss)
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
    loss.add_curves(_curves("run 3", marks=many))
    _drawn(qtbot, loss)
    plot.grab()
    assert plot.texts and not any(a.intersects(b) for n, a in enumerate(plot.texts) for b in plot.texts[:n])
    assert "lr 0.2 (run 2)" in loss.reading(60, 1)


def test_a_run_is_read_only_where_it_has_batches():
    run = Run("run 1")
    run.add(_curves("run 1", 10, 50))
    assert run.at(10) == 0 and run.at(30.4) == 20 and run.at(59) == 49
    assert run.at(200) is None and run.at(-50) is None and Run("empty").at(1) is None


# --- reading ------------------------------------------------------------------------------------------------------


def _histogram(low=-1.0, high=1.0, scale=1.0):
    counts = np.arange(1, 49)
    return Histogram(counts, low * scale, high * scale)


def _layers(count=3, shrink=1.0):
    """Layers of which the first ones have ever smaller gradients."""
    sizes = [shrink ** (count - n) for n in range(count)]
    return tuple(
        NodeStatistics(f"layer{n}", "ReLU" if n % 2 else "Conv2d", _histogram(), _histogram(scale=size),
                       0.5 if n % 2 else None, None, 0.1 * size, 0.01, _histogram(), 1.0, 1e-3 if n else 0.5)
        for n, size in enumerate(sizes))  # fmt: skip


def _snapshot(step=10, count=3, shrink=1.0, **more):
    features = np.arange(2 * 4 * 5 * 3, dtype=np.float32).reshape(2, 4, 5, 3)
    weights = np.arange(3 * 3 * 2 * 5, dtype=np.float32).reshape(3, 3, 2, 5) - 40
    given = {"features": {"layer0": features}, "filters": {"layer0": weights}, **more}
    return Snapshot("run 1", step, _layers(count, shrink), **given)


def _with_nodes(scope, count=3):
    names = tuple(f"layer{n}" for n in range(count))
    scope.set_nodes(names, dict.fromkeys(names, "Conv2d"), dict.fromkeys(names, "convolution"))
    return scope


@pytest.fixture
def scope(qtbot, request):
    made = _with_nodes(request.param())
    for step in (0, 10, 40):
        made.show_snapshot(_snapshot(step))
    _shown(qtbot, made, 1300, 420)
    _drawn(qtbot, made)
    return made


def _only(kind):
    return pytest.mark.parametrize("scope", [kind], indirect=True)


@_only(ActivationScope)
def test_feature_maps_are_read_by_example_channel_row_and_column(qtbot, scope):
    area = scope.picture.area()
    side = area.height() / scope.picture.image.height()
    x, y = area.left() + (6 + 2.5) * side, area.top() + (5 + 1.5) * side  # channel 1, column 2; example 1, row 1
    _point(scope.picture, QPoint(int(x), int(y)))
    value = scope.snapshot.features["layer0"][1, 1, 2, 1]
    assert scope.line.text == f"layer0   example 1   channel 1, row 1, column 2   {value:.4g}"
    scope.show_snapshot(_snapshot(50, features={"layer0": scope.snapshot.features["layer0"] + 100}))
    _drawn(qtbot, scope)
    assert scope.line.text.endswith(f"{value + 100:.4g}")
    _point(scope.picture, QPoint(int(area.left() + 5.5 * side), int(y)))
    assert "example" not in scope.line.reading


@_only(ActivationScope)
def test_tokens_and_vectors_are_read_by_their_own_names(qtbot, scope):
    for array, words in ((np.ones((2, 7)), "unit 3"), (np.ones((2, 4, 7)), "token 2, feature 3")):
        scope.show_snapshot(_snapshot(60, features={"layer0": array.astype(np.float32)}))
        _drawn(qtbot, scope)
        area, image = scope.picture.area(), scope.picture.image
        x, y = area.width() * 3.5 / image.width(), area.height() * (2.5 if "token" in words else 0.5) / image.height()
        assert words in scope.value_at(QPoint(int(area.left() + x), int(area.top() + y)))


@_only(ActivationScope)
def test_histograms_are_read_by_bin_count_and_share(qtbot, scope):
    histogram, total = _histogram(), 48 * 49 // 2
    _point(scope.histogram.viewport(), _at(scope.histogram, 0.99, 0.5))
    assert f"48 of {total:,} values" in scope.line.text and f"{100 * 48 / total:.1f} %" in scope.line.text
    assert scope.line.text.startswith("0.958 to 1")
    bars = scope.layers._bars(1)
    _point(scope.layers, QPointF(bars.left() + 1, bars.center().y()))
    assert scope.line.text.startswith("layer1: -1 to") and "1 of 1,176" in scope.line.text
    row = scope.units.rows[0]
    _point(scope.units, QPoint(5, int(1.5 * scope.units._line())))
    assert scope.line.text == row.said and "50.0 %" in row.said
    assert histogram.low == -1.0


@_only(GradientScope)
def test_the_nearest_norm_is_read_and_comes_to_the_front(qtbot, scope):
    scope.show_snapshot(_snapshot(80, shrink=0.01))
    _drawn(qtbot, scope)
    plot = scope.norms
    y = np.log10(0.1 * 0.01**2)
    _point(plot.viewport(), _at(plot, 80, y))
    assert scope.line.text == f"layer1   step 80   gradient norm {0.1 * 0.01**2:.3g}"
    assert plot.pointed == "layer1" and plot._near.isVisible()
    assert plot._near.getData()[1][-1] == pytest.approx(y)
    row = next(r for r in scope.updates.rows if r.name == "layer0")
    _point(scope.updates, QPoint(5, int(1.5 * scope.updates._line())))
    assert scope.line.text == row.said and "larger than is usual" in row.said


@_only(WeightScope)
def test_weights_over_time_stand_at_their_true_steps_and_are_read(qtbot, scope):
    plot = scope.time
    assert plot.extent() == (0, 40) and plot._labels["bottom"] == "step"
    _point(plot.viewport(), _at(plot, 20, 0.99))
    total = 48 * 49 / 2
    share = 100 * (48 + 47 / 2 * 0) / total * (2 / 64) / (2 / 48)
    assert scope.line.text.startswith("step 10   0.969 to 1   ") and f"{share:.1f} %" in scope.line.text
    _point(plot.viewport(), _at(plot, 5, 0.0))
    assert scope.line.text.startswith("step 0   ")
    area = scope.picture.area()
    side = area.height() / scope.picture.image.height()
    _point(scope.picture, QPoint(int(area.left() + (4 + 0.5) * side), int(area.top() + 2.5 * side)))
    value = scope.snapshot.filters["layer0"][2, 0, :, 1].mean()
    assert scope.line.text == f"layer0   filter 1   row 2, column 0   {value:.4g}   mean of 2 input channels"


def test_resampling_keeps_every_value():
    shares = resampled([_histogram(), _histogram(-0.5, 0.2)], np.linspace(-1, 1, 65))
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert shares[1, :15].sum() == 0 and shares[1, 40:].sum() == 0


# --- all layers at once -------------------------------------------------------------------------------------------


def test_vanishing_gradients_are_plain_to_see_and_a_click_selects_the_layer(qtbot):
    scope = _with_nodes(GradientScope(), 8)
    scope.show_snapshot(_snapshot(10, 8, shrink=0.05))
    _shown(qtbot, scope, 1300, 420)
    _drawn(qtbot, scope)
    cells = {cell.name: cell for cell in scope.layers.cells}
    assert list(cells) == list(scope.names) and cells["layer0"].word == "tiny" and not cells["layer4"].word
    assert "layer0 is tiny" in scope.summary() and "they vanish" in scope.line.text
    assert cells["layer0"].size == pytest.approx(cells["layer7"].size * 0.05**7)
    qtbot.mouseClick(scope.layers, Qt.MouseButton.LeftButton, pos=scope.layers.area(3).center().toPoint())
    _drawn(qtbot, scope)
    assert scope.node() == "layer3" == scope.layers.node
    qtbot.keyClick(scope.layers, Qt.Key.Key_Right)
    assert scope.node() == "layer4"
    scope.one_scale.setChecked(True)
    _drawn(qtbot, scope)
    assert scope.layers._ends(0) == scope.layers._ends(7)


# --- colours ------------------------------------------------------------------------------------------------------


@_only(ActivationScope)
def test_the_range_is_of_the_layer_of_each_map_or_fixed_and_is_stated(qtbot, scope):
    def colors():
        pixel = scope.picture.image.pixelColor
        return [pixel(6 * channel + 4, 3).getRgb()[:3] for channel in range(3)]  # the last value of each map

    features = np.ones((1, 4, 5, 3), np.float32) * [0.1, 1.0, 10.0]
    features[0, 0, 0] = 0
    scope.show_snapshot(_snapshot(60, features={"layer0": features}))
    _drawn(qtbot, scope)
    bright = tuple(table("viridis")[255][:3])
    assert colors()[2] == bright != colors()[0] and scope.range.key.text.startswith("0 to 10: dark 0")
    scope.range.setCurrentIndex(RangeChoice.MAP)
    scope.range.activated.emit(RangeChoice.MAP)
    _drawn(qtbot, scope)
    assert colors() == [bright] * 3 and "each map its own" in scope.range.key.text
    scope.range.setCurrentIndex(RangeChoice.FIXED)
    scope.range.activated.emit(RangeChoice.FIXED)
    scope.range.limit.setValue(20)
    _drawn(qtbot, scope)
    assert scope.range.limit.isVisible() and scope.range.key.text.startswith("0 to 20, fixed")
    assert colors()[2] == tuple(table("viridis")[127][:3])


def test_signed_values_have_their_zero_in_the_middle_of_the_colours():
    assert range_of(np.array([-0.5, 2.0])) == (-2.0, 2.0, True)
    assert range_of(np.array([-3.0, -1.0])) == (-3.0, 3.0, True)
    assert range_of(np.array([1.0, 2.0, np.inf])) == (0.0, 2.0, False)


# --- every scope --------------------------------------------------------------------------------------------------


def test_a_plot_that_cannot_be_saved_is_said_and_stays(qtbot, loss, monkeypatch, tmp_path):
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a: (str(tmp_path / "no" / "such" / "x.png"), ""))
    (tmp_path / "no").write_text("a file, not a folder")
    with qtbot.waitSignal(loss.failed) as said:
        loss._choose_and_save("png")
    assert "x.png" in said.args[0] or "no" in said.args[0]
    assert loss._stack.currentIndex() == 1
