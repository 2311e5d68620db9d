"""What all scopes share: they draw at most ten times a second, only while visible, and say what they show."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from PySide6.QtCore import QBuffer, QIODevice, QPoint, Qt, QTimer, Signal
from PySide6.QtGui import QPainter, QPixmap
from PySide6.QtSvg import QSvgGenerator
from PySide6.QtWidgets import QFileDialog, QLabel, QMenu, QStackedLayout, QVBoxLayout, QWidget

from nnvis.errors import NnvisError
from nnvis.runs.files import write_bytes
from ui.scopes.budget import BUDGET
from ui.scopes.panes import Bar, Pane, Panes
from ui.scopes.reading import Reader, ReadingLine, ValueAt
from ui.session.messages import Curves, Prediction, Snapshot
from ui.theme import look

#: Milliseconds between two drawings; seconds after which a view is drawn whatever the budget says.
INTERVAL, PATIENCE = 100, 1.0


@dataclass(frozen=True)
class Wants:
    """What a scope needs in the snapshots."""

    nodes: frozenset[str] = frozenset()
    filters: frozenset[str] = frozenset()
    examples: tuple[int, ...] | None = None
    #: How `examples` were chosen, for the other scopes' controls.
    way: int = 0


class Scope(QWidget):
    """Base of the live views.

    Signals
    -------
    wants(Wants)
    predict(tag, example)
        Somebody drew an example.
    failed(str)
        Something could not be done, in one sentence.
    """

    title: ClassVar[str] = ""
    name: ClassVar[str] = ""
    #: What an empty scope says: what will appear, and when.
    empty: ClassVar[str] = ""

    wants = Signal(object)
    predict = Signal(int, object)
    failed = Signal(str)

    def __init__(self, parent: QWidget | None = None):
        super().__init__(parent)
        self.setAccessibleName(self.title)
        self.setAccessibleDescription(self.empty)
        self.setMinimumSize(320, 120)
        self.names: tuple[str, ...] = ()
        self.kinds: Mapping[str, str] = {}
        self.families: Mapping[str, str] = {}
        self.selection: tuple[str, ...] = ()
        self.snapshot: Snapshot | None = None
        self.body, self._nothing = QWidget(), QLabel(self.empty, wordWrap=True)
        self._nothing.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._nothing.setObjectName("muted")
        self._nothing.setMargin(16)
        self._stack = QStackedLayout(self)
        self._stack.addWidget(self._nothing)
        self._stack.addWidget(self.body)
        self.column = QVBoxLayout(self.body)
        self.column.setContentsMargins(8, 4, 8, 4)
        self.column.setSpacing(4)
        self.line = ReadingLine()
        self.bar = Bar(self.line)
        self.readers: list[Reader] = []
        self.column.addWidget(self.bar)
        self._timer = QTimer(self, interval=INTERVAL, singleShot=True)
        self._timer.timeout.connect(self._draw_if_visible)
        #: Since when there is something new to draw; None: there is not.
        self._stale_since: float | None = None
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(self._show_menu)
        look().changed.connect(self.repaint_all)

    # --- putting together ---------------------------------------------------------------------------------

    def add_panes(self, *panes: Pane) -> Panes:
        """The views of this scope, with their chips in the bar."""
        made = Panes(*panes)
        self.bar.add(*(pane.chip for pane in panes))
        self.column.addWidget(made, 1)
        return made

    def reads(self, widget: QWidget, value_at: ValueAt) -> Reader:
        """Say in the line what lies under the pointer."""
        self.readers.append(Reader(widget, value_at, self.line))
        return self.readers[-1]

    # --- messages -----------------------------------------------------------------------------------------

    def add_curves(self, curves: Curves) -> None:
        """New points of the loss and accuracy."""

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """The network at another step."""
        self.snapshot = snapshot
        self.redraw()

    def show_prediction(self, prediction: Prediction) -> None:
        """An answer to :attr:`predict`."""

    def set_nodes(self, names: tuple[str, ...], kinds: Mapping[str, str], families: Mapping[str, str]) -> None:
        """The network's nodes, in execution order."""
        self.names, self.kinds, self.families = names, kinds, families
        self.redraw()

    def set_selection(self, names: tuple[str, ...]) -> None:
        """What is selected on the canvas."""
        self.selection = names
        self.redraw()

    def follow_examples(self, way: int, numbers: tuple[int, ...]) -> None:
        """Another scope has chosen the examples."""

    def summary(self) -> str:
        """What is seen, in words."""
        return self.empty

    # --- drawing ------------------------------------------------------------------------------------------

    @property
    def has_data(self) -> bool:
        """Whether there is something to show."""
        return self.snapshot is not None

    def draw(self) -> None:
        """Show the latest values."""

    def at_rest(self) -> str:
        """What the reading line says while nothing is pointed at."""
        return self.summary()

    def redraw(self) -> None:
        """Draw soon; while a network trains, as soon as the budget allows."""
        if self._stale_since is None:
            self._stale_since = time.perf_counter()
        if self._stack.currentIndex() != int(self.has_data):
            self._stale_since = -math.inf  # the first values, or none any more
        if not self._timer.isActive() and self.isVisible():
            self._timer.start(max(INTERVAL, round(1000 * self._wait)))

    @property
    def _wait(self) -> float:
        """Seconds until this view may be drawn: as the budget says, but within PATIENCE."""
        if self._stale_since is None:
            return 0.0
        return max(0.0, min(BUDGET.wait, self._stale_since + PATIENCE - time.perf_counter()))

    def draw_now(self) -> None:
        """Draw what is new without waiting for anything, if the view is seen."""
        self._stale_since = -math.inf
        self._draw_if_visible()

    def repaint_all(self) -> None:
        """The theme has changed."""
        self.redraw()

    def _draw_if_visible(self) -> None:
        if self._stale_since is None or not self.isVisible():
            return
        if self._wait:  # others have drawn meanwhile
            self.redraw()
            return
        begin = time.thread_time()
        self._stale_since = None
        self._stack.setCurrentIndex(int(self.has_data))
        if self.has_data:
            self.draw()
            self.line.say_at_rest(self.at_rest())
            for reader in self.readers:
                reader.refresh()
        self.setAccessibleDescription(self.summary())
        BUDGET.spend(time.thread_time() - begin)

    def showEvent(self, event) -> None:
        super().showEvent(event)
        self._stale_since = -math.inf
        self._timer.start(0)

    # --- export -------------------------------------------------------------------------------------------

    def csv(self) -> str:
        """The values shown, as comma-separated text."""
        return ""

    def save(self, path: Path) -> None:
        """Write what is shown: ``.png``, ``.svg`` or ``.csv``; OutputError if that fails."""
        if path.suffix == ".csv":
            write_bytes(path, self.csv().encode())
        elif path.suffix == ".svg":
            write_bytes(path, _svg(self))
        else:
            write_bytes(path, _png(self.grab()))

    def _show_menu(self, at: QPoint) -> None:
        menu = QMenu(self)
        for kind in ("PNG", "SVG", "CSV"):
            action = menu.addAction(f"Save as {kind} ...")
            action.setEnabled(self.has_data and (kind != "CSV" or bool(self.csv())))
            action.triggered.connect(lambda _=False, k=kind: self._choose_and_save(k.lower()))
        menu.exec(self.mapToGlobal(at))

    def _choose_and_save(self, kind: str) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Save", f"{self.name}.{kind}", f"*.{kind}")
        if name:
            try:
                self.save(Path(name).with_suffix(f".{kind}"))
            except NnvisError as error:
                self.failed.emit(str(error))


def _png(pixmap: QPixmap) -> bytes:
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    pixmap.save(buffer, "PNG")
    return bytes(buffer.data().data())


def _svg(widget: QWidget) -> bytes:
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    generator = QSvgGenerator()
    generator.setOutputDevice(buffer)
    generator.setSize(widget.size())
    generator.setViewBox(widget.rect())
    painter = QPainter(generator)
    widget.render(painter, QPoint())
    painter.end()
    return bytes(buffer.data().data())
