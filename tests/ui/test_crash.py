"""The app is killed, at any moment: the next start has the edits and the last checkpoint."""

from __future__ import annotations

import time

import pytest

from nnvis.cli import main
from nnvis.runs import RunFolder
from tests.ui.driven import Driven
from ui.document import files
from ui.session import keeper
from ui.window import recovery

MOVE = "window.document.apply('Move', edits.move(window.document.state, {{'fc1': ({x}.0, 8.0)}}))"
AT = "list(window.document.state.nodes['fc1'].position)"
STEP = "window.session.contents().step"


def test_what_can_be_lost_is_at_most_half_a_minute():
    assert recovery.SECONDS <= 30 and keeper.WITHIN <= 30 and keeper.AT_EPOCHS <= 30


def _train(app: Driven) -> None:
    """Begin a long run and wait for its first checkpoint."""
    app.ask("window.project.new(moons(epochs=100000))")
    app.until("window.session.phase.value == 'ready'")
    app.ask("window.toggle_run()")
    app.until("window.recovery.run")


def _copies(app: Driven) -> list:
    return [p for p in (app.place / "recovery").glob("*.nnvis") if p.name[0] != "."]


def _wait_for_copy(app: Driven, x: float) -> None:
    def at() -> float:
        return files.load(_copies(app)[0])[0].nodes["fc1"].position[0]

    end = time.monotonic() + 20
    while not _copies(app) or at() != x:
        assert time.monotonic() < end, "no copy of the edit"
        time.sleep(0.02)


def _recover(app: Driven) -> None:
    app.until("'ended unexpectedly' in window.banner.text")
    app.press("Recover")
    app.until("window.session.phase.value == 'paused'")


def test_killed_while_training_the_next_start_goes_on_with_edits_and_checkpoint(tmp_path, capsys):
    with Driven(tmp_path) as app:
        _train(app)
        app.ask(MOVE.format(x=320))
        _wait_for_copy(app, 320)
        app.kill()
    (folder,) = (app.place / "runs").iterdir()
    saved = RunFolder(folder).paused()  # whole, whatever was being written
    assert saved.step > 0
    with Driven(tmp_path) as again:
        _recover(again)
        assert f"{saved.step:,}" in again.until("window.banner.text if 'press Run' in window.banner.text else ''")
        assert again.ask(AT) == [320, 8] and again.ask(STEP) == saved.step
        same = "all(np.array_equal(v, RunFolder(window.recovery.run).paused().checkpoint.net[n]) for n, v in "
        assert again.ask(f"bool({same} window.session.net_state().items()))")
        assert again.ask("window.project.dirty")
        again.ask("window.toggle_run()")
        again.until(f"{STEP} > {saved.step + 100}")
        again.kill()  # and once more: the recovered work is as safe as the first
    assert RunFolder(folder).paused().step >= saved.step and [p.name for p in folder.parent.iterdir()] == [folder.name]
    with Driven(tmp_path) as third:
        _recover(third)
        assert third.ask(AT) == [320, 8] and third.ask(STEP) >= saved.step
        third.ask("window.close()")
        assert third.gone() == 0
    assert not _copies(third)
    assert main(["eval", str(folder)]) == 0


@pytest.mark.parametrize("written", ["last.safetensors", ".nnvis"])
def test_killed_in_the_middle_of_writing_the_file_before_is_still_there(tmp_path, written):
    with Driven(tmp_path) as app:
        _train(app)
        app.ask(MOVE.format(x=160))
        _wait_for_copy(app, 160)
        before = RunFolder(app.ask("str(window.recovery.run)")).paused().step
        app.ask(f"die_while_writing({written!r})")
        app.ask(MOVE.format(x=480))
        assert app.gone() == -9
    assert len([p for p in app.place.rglob("*.tmp") if written in p.name]) == 1
    with Driven(tmp_path) as again:
        _recover(again)
        assert again.ask(AT)[0] in (160, 480) and again.ask(STEP) >= before
        if written == ".nnvis":
            assert again.ask(AT)[0] == 160
        again.ask("window.toggle_run()")
        again.until(f"{STEP} > {before} + 50")
        again.ask("window.session.pause()")
        again.until("not window.session._worker.keeper.unsaved")
        assert not list(again.place.rglob("*.tmp"))


def test_a_torn_checkpoint_does_not_keep_the_document_from_coming_back(tmp_path):
    with Driven(tmp_path) as app:
        _train(app)
        app.ask(MOVE.format(x=320))
        _wait_for_copy(app, 320)
        last = RunFolder(app.ask("str(window.recovery.run)")).last
        app.kill()
    last.write_bytes(last.read_bytes()[:1000])
    with Driven(tmp_path) as again:
        again.until("'ended unexpectedly' in window.banner.text")
        again.press("Recover")
        again.until("window.session.phase.value == 'ready'")
        assert again.ask(AT) == [320, 8]


def test_edits_to_a_saved_project_come_back_with_its_file_and_its_weights(tmp_path):
    with Driven(tmp_path) as app:
        _train(app)
        app.ask("window.session.stop()")
        app.until("window.session.phase.value == 'ready'")
        assert app.ask(f"window.project.save_to(__import__('pathlib').Path({str(tmp_path / 'mine.nnvis')!r}))")
        app.ask(f"window.project.open(__import__('pathlib').Path({str(tmp_path / 'mine.nnvis')!r}))")
        app.ask(MOVE.format(x=240))
        _wait_for_copy(app, 240)
        app.kill()
    _, weights = files.load(tmp_path / "mine.nnvis")
    with Driven(tmp_path) as again:
        again.until("'mine.nnvis' in window.banner.text")
        again.press("Recover")
        again.until("window.session.phase.value == 'ready'")
        assert again.ask("window.windowTitle()") == "*mine.nnvis - nnvis"
        assert again.ask("window.session.net_state()['fc1.weight'].tolist()") == weights["fc1.weight"].tolist()
        assert again.ask(AT) == [240, 8]


def test_another_window_that_is_open_is_not_taken_for_a_dead_one_and_discarding_ends_it(tmp_path):
    with Driven(tmp_path) as first:
        _train(first)
        first.ask(MOVE.format(x=320))
        _wait_for_copy(first, 320)
        with Driven(tmp_path) as second:
            assert second.ask("len(window.recovery.left_behind())") == 0
            assert second.until("window.status._machine.text()") and second.banner == ""
        first.kill()
    with Driven(tmp_path) as third:
        third.until("'ended unexpectedly' in window.banner.text")
        third.press("Discard")
        assert third.ask("len(window.recovery.left_behind())") == 0 and not _copies(third)
