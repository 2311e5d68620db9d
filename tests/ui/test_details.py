"""Words and numbers that are whole, said once, and true."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QPoint
from PySide6.QtWidgets import QAbstractSpinBox, QFileDialog, QLabel

from nnvis.errors import OutputError
from nnvis.runs.files import writing
from tests.ui.nets import moons
from tests.ui.scope_feed import classified, curves, drawn, show
from tests.ui.windows import choose
from ui.canvas.step_card import StepCard
from ui.document import edits
from ui.history import Document
from ui.inspector import Inspector
from ui.scopes.layer_curves import LayerHistory, LayerPlot
from ui.scopes.loss import LossScope
from ui.scopes.marks import _stride
from ui.scopes.plane import PlanePlot
from ui.scopes.runs import MOST_MARKED, sparse
from ui.session.messages import NodeStep
from ui.window.project import with_suffix
from ui.window.shortcuts import Shortcuts


def test_numbers_of_the_step_card_are_whole_and_its_words_fit_the_layer(qtbot):
    card = StepCard(None)
    qtbot.addWidget(card)
    values = np.array([[-0.000182, 0.00021]], np.float32)
    card.show_step(NodeStep("backward", "act1", (values,), values))
    assert "weights" not in card._note.text()
    for label in card.findChildren(QLabel):
        if "0.00021" in label.text():
            assert label.width() >= label.fontMetrics().horizontalAdvance("to 0.00021")
            assert label.width() >= label.fontMetrics().horizontalAdvance("-0.000182")
    card.show_step(NodeStep("backward", "fc1", (values,), values, {"weight": values}))
    assert "gradients of its weights" in card._note.text()


def test_the_inspector_says_a_shape_once_and_formulas_apart(qtbot):
    document = Document(moons())
    inspector = Inspector(document)
    qtbot.addWidget(inspector)
    document.select(["fc1"])
    assert inspector.page.facts.text().count("2 → 8") == 1
    document.select(["tanh"])
    assert "y = tanh x<br>y' = 1 - y²" in inspector.page.facts.text()
    state, block = edits.group(document.state, ["fc1", "tanh"])
    document.apply("Group", edits.collapse(state, block))
    document.select([block])
    assert "1 nodes" not in inspector.page.title.text()


def test_text_of_number_boxes_is_indented_as_that_of_lines(qtbot, app_window):
    choose(qtbot, app_window, "moons")
    app_window.document.select(["fc1"])
    for panel in (app_window.inspector, app_window.training_panel):
        boxes = panel.findChildren(QAbstractSpinBox)
        assert boxes and all(box.lineEdit().textMargins().left() == 6 for box in boxes)


def test_a_name_without_the_suffix_of_projects_gets_it():
    assert with_suffix(Path("my.net")) == Path("my.net.nnvis")
    assert with_suffix(Path("mine")) == Path("mine.nnvis")
    assert with_suffix(Path("a.nnvis")) == Path("a.nnvis") and with_suffix(Path("a.json")) == Path("a.json")


def test_a_picture_is_of_the_kind_that_its_name_says(qtbot, app_window, tmp_path, monkeypatch):
    choose(qtbot, app_window, "moons")
    for name, written in (("z.gif", None), ("z.svg", "z.svg"), ("plain", "plain.png")):
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, n=name, **__: (str(tmp_path / n), ""))
        app_window.export_image()
        assert [p.name for p in tmp_path.glob("z.*")] == (["z.svg"] if written else [])
        assert written is None or (tmp_path / written).exists()
    app_window.sentences.file_works()
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (str(tmp_path / "z.gif"), ""))
    app_window.export_image()
    assert ".png or .svg, not as .gif" in app_window.banner.text and app_window.banner.isVisible()


@pytest.mark.parametrize(
    ("number", "advice"),
    [(errno.ENOSPC, "free space"), (errno.EACCES, "may write to"), (errno.EROFS, "may write to"),
     (errno.ENOENT, "make the folder"), (errno.ENAMETOOLONG, "shorter name"), (errno.EIO, "another name or folder")],
)  # fmt: skip
def test_what_helps_against_a_file_error_depends_on_the_error(number, advice):
    with pytest.raises(OutputError, match=advice), writing(Path("/some/where/net.nnvis")):
        raise OSError(number, "no")


def test_the_page_of_keys_says_undo_whatever_would_be_undone(qtbot, app_window):
    choose(qtbot, app_window, "moons")
    app_window.document.apply("Rename", edits.rename(app_window.document.state, "fc1", "first"))
    page = Shortcuts(app_window._listed_actions(), app_window)
    said = {label.text() for label in page.findChildren(QLabel)}
    assert {"Undo", "Redo"} <= said and "Undo Rename" not in said
    page.deleteLater()


def test_epochs_are_marked_so_that_each_can_be_told_apart():
    assert _stride([30.0 * n for n in range(10)]) == 1
    assert _stride([2.0 * n for n in range(500)]) >= 10
    x = np.arange(1.0, 201)
    few, values = sparse(x, 2 * x)
    assert len(few) <= MOST_MARKED and few[-1] == 200 and (values == 2 * few).all()
    assert len(sparse(x, x, (50.0, 60.0))[0]) >= 11 and len(sparse(x[:3], x[:3])[0]) == 3
    assert len(sparse(x[:0], x[:0])[0]) == 0


def test_a_single_look_at_gradients_has_points_and_no_steps_below_zero(qtbot):
    plot, history = LayerPlot("gradient norm", "norm"), LayerHistory()
    qtbot.addWidget(plot)
    plot.resize(400, 200)
    plot.show()
    history.add(0, {"fc1": 0.1, "out": 1.0})
    plot.show_history(history, "fc1")
    view = plot.getPlotItem().getViewBox()
    view.updateAutoRange()
    assert view.viewRange()[0][0] >= 0 and plot._points.isVisible()
    history.add(40, {"fc1": 0.2, "out": 1.0})
    plot.show_history(history, "fc1")
    view.updateAutoRange()
    assert not plot._points.isVisible() and 0 <= view.viewRange()[0][0] < 1 and view.viewRange()[0][1] >= 40


def test_the_plane_says_which_mark_is_of_which_class(qtbot):
    plane = PlanePlot()
    qtbot.addWidget(plane)
    rows = {(0, 0): np.zeros((3, 2)), (1, 0): np.ones((2, 2)), (1, 1): np.ones((2, 2))}
    given = classified(boundary=np.zeros((4, 4, 2)), confusion_examples=rows, class_names=("inner", "outer"))
    plane.show_snapshot(given)
    assert [label.text for _, label in plane.classes.items] == ["class inner", "class outer"]
    plane.show_snapshot(given)
    assert len(plane.classes.items) == 2


def test_plots_one_above_the_other_have_one_left_edge(qtbot):
    loss = LossScope()
    loss.add_curves(curves("run 1", loss=1e-5))
    show(qtbot, loss, 400, 500)
    drawn(qtbot, loss)
    loss.grab()
    edges = [plot.pixel(plot.getPlotItem().getViewBox().viewRange()[0][0], 0).x() for plot in loss.plots.values()]
    widths = {plot.getAxis("left").width() for plot in loss.plots.values()}
    assert len(widths) == 1 and abs(edges[0] - edges[1]) < 1
    assert loss.plots["loss"].mapTo(loss, QPoint()).x() == loss.plots["accuracy"].mapTo(loss, QPoint()).x()
