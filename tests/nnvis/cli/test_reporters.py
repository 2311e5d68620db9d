"""What a run looks like in a pipe, as JSON and on a terminal, from made-up events."""

from __future__ import annotations

import contextlib
import io
import json

import pytest

from nnvis.cli import reporters
from nnvis.cli.reporters import Facts, JsonReporter, LineReporter, QuietReporter, SlowCompile
from nnvis.events import Compiling, EpochDone, Started, StepDone

FACTS = Facts("lenet5 (61,706 parameters)", "mnist", "sgd lr 0.1", "3 epochs", "cpu", classes=True, held_out="test")
METRICS = {"loss": 0.5, "accuracy": 0.75, "val_loss": 0.25, "val_accuracy": 0.875, "seconds": 5.14}
EPOCH = EpochDone(1, 10, METRICS, improved=True)


def _steps(count: int = 10):
    return [StepDone(step, 1, 1.0, 0.5, 0.1, 64) for step in range(1, count + 1)]


def _tell(reporter, *events) -> None:
    reporter.begin(FACTS)
    for event in events:
        reporter.handle(event)
    reporter.result(["saved in runs/x"], {"folder": "runs/x"})
    reporter.close()


def test_lines_tell_each_epoch_in_one_self_contained_line(capsys):
    _tell(LineReporter(), Started(3, 10), *_steps(), EPOCH)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "lenet5 (61,706 parameters) on mnist"
    assert lines[3] == (
        "epoch 1/3 done: loss 0.5000, accuracy 75.00 %, test loss 0.2500, test accuracy 87.50 %, "
        "time 5.1 s (best so far)"
    )
    assert lines[-1] == "saved in runs/x" and len(lines) == 5


def test_lines_tell_progress_every_few_seconds_only(capsys, monkeypatch):
    monkeypatch.setattr(reporters, "LINE_EVERY", 0.0)
    _tell(LineReporter(), Started(3, 10), *_steps(2))
    often = capsys.readouterr().out
    assert "epoch 1/3 step 1/10: loss 1.0000, accuracy 50.00 %" in often
    assert "\x1b" not in often and "\r" not in often
    monkeypatch.setattr(reporters, "LINE_EVERY", 60.0)
    _tell(LineReporter(), Started(3, 10), *_steps(2))
    assert "step" not in capsys.readouterr().out


def test_json_tells_every_event_in_one_line(capsys):
    _tell(JsonReporter(), Started(3, 10), *_steps(2), EPOCH, EpochDone(2, 20, {"loss": float("nan")}))
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    names = [each["event"] for each in told]
    assert names == ["run", "started", "step_done", "step_done", "epoch_done", "epoch_done", "result"]
    assert told[2] == {
        "event": "step_done", "step": 1, "epoch": 1, "loss": 1.0, "accuracy": 0.5, "lr": 0.1, "examples": 64,
        "gradient_norm": None,
    }  # fmt: skip
    assert told[5]["metrics"] == {"loss": None}


def test_quiet_tells_the_result_only(capsys):
    _tell(QuietReporter(), Started(3, 10), *_steps(2), EPOCH)
    assert capsys.readouterr().out == "saved in runs/x\n"


def test_regression_has_no_accuracy_and_names_the_validation_split():
    facts = Facts("net", "data", "", "", "cpu", classes=False, held_out="validation")
    assert [name for name, _ in reporters.epoch_figures(EPOCH, facts)] == ["loss", "val loss", "time"]


def test_compilation_is_told_only_if_it_is_slow(monkeypatch):
    now = 100.0
    monkeypatch.setattr(reporters.time, "monotonic", lambda: now)
    compiling = SlowCompile()
    assert compiling.text(Compiling(0, 24, "a")) is None
    now += 0.05
    assert compiling.text(Compiling(1, 24, "b")) is None
    now += 9
    assert compiling.text(Compiling(6, 24, "conv2d_forward")) == (
        "compiling kernels 7/24 (conv2d_forward), first run only"
    )
    assert compiling.first
    compiling.text(Compiling(7, 24, "c"))
    assert not compiling.first


class Terminal(io.StringIO):
    """A terminal that keeps what was written."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def on_terminal(monkeypatch):
    """Tell events on a terminal of 80 columns; return what was written."""
    from nnvis.cli.live import LiveReporter

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)

    def tell(*events) -> str:
        with contextlib.redirect_stdout(Terminal()) as terminal:
            _tell(LiveReporter(), *events)
        return terminal.getvalue()

    return tell


def test_a_terminal_shows_a_bar_and_keeps_the_epochs(on_terminal):
    text = on_terminal(Compiling(0, 2, "a"), Started(3, 10), *_steps(), EPOCH)
    assert "━" in text and "100 %" in text and "testing on the test examples" in text
    assert "test accuracy" in text and "87.50 %" in text and "saved in runs/x" in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1, "the cursor comes back"


def test_a_terminal_without_colour_gets_none(on_terminal, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    text = on_terminal(Started(3, 10), *_steps(), EPOCH)
    assert [code for code in text.split("\x1b[")[1:] if code.split("m")[0].startswith("3")] == []
