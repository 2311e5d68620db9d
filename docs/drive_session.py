"""A whole session, as a user would have it: real mouse and keyboard events in a real window.

Builds LeNet-5 from an empty canvas by dragging and wiring, trains it on MNIST, pauses, steps by node, changes the
learning rate, undoes twenty edits and redoes them, saves, closes, reopens and goes on training. Every stage is checked
and kept as a picture.

    xvfb-run -s "-screen 0 1600x1000x24" python docs/drive_session.py --out session-pictures

Needs xdotool and an X server with a window manager (openbox will do).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "xcb")
sys.path.insert(0, str(Path(__file__).parent.parent))

import shiboken6
from PySide6.QtCore import QPoint, QPointF, QSettings
from PySide6.QtWidgets import QApplication, QWidget

from nnvis.graph import INPUT
from ui.app import make_application, make_window
from ui.session.messages import Phase

#: Palette entry, name that the node gets, and fields of the inspector with what is typed into them.
LENET = (
    ("Conv2d", {"out channels": "6", "kernel size": "5", "padding": "2"}),
    ("ReLU", {}),
    ("MaxPool2d", {}),
    ("Conv2d", {"out channels": "16", "kernel size": "5", "padding": "0"}),
    ("ReLU", {}),
    ("MaxPool2d", {}),
    ("Flatten", {}),
    ("Linear", {"out features": "120"}),
    ("ReLU", {}),
    ("Linear", {"out features": "84"}),
    ("ReLU", {}),
    ("Linear", {"out features": "10"}),
)


class Hand:
    """Mouse and keyboard, through the X server; the app's events are handled meanwhile."""

    def __init__(self, app: QApplication):
        self.app = app

    def wait(self, seconds: float) -> None:
        """Let the app live for a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.app.processEvents()
            time.sleep(0.004)

    def until(self, done: Callable[[], bool], seconds: float, what: str) -> None:
        """Let the app live until something holds."""
        end = time.monotonic() + seconds
        while not done():
            if time.monotonic() > end:
                raise SystemExit(f"waited {seconds:g} s in vain for: {what}")
            self.wait(0.05)

    def do(self, *commands: str) -> None:
        """Run xdotool commands; dialogs and drags may run event loops of their own meanwhile."""
        process = subprocess.Popen(["xdotool", *" ".join(commands).split()])
        while process.poll() is None:
            self.app.processEvents()
            time.sleep(0.002)
        self.wait(0.12)

    def click(self, at: QPoint, button: int = 1, times: int = 1) -> None:
        """Click somewhere on the screen."""
        self.do(f"mousemove {at.x()} {at.y()}", "sleep 0.05", f"click --repeat {times} --delay 60 {button}")

    def drag(self, start: QPoint, end: QPoint) -> None:
        """Press, move in small steps, release."""
        steps = 12
        path = [start + (end - start) * k / steps for k in range(1, steps + 1)]
        moves = [f"mousemove {p.x()} {p.y()} sleep 0.02" for p in path]
        self.do(
            f"mousemove {start.x()} {start.y()}", "sleep 0.05 mousedown 1 sleep 0.05", *moves, "sleep 0.1 mouseup 1"
        )

    def keys(self, *names: str) -> None:
        """Press keys, such as "ctrl+z"."""
        self.do(*(f"key --clearmodifiers {name} sleep 0.03" for name in names))

    def write(self, text: str) -> None:
        """Type."""
        process = subprocess.Popen(["xdotool", "type", "--delay", "25", text])
        while process.poll() is None:
            self.app.processEvents()
            time.sleep(0.002)
        self.wait(0.1)


class Driver:
    """The stages of the session."""

    def __init__(self, out: Path):
        self.out = out
        out.mkdir(parents=True, exist_ok=True)
        self.app = make_application("dark")
        self.hand = Hand(self.app)
        self.number = 0
        self.open_window()

    def open_window(self) -> None:
        """A window, as at the start of the app."""
        self.window = make_window()
        self.window.resize(1500, 940)
        self.window.move(20, 20)
        self.window.show()
        self.hand.wait(1.0)

    def shoot(self, name: str) -> None:
        """Keep what the screen shows."""
        self.hand.wait(0.4)
        self.number += 1
        subprocess.run(["import", "-window", "root", str(self.out / f"{self.number:02d}-{name}.png")], check=True)
        print(f"{self.number:02d} {name}", flush=True)

    # --- places -------------------------------------------------------------------------------------------

    def on_canvas(self, point: QPointF) -> QPoint:
        """A point of the scene, on the screen."""
        view = self.window.canvas
        return view.viewport().mapToGlobal(view.mapFromScene(point))

    def click_empty_canvas(self) -> None:
        """Give the canvas the keyboard, and select nothing."""
        view = self.window.canvas
        spots = (QPoint(x, y) for y in range(30, view.height() - 30, 20) for x in range(30, view.width() - 30, 40))
        free = next(at for at in spots if not view.items(at) and view.childAt(at) is view.viewport())
        self.hand.click(view.viewport().mapToGlobal(free))

    def middle(self, widget: QWidget) -> QPoint:
        """The middle of a widget, on the screen."""
        return widget.mapToGlobal(widget.rect().center())

    def palette_row(self, key: str) -> QPoint:
        """Where the palette shows an entry, after a search for it."""
        tree = self.window.palette_panel.tree
        for place in range(tree.topLevelItemCount()):
            head = tree.topLevelItem(place)
            for row in (head.child(i) for i in range(head.childCount())):
                if row.data(0, 256) == key and not row.isHidden():
                    return tree.viewport().mapToGlobal(tree.visualItemRect(row).center())
        raise SystemExit(f"the palette does not show {key}")

    @property
    def nodes(self) -> list[str]:
        """Names of the nodes, in the order in which they were made."""
        return list(self.window.document.state.nodes)

    # --- stages -------------------------------------------------------------------------------------------

    def build(self) -> None:
        """LeNet-5 from an empty canvas."""
        hand, window = self.hand, self.window
        hand.click(self.middle(next(c for c in window.start_page.cards if c.template.key == "empty")))
        hand.until(lambda: window.pages.currentWidget() is window.canvas, 5, "the canvas")
        self.shoot("empty-canvas")
        last = INPUT
        for number, (key, fields) in enumerate(LENET):
            last = self.add(number, key, fields, last)
            if number == 0:
                self.shoot("first-layer")
        hand.keys("l")
        self.shoot("built")
        state = window.document.state
        assert not window.document.analysis.faults, window.document.analysis.faults
        count = window.document.analysis.total_parameters
        assert count == 61_706, count
        print(f"   {len(state.nodes)} nodes, 61,706 parameters")

    def add(self, number: int, key: str, fields: dict[str, str], last: str) -> str:
        """Drag a layer on the canvas, wire it, and type its hyper-parameters."""
        hand, window = self.hand, self.window
        hand.click(self.middle(window.palette_panel.field), times=3)
        hand.write(key)
        before = set(self.nodes)
        view = window.canvas.viewport()
        column, row = number % 4, number // 4
        spot = view.mapToGlobal(QPoint(300 + 200 * column, 90 + 120 * row))
        hand.drag(self.palette_row(key), spot)
        made = [n for n in self.nodes if n not in before]
        assert len(made) == 1, f"dragging {key} made {made}"
        name = made[0]
        scene = window.canvas.graph_scene
        if window.document.state.nodes[name].inputs[0] is None:
            start, end = scene.nodes[last].output_port(), scene.nodes[name].input_port(0)
            hand.drag(self.on_canvas(start), self.on_canvas(end))
        assert window.document.state.nodes[name].inputs == (last,), window.document.state.nodes[name].inputs
        if fields:
            hand.click(self.on_canvas(scene.nodes[name].sceneBoundingRect().center()))
        for field, text in fields.items():
            self.type_field(field, text)
        return name

    def type_field(self, field: str, text: str) -> None:
        """Type a value into the inspector."""
        widget = self.window.inspector.editors[field]
        self.hand.click(self.middle(widget.focusProxy()), times=2)
        self.hand.keys("ctrl+a")
        self.hand.write(text)
        self.hand.keys("Tab")

    def train(self) -> None:
        """Run until more than 98 % of the held-out examples are right."""
        hand, window = self.hand, self.window
        self.click_empty_canvas()
        hand.keys("space")
        hand.until(lambda: window.session.phase is Phase.RUNNING, 60, "training to begin")
        hand.wait(3)
        self.shoot("training")
        scope = window.docks.scopes[0]

        def accuracy() -> float:
            held = [m.get("val_accuracy", 0) for run in scope.runs.values() for _, m in run.epochs]
            return max(held, default=0.0)

        hand.until(lambda: accuracy() > 0.98, 300, "98 %")
        print(f"   {100 * accuracy():.2f} % of the held-out examples right")
        self.shoot("trained")

    def pause_and_step(self) -> None:
        """Pause, then node by node, forward and backward."""
        hand, window = self.hand, self.window
        if window.session.phase is Phase.RUNNING:
            hand.keys("space")
            hand.until(lambda: window.session.phase is Phase.PAUSED, 10, "the pause")
        self.shoot("paused")
        lit = []
        window.session.node_step.connect(lambda step: lit.append((step.direction, step.node)))
        for _ in range(3):
            hand.keys("comma")
        self.shoot("step-forward")
        for _ in range(14):
            hand.keys("comma")
        hand.until(lambda: any(d == "backward" for d, _ in lit), 10, "a step backward")
        self.shoot("step-backward")
        print("   " + " ".join(f"{d[0]}:{n}" for d, n in lit))

    def change_rate(self) -> None:
        """Another learning rate, while training goes on."""
        hand, window = self.hand, self.window
        hand.keys("space")
        hand.until(lambda: window.session.phase in (Phase.RUNNING, Phase.FINISHED), 10, "training to go on")
        window.docks.training.raise_()
        hand.wait(0.3)
        hand.click(self.middle(window.training_panel.rate), times=2)
        hand.keys("ctrl+a")
        hand.write("0.01")
        hand.keys("Return")
        hand.wait(2)
        assert window.document.state.settings.options.optimizer.lr == 0.01
        self.shoot("other-rate")

    def undo_and_redo(self) -> None:
        """Twenty edits back and forth."""
        hand, window = self.hand, self.window
        self.click_empty_canvas()
        before = window.document.state
        hand.keys(*["ctrl+z"] * 20)
        self.shoot("undone")
        undone = window.document.state
        assert undone != before
        hand.keys(*["ctrl+shift+z"] * 20)
        hand.wait(0.5)
        assert window.document.state == before
        self.shoot("redone")

    def save_and_reopen(self) -> None:
        """Save by keyboard, close, open again, go on."""
        hand, window = self.hand, self.window
        hand.until(lambda: window.session.phase is not Phase.LOADING, 10, "the data")
        path = self.out / "my-lenet.nnvis"
        path.unlink(missing_ok=True)
        process = subprocess.Popen(
            ["bash", "-c", f"sleep 1.5; xdotool key ctrl+a; xdotool type --delay 20 '{path.resolve()}'; "
             f"sleep 0.5; import -window root {self.out}/save-dialog.png; xdotool key Return"])  # fmt: skip
        hand.keys("ctrl+s")
        hand.until(lambda: process.poll() is not None and path.exists(), 20, "the file")
        self.shoot("saved")
        state = window.document.state
        hand.keys("ctrl+q")
        hand.until(lambda: not window.isVisible(), 10, "the window to close")
        shiboken6.delete(window)
        self.open_window()
        self.shoot("start-page-again")
        window = self.window
        window.project.open(path)
        hand.wait(2)
        assert window.document.state == state
        self.shoot("reopened")
        self.click_empty_canvas()
        hand.keys("space")
        hand.wait(4)
        run = next(iter(window.docks.scopes[0].runs.values()))
        print(f"   after reopening: accuracy of the first batches {100 * run.accuracy[:20].mean():.1f} %")
        assert run.accuracy[:20].mean() > 0.95
        self.shoot("goes-on")
        hand.keys("space")
        hand.wait(1)

    def end(self) -> None:
        """Take the window apart."""
        self.window.session.close()
        self.window.document.stack.setClean()
        shiboken6.delete(self.window)


def main() -> None:
    """All stages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("session-pictures"))
    args = parser.parse_args()
    sys.setswitchinterval(0.001)
    QSettings.setDefaultFormat(QSettings.Format.IniFormat)
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, tempfile.mkdtemp())
    driver = Driver(args.out)
    for stage in (driver.build, driver.train, driver.pause_and_step, driver.change_rate, driver.undo_and_redo,
                  driver.save_and_reopen):  # fmt: skip
        try:
            stage()
        except BaseException:
            driver.shoot("failed")
            driver.end()
            raise
    driver.end()


if __name__ == "__main__":
    main()
