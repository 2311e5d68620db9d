"""Runs of the app are kept, go on where they were, and cost next to nothing."""

from __future__ import annotations

import errno
import os
import threading
from dataclasses import replace

import pytest
import shiboken6
from PySide6.QtWidgets import QMessageBox

import nnvis as nv
from nnvis.cli import main
from nnvis.options import TrainOptions
from nnvis.runs import RunFolder, load_run, read_metrics
from nnvis.training import Training
from tests.ui.nets import LONG, moons, same, steps, undisturbed, wait_for
from ui.app import make_application, make_window
from ui.document import edits, files
from ui.document.analysis import working_graph
from ui.locking import Lock
from ui.session import keeper, run_folders
from ui.session.messages import Phase
from ui.session.session import Session


@pytest.fixture
def open_window(qtbot, qapp, tmp_path, monkeypatch):
    """Make windows that share a folder, one after the other."""
    make_application("dark")
    monkeypatch.setattr(QMessageBox, "exec", lambda self: QMessageBox.StandardButton.Discard)
    made = []

    def make():
        window = make_window(tmp_path / "state")
        window.show()
        made.append(window)
        return window

    yield make
    for window in made:
        window.close()
        shiboken6.delete(window)
    qapp.setStyleSheet("")


@pytest.fixture
def session(qtbot, tmp_path):
    made = Session()
    made.keep_runs(tmp_path / "runs", "tiny")
    made.notices, made.saves = [], []
    made.notice.connect(made.notices.append)
    made.saved.connect(made.saves.append)
    yield made
    made.close()


def _begin(qtbot, window, state):
    window.project.new(state)
    wait_for(qtbot, window.session, Phase.READY)


def _finish(qtbot, session):
    session.run()
    wait_for(qtbot, session, Phase.FINISHED)
    return session.net_state()


# --- project files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("taken", "dropout"), [(28, True), (29, False), (40, True)])
def test_a_project_saved_in_the_middle_of_a_run_goes_on_with_the_same_bits(
    qtbot, open_window, tmp_path, taken, dropout
):
    state = moons(epochs=2, dropout=dropout, schedule="cosine")
    window = open_window()
    _begin(qtbot, window, state)
    steps(qtbot, window.session, taken)
    assert window.project.save_to(tmp_path / "a.nnvis")
    window.close()

    again = open_window()
    assert again.project.open(tmp_path / "a.nnvis")
    wait_for(qtbot, again.session, Phase.PAUSED)
    qtbot.waitUntil(lambda: f"step {taken} of" in again.banner.text, timeout=5_000)
    qtbot.wait(50)
    assert not again.project.dirty
    assert same(_finish(qtbot, again.session), undisturbed(state))
    assert again.project.dirty


def test_saving_between_two_nodes_keeps_the_state_before_the_step(qtbot, open_window, tmp_path):
    state = moons(epochs=1, dropout=True)
    window = open_window()
    _begin(qtbot, window, state)
    steps(qtbot, window.session, 3)
    with qtbot.waitSignal(window.session.node_step, timeout=LONG):
        window.step_node()
    wait_for(qtbot, window.session, Phase.STEPPING)
    assert window.project.save_to(tmp_path / "a.nnvis")
    again = open_window()
    again.project.open(tmp_path / "a.nnvis")
    wait_for(qtbot, again.session, Phase.PAUSED)
    assert same(_finish(qtbot, again.session), undisturbed(state))


def test_a_project_saved_after_the_end_keeps_the_weights_and_another_run_may_follow(qtbot, open_window, tmp_path):
    window = open_window()
    _begin(qtbot, window, moons(epochs=1))
    weights = _finish(qtbot, window.session)
    window.project.save_to(tmp_path / "a.nnvis")
    again = open_window()
    again.project.open(tmp_path / "a.nnvis")
    wait_for(qtbot, again.session, Phase.READY)
    assert same(again.session.net_state(), weights) and not again.project.dirty
    assert not same(_finish(qtbot, again.session), weights)


def test_a_run_whose_batches_were_changed_gives_its_weights_and_says_why_it_cannot_go_on(qtbot, open_window, tmp_path):
    window = open_window()
    state = moons()
    _begin(qtbot, window, state)
    steps(qtbot, window.session, 3)
    found = window.session.contents()
    other = replace(state.settings, options=TrainOptions(2, 16, nv.SGD(0.1, 0.9), seed=4))
    files.save(tmp_path / "a.nnvis", replace(state, settings=other), run=found.run)
    again = open_window()
    again.project.open(tmp_path / "a.nnvis")
    qtbot.waitUntil(lambda: "begins anew" in again.banner.text, timeout=LONG)
    assert "batch_size" in again.banner.text
    assert same(again.session.net_state(), found.weights)


def test_a_new_document_does_not_inherit_the_weights_of_the_one_before(qtbot, open_window):
    window = open_window()
    _begin(qtbot, window, moons(epochs=1))
    first = window.session.net_state()
    _finish(qtbot, window.session)
    _begin(qtbot, window, moons(epochs=1))
    qtbot.wait(50)
    assert same(window.session.net_state(), first) and not window.project.dirty


