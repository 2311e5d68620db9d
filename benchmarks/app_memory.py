"""What the app holds in memory while an impatient user trains, edits, takes back, looks around and begins again.

Prints a line now and then, and the growth of the second half; a test does the same for some seconds.

    python benchmarks/app_memory.py --minutes 10
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
sys.path.insert(0, str(Path(__file__).parent.parent))

import shiboken6
from PySide6.QtCore import QSettings
from PySide6.QtWidgets import QMessageBox

from tests.ui.busy import User, resident
from ui.app import make_application, make_window
from ui.document.templates import TEMPLATES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--net", default="moons", help="a template of the start page")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    QSettings.setDefaultFormat(QSettings.Format.IniFormat)
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(folder))
    QMessageBox.exec = lambda self: QMessageBox.StandardButton.Discard
    make_application("dark")
    window = make_window(folder)
    window.show()
    window.project.new(next(t for t in TEMPLATES if t.key == args.net).make())
    user = User(window, folder)
    user.wait(1.0)
    _watch(user, 60 * args.minutes)
    window.close()
    shiboken6.delete(window)


def _watch(user: User, seconds: float) -> None:
    start, told, seen = time.perf_counter(), 0.0, []
    while (now := time.perf_counter() - start) < seconds:
        user.cycle()
        seen.append(resident())
        if now - told >= seconds / 20:
            told = now
            print(f"{now:6.0f} s  {len(seen):5} cycles  {user.steps:9,} steps  {seen[-1]:7.1f} MB", flush=True)
    middle = seen[len(seen) // 2]
    print(f"growth in the second half: {seen[-1] - middle:+.1f} MB in {len(seen) - len(seen) // 2} cycles")


if __name__ == "__main__":
    main()
