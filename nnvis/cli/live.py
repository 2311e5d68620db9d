"""A training run on a terminal: a line that stays for each epoch, and below it one bar that moves."""

from __future__ import annotations

import time

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from nnvis.cli import console
from nnvis.cli.meter import Meter
from nnvis.cli.reporters import Facts, Reporter, SlowCompile, epoch_figures
from nnvis.events import Compiling, EpochDone, Event, Started, StepDone

#: Seconds between two pictures.
_FRAME = 0.1
#: The widest that the bar's line gets, in characters.
_WIDEST = 100
#: Figures below the bar start where the bar does.
_INDENT = " " * 9


class LiveReporter(Reporter):
    """Draws when events arrive, at most ten times a second: no thread competes with the computation."""

    def __init__(self) -> None:
        self.meter = Meter()
        self.compiling = SlowCompile()
        self._console = console.stdout_console()
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._next_frame = 0.0
        self._headed = False
        self._status = "preparing"
        self._note = ""

    def begin(self, facts: Facts) -> None:
        self.facts = facts
        head, *rest = facts.lines
        self._console.print(head, style="bold")
        for line in rest:
            self._console.print(line, style="dim")
        self._console.print()
        self._live.start()
        self._draw()

    def handle(self, event: Event) -> None:
        self.meter.handle(event)
        if isinstance(event, StepDone):
            self._on_step()
        elif isinstance(event, EpochDone):
            self._print_epoch(event)
        elif isinstance(event, Compiling):
            self._on_compiling(event)
        elif isinstance(event, Started):
            self._on_started(event)

    def note(self, text: str) -> None:
        self._note = text
        self._draw()

    def result(self, lines: list[str], data: dict) -> None:
        self._live.stop()
        for line in [""] * self._headed + lines:
            self._console.print(line)

    def close(self) -> None:
        self._live.stop()

    # --- what happens -------------------------------------------------------------------------------------

    def _on_step(self) -> None:
        last = self.meter.step >= self.meter.steps_per_epoch
        self._status = f"testing on the {self.facts.held_out} examples" if last else ""
        if last or time.monotonic() >= self._next_frame:
            self._draw()

    def _on_compiling(self, event: Compiling) -> None:
        current = min(event.done + 1, event.total)
        self._status = self.compiling.text(event) or f"preparing kernels {current}/{event.total}"
        self._draw()

    def _on_started(self, event: Started) -> None:
        if event.step:
            self._console.print(f"resuming after step {event.step:,}, in epoch {self.meter.epoch} of {event.epochs}\n")
        self._draw()

    def _print_epoch(self, event: EpochDone) -> None:
        figures = [("epoch", f"{event.epoch}/{self.meter.epochs}"), *epoch_figures(event, self.facts)]
        widths = [max(len(heading), 7) for heading, _ in figures]
        if not self._headed:
            self._headed = True
            self._console.print(_columns([heading for heading, _ in figures], widths), style="bold")
        line = Text(_columns([text for _, text in figures], widths))
        if event.improved:
            line.append("  best", style="green")
        self._console.print(line)
        self._status = ""
        self._draw()

    # --- drawing ------------------------------------------------------------------------------------------

    def _draw(self) -> None:
        self._next_frame = time.monotonic() + _FRAME
        parts: list[RenderableType] = [self._bar(), self._figures()] if self.meter.step else []
        if self._status:
            parts = [*parts[:1], Text(_INDENT + self._status, style="dim")]
        if self._note:
            parts.append(Text(_INDENT + self._note, style="yellow"))
        self._live.update(Group(*parts), refresh=True)

    def _bar(self) -> Table:
        meter = self.meter
        grid = Table.grid(padding=(0, 2))
        grid.width = min(_WIDEST, self._console.width)
        for ratio in (None, 1, None, None):
            grid.add_column(no_wrap=True, ratio=ratio)
        left = "" if meter.epoch_left is None else f"{console.clock(meter.epoch_left)} left"
        bar = ProgressBar(total=1.0, completed=meter.share)
        # "  2/3" stands below the heading "epoch" of the lines above.
        grid.add_row(f"{meter.epoch}/{meter.epochs}".rjust(7), bar, f"{100 * meter.share:3.0f} %", left.rjust(9))
        return grid

    def _figures(self) -> Text:
        meter = self.meter
        parts = [f"loss {console.loss_text(meter.loss)}"] if meter.loss is not None else []
        if meter.accuracy is not None:
            parts.append(f"accuracy {console.percent(meter.accuracy)}")
        if meter.rate is not None:
            parts.append(f"{meter.rate:,.0f} examples/s")
        if meter.run_left is not None and meter.epochs > 1:
            parts.append(f"{console.clock(meter.run_left)} left in all")
        return Text(_INDENT + "   ".join(parts), style="dim", no_wrap=True, overflow="ellipsis")


def _columns(cells: list[str], widths: list[int]) -> str:
    return "  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
