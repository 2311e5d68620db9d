"""How a training run is told: plain lines for a pipe, JSON for scripts, next to nothing for ``--quiet``.

The display for terminals is in :mod:`nnvis.cli.live`.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
import sys
import time
from dataclasses import dataclass

from nnvis.cli import console
from nnvis.cli.meter import Meter
from nnvis.events import Compiling, EpochDone, Event, Started, StepDone

#: Seconds between two progress lines in a pipe, and between two flushes of JSON lines.
LINE_EVERY, FLUSH_EVERY = 5.0, 0.5


@dataclass(frozen=True)
class Facts:
    """What is known before a run starts.

    Attributes
    ----------
    network, data, settings, length, device : str
        One phrase each, for the head of the display.
    classes : bool
        Whether accuracy means anything.
    held_out : str
        What the epochs are tested on: "validation" or "test".
    """

    network: str
    data: str
    settings: str
    length: str
    device: str
    classes: bool
    held_out: str

    @property
    def lines(self) -> list[str]:
        """The head of the display."""
        return [f"{self.network} on {self.data}", self.settings, f"{self.length}; {self.device}"]


class Reporter:
    """Tells nothing; base of the others, and what ``--quiet`` uses."""

    def begin(self, facts: Facts) -> None:
        """Describe what is about to start."""

    def handle(self, event: Event) -> None:
        """Tell about an event, if it is worth telling."""

    def note(self, text: str) -> None:
        """Tell something in between."""

    def result(self, lines: list[str], data: dict) -> None:
        """Tell how it ended: `lines` for people, the essential ones up to an empty one; `data` for scripts."""
        print(*itertools.takewhile(bool, lines), sep="\n")

    def close(self) -> None:
        """Clean up; the reporter is not used afterwards."""


class LineReporter(Reporter):
    """Self-contained lines without control codes: one every few seconds and one for each epoch."""

    def __init__(self) -> None:
        self.meter = Meter()
        self.compiling = SlowCompile()
        self._next_line = time.monotonic() + LINE_EVERY

    def begin(self, facts: Facts) -> None:
        self.facts = facts
        self._print(*facts.lines)

    def handle(self, event: Event) -> None:
        self.meter.handle(event)
        if isinstance(event, StepDone):
            if self._due():
                self._print(self._progress())
        elif isinstance(event, EpochDone):
            self._print(self._epoch(event))
        elif isinstance(event, Compiling):
            text = self.compiling.text(event)
            if text and event.done < event.total and (self.compiling.first or self._due()):
                self._print(text)
        elif isinstance(event, Started) and event.step:
            self._print(f"resuming after step {event.step:,}, in epoch {self.meter.epoch} of {event.epochs}")

    def note(self, text: str) -> None:
        self._print(text)

    def result(self, lines: list[str], data: dict) -> None:
        self._print(*lines)

    def _print(self, *lines: str) -> None:
        print(*lines, sep="\n", flush=True)

    def _due(self) -> bool:
        now = time.monotonic()
        if now < self._next_line:
            return False
        self._next_line = now + LINE_EVERY
        return True

    def _progress(self) -> str:
        meter = self.meter
        parts = [f"epoch {meter.epoch}/{meter.epochs} step {meter.step}/{meter.steps_per_epoch}: "]
        parts[0] += f"loss {console.loss_text(meter.loss)}"
        if meter.accuracy is not None:
            parts.append(f"accuracy {console.percent(meter.accuracy)}")
        if meter.rate is not None and meter.epoch_left is not None and meter.run_left is not None:
            parts.append(f"{meter.rate:,.0f} examples/s")
            parts.append(f"{console.clock(meter.epoch_left)} left in this epoch")
            parts.append(f"{console.clock(meter.run_left)} in all")
        return ", ".join(parts)

    def _epoch(self, event: EpochDone) -> str:
        texts = [f"{name} {value}" for name, value in epoch_figures(event, self.facts) if value]
        best = " (best so far)" if event.improved else ""
        return f"epoch {event.epoch}/{self.meter.epochs} done: {', '.join(texts)}{best}"


class JsonReporter(Reporter):
    """One JSON object a line on standard output for each event: ``{"event": "step_done", "step": 1, ...}``."""

    def __init__(self) -> None:
        self._next_flush = time.monotonic()

    def begin(self, facts: Facts) -> None:
        self._print("run", dataclasses.asdict(facts))

    def handle(self, event: Event) -> None:
        self._print(_snake_case(type(event).__name__), dict(vars(event)), flush=not isinstance(event, StepDone))

    def note(self, text: str) -> None:
        self._print("note", {"message": text})

    def result(self, lines: list[str], data: dict) -> None:
        self._print("result", data)

    def close(self) -> None:
        sys.stdout.flush()

    def _print(self, name: str, values: dict, flush: bool = True) -> None:
        sys.stdout.write(json.dumps({"event": name} | console.plain(values)) + "\n")
        now = time.monotonic()
        if flush or now >= self._next_flush:
            sys.stdout.flush()
            self._next_flush = now + FLUSH_EVERY


class QuietReporter(Reporter):
    """Nothing but the result."""


class SlowCompile:
    """Tells real compilation, which takes seconds a kernel, from loading the cache, which takes hundredths."""

    # Seconds a kernel on average, and in all; a busy machine loads the cache slowly, too.
    _SLOW, _LONG = 0.5, 1.5

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._slow = False
        #: Whether the latest text is the first.
        self.first = False

    def text(self, event: Compiling) -> str | None:
        """``"compiling kernels 7/24 (conv2d_forward), first run only"``, or None while all comes from the cache."""
        if event.done == 0:
            self._began = time.monotonic()
        elapsed = time.monotonic() - self._began
        slow = elapsed > self._LONG and elapsed / max(1, event.done) > self._SLOW
        self.first = slow and not self._slow
        self._slow = self._slow or self.first
        if not self._slow:
            return None
        current = min(event.done + 1, event.total)
        name = f" ({event.name})" if event.name else ""
        return f"compiling kernels {current}/{event.total}{name}, first run only"


def epoch_figures(event: EpochDone, facts: Facts) -> list[tuple[str, str]]:
    """Heading and text of each figure of a finished epoch, in the order in which they are shown."""
    metrics, held_out = event.metrics, "val" if facts.held_out == "validation" else facts.held_out
    figures = [("loss", console.loss_text(metrics.get("loss")))]
    figures += [("accuracy", console.percent(metrics.get("accuracy")))] * facts.classes
    figures += [(f"{held_out} loss", console.loss_text(metrics.get("val_loss")))]
    figures += [(f"{held_out} accuracy", console.percent(metrics.get("val_accuracy")))] * facts.classes
    return [*figures, ("time", console.duration(metrics.get("seconds", 0.0)))]


def _snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
