"""The toolbar: run, pause, step, reset, and the settings that one changes most."""

from __future__ import annotations

import qtawesome
from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QLabel, QSizePolicy, QToolBar, QToolButton, QWidget

from ui.document.state import Settings
from ui.session.messages import Phase
from ui.theme import look
from ui.theme.style import on_accent
from ui.window.actions import Actions


class Transport(QToolBar):
    """Transport in the middle; data and optimiser at the right, as a reminder of what will run."""

    def __init__(self, actions: Actions):
        super().__init__("Toolbar")
        self.setObjectName("toolbar")
        self.setMovable(False)
        self.setIconSize(QSize(18, 18))
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.PreventContextMenu)
        self._actions = actions
        for name in ("open_file", "save_file"):
            self.addAction(actions[name])
        self.addSeparator()
        self._undo, self._redo = QToolButton(), QToolButton()
        self.addWidget(self._undo)
        self.addWidget(self._redo)
        self._stretch()
        self.run = QToolButton(objectName="primary")
        self.run.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.run.clicked.connect(actions["toggle_run"].trigger)
        self.addWidget(self.run)
        for name in ("step_batch", "step_node", "stop_run", "reset_run"):
            self.addAction(actions[name])
            button = self.widgetForAction(actions[name])
            button.setAccessibleName(actions[name].text().replace("&", ""))
        self._stretch()
        self.summary = QLabel(objectName="muted")
        self.addWidget(self.summary)
        self.phase = Phase.IDLE
        look().changed.connect(self._paint)
        self._paint()

    def connect_undo(self, undo, redo) -> None:
        """Show the actions of the undo stack, whose tool tips say what would be undone."""
        self._undo.setDefaultAction(undo)
        self._redo.setDefaultAction(redo)
        self._paint()

    def show_phase(self, phase: Phase) -> None:
        """Offer what can be done now."""
        self.phase = phase
        running = phase in (Phase.RUNNING, Phase.LOADING, Phase.COMPILING)
        self._actions["stop_run"].setEnabled(phase in (Phase.RUNNING, Phase.PAUSED, Phase.STEPPING, Phase.LOADING))
        self._actions["step_node"].setEnabled(not running)
        self._actions["step_batch"].setEnabled(not running)
        self._paint()

    def show_settings(self, settings: Settings) -> None:
        """Say in a few words what will run."""
        options, optimizer = settings.options, settings.options.optimizer
        name = settings.data.rsplit("/", 1)[-1]
        self.summary.setText(
            f"{name[:24]}   {type(optimizer).__name__}   lr {optimizer.lr:g}   batch {options.batch_size}   "
        )

    def _stretch(self) -> None:
        space = QWidget()
        space.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.addWidget(space)

    def _paint(self) -> None:
        running = self.phase in (Phase.RUNNING, Phase.LOADING, Phase.COMPILING)
        text, icon = ("Pause", "mdi6.pause") if running else ("Run", "mdi6.play")
        if self.phase is Phase.PAUSED:
            text = "Resume"
        color = on_accent(look().theme) if self.run.isEnabled() else look().theme.muted
        self.run.setText(text)
        self.run.setAccessibleName(text)
        self.run.setToolTip(f"{text} (Space)")
        self.run.setIcon(qtawesome.icon(icon, color=color))
        for button, name in ((self._undo, "mdi6.undo"), (self._redo, "mdi6.redo")):
            if button.defaultAction():
                button.defaultAction().setIcon(look().icon(name))