def test_opening_another_file_between_two_nodes_forgets_the_old_run_first(qtbot, open_window, tmp_path):
    window = open_window()
    _begin(qtbot, window, moons())
    steps(qtbot, window.session, 5)
    weights = window.session.net_state()
    window.project.save_to(tmp_path / "a.nnvis")
    window.step_node()
    wait_for(qtbot, window.session, Phase.STEPPING)
    window.project.open(tmp_path / "a.nnvis")
    wait_for(qtbot, window.session, Phase.PAUSED)
    assert same(window.session.net_state(), weights)


def test_weights_of_a_faulty_network_come_back_once_it_is_repaired(qtbot, open_window, tmp_path):
    window = open_window()
    state = moons(epochs=1)
    _begin(qtbot, window, state)
    weights = _finish(qtbot, window.session)
    window.document.apply("Cut", edits.disconnect(state, [state.wires()[0]]))
    wait_for(qtbot, window.session, Phase.IDLE)
    window.project.save_to(tmp_path / "a.nnvis")
    again = open_window()
    again.project.open(tmp_path / "a.nnvis")
    qtbot.wait(100)
    again.document.apply("Repair", state)
    wait_for(qtbot, again.session, Phase.READY)
    assert same(again.session.net_state(), weights)


# --- run folders ------------------------------------------------------------------------------------------


def test_each_run_has_a_folder_that_the_command_line_reads(qtbot, session, tmp_path):
    session.set_document(moons(epochs=2))
    wait_for(qtbot, session, Phase.READY)
    weights = _finish(qtbot, session)
    session.reset()
    wait_for(qtbot, session, Phase.READY)
    steps(qtbot, session, 1)
    session.stop()
    wait_for(qtbot, session, Phase.READY)
    first, second = sorted((tmp_path / "runs").iterdir(), key=lambda p: p.stat().st_mtime)
    assert same(load_run(first).net.state_dict(), weights)
    kinds = [line["kind"] for line in read_metrics(first / "metrics.jsonl")]
    assert kinds == ["step", "epoch", "step", "epoch", "final"]
    assert RunFolder(second).paused().step == 1
    assert not list((tmp_path / "runs").rglob("*.lock"))
    assert {s.path for s in session.saves if s.path} == {RunFolder(p).last for p in (first, second)}


def test_a_run_that_was_killed_goes_on_in_its_folder_with_the_same_bits(qtbot, session, tmp_path):
    state = moons(epochs=3, dropout=True)
    session.set_document(state)
    wait_for(qtbot, session, Phase.READY)
    steps(qtbot, session, 40)
    session.close()
    (folder,) = (tmp_path / "runs").iterdir()
    paused = RunFolder(folder).paused()
    again = Session()
    again.keep_runs(tmp_path / "runs", "tiny")
    again.set_document(state)
    again.resume(paused, folder)
    wait_for(qtbot, again, Phase.PAUSED)
    assert same(_finish(qtbot, again), undisturbed(state))
    again.close()
    assert [p.name for p in (tmp_path / "runs").iterdir()] == [folder.name]
    assert RunFolder(folder).paused().ended
    assert [e["epoch"] for e in read_metrics(folder / "metrics.jsonl") if e["kind"] == "epoch"] == [1, 2, 3]


def test_the_command_line_goes_on_with_a_run_of_the_app(qtbot, session, tmp_path):
    state = moons(epochs=2, dropout=True)
    session.set_document(state)
    wait_for(qtbot, session, Phase.READY)
    steps(qtbot, session, 40)
    session.close()
    (folder,) = (tmp_path / "runs").iterdir()
    assert main(["train", "--resume", str(folder)]) == 0
    assert same(RunFolder(folder).paused().checkpoint.net, undisturbed(state))


def test_a_paused_run_is_saved_after_a_moment(qtbot, session, monkeypatch):
    session.set_document(moons())
    wait_for(qtbot, session, Phase.READY)
    steps(qtbot, session, 2)
    qtbot.waitUntil(lambda: [s.step for s in session.saves][-1:] == [2], timeout=5_000)


def test_a_loss_that_diverges_leaves_the_last_good_checkpoint(qtbot, session, tmp_path):
    session.set_document(moons(epochs=100))
    wait_for(qtbot, session, Phase.READY)
    steps(qtbot, session, 2)
    qtbot.waitUntil(lambda: bool(session.saves), timeout=5_000)
    session.set_learning_rate(1e38)
    session.run()
    wait_for(qtbot, session, Phase.FAILED)
    (folder,) = (tmp_path / "runs").iterdir()
    assert RunFolder(folder).paused().step == 2


