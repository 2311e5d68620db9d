"""The real app in a process of its own, and a handle on it: what can be killed, or seen on a real screen.

``python -m tests.ui.driven SECONDS [FILE]`` starts the app as ``nnvis app`` does. Besides, it evaluates each line of
its standard input on the GUI thread, with the window as ``window``, and answers with a line of JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent


class Driven:
    """The app in another process.

    Parameters
    ----------
    place : Path
        Where it keeps its state and its settings.
    seconds : float
        Instead of 10 or 30 s until unsaved work is copied or a run is saved.
    environment : str
        Further variables.
    """

    def __init__(self, place: Path, seconds: float = 0.3, file: Path | None = None, **environment: str):
        known = {"XDG_STATE_HOME": str(place), "XDG_CONFIG_HOME": str(place), "QT_QPA_PLATFORM": "offscreen"}
        command = [sys.executable, "-m", "tests.ui.driven", str(seconds), *([str(file)] if file else [])]
        self.place = place / "nnvis"
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
            env=os.environ | known | {"PYTHONPATH": str(ROOT)} | environment,
        )  # fmt: skip

    def __enter__(self) -> Driven:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def ask(self, expression: str) -> Any:
        """The value of an expression there."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(expression + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise EOFError(f"the app has gone: {expression}")
        found = json.loads(answer)
        assert "error" not in found, f"{expression}: {found['error']}"
        return found["value"]

    def until(self, expression: str, timeout: float = 60.0) -> Any:
        """Wait until an expression is true there; returns it."""
        end = time.monotonic() + timeout
        while not (found := self.ask(expression)):
            assert time.monotonic() < end, f"not in {timeout} s: {expression}; the banner says {self.banner!r}"
            time.sleep(0.02)
        return found

    @property
    def banner(self) -> str:
        return self.ask("window.banner.text if window.banner.isVisible() else ''")

    def press(self, label: str) -> None:
        """Press a button of the banner."""
        self.ask(f"[b for b in window.banner._buttons if b.text() == {label!r}][0].click()")

    def kill(self) -> None:
        """As a power cut does it."""
        self.process.kill()
        self.gone()

    def gone(self) -> int:
        """Wait for its end."""
        code = self.process.wait(60)
        for stream in (self.process.stdin, self.process.stdout):
            stream.close()
        return code


def _main(seconds: str, file: str | None = None) -> int:
    from PySide6.QtCore import QSettings, QSocketNotifier
    from PySide6.QtWidgets import QMessageBox

    from ui import app
    from ui.session import keeper
    from ui.window import recovery

    QSettings.setDefaultFormat(QSettings.Format.IniFormat)
    recovery.SECONDS = keeper.WITHIN = keeper.AT_EPOCHS = float(seconds)
    QMessageBox.exec = lambda self: QMessageBox.StandardButton.Discard
    make = app.make_window
    names: dict[str, Any] = {}

    def answer() -> None:
        line = sys.stdin.readline()
        if not line:
            listener.setEnabled(False)
            return
        try:
            value = eval(line, names)  # the test's own words
            found = {"value": value if isinstance(value, int | float | str | list | dict | None) else str(value)}
        except Exception as error:
            found = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(found), flush=True)

    def make_and_listen(folder: Path):
        nonlocal listener
        names.update(window=make(folder), **_vocabulary())
        listener = QSocketNotifier(sys.stdin.fileno(), QSocketNotifier.Type.Read, names["window"])
        listener.activated.connect(answer)
        return names["window"]

    listener: QSocketNotifier
    app.make_window = make_and_listen
    return app.main(Path(file) if file else None)


def _vocabulary() -> dict[str, Any]:
    import signal

    import numpy as np

    import nnvis.runs.files as run_files
    from nnvis.runs import RunFolder
    from tests.ui.nets import moons
    from ui.document import edits

    def die_while_writing(name: str) -> None:
        """Write half of the next file whose name holds `name`, and drop dead."""

        def write_half(path: Path, content: bytes) -> None:
            if name in path.name:
                path.write_bytes(content[: len(content) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            real(path, content)

        real, run_files._write_through = run_files._write_through, write_half

    return {"moons": moons, "edits": edits, "RunFolder": RunFolder, "np": np, "die_while_writing": die_while_writing}


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
