"""Node by node: what the canvas and the status bar show of it, and when that goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

from ui.session.messages import NodeStep, Phase, Progress

if TYPE_CHECKING:
    from ui.window.main_window import MainWindow


class Stepping(QObject):
    """Listens to the session of a window."""

    def __init__(self, window: MainWindow):
        super().__init__(window)
        self.window, self.canvas = window, window.canvas
        self._stepping = False
        #: Finished batches, now and when pictures of a batch were shown; None if there are none.
        self._step, self._shown_at = 0, None
        window.session.node_step.connect(self.show)
        window.session.progress.connect(self.follow)

    def show(self, step: NodeStep) -> None:
        """A node has been computed."""
        self._stepping = True
        self.canvas.show_step(step)
        self.window.status.hint(step.note)
        if step.direction == "forward" and step.node and step.output is not None:
            self._shown_at = self._step
            self.canvas.set_thumbnails({step.node: step.output[:1]})

    def follow(self, progress: Progress) -> None:
        """Pictures of a batch go once it has been learned from, unless all nodes show pictures all the time."""
        self._step = progress.step
        if progress.phase is not Phase.STEPPING and self._stepping:
            self._stepping = False
            self.canvas.show_step(None)
            self.window.status.hint("")
        if self._shown_at is not None and self._step != self._shown_at:
            self._shown_at = None
            if not self.window.actions_table["thumbnails"].isChecked():
                self.canvas.show_thumbnails(False)
