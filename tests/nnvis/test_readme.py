"""What the README shows is run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def python_blocks() -> list[str]:
    return re.findall(r"```python\n(.+?)```", README.read_text(), re.S)


def test_the_ten_line_script_builds_trains_and_predicts(tmp_path):
    script = python_blocks()[0]
    lines = [line for line in script.splitlines() if line.strip()]
    assert len(lines) <= 12
    (tmp_path / "script.py").write_text(script)
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    accuracy, digit = re.search(r"accuracy ([\d.]+)\D+(\d)\s*$", done.stdout.strip()).groups()
    assert float(accuracy) > 0.9
    assert digit == "7"  # the first test image of MNIST
