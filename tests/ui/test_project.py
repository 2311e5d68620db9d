"""The document's file: when there is something to save, and what is said about it."""

from __future__ import annotations

from dataclasses import replace

from tests.ui.windows import choose, learn
from ui.document.state import DocumentState


def _with_batch(state: DocumentState, size: int) -> DocumentState:
    options = replace(state.settings.options, batch_size=size)
    return replace(state, settings=replace(state.settings, options=options))


def test_what_is_saved_stays_saved_until_something_changes(qtbot, app_window, tmp_path):
    choose(qtbot, app_window, "moons")
    learn(qtbot, app_window)
    app_window.document.apply("Change batch size", _with_batch(app_window.document.state, 16))
    assert app_window.project.save_to(tmp_path / "mine.nnvis") and not app_window.project.dirty
    app_window.document.select(["fc1"])
    app_window.session.look_at(frozenset(["fc1"]), frozenset())
    qtbot.wait(500)
    assert not app_window.project.dirty
    learn(qtbot, app_window)  # another run, which comes to the very step at which the file was saved
    assert app_window.project.dirty


def test_the_error_of_a_file_goes_once_another_is_read_or_written(qtbot, app_window, tmp_path):
    window = app_window
    choose(qtbot, window, "moons")
    (tmp_path / "torn.nnvis").write_bytes(b"PK\x03\x04 torn")
    assert not window.project.open(tmp_path / "torn.nnvis") and window.banner.isVisible()
    assert window.project.save_to(tmp_path / "mine.nnvis") and not window.banner.isVisible()
    assert not window.project.save_to(tmp_path / "no such folder" / "mine.nnvis") and window.banner.isVisible()
    window.document.select(["fc1"])
    window.banner.check()
    assert window.banner.isVisible()
    assert window.project.open(tmp_path / "mine.nnvis") and not window.banner.isVisible()


def test_runs_of_one_network_are_compared_and_go_with_it(qtbot, app_window):
    window, loss = app_window, app_window.docks.loss
    choose(qtbot, window, "moons")
    learn(qtbot, window)
    window.document.apply("Change batch size", _with_batch(window.document.state, 16))
    learn(qtbot, window)
    qtbot.waitUntil(lambda: list(loss.runs) == ["run 1", "run 2"], timeout=20_000)
    window.project.new(window.document.state)
    qtbot.waitUntil(lambda: not loss.runs, timeout=20_000)
    learn(qtbot, window)
    assert list(loss.runs) == ["run 1"]
