"""What training costs the window, and what the window costs training.

Trains a network headless and in the app with all scopes shown, in alternating turns, and prints how much slower the app
trains and how long an event waits for the GUI thread (median and 99th percentile). Each turn has a process of its own:
GNU OpenMP gives every thread that calls kernels a pool, and those of a second such thread would wait less patiently.

    python benchmarks/app_load.py --seconds 30 --nets resnet20 vgg11
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
import shiboken6
from PySide6.QtCore import QSettings, Qt, QTimer

import nnvis as nv
from nnvis.train import make_training
from ui.app import make_application, make_window
from ui.document.analysis import working_graph
from ui.document.templates import TEMPLATES

#: Milliseconds between two events: many more would themselves slow the training that they measure.
_TICK = 100


def headless(state, seconds: float) -> float:
    """Steps per second of the engine alone."""
    data = nv.data.load(state.settings.data, validation_split=state.settings.validation)
    training = make_training(nv.Network(working_graph(state)), data, state.settings.options)
    steps, start = -10, 0.0
    for event in training.run():
        if isinstance(event, nv.events.StepDone):
            steps += 1
            start = time.perf_counter() if steps == 0 else start
            if steps > 0 and time.perf_counter() - start > seconds:
                break
    return steps / (time.perf_counter() - start)


def in_app(app, state, seconds: float) -> tuple[float, np.ndarray]:
    """Steps per second in the app, and the delays of its event loop in milliseconds."""
    window = make_window()
    window.resize(1440, 900)  # off screen, the screen is smaller
    window.show()
    window.project.new(state)
    window.layout_watch()
    seen: list[tuple[float, int]] = []
    window.session.progress.connect(lambda p: seen.append((time.perf_counter(), p.step)))
    _spin(app, 2.0)
    window.session.run()
    while not seen or seen[-1][1] < 10:
        _spin(app, 0.05)
    delays, timer, last = [], QTimer(interval=_TICK, timerType=Qt.TimerType.PreciseTimer), [time.perf_counter()]

    def tick() -> None:
        now = time.perf_counter()
        delays.append(1000 * (now - last[0]) - _TICK)
        last[0] = now

    timer.timeout.connect(tick)
    timer.start()
    first = seen[-1]
    last[0] = time.perf_counter()
    app_end = QTimer(singleShot=True, interval=int(1000 * seconds))
    app_end.timeout.connect(lambda: app.exit(0))  # quit() would close the window, which asks
    app_end.start()
    app.exec()
    end = seen[-1]
    window.session.close()
    window.project.trained = False
    window.document.stack.setClean()
    window.close()
    shiboken6.delete(window)
    return (end[1] - first[1]) / (end[0] - first[0]), np.maximum(delays, 0)


def _spin(app, seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        app.processEvents()
        time.sleep(0.005)


def turn(side: str, name: str, seconds: float) -> None:
    """One turn, in this process: a line of JSON with the rate and, of the app, the delays."""
    state = next(t for t in TEMPLATES if t.key == name).make()
    if side == "alone":
        print(json.dumps([headless(state, seconds), []]))
        return
    sys.setswitchinterval(0.001)
    QSettings.setDefaultFormat(QSettings.Format.IniFormat)
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, tempfile.mkdtemp())
    rate, delays = in_app(make_application("dark"), state, seconds)
    print(json.dumps([rate, delays.tolist()]))


def turn_elsewhere(side: str, name: str, seconds: float) -> tuple[float, list[float]]:
    """One turn in a process of its own."""
    command = [sys.executable, __file__, "--turn", side, "--nets", name, "--seconds", str(seconds)]
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return tuple(json.loads(found.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--nets", nargs="+", default=["resnet20", "vgg11"])
    parser.add_argument("--turn", choices=("alone", "app"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.turn:
        turn(args.turn, args.nets[0], args.seconds)
        return
    for name in args.nets:
        alone, shown, late = [], [], []
        for _ in range(args.turns):
            alone.append(turn_elsewhere("alone", name, args.seconds)[0])
            rate, delays = turn_elsewhere("app", name, args.seconds)
            shown.append(rate)
            late += delays
        slower = 100 * (statistics.median(alone) / statistics.median(shown) - 1)
        print(f"{name}: {statistics.median(alone):.2f} steps/s alone, {statistics.median(shown):.2f} in the app: "
              f"{slower:+.1f} %; event delay {np.median(late):.1f} ms median, "
              f"{np.percentile(late, 99):.1f} ms 99th percentile", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
