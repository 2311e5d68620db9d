"""Every plot says what lies under the pointer; all layers are seen at once; ranges are stated."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt

from tests.ui.scope_feed import at, drawn, histogram, point, show, snapshot, with_nodes
from ui.app import make_application
from ui.canvas.pictures import table
from ui.scopes.activations import ActivationScope
from ui.scopes.gradients import GradientScope
from ui.scopes.heat import resampled
from ui.scopes.picture import RangeChoice, range_of
from ui.scopes.weights import WeightScope


@pytest.fixture(autouse=True)
def _dressed(qapp):
    make_application("dark")
    yield
    qapp.setStyleSheet("")


@pytest.fixture
def scope(qtbot, request):
    made = with_nodes(request.param())
    for step in (0, 10, 40):
        made.show_snapshot(snapshot(step))
    show(qtbot, made, 1300, 420)
    drawn(qtbot, made)
    return made


def _only(kind):
    return pytest.mark.parametrize("scope", [kind], indirect=True)


@_only(ActivationScope)
def test_feature_maps_are_read_by_example_channel_row_and_column(qtbot, scope):
    area = scope.picture.area()
    side = area.height() / scope.picture.image.height()
    x, y = area.left() + (6 + 2.5) * side, area.top() + (5 + 1.5) * side  # channel 1, column 2; example 1, row 1
    point(scope.picture, QPoint(int(x), int(y)))
    value = scope.snapshot.features["layer0"][1, 1, 2, 1]
    assert scope.line.text == f"layer0   example 1   channel 1, row 1, column 2   {value:.4g}"
    scope.show_snapshot(snapshot(50, features={"layer0": scope.snapshot.features["layer0"] + 100}))
    drawn(qtbot, scope)
    assert scope.line.text.endswith(f"{value + 100:.4g}")
    point(scope.picture, QPoint(int(area.left() + 5.5 * side), int(y)))
    assert "example" not in scope.line.reading


@_only(ActivationScope)
def test_tokens_and_vectors_are_read_by_their_own_names(qtbot, scope):
    for array, words in ((np.ones((2, 7)), "unit 3"), (np.ones((2, 4, 7)), "token 2, feature 3")):
        scope.show_snapshot(snapshot(60, features={"layer0": array.astype(np.float32)}))
        drawn(qtbot, scope)
        area, image = scope.picture.area(), scope.picture.image
        x, y = area.width() * 3.5 / image.width(), area.height() * (2.5 if "token" in words else 0.5) / image.height()
        assert words in scope.value_at(QPoint(int(area.left() + x), int(area.top() + y)))


@_only(ActivationScope)
def test_histograms_are_read_by_bin_count_and_share(qtbot, scope):
    total = 48 * 49 // 2
    point(scope.histogram.viewport(), at(scope.histogram, 0.99, 0.5))
    assert f"48 of {total:,} values" in scope.line.text and f"{100 * 48 / total:.1f} %" in scope.line.text
    assert scope.line.text.startswith("0.958 to 1")
    bars = scope.layers._bars(1)
    point(scope.layers, QPointF(bars.left() + 1, bars.center().y()))
    assert scope.line.text.startswith("layer1: -1 to") and "1 of 1,176" in scope.line.text
    row = scope.units.rows[0]
    point(scope.units, QPoint(5, int(1.5 * scope.units._line())))
    assert scope.line.text == row.said and "50.0 %" in row.said


@_only(GradientScope)
def test_the_nearest_norm_is_read_and_comes_to_the_front(qtbot, scope):
    scope.show_snapshot(snapshot(80, shrink=0.01))
    drawn(qtbot, scope)
    plot = scope.norms
    y = np.log10(0.1 * 0.01**2)
    point(plot.viewport(), at(plot, 80, y))
    assert scope.line.text == f"layer1   step 80   gradient norm {0.1 * 0.01**2:.3g}"
    assert plot.pointed == "layer1" and plot._near.isVisible()
    assert plot._near.getData()[1][-1] == pytest.approx(y)
    row = next(r for r in scope.updates.rows if r.name == "layer0")
    point(scope.updates, QPoint(5, int(1.5 * scope.updates._line())))
    assert scope.line.text == row.said and "larger than is usual" in row.said


@_only(WeightScope)
def test_weights_over_time_stand_at_their_true_steps_and_are_read(qtbot, scope):
    plot = scope.time
    assert plot.extent() == (0, 40) and plot._labels["bottom"] == "step"
    point(plot.viewport(), at(plot, 20, 0.99))
    total = 48 * 49 / 2
    share = 100 * (48 + 47 / 2 * 0) / total * (2 / 64) / (2 / 48)
    assert scope.line.text.startswith("step 10   0.969 to 1   ") and f"{share:.1f} %" in scope.line.text
    point(plot.viewport(), at(plot, 5, 0.0))
    assert scope.line.text.startswith("step 0   ")
    area = scope.picture.area()
    side = area.height() / scope.picture.image.height()
    point(scope.picture, QPoint(int(area.left() + (4 + 0.5) * side), int(area.top() + 2.5 * side)))
    value = scope.snapshot.filters["layer0"][2, 0, :, 1].mean()
    assert scope.line.text == f"layer0   filter 1   row 2, column 0   {value:.4g}   mean of 2 input channels"


def test_resampling_keeps_every_value():
    shares = resampled([histogram(), histogram(-0.5, 0.2)], np.linspace(-1, 1, 65))
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert shares[1, :15].sum() == 0 and shares[1, 40:].sum() == 0


# --- all layers at once -------------------------------------------------------------------------------------------


def test_vanishing_gradients_are_plain_to_see_and_a_click_selects_the_layer(qtbot):
    scope = with_nodes(GradientScope(), 8)
    scope.show_snapshot(snapshot(10, 8, shrink=0.05))
    show(qtbot, scope, 1300, 420)
    drawn(qtbot, scope)
    cells = {cell.name: cell for cell in scope.layers.cells}
    assert list(cells) == list(scope.names) and cells["layer0"].word == "tiny" and not cells["layer4"].word
    assert "layer0 is tiny" in scope.summary() and "they vanish" in scope.line.text
    assert cells["layer0"].size == pytest.approx(cells["layer7"].size * 0.05**7)
    qtbot.mouseClick(scope.layers, Qt.MouseButton.LeftButton, pos=scope.layers.area(3).center().toPoint())
    drawn(qtbot, scope)
    assert scope.node() == "layer3" == scope.layers.node
    qtbot.keyClick(scope.layers, Qt.Key.Key_Right)
    assert scope.node() == "layer4"
    scope.one_scale.setChecked(True)
    drawn(qtbot, scope)
    assert scope.layers._ends(0) == scope.layers._ends(7)


# --- colours ------------------------------------------------------------------------------------------------------


@_only(ActivationScope)
def test_the_range_is_of_the_layer_of_each_map_or_fixed_and_is_stated(qtbot, scope):
    def colors():
        pixel = scope.picture.image.pixelColor
        return [pixel(6 * channel + 4, 3).getRgb()[:3] for channel in range(3)]  # the last value of each map

    features = np.ones((1, 4, 5, 3), np.float32) * [0.1, 1.0, 10.0]
    features[0, 0, 0] = 0
    scope.show_snapshot(snapshot(60, features={"layer0": features}))
    drawn(qtbot, scope)
    bright = tuple(table("viridis")[255][:3])
    assert colors()[2] == bright != colors()[0] and scope.range.key.text.startswith("0 to 10: dark 0")
    scope.range.setCurrentIndex(RangeChoice.MAP)
    scope.range.activated.emit(RangeChoice.MAP)
    drawn(qtbot, scope)
    assert colors() == [bright] * 3 and "each map its own" in scope.range.key.text
    scope.range.setCurrentIndex(RangeChoice.FIXED)
    scope.range.activated.emit(RangeChoice.FIXED)
    scope.range.limit.setValue(20)
    drawn(qtbot, scope)
    assert scope.range.limit.isVisible() and scope.range.key.text.startswith("0 to 20, fixed")
    assert colors()[2] == tuple(table("viridis")[127][:3])


def test_signed_values_have_their_zero_in_the_middle_of_the_colours():
    assert range_of(np.array([-0.5, 2.0])) == (-2.0, 2.0, True)
    assert range_of(np.array([-3.0, -1.0])) == (-3.0, 3.0, True)
    assert range_of(np.array([1.0, 2.0, np.inf])) == (0.0, 2.0, False)
