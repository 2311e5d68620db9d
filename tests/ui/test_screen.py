"""The real window on a real X server, driven by events of that server: what drawing off screen cannot show."""

from __future__ import annotations

import os
import shutil
import subprocess
import time

import pytest

from tests.ui.driven import Driven

_MISSING = [program for program in ("Xvfb", "xdotool") if shutil.which(program) is None]
pytestmark = [
    pytest.mark.screen,
    pytest.mark.skipif(bool(_MISSING), reason=f"{' and '.join(_MISSING)} not installed: apt-get install xvfb xdotool"),
]


@pytest.fixture
def display():
    """An X server of the test's own, with a window manager if there is one."""
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "1600x1000x24", "-nolisten", "tcp"],
        pass_fds=[write], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(write)
    with os.fdopen(read) as pipe:
        number = pipe.readline().strip()
    assert number, "Xvfb did not start"
    name = f":{number}"
    manager = None
    if shutil.which("openbox"):
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        manager = subprocess.Popen(["openbox"], env=os.environ | {"DISPLAY": name}, **quiet)
    yield name
    for process in (manager, server):
        if process is not None:
            process.terminate()
            process.wait(20)


class Hands:
    """Mouse and keyboard of a display."""

    def __init__(self, display: str, app: Driven):
        self.display, self.app = display, app

    def do(self, *words: object) -> None:
        environment = os.environ | {"DISPLAY": self.display}
        subprocess.run(["xdotool", *map(str, words)], env=environment, check=True, timeout=30)

    def at(self, point: str) -> tuple[int, int]:
        """Place on the screen of a QPoint of a widget: ``"widget, point"``."""
        return tuple(self.app.ask(f"(lambda w, p: [w.mapToGlobal(p).x(), w.mapToGlobal(p).y()])({point})"))

    def click(self, point: str) -> None:
        self.do("mousemove", *self.at(point), "click", 1)

    def drag(self, start: str, end: str) -> None:
        """Slowly, as people do: a drag begins with a small movement."""
        (x, y), (to_x, to_y) = self.at(start), self.at(end)
        self.do("mousemove", x, y, "mousedown", 1)
        for share in (0.1, 0.3, 0.6, 0.9, 1.0, 1.0):
            self.do("mousemove", round(x + share * (to_x - x)), round(y + share * (to_y - y)))
            time.sleep(0.08)
        self.do("mouseup", 1)


@pytest.fixture
def driven(display, tmp_path):
    with Driven(tmp_path, QT_QPA_PLATFORM="xcb", DISPLAY=display, WAYLAND_DISPLAY="", LIBGL_ALWAYS_SOFTWARE="1") as app:
        app.until("window.isVisible() and window.isActiveWindow()" if shutil.which("openbox") else "window.isVisible()")
        yield app


def _colours(app: Driven) -> int:
    """How many different colours a coarse grid of the window's pixels has, as the server shows it."""
    app.ask("names.update(shot=window.screen().grabWindow(window.winId()).toImage())")
    return app.ask("len({shot.pixel(x, y) for x in range(0, shot.width(), 9) for y in range(0, shot.height(), 9)})")


CARD = "(lambda c: (c, c.rect().center()))(next(c for c in window.start_page.cards if c.template.key == 'moons'))"
NODE = "window.canvas.viewport(), window.canvas.mapFromScene({item}.sceneBoundingRect().center())".format(
    item="window.canvas.graph_scene.nodes['fc1']"
)


def test_a_network_is_chosen_trained_moved_and_taken_back_by_mouse_and_keyboard(driven, display, tmp_path):
    app, hands = driven, Hands(display, driven)
    assert app.ask("app_class.platformName()") == "xcb"
    hands.click(f"*{CARD}")
    app.until("window.session.phase.value == 'ready' and window.canvas.isVisible()")
    app.until("not window.docks.palette.isHidden()")
    time.sleep(0.3)
    assert _colours(app) > 20

    hands.do("key", "space")
    app.until("window.session.phase.value == 'running'")
    app.until("window.session.contents().step > 100")
    hands.do("key", "space")
    app.until("window.session.phase.value == 'paused'")
    step = app.ask("window.session.contents().step")
    hands.do("key", "period")
    app.until(f"window.session.contents().step == {step + 1}")

    before = app.ask("list(window.document.state.nodes['fc1'].position)")
    hands.drag(NODE, f"{NODE} + point(0, 90)")
    after = app.until("[*window.document.state.nodes['fc1'].position] if window.document.stack.count() else 0")
    assert after[1] - before[1] > 20
    hands.do("key", "ctrl+z")
    app.until(f"list(window.document.state.nodes['fc1'].position) == {before}")

    hands.do("key", "ctrl+q")
    assert app.gone() == 0


def test_a_layer_is_dragged_from_the_palette_onto_the_canvas(driven, display):
    app, hands = driven, Hands(display, driven)
    hands.click(f"*{CARD}")
    app.until("window.session.phase.value == 'ready' and window.canvas.isVisible()")
    hands.click("window.palette_panel.field, window.palette_panel.field.rect().center()")
    hands.do("type", "relu")
    app.until("'ReLU' in window.palette_panel.visible_keys()")
    app.ask("names.update(tree=window.palette_panel.findChild(tree_class))")
    app.ask("names.update(row=next(i for i in tree.findItems('ReLU', exactly, 0)))")
    hands.drag("tree.viewport(), tree.visualItemRect(row).center()",
               "window.canvas.viewport(), point(window.canvas.viewport().width() // 2, 40)")  # fmt: skip
    app.until("any(node.layer.kind == 'ReLU' for node in window.document.state.nodes.values())")


def test_a_killed_app_is_recovered_by_a_click(display, tmp_path):
    known = {"QT_QPA_PLATFORM": "xcb", "DISPLAY": display, "WAYLAND_DISPLAY": ""}
    with Driven(tmp_path, **known) as app:
        Hands(display, app).click(f"*{CARD}")
        app.until("window.session.phase.value == 'ready'")
        time.sleep(0.3)
        Hands(display, app).do("key", "space")
        app.until("window.recovery.run and window.recovery.path.exists()")
        app.kill()
    with Driven(tmp_path, **known) as again:
        again.until("'ended unexpectedly' in window.banner.text")
        time.sleep(0.3)
        button = "[b for b in window.banner._buttons if b.text() == 'Recover'][0]"
        Hands(display, again).click(f"{button}, {button}.rect().center()")
        again.until("window.session.phase.value == 'paused' and window.session.contents().step > 0")
