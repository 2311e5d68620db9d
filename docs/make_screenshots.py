"""Makes the pictures of the README: ``python docs/make_screenshots.py`` (off screen, about a minute)."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
sys.path.insert(0, str(Path(__file__).parent.parent))

import shiboken6
from PySide6.QtCore import QSettings

import nnvis as nv
from ui.app import make_application, make_window
from ui.document.layout import tidy
from ui.document.state import Settings, from_graph

FOLDER = Path(__file__).parent / "images"


def main() -> None:
    """Drive the app and keep what it looks like."""
    QSettings.setDefaultFormat(QSettings.Format.IniFormat)
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, tempfile.mkdtemp())
    app = make_application("dark")
    window = make_window()
    window.resize(1440, 900)  # the screen that is not there is smaller
    window.show()

    def wait(seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            app.processEvents()
            time.sleep(0.005)

    def shoot(name: str) -> None:
        wait(1.0)
        window.grab().save(str(FOLDER / f"{name}.png"))

    shoot("start")
    window.start_page.cards[0].click()
    wait(2.0)
    window.document.select(["conv1"])
    window.actions_table["thumbnails"].setChecked(True)
    window.toggle_run()
    wait(8.0)
    shoot("build")
    window.layout_watch()
    window.docks.scope_docks[4].raise_()
    wait(4.0)
    shoot("watch")
    window.session.pause()
    window.layout_build()
    for _ in range(15):  # forward through the whole net, and one node back
        window.step_node()
        wait(0.3)
    shoot("step")
    graph = nv.zoo.googlenet(num_classes=10, input_shape=(32, 32, 3))
    window.project.new(tidy(from_graph(graph, Settings("shapes"))))
    window.docks.present()
    wait(2.0)
    window.document.select(["inception4b"])
    window.canvas.toggle_collapse()
    for dock in window.docks.scope_docks:
        dock.hide()
    wait(0.5)
    window.document.select([])
    window.canvas.fit()
    shoot("blocks")
    window.session.close()
    shiboken6.delete(window)


if __name__ == "__main__":
    main()
