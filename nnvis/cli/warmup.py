"""``nnvis warmup``: compiles all kernels now, so that nothing has to be compiled later."""

from __future__ import annotations

import argparse
import sys
import time

from nnvis.cli import console
from nnvis.cli.arguments import Parser, count

EXAMPLES = """\
nnvis warmup
nnvis warmup --processes 1
"""


def add_arguments(parser: Parser) -> None:
    """Describe the options."""
    parser.add_argument(
        "--processes", type=count, metavar="N", help="how many compile side by side (default: all cores)"
    )


def run(args: argparse.Namespace) -> int:
    """Compile what the disk cache does not hold yet."""
    import kernels.cpu
    from kernels.cpu.compiling import compiling, cores
    from kernels.cpu.jit import KERNELS

    assert kernels.cpu.__all__
    missing = [each for each in KERNELS.values() if not each.is_cached()]
    start = time.perf_counter()
    if missing:
        _show(compiling(missing, args.processes or cores()), len(missing))
        seconds = console.duration(time.perf_counter() - start)
        print(f"Compiled {len(missing)} kernel{'s' * (len(missing) > 1)} in {seconds}.")
    print(f"All {len(KERNELS)} kernels are ready.")
    return 0


def _show(steps, total: int) -> None:
    """A bar with the time left; on anything but a terminal, nothing."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("compiling kernels"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[kernel]}"), console=Console(file=sys.stderr), disable=not console.is_terminal(),
    )  # fmt: skip
    with bar:
        task = bar.add_task("", total=total, kernel="")
        for done, _, name in steps:
            bar.update(task, completed=done, kernel=name)
