"""Learning-rate schedules: a factor on the learning rate as a function of the step, and of nothing else."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from nnvis.errors import ConfigError, UnknownNameError

SCHEDULES: dict[str, type[Schedule]] = {}


@dataclass(frozen=True)
class Schedule:
    """Base of all schedules. Options count epochs; the factor changes from step to step."""

    name: ClassVar[str] = ""

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        SCHEDULES[cls.name] = cls

    def factor(self, step: int, total: int, steps_per_epoch: int) -> float:
        """Factor on the learning rate.

        Parameters
        ----------
        step : int
            Steps done before this one, from 0.
        total : int
            Steps of the whole training.
        steps_per_epoch : int
        """
        raise NotImplementedError

    def config(self) -> dict[str, Any]:
        """As plain JSON values; :func:`schedule_from_config` reads them back."""
        return {"name": self.name, **dataclasses.asdict(self)}


@dataclass(frozen=True)
class Constant(Schedule):
    """Always 1."""

    name: ClassVar[str] = "constant"

    def factor(self, step: int, total: int, steps_per_epoch: int) -> float:
        return 1.0

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Step(Schedule):
    """Multiplied by `factor` after every `every` epochs, or after each epoch of `milestones`.

    Parameters
    ----------
    every : float, optional
        Epochs.
    milestones : tuple of float, optional
        Epochs. Give either this or `every`.
    gamma : float
        What each drop multiplies the learning rate by.
    """

    name: ClassVar[str] = "step"

    every: float | None = None
    milestones: tuple[float, ...] = ()
    gamma: float = 0.1

    def __post_init__(self):
        object.__setattr__(self, "milestones", tuple(self.milestones))
        if (self.every is None) == (not self.milestones):
            raise ConfigError("The step schedule needs either 'every' or 'milestones', such as step:30 or step:30,60.")
        if min(self.milestones or (self.every or 0.0,)) <= 0:
            raise ConfigError("The step schedule's epochs must be above 0.")
        if not self.gamma > 0:
            raise ConfigError(f"gamma of the step schedule must be above 0, not {self.gamma!r}.")

    def factor(self, step: int, total: int, steps_per_epoch: int) -> float:
        epoch = step / steps_per_epoch
        drops = sum(epoch >= m for m in self.milestones) if self.every is None else math.floor(epoch / self.every)
        return self.gamma**drops

    def __str__(self) -> str:
        epochs = self.milestones or (self.every,)
        gamma = "" if self.gamma == 0.1 else f":{self.gamma:g}"
        return f"step:{','.join(f'{e:g}' for e in epochs)}{gamma}"


@dataclass(frozen=True)
class Cosine(Schedule):
    """From 1 to `final` along half a cosine wave: ``final + (1 - final) (1 + cos(pi step / total)) / 2``.

    Loshchilov and Hutter, "SGDR", 2017, equation 5, without restarts.
    """

    name: ClassVar[str] = "cosine"

    final: float = 0.0

    def __post_init__(self):
        if not 0 <= self.final <= 1:
            raise ConfigError(f"'final' of the cosine schedule must be from 0 to 1, not {self.final!r}.")

    def factor(self, step: int, total: int, steps_per_epoch: int) -> float:
        return self.final + (1.0 - self.final) * 0.5 * (1.0 + math.cos(math.pi * min(1.0, step / max(1, total))))

    def __str__(self) -> str:
        return self.name if not self.final else f"{self.name}:{self.final:g}"


@dataclass(frozen=True)
class Warmup(Schedule):
    """Another schedule, times a straight ramp from (almost) 0 to 1 over the first epochs or steps.

    Step ``s`` of ``n`` warm-up steps, from 0, has the factor ``(s + 1) / n``. Epochs of the schedule behind it count
    from the beginning of the training. Goyal et al., "Accurate, Large Minibatch SGD", 2017, section 2.2.

    Parameters
    ----------
    epochs : float, optional
    steps : int, optional
        Give one of the two.
    then : Schedule or str
    """

    name: ClassVar[str] = "warmup"

    epochs: float | None = None
    steps: int | None = None
    then: Schedule = field(default_factory=Constant)

    def __post_init__(self):
        if (self.epochs is None) == (self.steps is None):
            raise ConfigError("Warm-up needs either 'epochs' or 'steps', such as warmup:1+cosine or warmup:500steps.")
        if (self.epochs or self.steps or 0) <= 0:
            raise ConfigError("Warm-up must last longer than 0 epochs or steps.")
        object.__setattr__(self, "then", schedule(self.then))

    def factor(self, step: int, total: int, steps_per_epoch: int) -> float:
        length = self.epochs * steps_per_epoch if self.steps is None else self.steps  # type: ignore[operator]
        return self.then.factor(step, total, steps_per_epoch) * min(1.0, (step + 1) / max(1.0, length))

    def config(self) -> dict[str, Any]:
        return {"name": self.name, "epochs": self.epochs, "steps": self.steps, "then": self.then.config()}

    def __str__(self) -> str:
        length = f"{self.epochs:g}" if self.steps is None else f"{self.steps}steps"
        return f"warmup:{length}+{self.then}"


# --- from text and from plain values ------------------------------------------------------------------------


def schedule(text: str | Schedule | None) -> Schedule:
    """The schedule that `text` describes.

    Parameters
    ----------
    text : str, Schedule or None
        "constant"; "step:30" (every 30 epochs) or "step:30,60" (after these epochs), each by a tenth or as in
        "step:30,60:0.5"; "cosine" or "cosine:0.01" (what remains in the end); "warmup:1+cosine" (epochs) or
        "warmup:500steps+cosine". None is constant, and a Schedule is returned as it is.

    Raises
    ------
    UnknownNameError, ConfigError
    """
    if text is None or isinstance(text, Schedule):
        return text or Constant()
    first, _, rest = text.strip().partition("+")
    name, *options = first.split(":")
    readers: dict[str, Callable[..., Schedule]] = {
        "constant": _read_constant,
        "step": _read_step,
        "cosine": _read_cosine,
        "warmup": _read_warmup,
    }
    if name not in readers:
        raise UnknownNameError(f"There is no schedule {name!r}; known are {', '.join(readers)}.")
    if rest and name != "warmup":
        raise ConfigError(f"Schedule {text!r}: only a warm-up can stand in front of '+', as in 'warmup:1+{first}'.")
    try:
        made = readers[name](*options)
    except ConfigError:
        raise
    except (ValueError, TypeError):
        raise ConfigError(
            f"Schedule {first!r} cannot be read; write 'cosine', 'cosine:0.01', 'step:30', 'step:30,60:0.1' or "
            "'warmup:1+cosine'."
        ) from None
    return dataclasses.replace(made, then=schedule(rest)) if rest else made  # type: ignore[call-arg]


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _read_constant() -> Schedule:
    return Constant()


def _read_step(epochs: str, gamma: str = "0.1") -> Schedule:
    numbers = tuple(_number(part) for part in epochs.split(","))
    if len(numbers) == 1:
        return Step(every=numbers[0], gamma=_number(gamma))
    return Step(milestones=numbers, gamma=_number(gamma))


def _read_cosine(final: str = "0") -> Schedule:
    return Cosine(_number(final))


def _read_warmup(length: str) -> Schedule:
    if length.endswith("steps"):
        return Warmup(steps=int(length.removesuffix("steps")))
    return Warmup(epochs=_number(length))


def schedule_from_config(config: dict[str, Any]) -> Schedule:
    """The schedule whose :meth:`Schedule.config` this is."""
    options = dict(config)
    name = options.pop("name", None)
    if name not in SCHEDULES or not name:
        raise UnknownNameError(f"There is no schedule {name!r}; known are {', '.join(SCHEDULES)}.")
    if "then" in options:
        options["then"] = schedule_from_config(options["then"])
    try:
        return SCHEDULES[name](**options)
    except TypeError as error:
        raise ConfigError(f"Schedule {name!r} cannot be made from {config}: {error}.") from None
