"""The status bar: how far the training is, what the pointer is on, and whether all shapes fit."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QLabel, QProgressBar, QStatusBar, QToolButton

from ui.document.analysis import Analysis
from ui.session.messages import Phase, Progress
from ui.theme import look
from ui.window.elided import ElidedLabel

#: Pixels, at font scale 1, that progress and hints have for themselves.
_LEAST = 420


class Status(QStatusBar):
    """Shows :class:`Progress` and :class:`Analysis` values.

    Signals
    -------
    asked()
        Somebody wants to know more about what does not fit.
    """

    asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setSizeGripEnabled(False)
        self._hint, self._progress, self._machine = ElidedLabel(), ElidedLabel(), QLabel()
        self._count, self._fit = QLabel(), QToolButton()
        self._fit.clicked.connect(self.asked)
        self._bar = QProgressBar(textVisible=False)
        self._bar.setFixedWidth(120)
        self._bar.setAccessibleName("Progress")
        self._bar.hide()
        self._progress.setAccessibleName("Training progress")
        self.addWidget(self._bar)
        self.addWidget(self._progress)
        self.addWidget(self._hint, 1)
        for label in (self._machine, self._count):
            label.setContentsMargins(8, 0, 0, 0)
            self.addPermanentWidget(label)
        self.addPermanentWidget(self._fit)
        self._analysis: Analysis | None = None
        self._misfit = ""
        look().changed.connect(self._paint)

    def hint(self, text: str) -> None:
        """A word about what the pointer does."""
        self._hint.setText(text)

    def show_machine(self, text: str) -> None:
        """What computes: "cpu, 2 threads, AVX2"."""
        self._machine.setText(text)
        self._drop_least()

    def resizeEvent(self, event) -> None:
        super().resizeEvent(event)
        self._drop_least()

    def _drop_least(self) -> None:
        """What says least goes first where there is little room: the machine, then the size of the network."""
        room = self.width() - _LEAST * look().scale - self._fit.sizeHint().width()
        for label in (self._count, self._machine):
            room -= label.sizeHint().width() + 8
            label.setVisible(room >= 0)

    def show_progress(self, progress: Progress) -> None:
        """How far the training is."""
        self._progress.setText(progress_text(progress))
        fraction = progress.fraction
        if fraction is None and progress.steps:
            fraction = progress.step / progress.steps
        busy = progress.phase in (Phase.LOADING, Phase.COMPILING, Phase.RUNNING, Phase.PAUSED, Phase.STEPPING)
        self._bar.setVisible(busy)
        self._bar.setRange(0, 0 if fraction is None else 1000)
        self._bar.setValue(round(1000 * (fraction or 0)))

    def show_analysis(self, analysis: Analysis, misfit: str = "") -> None:
        """Whether all shapes fit, and the data with them."""
        self._analysis, self._misfit = analysis, misfit
        self._paint()

    def _paint(self) -> None:
        if self._analysis is None:
            return
        count = len(self._analysis.faults)
        role = "bad" if count or self._misfit else "good"
        text = f"✕ {count} problem{'s' * (count != 1)}" if count else "✓ all shapes fit"
        text = "✕ the data do not fit" if self._misfit else text
        self._count.setText(f"{self._analysis.total_parameters:,} parameters")
        self._fit.setText(text)
        self._fit.setAccessibleName(text[2:])
        self._fit.setToolTip(self._misfit or "\n".join(f.message for f in self._analysis.faults[:8]))
        self._fit.setStyleSheet(f"QToolButton {{ color: {getattr(look().theme, role)}; padding: 0 8px; }}")
        self._drop_least()


def progress_text(p: Progress) -> str:
    """``epoch 2/5   step 1,204/4,690   13,400 images/s   0:21 left``, or the message."""
    if p.message or not p.steps:
        return p.message
    parts = [f"epoch {p.epoch}/{p.epochs}", f"step {p.step:,}/{p.steps:,}"]
    if p.images_per_second:
        parts.append(f"{p.images_per_second:,.0f} images/s")
    if p.seconds_left and p.phase is Phase.RUNNING:
        minutes, seconds = divmod(round(p.seconds_left), 60)
        hours, minutes = divmod(minutes, 60)
        parts.append(f"{hours}:{minutes:02}:{seconds:02} left" if hours else f"{minutes}:{seconds:02} left")
    if p.phase in (Phase.PAUSED, Phase.STEPPING, Phase.FINISHED):
        parts.append(p.phase.value)
    return "   ".join(parts)
