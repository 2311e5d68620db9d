"""The part of a training's state that is not arrays."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class State:
    """All of a training that is not in arrays; plain JSON values.

    Attributes
    ----------
    step, epoch, position : int
        Finished steps and epochs in total, and finished steps of the current epoch.
    training_passes : int
        The network's; dropout masks depend on it.
    seed : int
        The network's.
    loss_sum, correct, examples, seconds
        Of the current epoch so far.
    best : dict
        ``metric``, ``value`` and ``epoch`` of the best epoch, or empty.
    stopping : dict
        Early stopping's ``value`` and ``waited`` epochs.
    history : list of dict
        Metrics of the finished epochs.
    ended : str
        "early_stopping" once that has happened.
    """

    step: int = 0
    epoch: int = 0
    position: int = 0
    training_passes: int = 0
    seed: int = 0
    loss_sum: float = 0.0
    correct: int = 0
    examples: int = 0
    seconds: float = 0.0
    best: dict[str, Any] = field(default_factory=dict)
    stopping: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    ended: str = ""

    def start_epoch(self) -> None:
        """Forget what belongs to one epoch."""
        self.position, self.loss_sum, self.correct, self.examples, self.seconds = 0, 0.0, 0, 0, 0.0
