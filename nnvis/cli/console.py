"""What all commands print with: tables, JSON, and numbers as people read them."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.measure import Measurement
    from rich.table import Table

#: Width of tables that go into a pipe or file: nothing is cut off there.
PIPE_WIDTH = 1000


def stdout_console() -> Console:
    """A rich console on the present standard output; plain text if that is not a terminal."""
    from rich.console import Console

    if is_terminal():
        return Console(file=sys.stdout, highlight=False, emoji=False, markup=False)
    return Console(
        file=sys.stdout,
        highlight=False,
        emoji=False,
        markup=False,
        width=PIPE_WIDTH,
        force_terminal=False,
        no_color=True,
    )


def is_terminal() -> bool:
    """Whether standard output is a terminal that understands control codes."""
    return sys.stdout.isatty() and os.environ.get("TERM", "") != "dumb"


def print_json(value: Any) -> None:
    """Print `value` as one line of JSON."""
    print(json.dumps(plain(value)))


def plain(value: Any) -> Any:
    """`value` as JSON can hold it: arrays and tuples become lists, paths text, NaN and infinity null."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


# --- numbers ----------------------------------------------------------------------------------------------


def number(value: int) -> str:
    """61706 as ``61,706``."""
    return f"{value:,}"


def scaled(value: float) -> str:
    """416520 as ``416.5 k``: three or four digits and a unit."""
    for unit in ("", " k", " M", " G", " T"):
        if abs(value) < 999.95 or unit == " T":
            return f"{value:.0f}" if not unit else f"{value:.1f}{unit}"
        value /= 1000
    raise AssertionError


def bytes_text(size: float) -> str:
    """46080 as ``45.0 KiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError


def percent(share: float | None) -> str:
    """0.98765 as ``98.77 %``."""
    return "" if share is None else f"{100 * share:.2f} %"


def loss_text(value: float | None) -> str:
    """A loss with four digits after the point, or as 1.2e-05 where these would be zeros."""
    if value is None:
        return ""
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e4 else f"{value:.2e}"


def clock(seconds: float) -> str:
    """83.2 as ``1:23``, 3723 as ``1:02:03``."""
    minutes, rest = divmod(max(0, math.ceil(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def duration(seconds: float) -> str:
    """5.14 as ``5.1 s``; from two minutes on as a clock."""
    return f"{seconds:.1f} s" if seconds < 120 else clock(seconds)


def shape_text(shape: Iterable[int]) -> str:
    """(28, 28, 1) as ``28x28x1``, which ``--input-shape`` takes too."""
    return "x".join(map(str, shape))


# --- tables -----------------------------------------------------------------------------------------------


class Elided:
    """Text that loses its middle, never its ends, where a column is too narrow: ``layer1.…conv1``."""

    def __init__(self, text: str, least: int = 10):
        self.text = text
        self.least = least

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        yield Text(elide(self.text, options.max_width), no_wrap=True)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        from rich.measure import Measurement

        return Measurement(min(self.least, len(self.text)), len(self.text))


def elide(text: str, width: int) -> str:
    """`text` in at most `width` characters, with its middle replaced by ``…``; the end keeps the larger half."""
    if len(text) <= width:
        return text
    head = (width - 1) // 2
    return f"{text[:head]}…{text[len(text) - (width - 1 - head) :]}"


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], total: Sequence[str] | None = None) -> Table:
    """A table for :meth:`rich.console.Console.print`.

    Parameters
    ----------
    columns : sequence of str
        Headings. One that starts with ``>`` heads numbers, which are set flush right; one with ``~`` heads prose,
        which may be wrapped; one with ``…`` heads names, whose middle may be elided. All others keep their width.
    rows : iterable of sequences
    total : sequence of str, optional
        A last row below a line.
    """
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    made.show_footer = total is not None
    for position, column in enumerate(columns):
        made.add_column(
            column.lstrip(">~…"),
            total[position] if total else "",
            justify="right" if column.startswith(">") else "left",
            no_wrap=not column.startswith("~"),
        )
    names = [position for position, column in enumerate(columns) if column.startswith("…")]
    lines = [[Elided(cell) if i in names else cell for i, cell in enumerate(row)] for row in rows]
    for line in lines:
        made.add_row(*line)
    return made


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], total: Sequence[str] | None = None) -> None:
    """Print :func:`table` on standard output; whole and without colours or trailing spaces if that is no terminal."""
    print("\n".join(table_lines(columns, rows, total)))


def table_lines(columns: Sequence[str], rows: Iterable[Sequence[Any]], total: Sequence[str] | None = None) -> list[str]:
    """The lines that :func:`print_table` prints: two of the heading, and one of each row if nothing is wrapped."""
    console = stdout_console()
    with console.capture() as captured:
        console.print(table(columns, rows, total))
    lines = captured.get().splitlines()
    return lines if console.is_terminal else [line.rstrip() for line in lines]