def test_checkpoints_come_at_epochs_and_every_half_minute_but_less_often_where_writing_is_slow(monkeypatch, tmp_path):
    now = [0.0]
    monkeypatch.setattr(keeper.time, "monotonic", lambda: now[0])
    net = nv.Network(working_graph(moons()), seed=0)
    training = Training(net, nv.data.load("moons"), moons().settings.options)
    kept = keeper.Keeper(training, tmp_path, None, lambda *_: None)

    def due(seconds: float, cost: float = 0.0) -> tuple[bool, bool]:
        now[0], kept._cost = seconds, cost
        return kept._due(epoch_done=True), kept._due(epoch_done=False)

    assert due(9.9) == (False, False)
    assert due(10) == (True, False)
    assert due(30) == (True, True)
    assert due(49, cost=0.5) == (False, False)
    assert due(50, cost=0.5) == (True, True)
    assert due(keeper.LONGEST, cost=100) == (True, True)


# --- a disk that does not want ----------------------------------------------------------------------------


def _full_disk(monkeypatch):
    """Until undone, the compute thread finds no room."""
    real = os.fsync

    def fsync(handle):
        if threading.current_thread().name == "nnvis compute":
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)


def test_a_full_disk_is_said_once_and_training_goes_on(qtbot, session, monkeypatch, tmp_path):
    monkeypatch.setattr(keeper, "AT_EPOCHS", 0.0)
    monkeypatch.setattr(keeper, "SHARE", 1e9)
    state = moons(epochs=5)
    session.set_document(state)
    wait_for(qtbot, session, Phase.READY)
    with monkeypatch.context() as context:
        _full_disk(context)
        weights = _finish(qtbot, session)
    assert same(weights, undisturbed(state))
    (notice,) = session.notices
    assert notice.role == "warn" and notice.sentence.count(".") >= 1
    assert "No space left on device" in notice.sentence and "training goes on" in notice.sentence
    assert str(tmp_path) in notice.sentence
    assert not list((tmp_path / "runs").rglob("*.tmp"))


@pytest.mark.parametrize("share", [1e9, 1e-9], ids=["saved with the last epoch", "saved only at the end"])
def test_once_there_is_room_again_the_run_is_saved_whole(qtbot, session, monkeypatch, tmp_path, share):
    monkeypatch.setattr(keeper, "AT_EPOCHS", 0.0)
    monkeypatch.setattr(keeper, "SHARE", share)
    state = moons(epochs=3)
    session.set_document(state)
    wait_for(qtbot, session, Phase.READY)
    with monkeypatch.context() as context:
        _full_disk(context)
        steps(qtbot, session, 30)
        qtbot.waitUntil(lambda: bool(session.notices), timeout=5_000)
    weights = _finish(qtbot, session)
    (folder,) = (tmp_path / "runs").iterdir()
    assert same(load_run(folder).net.state_dict(), weights)
    kinds = [line["kind"] for line in read_metrics(folder / "metrics.jsonl")]
    assert kinds.count("epoch") == 3 and kinds[-1] == "final"


def test_a_place_where_nothing_can_be_written_is_said_in_the_banner(qtbot, open_window, tmp_path):
    window = open_window()
    (tmp_path / "state").mkdir(exist_ok=True)
    (tmp_path / "state" / "runs").write_text("in the way")
    _begin(qtbot, window, moons(epochs=2))
    _finish(qtbot, window.session)
    qtbot.waitUntil(lambda: window.banner.isVisible() and "training goes on" in window.banner.text, timeout=5_000)
    assert window.banner.text.startswith("Cannot write")


# --- old runs ---------------------------------------------------------------------------------------------


def _folder(base, name, age, size=10):
    (base / name / "checkpoints").mkdir(parents=True)
    for file in ("graph.json", "checkpoints/last.safetensors"):
        (base / name / file).write_bytes(bytes(size))
        os.utime(base / name / file, (10_000 - age, 10_000 - age))
    return base / name


def test_old_runs_go_but_none_that_is_needed(tmp_path):
    made = [_folder(tmp_path, f"net-{age:02}", age) for age in range(run_folders.MOST + 4)]
    (tmp_path / "something else").mkdir()
    run_folders.prune(tmp_path, {made[-2]})
    left = {path.name for path in tmp_path.iterdir()}
    assert {path.name for path in made[: run_folders.MOST]} <= left
    assert "something else" in left and made[-2].name in left and made[-3].name not in left


def test_a_run_in_use_is_spared_and_large_runs_go_sooner(tmp_path, monkeypatch):
    monkeypatch.setattr(run_folders, "MOST_BYTES", 250)
    made = [_folder(tmp_path, f"net-{age}", age, 100) for age in range(4)]
    lock = Lock(made[2] / run_folders.LOCK)
    assert lock.take()
    run_folders.prune(tmp_path)
    lock.release()
    assert {path.name for path in tmp_path.iterdir()} == {"net-0", "net-2"}


def test_names_of_folders_are_safe_and_free(tmp_path):
    first = run_folders.new_folder(tmp_path, "../my net: ü/1")
    assert first.parent == tmp_path and first.name.startswith("my-net-ü-1-")
    first.mkdir()
    assert run_folders.new_folder(tmp_path, "../my net: ü/1") != first
