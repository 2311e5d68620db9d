"""The status bar: how far the training is, what the pointer is on, and whether all shapes fit."""

from __future__ import annotations

from PySide6.QtWidgets import QLabel, QProgressBar, QStatusBar

from ui.document.analysis import Analysis
from ui.session.messages import Phase, Progress
from ui.theme import look
from ui.window.elided import ElidedLabel

#: Pixels, at font scale 1, that progress and hints have for themselves.
_LEAST = 420


class Status(QStatusBar):
    """Shows :class:`Progress` and :class:`Analysis` values."""

    def __init__(self) -> None:
        super().__init__()
        self.setSizeGripEnabled(False)
        self._hint, self._progress, self._machine = ElidedLabel(), ElidedLabel(), QLabel()
        self._count, self._fit = QLabel(), QLabel()
        self._bar = QProgressBar(textVisible=False)
        self._bar.setFixedWidth(120)
        self._bar.setAccessibleName("Progress")
        self._bar.hide()
        self._progress.setAccessibleName("Training progress")
        self.addWidget(self._bar)
        self.addWidget(self._progress)
        self.addWidget(self._hint, 1)
        for label in (self._machine, self._count, self._fit):
            label.setContentsMargins(8, 0, 0, 0)
            self.addPermanentWidget(label)
        self._analysis: Analysis | None = None
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

    def show_analysis(self, analysis: Analysis) -> None:
        """Whether all shapes fit."""
        self._analysis = analysis
        self._paint()

    def _paint(self) -> None:
        if self._analysis is None:
            return
        count = len(self._analysis.faults)
        role = "bad" if count else "good"
        text = f"✕ {count} problem{'s' * (count != 1)}" if count else "✓ all shapes fit"
        self._count.setText(f"{self._analysis.total_parameters:,} parameters")
        self._fit.setText(f"{text} ")
        self._fit.setToolTip("\n".join(f.message for f in self._analysis.faults[:8]))
        self._fit.setStyleSheet(f"color: {getattr(look().theme, role)};")
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
