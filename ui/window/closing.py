"""Asking before work is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtWidgets import QMessageBox

from ui.session.messages import Phase

if TYPE_CHECKING:
    from ui.window.main_window import MainWindow


class Closing:
    """Decides whether a document may go away."""

    def __init__(self, window: MainWindow):
        self.window = window

    def may_close(self) -> bool:
        """Whether the window may close; while training it asks, even without unsaved edits."""
        running = self.window.session.phase in (Phase.RUNNING, Phase.COMPILING)
        return self._ask("The network is still training." if running else "")

    def may_discard(self) -> bool:
        """Whether another document may take this one's place."""
        return self._ask("")

    def _ask(self, also: str) -> bool:
        window = self.window
        if not window.project.dirty and not also:
            return True
        buttons = QMessageBox.StandardButton
        box = QMessageBox(QMessageBox.Icon.Question, "nnvis", f"Save changes to {window.project.name}?", parent=window)
        box.setInformativeText(f"{also} Saving keeps the network, its layout and its weights.".strip())
        box.setStandardButtons(buttons.Save | buttons.Discard | buttons.Cancel)
        box.setDefaultButton(buttons.Save)
        choice = box.exec()
        if choice == buttons.Save:
            window.session.pause()
            return window.project.save()
        return choice == buttons.Discard
