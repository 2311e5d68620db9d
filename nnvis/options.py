"""All options of a training as one value that can be written to a file and read back."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from typing import Any

from nnvis.data import Augmentation
from nnvis.errors import ConfigError
from nnvis.losses import CrossEntropy, Loss, loss, loss_from_config
from nnvis.optim import SGD, Optimizer, optimizer, optimizer_from_config
from nnvis.schedules import Constant, Schedule, schedule, schedule_from_config


@dataclass(frozen=True)
class EarlyStopping:
    """End the training once a metric has not improved for some epochs.

    Parameters
    ----------
    patience : int
        How many evaluated epochs without improvement are borne before the training ends.
    metric : str, optional
        "val_accuracy", "val_loss", "loss", ...; without it the one that decides which epoch is best: "val_accuracy",
        or "val_loss" where there are no classes. Less is better for losses, more for the rest.
    min_delta : float
        A smaller change is no improvement.
    """

    patience: int = 5
    metric: str | None = None
    min_delta: float = 0.0

    def __post_init__(self):
        if not isinstance(self.patience, int) or self.patience < 1:
            raise ConfigError(f"patience must be a whole number of at least 1, not {self.patience!r}.")
        if not self.min_delta >= 0:
            raise ConfigError(f"min_delta of early stopping must be at least 0, not {self.min_delta!r}.")

    def improves(self, value: float, best: float | None, metric: str) -> bool:
        """Whether `value` is better than `best` by more than :attr:`min_delta`."""
        return better(metric, value, best, self.min_delta)


def better(metric: str, value: float, best: float | None, margin: float = 0.0) -> bool:
    """Whether `value` beats `best` (None: nothing yet) by more than `margin`; losses should be small."""
    if best is None:
        return value == value
    return value < best - margin if metric.endswith("loss") else value > best + margin


@dataclass(frozen=True)
class TrainOptions:
    """Options of a training; see :func:`nnvis.train.train`.

    Optimiser, loss, schedule and augmentation may be given as text.
    """

    epochs: int = 1
    batch_size: int = 64
    optimizer: Optimizer = field(default_factory=SGD)
    loss: Loss = field(default_factory=CrossEntropy)
    schedule: Schedule = field(default_factory=Constant)
    augmentation: Augmentation = field(default_factory=Augmentation)
    seed: int = 0
    clip_norm: float | None = None
    clip_value: float | None = None
    early_stopping: EarlyStopping | None = None
    checkpoint_every: str = "60s"
    evaluate_every: int = 1
    evaluation_batch_size: int = 256
    log_every: int = 50
    drop_last: bool = False

    def __post_init__(self):
        values = {
            "optimizer": SGD() if self.optimizer is None else optimizer(self.optimizer),
            "loss": loss(self.loss),
            "schedule": schedule(self.schedule),
            "augmentation": _augmentation(self.augmentation),
            "early_stopping": _early_stopping(self.early_stopping),
            "checkpoint_every": str(self.checkpoint_every),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        for name in ("epochs", "batch_size", "evaluate_every", "evaluation_batch_size", "log_every"):
            _check_count(name, getattr(self, name))
        interval(self.checkpoint_every)

    def config(self) -> dict[str, Any]:
        """As plain JSON values."""
        stopping = self.early_stopping
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)} | {
            "optimizer": self.optimizer.config(),
            "loss": self.loss.config(),
            "schedule": self.schedule.config(),
            "augmentation": str(self.augmentation),
            "early_stopping": None if stopping is None else dataclasses.asdict(stopping),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> TrainOptions:
        """The options whose :meth:`config` this is."""
        stopping = config["early_stopping"]
        made = {
            "optimizer": optimizer_from_config(config["optimizer"]),
            "loss": loss_from_config(config["loss"]),
            "schedule": schedule_from_config(config["schedule"]),
            "augmentation": Augmentation.parse(config["augmentation"]),
            "early_stopping": None if stopping is None else EarlyStopping(**stopping),
        }
        return cls(**{**config, **made})


def interval(text: str) -> tuple[str, float]:
    """``"60s"``, ``"10m"`` or ``"1h"`` as ("seconds", number); ``"500"`` as ("steps", 500)."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|h|)", text.strip())
    if not match or float(match[1]) <= 0 or (not match[2] and "." in match[1]):
        raise ConfigError(f"checkpoint_every must be steps ('500') or a time ('60s', '10m', '1h'), not {text!r}.")
    factor = {"s": 1.0, "m": 60.0, "h": 3600.0}.get(match[2])
    return ("steps", int(match[1])) if factor is None else ("seconds", float(match[1]) * factor)


def _augmentation(value: Augmentation | str | None) -> Augmentation:
    return Augmentation.parse(value) if isinstance(value, str) else value or Augmentation()


def _early_stopping(value: EarlyStopping | int | None) -> EarlyStopping | None:
    return EarlyStopping(value) if isinstance(value, int) else value


def _check_count(name: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"{name} must be a whole number of at least 1, not {value!r}.")
