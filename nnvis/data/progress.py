"""How slow loaders tell how far they are."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

#: Called as ``report(what, done, total)``, for example ``report("decoding images", 640, 60000)``.
Progress = Callable[[str, int, int], None]


def silent(what: str, done: int, total: int) -> None:
    """Report nothing."""


@contextlib.contextmanager
def reporting(progress: Progress | None) -> Iterator[Progress]:
    """Yield `progress`, or else a bar on the terminal, or else nothing where there is no terminal."""
    if progress is not None:
        yield progress
    elif sys.stderr is not None and sys.stderr.isatty():
        with _TerminalBars() as bars:
            yield bars
    else:
        yield silent


class _TerminalBars:
    """One rich bar per job; it appears with the first report and goes when all is done."""

    def __init__(self) -> None:
        self._bars: Any = None
        self._tasks: dict[str, int] = {}

    def __enter__(self) -> _TerminalBars:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def __call__(self, what: str, done: int, total: int) -> None:
        if self._bars is None:
            self._bars = _start_bars()
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=total)
        self._bars.update(self._tasks[what], completed=done, total=total)


def _start_bars() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    bars = Progress(*columns, console=Console(stderr=True), transient=True)
    bars.start()
    return bars
