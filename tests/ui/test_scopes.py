"""The scopes, each by itself: fed with messages, pointed at, and asked what it shows."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QObject, QPoint, QPointF, Qt, Signal
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QApplication, QFileDialog

import nnvis as nv
from nnvis.options import TrainOptions
from ui.app import make_application
from ui.canvas.pictures import table
from ui.history import Document
from ui.scopes import ALL_SCOPES
from ui.scopes.activations import ActivationScope
from ui.scopes.base import Scope, Wants
from ui.scopes.examples import ExampleChoice, parsed
from ui.scopes.gradients import GradientScope
from ui.scopes.heat import resampled
from ui.scopes.loss import LossScope
from ui.scopes.picture import RangeChoice, range_of
from ui.scopes.plots import Plot
from ui.scopes.predictions import PredictionScope
from ui.scopes.runs import MOST_DRAWN, Run, smoothed, thinned
from ui.scopes.weights import WeightScope
from ui.session import looking
from ui.session.looking import Looker
from ui.session.messages import Curves, Histogram, NodeStatistics, Prediction, Snapshot
from ui.theme import look
from ui.window.scope_wiring import ScopeWiring


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


# --- examples and the confusion matrix ----------------------------------------------------------------------------


def _classified(step=10, images=4, **more):
    rng = np.random.default_rng(1)
    found = np.eye(3)[[0, 1, 2, 1]] * 0.7 + 0.1
    counts = np.array([[50, 0, 0], [4, 40, 6], [0, 0, 20]])
    cells = {(1, 2): rng.integers(0, 256, (6, 8, 8, 1)).astype(np.uint8)}
    given = {
        "images": rng.integers(0, 256, (images, 8, 8, 1)).astype(np.uint8), "labels": np.array([0, 1, 2, 2]),
        "class_names": ("ant", "bee", "cat"), "probabilities": found, "confusion": counts,
        "confusion_examples": cells, "examples": (5, 6, 7, 900), "held_out": 1000, "of_class": (3, 1, 8),
        "wrong": (7, 11), **more}  # fmt: skip
    return _snapshot(step, **given)


@pytest.fixture
def predictions(qtbot):
    made = PredictionScope()
    made.show_snapshot(_classified())
    _shown(qtbot, made, 1300, 420)
    _drawn(qtbot, made)
    return made


def _choose(choice, way):
    choice.setCurrentIndex(way)
    choice.activated.emit(way)


def test_examples_are_chosen_by_class_wrong_at_random_or_by_number(qtbot, predictions):
    asked, said = [], []
    predictions.wants.connect(asked.append)
    predictions.failed.connect(said.append)
    choice = predictions.choice
    _choose(choice, ExampleChoice.CLASSES)
    _choose(choice, ExampleChoice.WRONG)
    assert choice.again.isVisible()
    _choose(choice, ExampleChoice.RANDOM)
    _choose(choice, ExampleChoice.TYPED)
    assert choice.numbers.isVisible() and not choice.again.isVisible()
    qtbot.keyClicks(choice.numbers, "3, 17 40-42")
    qtbot.keyClick(choice.numbers, Qt.Key.Key_Return)
    _choose(choice, ExampleChoice.FIRST)
    assert [w.examples for w in asked[:2]] == [(3, 1, 8), (7, 11)]
    assert len(set(asked[2].examples)) == 8 and max(asked[2].examples) < 1000
    assert [w.examples for w in asked[3:]] == [(3, 17, 40, 41, 42), ()]
    assert not said
    predictions.show_snapshot(_classified(wrong=()))
    _choose(choice, ExampleChoice.WRONG)
    assert len(asked) == 5 and "guessed wrongly" in said[0]


@pytest.mark.parametrize(("text", "words"), [("", "Type"), ("x", "'x'"), ("3-", ""), ("1000", "0 to 999"),
                                             ("9-3", "9-3"), ("0-99", "At most")])  # fmt: skip
def test_numbers_that_cannot_be_shown_give_one_sentence(text, words):
    if not words:
        assert parsed(text, 1000) == (3,)
        return
    with pytest.raises(ValueError, match=words):
        parsed(text, 1000)


def test_a_choice_of_examples_holds_in_all_scopes(qtbot):
    class Told(QObject):
        curves, snapshot, prediction = Signal(object), Signal(object), Signal(object)

        def __init__(self):
            super().__init__()
            self.looks, self.chosen = [], []
            self.predict, self.choose_examples = self.looks.append, self.chosen.append

        def look_at(self, nodes, filters):
            self.looks.append((nodes, filters))

    session, scopes = Told(), [ActivationScope(), PredictionScope()]
    for scope in scopes:
        qtbot.addWidget(scope)
    wiring = ScopeWiring(Document(), session, scopes)
    session.snapshot.emit(_classified())
    scopes[0].wants.emit(Wants(nodes=frozenset({"layer0"})))
    _choose(scopes[1].choice, ExampleChoice.CLASSES)
    assert session.chosen == [(3, 1, 8)]
    assert scopes[0].examples.currentIndex() == ExampleChoice.CLASSES
    assert session.looks[-1][0] == {"layer0"}, "choosing examples must not take back the wish for feature maps"
    assert wiring is not None


def test_examples_probabilities_and_cells_are_read(qtbot, predictions):
    _point(predictions.examples, predictions.examples._bar(3, 0).center())
    assert predictions.line.text == "example 900, truly cat   bee: probability 80.00 %"
    matrix = predictions.confusion
    _, left, top, side = matrix.geometry_of_cells()
    at = QPointF(left + 2.5 * side, top + 1.5 * side)
    _point(matrix, at)
    assert predictions.line.text == "truly bee, guessed cat   6 of 50, 12.0 %"
    predictions.show_prediction(Prediction(0, np.array([0.25, 0.5, 0.25]), ("ant", "bee", "cat")))
    _point(predictions.answer, QPoint(5, int(2.5 * predictions.answer._line())))
    assert predictions.line.text == "your drawing   bee: probability 50.00 %"
    assert "91.7 % of 120 of the 1,000 held-out examples" in predictions.summary()
    assert "bee is taken for cat" in predictions.confusion.accessibleDescription()


def test_a_cell_opens_its_examples_beside_the_matrix(qtbot, predictions):
    matrix = predictions.confusion
    _, left, top, side = matrix.geometry_of_cells()
    before = matrix.isVisible()
    qtbot.mouseClick(matrix, Qt.MouseButton.LeftButton, pos=QPointF(left + 2.5 * side, top + 1.5 * side).toPoint())
    assert matrix.cell == (1, 2) and before and matrix.isVisible() and predictions.cell.isVisible()
    assert not matrix.geometry().intersects(predictions.cell.geometry())
    areas = predictions.cell.areas(6)
    assert areas[0].width() > 36 and all(predictions.cell.rect().contains(a.toAlignedRect()) for a in areas)
    qtbot.keyClick(matrix, Qt.Key.Key_Left)
    assert matrix.cell == (1, 1)
    matrix.choose(None)
    assert not predictions.cell.isVisible()


def test_the_boundary_is_read_by_coordinates_and_probability(qtbot):
    scope = PredictionScope()
    field = np.zeros((64, 64, 2))
    field[..., 1] = np.linspace(0, 1, 64)[None]
    field[..., 0] = 1 - field[..., 1]
    points = {(0, 0): np.array([[0.5, 0.5]]), (1, 0): np.array([[1.5, 1.0], [1.6, 1.2]])}
    scope.show_snapshot(_classified(images=4, class_names=("left", "right"), confusion=None, boundary=field,
                                    extent=(0.0, 0.0, 2.0, 2.0), confusion_examples=points))  # fmt: skip
    _shown(qtbot, scope, 1300, 420)
    _drawn(qtbot, scope)
    _point(scope.plane.viewport(), _at(scope.plane, 1.9, 1.0))
    assert scope.line.text.startswith("x 1.9, y 1") and "class right: probability 9" in scope.line.text
    assert len(scope.plane._points.points()) == 3


def _looker(monkeypatch, seconds_for_one):
    """A looker for which time passes only where examples are classified."""
    clock = [0.0]
    monkeypatch.setattr(looking.time, "perf_counter", lambda: clock[0])
    made = Looker()

    def probabilities(net, options, data, images):
        clock[0] += seconds_for_one * len(images)
        return np.full((len(images), 2), 0.5)

    monkeypatch.setattr(made, "_probabilities", probabilities)
    data = nv.data.load("moons", samples=4000)
    net = nv.Network(nv.Sequential([nv.Linear(2)], input_shape=(2,)))
    options = TrainOptions(1, 32, nv.SGD(lr=0.1))
    return clock, lambda: made.look(net, options, data, "run 1", 1)[0], made


def test_the_confusion_matrix_grows_with_what_the_network_can_do_in_its_time(monkeypatch):
    _, look_once, _ = _looker(monkeypatch, 1e-7)
    counts = [int(look_once().confusion.sum()) for _ in range(9)]
    assert counts == sorted(counts) and counts[0] == 64 and counts[-1] > 512
    assert look_once().held_out == counts[-1]


def test_looking_at_a_slow_network_stays_within_its_share_of_the_time(monkeypatch):
    clock, look_once, looker = _looker(monkeypatch, 0.01)
    for _ in range(6):
        looker._boundary = lambda *a: (None, None)
        start = clock[0]
        counts = look_once().confusion.sum()
        cost = clock[0] - start
        assert looker._next - clock[0] >= cost / 0.05 * 0.999
    assert counts == looking.FEWEST


def test_wrong_examples_and_first_ones_of_each_class_are_offered(monkeypatch):
    _, look_once, looker = _looker(monkeypatch, 1e-7)
    found = look_once()
    held = nv.data.load("moons", samples=4000).test
    assert found.held_out == len(held)
    assert [int(held.labels[i]) for i in found.of_class] == [0, 1]
    assert found.wrong and all(held.labels[i] == 1 for i in found.wrong), "this network always says class 0"
    assert found.examples == tuple(range(8))
    looker.examples = (9, 3, 10**6)
    assert look_once().examples == (9, 3)


# --- every scope --------------------------------------------------------------------------------------------------


def test_a_plot_that_cannot_be_saved_is_said_and_stays(qtbot, loss, monkeypatch, tmp_path):
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a: (str(tmp_path / "no" / "such" / "x.png"), ""))
    (tmp_path / "no").write_text("a file, not a folder")
    with qtbot.waitSignal(loss.failed) as said:
        loss._choose_and_save("png")
    assert "x.png" in said.args[0] or "no" in said.args[0]
    assert loss._stack.currentIndex() == 1


def _filled(kind):
    made = _with_nodes(kind())
    made.add_curves(_curves("run 1"))
    for step in (0, 10):
        made.show_snapshot(_classified(step))
    return made


@pytest.mark.parametrize("kind", ALL_SCOPES, ids=lambda k: k.name)
def test_an_empty_scope_says_what_will_appear_and_a_full_one_what_is_seen(qtbot, kind):
    empty = _shown(qtbot, kind())
    _drawn(qtbot, empty)
    assert empty._stack.currentIndex() == 0 and empty.accessibleDescription() == empty.empty == empty.summary()
    made = _shown(qtbot, _filled(kind))
    _drawn(qtbot, made)
    assert made._stack.currentIndex() == 1
    assert made.accessibleDescription() == made.summary() != made.empty
    assert made.line.text


@pytest.mark.parametrize("scale", [1.0, 1.4])
@pytest.mark.parametrize(("width", "height"), [(800, 150), (365, 300), (1100, 260)])
@pytest.mark.parametrize("kind", ALL_SCOPES, ids=lambda k: k.name)
def test_nothing_is_cut_off_in_a_small_panel(qtbot, kind, width, height, scale):
    look().set_scale(scale)
    try:
        made = _shown(qtbot, _filled(kind), width, height)
        _drawn(qtbot, made)
        qtbot.wait(20)
        made.grab()
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
    made = _shown(qtbot, _filled(GradientScope), 420, 180)
    _drawn(qtbot, made)
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
    made = _shown(qtbot, _filled(kind), 1300, 420)
    _drawn(qtbot, made)
    before = [id(item) for plot in made.findChildren(Plot) for item in plot.scene().items()]
    for step in (20, 30, 40):
        made.show_snapshot(_classified(step))
        made.add_curves(_curves("run 1", 100 + step, 10))
        _drawn(qtbot, made)
    after = [id(item) for plot in made.findChildren(Plot) for item in plot.scene().items()]
    assert set(before) == set(after)


def test_a_long_curve_is_drawn_by_few_points_and_keeps_its_peaks(qtbot, loss):
    steps = np.arange(1.0, 50_001)
    values = np.sin(steps / 5000)
    values[30_000] = 7.0
    x, y = thinned(steps, values)
    assert len(x) == len(y) <= 1.1 * MOST_DRAWN and y.max() == 7.0 and (np.diff(x) >= 0).all()
    near_x, near_y = thinned(steps, values, (29_990, 30_010))
    np.testing.assert_array_equal(near_y, values[(steps >= near_x[0]) & (steps <= near_x[-1])])
    loss.add_curves(Curves("run 9", steps, values, values, values))
    _drawn(qtbot, loss)
    assert len(loss._curves["run 9", "loss", "batches"].getData()[0]) <= 1.1 * MOST_DRAWN
    loss.plots["loss"].getPlotItem().setXRange(29_990, 30_010)
    _drawn(qtbot, loss)
    assert len(loss._curves["run 9", "loss", "batches"].getData()[0]) < 30
    qtbot.mouseDClick(loss.plots["loss"].viewport(), Qt.MouseButton.LeftButton)
    _drawn(qtbot, loss)
    assert len(loss._curves["run 9", "loss", "batches"].getData()[0]) > 1000
