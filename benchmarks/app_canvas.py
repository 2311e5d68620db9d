"""How long the app takes to start, and how fast a large network pans and zooms.

Start: a fresh process up to a window that is shown and answers, several times. Frames: ResNet-152, all its blocks open,
at several zooms, moved a little before each frame; every frame is painted whole by the software renderer.

    python benchmarks/app_canvas.py
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
sys.path.insert(0, str(Path(__file__).parent.parent))

_START = """
import sys, tempfile
from PySide6.QtCore import QSettings, QTimer
QSettings.setDefaultFormat(QSettings.Format.IniFormat)
QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, tempfile.mkdtemp())
from ui.app import make_application, make_window
app = make_application("dark")
window = make_window()
window.show()
QTimer.singleShot(0, lambda: (window.session.close(), app.exit(0)))
app.exec()
"""


def start_seconds() -> float:
    """From the start of the interpreter to the first turn of the event loop with the window shown."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", _START], check=True, cwd=Path(__file__).parent.parent)
    return time.perf_counter() - begin


def frame_seconds(view, app, moves: int, zoom: float) -> list[float]:
    """Seconds for each frame of a pan, or of a zoom in and out."""
    found = []
    for move in range(moves):
        begin = time.perf_counter()
        if zoom == 1.0:
            bar = view.horizontalScrollBar()
            bar.setValue(bar.value() + (12 if move % 40 < 20 else -12))
        else:
            view.zoom(zoom if move % 20 < 10 else 1 / zoom)
        view.viewport().update()  # the whole of it
        app.processEvents()
        found.append(time.perf_counter() - begin)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", default="resnet152")
    parser.add_argument("--moves", type=int, default=120)
    args = parser.parse_args()
    start_seconds()
    times = [start_seconds() for _ in range(5)]
    print(f"start: {statistics.median(times):.2f} s (from {min(times):.2f} to {max(times):.2f})", flush=True)

    import numpy as np
    from PySide6.QtCore import QSettings

    import nnvis as nv
    from ui.app import make_application
    from ui.canvas.view import CanvasView
    from ui.document.layout import tidy
    from ui.document.state import from_graph
    from ui.history import Document

    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, tempfile.mkdtemp())
    app = make_application("dark")
    view = CanvasView(Document(tidy(from_graph(nv.zoo.build(args.net)))))
    view.resize(1100, 700)
    view.show()
    if any(block.collapsed for block in view.document.state.blocks.values()):
        view.toggle_all()
    app.processEvents()
    print(f"{args.net}: {len(view.graph_scene.nodes)} nodes drawn")
    for title, scale in (("all in view", None), ("zoom 0.3", 0.3), ("zoom 0.5", 0.5), ("zoom 1", 1.0)):
        if scale is None:
            view.fit()
        else:
            view.resetTransform()
            view.zoom(scale)
        for what, zoom in (("pan", 1.0), ("zoom", 1.03)):
            times = np.array(frame_seconds(view, app, args.moves, zoom))
            print(f"{title}, {what}: {1 / np.median(times):.0f} frames/s; the slowest of twenty "
                  f"{1 / np.percentile(times, 95):.0f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
