"""What the canvas shows: fitted, followed, brought into view; and how nodes are found and selected on it."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QPoint, QPointF, QRect, Qt
from PySide6.QtGui import QImage, QPainter
from PySide6.QtWidgets import QStyleOptionGraphicsItem

from nnvis.graph import INPUT
from tests.ui.windows import choose, pixel
from ui.canvas.wire_drag import Port, WireDrag
from ui.document import edits
from ui.theme import look


@pytest.fixture
def lenet(qtbot, app_window):
    choose(qtbot, app_window, "lenet5")
    return app_window


def _area(window, name):
    return window.canvas.mapFromScene(window.canvas.graph_scene.nodes[name].sceneBoundingRect()).boundingRect()


def test_where_one_looks_the_network_follows_the_size_of_the_window_until_it_is_moved_by_hand(qtbot, lenet):
    canvas = lenet.canvas
    lenet.layout_present()
    qtbot.wait(120)
    before = canvas.transform().m11()
    lenet.resize(1100, 700)
    qtbot.wait(50)
    fitted = canvas.transform().m11()
    assert fitted != before
    qtbot.keyClick(lenet, Qt.Key.Key_Plus, Qt.KeyboardModifier.ControlModifier)
    chosen = canvas.transform().m11()
    lenet.resize(1440, 900)
    qtbot.wait(50)
    assert canvas.transform().m11() == chosen != fitted
    canvas.fit()
    lenet.layout_build()
    qtbot.wait(120)
    fitted = canvas.transform().m11()
    lenet.resize(1100, 700)
    qtbot.wait(50)
    assert canvas.transform().m11() == fitted, "where one builds, nothing moves under the pointer"


def test_text_of_nodes_grows_with_the_text_of_the_app(lenet):
    item = lenet.canvas.graph_scene.nodes["fc1"]

    def picture():
        image = QImage(152, 72, QImage.Format.Format_ARGB32)
        image.fill(0)
        painter = QPainter(image)
        item.paint(painter, QStyleOptionGraphicsItem())
        painter.end()
        return image

    small = picture()
    look().set_scale(1.6)
    assert picture() != small
    look().set_scale(1.0)


def test_a_layer_that_is_added_out_of_sight_or_below_the_map_comes_into_view(qtbot, lenet):
    canvas = lenet.canvas
    canvas.resetTransform()
    canvas.scale(1.5, 1.5)
    canvas.centerOn(0, 0)
    state = lenet.document.state
    after, name = edits.add_node(state, state.nodes["fc1"].layer, (900.0, 700.0), INPUT)
    lenet.document.apply("Add", after)
    lenet.document.select([name])
    assert canvas.viewport().rect().contains(_area(lenet, name))
    assert canvas.minimap.isVisible() and not canvas.minimap.geometry().intersects(_area(lenet, name))
    corner = canvas.mapToScene(QPoint(canvas.viewport().width() - 200, canvas.viewport().height() - 100))
    after, name = edits.add_node(after, state.nodes["fc1"].layer, (corner.x(), corner.y()), INPUT)
    lenet.document.apply("Add", after)
    lenet.document.select([name])
    assert not canvas.minimap.geometry().intersects(_area(lenet, name))
    assert QRect(QPoint(), canvas.viewport().size()).contains(canvas.minimap.geometry())


@pytest.mark.parametrize("key", [Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier])
def test_shift_and_control_extend_the_selection(qtbot, lenet, key):
    def click(name, held=Qt.KeyboardModifier.NoModifier):
        qtbot.mouseClick(lenet.canvas.viewport(), Qt.MouseButton.LeftButton, held, pixel(lenet, name))

    click("conv1")
    click("pool1", key)
    click("fc1", key)
    assert set(lenet.document.selection) == {"conv1", "pool1", "fc1"}
    click("pool1", key)
    assert set(lenet.document.selection) == {"conv1", "fc1"}
    click("act1")
    assert lenet.document.selection == ("act1",)


def test_what_a_wire_would_do_is_said_on_a_ground_of_its_own(lenet):
    drag = WireDrag(lenet.canvas.graph_scene, Port("pool1", None))
    drag.move(lenet.canvas.graph_scene.nodes["conv1"].input_port(0), 24)
    assert "cycle" in drag.label.text()
    image = QImage(40, 40, QImage.Format.Format_ARGB32)
    image.fill(Qt.GlobalColor.red)
    painter = QPainter(image)
    painter.translate(20, 20)
    drag.label.paint(painter, QStyleOptionGraphicsItem())
    painter.end()
    assert image.pixelColor(18, 25).name() == look().theme.raised.lower()
    seen = lenet.canvas.mapToScene(lenet.canvas.viewport().rect()).boundingRect()
    for corner in (seen.bottomRight(), seen.topLeft()):
        drag.label.put(corner)
        assert seen.adjusted(-1, -1, 1, 1).contains(drag.label.sceneBoundingRect())
    drag.end()


def test_a_node_is_found_by_letters_of_its_name_however_long_names_are(qtbot, lenet):
    long = "a_node_with_a_name_" + 10 * "that_does_not_end_"
    lenet.document.apply("Rename", edits.rename(lenet.document.state, "fc2", long))
    lenet.find_node()
    finder = lenet.finder
    assert finder.isVisible() and finder.width() < lenet.width() and finder.list.count() == 12
    assert not finder.list.horizontalScrollBar().isVisible()
    qtbot.keyClicks(finder.field, "NODE name")
    assert finder.list.count() == 1 and finder.list.item(0).toolTip() == long
    qtbot.keyClick(finder.field, Qt.Key.Key_Return)
    assert not finder.isVisible() and lenet.document.selection == (long,)
    assert lenet.canvas.viewport().rect().contains(_area(lenet, long).center())
    lenet.find_node()
    qtbot.keyClicks(finder.field, "no such node")
    qtbot.keyClick(finder.field, Qt.Key.Key_Return)
    assert lenet.document.selection == (long,)


def test_the_status_bar_keeps_its_right_side_whole(qtbot, lenet):
    lenet.layout_present()
    lenet.status.show_machine("cpu, 2 threads, AVX2")
    for width in (1100, 1366):
        lenet.resize(width, 700)
        lenet.status.hint("An error that has very much to say about what has gone wrong " * 5)
        qtbot.wait(50)
        fit = lenet.status._fit
        assert lenet.width() == width and fit.isVisible()
        for label in (fit, lenet.status._count, lenet.status._machine):
            assert not label.isVisible() or label.width() >= label.sizeHint().width()
        assert fit.mapTo(lenet, QPointF(fit.width(), 0)).x() <= width
        assert lenet.status._hint.toolTip().startswith("An error")
    lenet.layout_build()
    assert lenet.status._count.isVisible()


def test_a_renamed_node_stays_selected_and_what_was_said_before_goes(qtbot, lenet):
    document = lenet.document
    document.select(["fc1"])
    line = lenet.inspector.editors["name"]
    line.setFocus()
    qtbot.keyClick(line, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    qtbot.keyClicks(line, "dense")
    qtbot.keyClick(line, Qt.Key.Key_Return)
    assert "dense" in document.state.nodes and document.selection == ("dense",)
    assert lenet.inspector.editors["name"].text() == "dense" and lenet.canvas.graph_scene.nodes["dense"].isSelected()
    lenet.canvas.status.emit("A node cannot be called '': the name is empty.")
    document.apply("Rename", edits.rename(document.state, "dense", "wide"))
    assert document.selection == ("wide",) and not lenet.status._hint.text()
    document.stack.undo()
    document.stack.undo()
    assert document.selection == ("fc1",)
    document.apply("Delete", edits.delete(document.state, ["fc1"]))
    assert document.selection == ()
    state, block = edits.group(document.state, ["conv1", "act1"])
    document.apply("Group", edits.collapse(state, block))
    document.select([block])
    document.apply("Rename", edits.rename_block(document.state, block, "stem"))
    assert document.selection == ("stem",)
    lenet.canvas.status.emit("Saved mine.nnvis.")
    lenet.project.new(document.state)
    assert not lenet.status._hint.text()
