"""``nnvis train`` from start to end, on the textbook device with toy data, so that nothing is compiled."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import nnvis as nv
from nnvis.cli import training

TOY = ("mlp", "--data", "moons", "--net-option", "hidden=8", "--device", "reference")
SMALL = (*TOY, "--limit", 128, "--epochs", 2)


def test_training_saves_a_run_and_says_how_to_go_on(nnvis, tmp_path):
    result = nnvis("train", *SMALL)
    assert result.code == 0 and result.err == ""
    assert "saved in runs/mlp-moons-1" in result.out and "nnvis eval runs/mlp-moons-1" in result.out
    assert "nnvis predict" not in result.out, "points are no images"
    assert {path.name for path in (tmp_path / "runs" / "mlp-moons-1").iterdir()} == {
        "graph.json", "config.json", "environment.json", "metrics.jsonl", "checkpoints",
    }  # fmt: skip


def test_each_run_gets_a_folder_of_its_own(nnvis, tmp_path):
    nnvis("train", *SMALL)
    assert "runs/mlp-moons-2" in nnvis("train", *SMALL).out
    assert "saved in mine" in nnvis("train", *SMALL, "--out", "mine").out


def test_json_tells_the_run_in_events(nnvis):
    events = nnvis("train", *SMALL, "--json").events
    names = [event["event"] for event in events]
    assert names[:2] == ["run", "started"] and names[-2:] == ["finished", "result"]
    assert names.count("step_done") == 4 and names.count("epoch_done") == 2
    assert events[-1]["folder"] == "runs/mlp-moons-1" and 0 < events[-1]["test_accuracy"] <= 1


def test_quiet_tells_the_result_only(nnvis):
    lines = nnvis("train", *SMALL, "--quiet").out.splitlines()
    assert len(lines) == 2 and lines[0].startswith("test accuracy") and lines[1] == "saved in runs/mlp-moons-1"


def test_the_same_seed_gives_the_same_run(nnvis):
    def loss(*words):
        return nnvis("train", *SMALL, "--json", *words).events[-1]["test_loss"]

    assert loss() == loss() != loss("--seed", 1)


def test_resume_goes_on_where_the_run_ended(nnvis):
    nnvis("train", *SMALL, "--schedule", "constant", "--out", "a")
    resumed = nnvis("train", "--resume", "a", "--epochs", 4, "--json").events
    whole = nnvis("train", *SMALL, "--schedule", "constant", "--epochs", 4, "--out", "b", "--json").events
    assert [e["epoch"] for e in resumed if e["event"] == "epoch_done"] == [3, 4]
    assert resumed[-1]["test_loss"] == whole[-1]["test_loss"]


def test_a_run_on_a_path_can_be_resumed_from_another_folder(nnvis, tmp_path, monkeypatch):
    np.savez(tmp_path / "d.npz", x=np.zeros((40, 2), np.float32), y=np.arange(40) % 2)
    assert nnvis("train", "mlp", "--data", "d.npz", "--device", "reference", "--epochs", 1, "--out", "run").code == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert nnvis("train", "--resume", "../run", "--epochs", 2).code == 0


@pytest.mark.parametrize("cycling", [False, True], ids=["sorted by class", "classes in turn"])
def test_a_limit_keeps_all_classes(nnvis, tmp_path, cycling):
    labels, held = (np.arange(count) % 4 if cycling else np.arange(count) // (count // 4) for count in (400, 40))
    np.savez(tmp_path / "d.npz", x_train=np.zeros((400, 2), np.float32), y_train=labels,
             x_test=np.zeros((40, 2), np.float32), y_test=held)  # fmt: skip
    words = ("train", "logistic", "--data", "d.npz", "--device", "reference", "--epochs", 1, "--limit", 20)
    assert nnvis(*words).code == 0
    confusion = nnvis("eval", "runs/logistic-d-1", "--confusion", "--json").json["confusion"]
    assert np.sum(confusion, axis=1).tolist() == [5, 5, 5, 5]


def test_early_stopping_says_so(nnvis):
    result = nnvis("train", *TOY, "--limit", 64, "--epochs", 60, "--lr", 1e-9, "--early-stopping", 2)
    assert result.code == 0 and "stopped early" in result.out
    assert result.out.count(" done: ") == 3


def test_regression_and_one_output_work(nnvis, tmp_path):
    x = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    np.savez(tmp_path / "d.npz", x=x, y=x.sum(1))
    result = nnvis("train", "mlp", "--data", "d.npz", "--device", "reference", "--epochs", 1)
    assert result.code == 0 and "test loss" in result.out and "accuracy" not in result.out
    result = nnvis("train", *SMALL, "--loss", "bce")
    assert result.code == 0 and "test accuracy" in result.out


def test_a_graph_file_can_be_trained(nnvis, tmp_path):
    graph = nv.Sequential([nv.Linear(4), nv.Tanh(), nv.Linear(2)], input_shape=(2,), name="mine")
    (tmp_path / "mine.json").write_text(graph.to_json())
    result = nnvis("train", "mine.json", "--data", "moons", "--limit", 64, "--device", "reference", "--epochs", 1)
    assert result.code == 0 and "saved in runs/mine-moons-1" in result.out


def test_divergence_has_a_code_of_its_own_and_names_the_step(nnvis):
    with np.errstate(all="ignore"):
        result = nnvis("train", *TOY, "--lr", 1e300, "--optimizer", "sgd", "--epochs", 3)
    assert result.code == 3
    assert len(result.err.splitlines()) == 1 and "step" in result.err and "learning rate" in result.err


def test_progress_of_compilation_is_an_event(nnvis):
    from kernels.cpu import jit

    before = {name: kernel.compiled for name, kernel in jit.KERNELS.items()}
    result = nnvis("train", "mlp", "--data", "moons", "--limit", 64, "--epochs", 1, "--json")
    assert result.code == 0
    compiling = [event for event in result.events if event["event"] == "compiling"]
    assert compiling or all(before[name] for name, kernel in jit.KERNELS.items() if kernel.compiled)


# --- signals ----------------------------------------------------------------------------------------------


def _start(folder: Path, *words: object) -> subprocess.Popen:
    command = [sys.executable, "-m", "nnvis", "train", *TOY, "--epochs", 100_000, "--out", "run", "--json", *words]
    environment = os.environ | {"PYTHONPATH": str(Path(nv.__file__).parents[1])}
    return subprocess.Popen(
        [str(word) for word in command], cwd=folder, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def _until(process: subprocess.Popen, event: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["event"] == event:
            return
    raise AssertionError(process.stderr.read())


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_with_a_checkpoint_and_a_hint(tmp_path, nnvis, signum, code):
    process = _start(tmp_path)
    _until(process, "step_done")
    process.send_signal(signum)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (code, "")
    last = json.loads(out.splitlines()[-1])
    assert last["stopped"] == "interrupted" and last["folder"] == "run"
    step = last["step"]
    resumed = nnvis("train", "--resume", "run", "--epochs", last["epoch"] + 1, "--json").events
    assert [e["step"] for e in resumed if e["event"] == "started"] == [step]
    assert resumed[-1]["event"] == "result"


def test_an_interrupted_run_is_told_in_words(nnvis, monkeypatch):
    class Stopped(training.StopOnSignal):
        def __call__(self) -> bool:
            self.signum = signal.SIGINT
            return self.training

    monkeypatch.setattr(training, "StopOnSignal", Stopped)
    result = nnvis("train", *SMALL)
    assert result.code == 130
    assert result.out.splitlines()[-1] == "resume with: nnvis train --resume runs/mlp-moons-1"


def test_a_second_signal_ends_at_once_and_the_terminal_is_told(nnvis, monkeypatch):
    from nnvis.cli.exits import Interrupted

    def interrupted(training, reporter, stop):
        next(training.run())
        raise Interrupted(signal.SIGTERM)

    monkeypatch.setattr(training, "_follow", interrupted)
    result = nnvis("train", *SMALL)
    assert result.code == 143
    assert result.err == "nnvis: interrupted; resume with: nnvis train --resume runs/mlp-moons-1\n"


# --- speed ------------------------------------------------------------------------------------------------


def test_from_the_second_start_on_the_first_step_comes_soon(tmp_path):
    """The bound is loose, since tests share the machine; the goal is 3 seconds."""

    def seconds_to_first_step() -> float:
        began = time.monotonic()
        process = _start(tmp_path, "--device", "cpu", "--limit", 64, "--out", f"run{began}")
        _until(process, "step_done")
        process.kill()
        process.communicate()
        return time.monotonic() - began

    seconds_to_first_step()
    assert seconds_to_first_step() < 20
