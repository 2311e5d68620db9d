"""The whole window, driven by mouse and keyboard."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import shiboken6
from PySide6.QtCore import QPoint, QPointF, QSize, Qt
from PySide6.QtGui import QDropEvent
from PySide6.QtWidgets import QMessageBox

from kernels.cuda import toolkit
from nnvis.device import Place
from nnvis.graph import INPUT
from ui.app import make_application, make_window
from ui.document import edits, files
from ui.history import Document
from ui.palette.palette import mime
from ui.scopes import ALL_SCOPES
from ui.session.messages import Phase
from ui.session.session import Session
from ui.theme import look
from ui.theme.tokens import DARK, LIGHT
from ui.window.docks import size_within
from ui.window.main_window import MainWindow
from ui.window.start_page import StartPage


@pytest.fixture
def window(qtbot, qapp, tmp_path, monkeypatch):
    make_application("dark")
    made = MainWindow(Document(), Session(), tmp_path / "state")
    made.show()
    qtbot.waitExposed(made)
    monkeypatch.setattr(QMessageBox, "exec", lambda self: QMessageBox.StandardButton.Discard)
    yield made
    made.close()
    shiboken6.delete(made)
    qapp.setStyleSheet("")


def _choose(qtbot, window, key):
    card = next(c for c in window.start_page.cards if c.template.key == key)
    qtbot.mouseClick(card, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: window.session.phase in (Phase.READY, Phase.IDLE), timeout=60_000)
    qtbot.wait(300)


def _drop(window, key, x, y):
    at = window.canvas.mapFromScene(QPointF(x, y))
    data = mime(key)  # the event does not keep it alive
    event = QDropEvent(
        QPointF(at), Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    )
    window.canvas.dropEvent(event)


def _drag(qtbot, window, start, end):
    view, viewport = window.canvas, window.canvas.viewport()
    a, b = view.mapFromScene(start), view.mapFromScene(end)
    qtbot.mousePress(viewport, Qt.MouseButton.LeftButton, pos=a)
    for share in (0.3, 0.7, 1.0):
        qtbot.mouseMove(viewport, QPoint(int(a.x() + share * (b - a).x()), int(a.y() + share * (b - a).y())))
    qtbot.mouseRelease(viewport, Qt.MouseButton.LeftButton, pos=b)


def test_a_network_is_built_by_dropping_and_wiring_trained_saved_and_reopened(qtbot, window, tmp_path):
    _choose(qtbot, window, "empty")
    items = window.canvas.graph_scene.nodes
    _drop(window, "Flatten", 100, 40)
    window.document.select(())
    _drop(window, "Linear", 300, 40)
    names = list(window.document.state.nodes)
    window.canvas.fit()
    wired = window.document.state.nodes[names[1]].inputs
    if wired == (None,):
        _drag(qtbot, window, items[names[0]].output_port(), items[names[1]].input_port(0))
    assert window.document.analysis.works, window.document.analysis.faults
    qtbot.keyClick(window, Qt.Key.Key_Period)
    qtbot.waitUntil(lambda: window.session.phase is Phase.PAUSED, timeout=60_000)
    weights = window.session.net_state()
    assert window.project.save_to(tmp_path / "mine.nnvis")
    assert not window.project.dirty
    _drop(window, "ReLU", 500, 40)
    assert window.project.dirty
    assert window.project.open(tmp_path / "mine.nnvis")
    assert list(window.document.state.nodes) == names
    qtbot.waitUntil(lambda: np.array_equal(window.session.net_state()[f"{names[1]}.weight"],
                                           weights[f"{names[1]}.weight"]), timeout=20_000)  # fmt: skip


def test_dragging_a_wire_says_the_shape_and_refuses_a_cycle(qtbot, window):
    _choose(qtbot, window, "lenet5")
    said = []
    window.canvas.status.connect(said.append)
    items = window.canvas.graph_scene.nodes
    window.canvas.fit()
    before = window.document.state
    _drag(qtbot, window, items["pool1"].output_port(), items["conv1"].input_port(0))
    assert window.document.state == before
    assert any("cycle" in s for s in said)
    _drag(qtbot, window, items[INPUT].output_port(), items["conv2"].input_port(0))
    assert window.document.state.nodes["conv2"].inputs == (INPUT,)
    assert any("+ 1 =" in s for s in said)
    window.document.stack.undo()
    assert window.document.state == before


def test_a_wire_dropped_on_empty_canvas_opens_the_search(qtbot, window):
    _choose(qtbot, window, "empty")
    window.canvas.resetTransform()
    window.canvas.centerOn(0, 0)
    with qtbot.waitSignal(window.canvas.search_requested) as asked:
        item = window.canvas.graph_scene.nodes[INPUT]
        _drag(qtbot, window, item.output_port(), item.output_port() + QPointF(160, 90))
    assert asked.args[0].source == INPUT
    assert window.search.isVisible()
    window.search.hide()


def test_deleting_copying_and_blocks_are_single_undo_steps(qtbot, window):
    _choose(qtbot, window, "lenet5")
    first = window.document.state
    window.document.select(["conv1", "act1"])
    window.canvas.copy()
    window.canvas.paste()
    assert len(window.document.state.nodes) == len(first.nodes) + 2
    window.document.select(["conv2", "act2"])
    window.canvas.group_selection()
    (block,) = window.document.state.blocks
    assert block in window.canvas.graph_scene.nodes and "conv2" not in window.canvas.graph_scene.nodes
    window.canvas.delete_selection()
    assert "conv2" not in window.document.state.nodes
    assert window.document.stack.count() == 3
    for _ in range(3):
        window.document.stack.undo()
    assert window.document.state == first


def test_a_fault_is_said_in_a_banner_with_a_fix_to_click(qtbot, window):
    _choose(qtbot, window, "lenet5")
    window.document.apply("Delete", edits.delete(window.document.state, ["flatten"], heal=True))
    assert not window.document.analysis.works
    window.toggle_run()
    assert window.banner.isVisible() and "Flatten" in window.banner.text
    (button, *_) = window.banner._buttons
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert window.document.analysis.works


def test_the_banner_goes_once_what_it_says_has_been_put_right(qtbot, window):
    _choose(qtbot, window, "moons")
    settings = window.document.state.settings
    window.document.apply("Data", replace(window.document.state, settings=replace(settings, data="/no/such/file")))
    window.toggle_run()
    qtbot.waitUntil(window.banner.isVisible, timeout=20_000)
    assert "/no/such/file" in window.banner.text
    window.document.apply("Data", replace(window.document.state, settings=settings))
    qtbot.waitUntil(lambda: not window.banner.isVisible(), timeout=20_000)
    window.document.apply("Delete", edits.delete(window.document.state, ["fc1"]))
    window.toggle_run()
    assert window.banner.isVisible()
    window.document.stack.undo()
    assert not window.banner.isVisible()


def test_node_steps_light_up_nodes_and_learning_rate_changes_while_paused(qtbot, window):
    _choose(qtbot, window, "moons")
    window.step_node()
    qtbot.waitUntil(lambda: window.canvas.graph_scene._running == "fc1", timeout=60_000)
    assert window.canvas.graph_scene.nodes["fc1"].running == "forward"
    window.training_panel.rate.setValue(0.5)
    assert window.document.state.settings.options.optimizer.lr == 0.5
    window.step_batch()
    qtbot.waitUntil(lambda: window.session.phase is Phase.PAUSED, timeout=20_000)
    loss = window.docks.scopes[0]
    qtbot.waitUntil(lambda: loss.has_data, timeout=5_000)
    assert "lr 0.5" in str([r.marks for r in loss.runs.values()]) or loss.runs


def test_devices_that_are_not_there_cannot_be_chosen_and_say_why(window):
    there, why = Place("cpu", True, "fast"), Place("cuda", False, "there is no GPU")
    window.training_panel.offer_devices([there, why])
    items = window.training_panel.device.model()
    found = {items.item(row).text(): items.item(row) for row in range(items.rowCount())}
    assert found["cpu"].isEnabled() and found["reference"].isEnabled()
    assert not found["cuda"].isEnabled()
    assert found["cuda"].toolTip() == "there is no GPU"


def test_a_project_for_a_device_that_is_not_there_is_explained_and_keeps_its_edits(qtbot, window, monkeypatch):
    def require():
        raise toolkit.CudaError("be used", "there is no GPU")

    monkeypatch.setattr(toolkit, "require", require)
    _choose(qtbot, window, "moons")
    settings = replace(window.document.state.settings, device="cuda")
    window.document.apply("Device", replace(window.document.state, settings=settings))
    qtbot.waitUntil(lambda: window.banner.isVisible(), timeout=20_000)
    assert "Device 'cuda' cannot be used: there is no GPU" in window.banner.text
    window.document.stack.undo()
    qtbot.waitUntil(lambda: window.session.phase is Phase.READY, timeout=20_000)


def test_scopes_show_what_the_session_tells(qtbot, window, tmp_path):
    _choose(qtbot, window, "moons")
    window.toggle_run()
    qtbot.waitUntil(lambda: window.docks.scopes[0].has_data, timeout=60_000)
    window.session.pause()
    for dock, scope in zip(window.docks.scope_docks, window.docks.scopes, strict=True):
        dock.raise_()
        qtbot.waitUntil(lambda s=scope: s._stack.currentIndex() == 1, timeout=10_000)
        assert scope.summary() and scope.summary() != scope.empty, scope.name
        for suffix in ("png", "svg", "csv"):
            scope.save(tmp_path / f"{scope.name}.{suffix}")
            assert (tmp_path / f"{scope.name}.{suffix}").stat().st_size > 0, (scope.name, suffix)


def test_empty_scopes_say_what_will_appear():
    assert all(len(kind.empty) > 20 and kind.title and kind.name for kind in ALL_SCOPES)


def test_layouts_themes_and_the_smallest_window_hold_everything(qtbot, window):
    _choose(qtbot, window, "lenet5")
    window.resize(1100, 700)
    for arrange in (window.layout_watch, window.layout_present, window.layout_build):
        arrange()
        qtbot.wait(50)
        assert window.width() == 1100 and window.height() == 700
    look().choose("light")
    assert look().theme is LIGHT
    look().choose("dark")


def test_the_arrangement_is_remembered_and_the_start_page_stands_alone(qtbot, window):
    _choose(qtbot, window, "lenet5")
    window.docks.palette.hide()
    window.docks.remember()
    again = make_window()
    qtbot.addWidget(again)
    again.show()
    assert not any(dock.isVisible() for dock in again.docks.all)
    again.project.new(window.document.state)
    assert again.docks.inspector.isVisible() and not again.docks.palette.isVisible()
    again.close()
    assert not again.session._worker.is_alive()


def test_unsaved_work_is_copied_and_can_be_recovered(qtbot, window, tmp_path):
    _choose(qtbot, window, "lenet5")
    window.document.apply("Delete", edits.delete(window.document.state, ["conv2"]))
    window.recovery.save()
    state, _ = files.load(window.recovery.path)
    assert state == window.document.state
    copy = window.recovery.folder / "999999999.nnvis"
    window.recovery.path.rename(copy)
    assert window.recovery.left_behind() == [copy]
    assert window.project.recover(copy)
    assert window.project.dirty and window.document.state == state


def test_a_torn_file_is_refused_in_the_banner_and_the_work_stays(qtbot, window, tmp_path):
    _choose(qtbot, window, "lenet5")
    before = window.document.state
    (tmp_path / "torn.nnvis").write_bytes(b"PK\x03\x04 torn")
    assert not window.project.open(tmp_path / "torn.nnvis")
    assert "torn.nnvis" in window.banner.text and window.document.state is before


def test_the_start_page_leads_back_to_the_document_and_never_past_unsaved_work(qtbot, window, tmp_path, monkeypatch):
    other = tmp_path / "other.nnvis"
    files.save(other, window.document.state)
    assert not window.start_page.back.isVisibleTo(window.start_page)
    _choose(qtbot, window, "moons")
    window.document.apply("Delete", edits.delete(window.document.state, ["fc1"]))
    kept = window.document.state
    window.show_start_page()
    asked = []
    with monkeypatch.context() as patched:
        patched.setattr(QMessageBox, "exec", lambda box: asked.append(box) or QMessageBox.StandardButton.Cancel)
        window.start_page.file_chosen.emit(other)
    assert len(asked) == 1 and window.document.state is kept
    qtbot.keyClick(window, Qt.Key.Key_Escape)
    assert window.pages.currentWidget() is window.canvas and window.document.state is kept
    assert window.actions_table["save_file"].isEnabled()


def test_the_window_fits_the_screen_with_its_frame():
    assert size_within(QSize(1440, 900)) == QSize(1440, 860)
    assert size_within(QSize(2560, 1440)) == QSize(1440, 900)


def test_the_start_page_lists_files_used_last(qtbot, tmp_path):
    page = StartPage()
    qtbot.addWidget(page)
    page.set_recent([tmp_path / "a.nnvis"])
    with qtbot.waitSignal(page.file_chosen) as chosen:
        qtbot.mouseClick(page._recent.itemAt(0).widget(), Qt.MouseButton.LeftButton)
    assert chosen.args == [tmp_path / "a.nnvis"]


@pytest.mark.parametrize("theme", [DARK, LIGHT], ids=lambda t: t.name)
def test_text_stands_out_from_its_ground(theme):
    grounds = (theme.canvas, theme.panel, theme.raised)
    for ground in grounds:
        assert _contrast(theme.text, ground) >= 4.5
    for color in (theme.muted, theme.accent, theme.good, theme.warn, theme.bad, *theme.families.values()):
        assert _contrast(color, theme.panel) >= 4.5


def _contrast(a: str, b: str) -> float:
    """Contrast ratio of the Web Content Accessibility Guidelines 2.1."""
    bright, dark = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def _luminance(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
