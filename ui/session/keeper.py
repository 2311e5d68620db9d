"""Writes the checkpoints of a run, as often as costs next to nothing, whatever the disk does."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nnvis.errors import OutputError
from nnvis.events import EpochDone, Event, Finished, StepDone
from nnvis.options import TrainOptions
from nnvis.runs import DataSource, RunFolder
from nnvis.runs.files import writing
from nnvis.training import Training
from ui.locking import Lock
from ui.session.messages import Notice, Saved
from ui.session.run_folders import LOCK

#: Seconds between two checkpoints: within an epoch, and at the end of one.
WITHIN, AT_EPOCHS = 30.0, 10.0
#: Share of the time that writing may take: a slow disk gets fewer checkpoints, but one in LONGEST seconds.
SHARE, LONGEST = 0.01, 300.0


class Keeper:
    """Keeps one run in a folder.

    Parameters
    ----------
    training : Training
        Without a folder of its own.
    path : Path
        Made with the first checkpoint; or the folder of this very run, which is gone on with.
    source : DataSource
    emit : callable
        Hears of every checkpoint ("saved"), and in one "notice" that there can be none.
    """

    def __init__(self, training: Training, path: Path, source: DataSource, emit: Callable[[str, Any], None]):
        self.training, self.source, self.emit = training, source, emit
        self.folder = RunFolder(path)
        self._lock = Lock(path / LOCK)
        self._lines: list[tuple[str, dict[str, Any]]] = []
        self._options: TrainOptions | None = None  # those in the folder
        self._last, self._cost = time.monotonic(), 0.0
        self._begun = training.state.step, training.state.epoch
        self._tried = training.state.step
        self._well = True

    @property
    def unsaved(self) -> bool:
        """Whether the training has gone on since the last try to save it."""
        return self.training.state.step != self._tried

    def note(self, event: Event) -> None:
        """Log an event; save if it is time to."""
        step = self.training.state.step
        if isinstance(event, StepDone) and (step % self.training.options.log_every == 0 or step == 1):
            self._lines.append(("step", asdict(event)))
        elif isinstance(event, EpochDone):
            facts = {"epoch": event.epoch, "step": step, **event.metrics, "improved": event.improved}
            self._lines.append(("epoch", facts))
        elif isinstance(event, Finished):
            self._lines.append(("final", {"epoch": event.epoch, "step": step, **event.metrics}))
        if self._due(isinstance(event, EpochDone)):
            self.save()

    def _due(self, epoch_done: bool) -> bool:
        wait = max(AT_EPOCHS if epoch_done else WITHIN, min(self._cost / SHARE, LONGEST))
        return time.monotonic() - self._last >= wait

    def save(self) -> None:
        """Write a checkpoint; that it cannot be written does not disturb the training."""
        begin = time.monotonic()
        self._tried = self.training.state.step
        try:
            with writing(self.folder.path):
                self._write()
        except OutputError as error:
            self._complain(str(error).partition(";")[0])
        else:
            self._well = True
            self.emit("saved", Saved(self.folder.last, self._tried))
        self._last = time.monotonic()
        self._cost = self._last - begin

    def _complain(self, what: str) -> None:
        """Once, not at every further try."""
        if self._well:
            words = f"{what}; training goes on, but until there is room a crash would lose it."
            self.emit("notice", Notice(words, "warn"))
        self._well = False

    def _write(self) -> None:
        if self._options is None:
            self._open()
        elif self._options != self.training.options:
            self._describe()
        while self._lines:
            kind, values = self._lines[0]
            self.folder.log.append(kind, **values)
            del self._lines[0]  # only now, when it is in the file
        self.folder.save(self.training.checkpoint())

    def _open(self) -> None:
        training, folder = self.training, self.folder
        if folder.exists:
            folder.log.truncate(*self._begun)
            self._describe()
        else:
            folder.create(training.net, training.options, training.facts, self.source)
            self._options = training.options
        self._lock.take()

    def _describe(self) -> None:
        training = self.training
        self.folder.update(training.net, training.options, training.facts, self.source)
        self._options = training.options

    def close(self, save: bool = True) -> None:
        """The run is over, or left; save what is not saved yet: steps, or the line that says how the run ended."""
        if save and (self.unsaved or self._lines or not self._well):
            self.save()
        self.folder.log.close()
        self._lock.release()
