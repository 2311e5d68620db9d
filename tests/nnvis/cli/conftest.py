"""Running the command line inside the test process."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from nnvis.cli import main


@dataclass
class Result:
    """What one call of the command line did."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        """Standard output as one JSON value."""
        return json.loads(self.out)

    @property
    def events(self) -> list[dict]:
        """Standard output as one JSON object a line."""
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def nnvis(capsys, tmp_path: Path, monkeypatch):
    """Call ``nnvis WORDS...`` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NNVIS_DEBUG", "0")

    def call(*words: object) -> Result:
        capsys.readouterr()
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return call


@pytest.fixture
def refused(nnvis, tmp_path: Path):
    """Call ``nnvis WORDS...`` and check that it is refused as bad input should be; return the sentence."""

    def call(*words: object) -> str:
        before = sorted(tmp_path.rglob("*"))
        result = nnvis(*words)
        assert result.code == 2, result
        lines = result.err.splitlines()
        assert len(lines) == 1, result.err
        assert lines[0].startswith("nnvis: ") and lines[0].endswith((".", "?")), lines[0]
        assert sorted(tmp_path.rglob("*")) == before, "something was written"
        return lines[0].removeprefix("nnvis: ")

    return call
