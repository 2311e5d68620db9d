"""What happens during training, as typed values: the command line prints them, an app plots them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Event:
    """Base of all events."""


@dataclass(frozen=True)
class Compiling(Event):
    """A kernel is being loaded or compiled; `done` of `total` are ready."""

    done: int
    total: int
    name: str


@dataclass(frozen=True)
class Started(Event):
    """Training begins or goes on.

    Attributes
    ----------
    epochs, steps_per_epoch : int
    epoch, step : int
        Position to start from: finished epochs, and finished steps in total. Zero unless resumed.
    folder : Path or None
        Where the run is saved.
    """

    epochs: int
    steps_per_epoch: int
    epoch: int = 0
    step: int = 0
    folder: Path | None = None


@dataclass(frozen=True)
class StepDone(Event):
    """One batch was learned from.

    Attributes
    ----------
    step : int
        Finished steps in total, from 1.
    epoch : int
        Current epoch, from 1.
    loss : float
        Mean over the batch, penalties not counted.
    accuracy : float or None
        Share of the batch classified rightly, before the update; None where there are no classes.
    lr : float
        Learning rate of this step.
    examples : int
        Batch size.
    gradient_norm : float or None
        Before clipping; None unless clipping asked for it.
    """

    step: int
    epoch: int
    loss: float
    accuracy: float | None
    lr: float
    examples: int
    gradient_norm: float | None = None


@dataclass(frozen=True)
class EpochDone(Event):
    """An epoch ended and was evaluated.

    Attributes
    ----------
    epoch : int
        From 1.
    step : int
    metrics : dict of str to float
        ``loss``, ``accuracy``, ``val_loss``, ``val_accuracy``, ``val_top5``, ``lr`` and ``seconds``, where they apply.
    improved : bool
        Whether this is the best epoch so far.
    """

    epoch: int
    step: int
    metrics: dict[str, float] = field(default_factory=dict)
    improved: bool = False


@dataclass(frozen=True)
class CheckpointSaved(Event):
    """A checkpoint is safely on disk."""

    path: Path
    step: int
    best: bool = False


@dataclass(frozen=True)
class Stopped(Event):
    """Training ended before its last epoch: ``"interrupted"`` (it can be resumed) or ``"early_stopping"``."""

    reason: str
    epoch: int
    step: int
    message: str = ""


@dataclass(frozen=True)
class Finished(Event):
    """Training reached its end; `metrics` are those of the final evaluation on the test data, if there is any."""

    epoch: int
    step: int
    metrics: dict[str, float] = field(default_factory=dict)
