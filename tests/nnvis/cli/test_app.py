"""The frame around all commands: help, version, misspellings, exit codes, crashes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import nnvis as nv
from nnvis.cli import app, zoo
from nnvis.cli.exits import Interrupted
from nnvis.errors import DivergedError


def test_help_lists_every_command(nnvis):
    result = nnvis("--help")
    assert result.code == 0
    assert all(f"  {command} " in result.out for command in app.COMMANDS)


def test_no_command_shows_the_help(nnvis):
    assert nnvis().out == nnvis("--help").out


@pytest.mark.parametrize("command", app.COMMANDS)
def test_help_of_every_command_shows_examples_of_it(nnvis, command):
    result = nnvis(command, "--help")
    assert result.code == 0
    examples = result.out.partition("examples:\n")[2].splitlines()
    assert examples and all(line.startswith("  nnvis ") for line in examples if line)
    assert any(line.startswith(f"  nnvis {command}") for line in examples)
    assert nnvis("help", command).out == result.out


@pytest.mark.parametrize("command", app.COMMANDS)
def test_help_fits_a_terminal_of_100_columns(nnvis, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    assert max(map(len, nnvis(command, "--help").out.splitlines())) <= 100


def test_version(nnvis):
    result = nnvis("--version")
    assert (result.code, result.out) == (0, f"nnvis {nv.__version__}\n")


def test_a_misspelt_command_suggests_the_close_one(refused):
    assert "did you mean 'train'?" in refused("trian")


def test_a_misspelt_option_suggests_the_close_one(refused):
    assert "did you mean '--json'?" in refused("zoo", "--jsno")


def test_a_missing_argument_is_named(refused):
    assert "NET" in refused("summary")


def test_an_argument_too_many_is_named(refused):
    assert "'extra'" in refused("zoo", "extra")


def _raise(error: BaseException):
    def run(args):
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ZeroDivisionError("oops"), 1),
        (nv.NnvisError("No."), 2),
        (MemoryError(), 2),
        (DivergedError("The loss is NaN.", 3), 3),
        (KeyboardInterrupt(), 130),
        (Interrupted(15), 143),
    ],
)
def test_each_kind_of_error_has_its_exit_code_and_one_line(nnvis, monkeypatch, error, code):
    monkeypatch.setattr(zoo, "run", _raise(error))
    result = nnvis("zoo")
    assert result.code == code
    assert len(result.err.splitlines()) == 1
    assert "Traceback" not in result.err


def test_a_crash_says_that_it_is_a_bug_and_how_to_see_more(nnvis, monkeypatch):
    monkeypatch.setattr(zoo, "run", _raise(ZeroDivisionError("oops")))
    assert "bug" in nnvis("zoo").err and "--debug" in nnvis("zoo").err


@pytest.mark.parametrize("how", ["option", "environment"])
def test_debug_shows_the_traceback(nnvis, monkeypatch, how):
    monkeypatch.setattr(zoo, "run", _raise(nv.NnvisError("No.")))
    if how == "environment":
        monkeypatch.setenv("NNVIS_DEBUG", "1")
    result = nnvis("zoo", *["--debug"] * (how == "option"))
    assert result.code == 2
    assert "Traceback" in result.err and result.err.endswith("nnvis: No.\n")


def _shell(command: str, **environment: str) -> subprocess.CompletedProcess:
    program = f'nnvis() {{ "{sys.executable}" -m nnvis "$@"; }}; set -o pipefail; {command}'
    return subprocess.run(
        ["bash", "-c", program], capture_output=True, text=True, timeout=60, env=os.environ | environment
    )


def test_a_reader_that_goes_away_is_no_error():
    done = _shell("nnvis zoo --json | true")
    assert done.stderr == ""


def test_an_output_that_knows_only_ascii_is_no_error():
    done = _shell("nnvis summary resnet20", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 0 and done.stderr == "" and "layer3.2.conv2" in done.stdout


def test_neither_help_nor_an_error_imports_what_is_slow():
    code = (
        "import sys; from nnvis.cli import main; main(['--help']); main(['trian']); "
        "print(sorted({'numba', 'rich', 'PIL', 'torch'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr.splitlines()[-1] == "[]"
