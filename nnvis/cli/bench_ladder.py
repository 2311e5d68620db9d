"""``nnvis bench ladder OPERATION``: from the formula to the engine, as a roofline in text."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING

from nnvis.cli import console
from nnvis.cli.arguments import Parser, add_json, count, one_of
from nnvis.cli.bench import time_text

if TYPE_CHECKING:
    from nnvis.bench.ladder import Ladder, Rung

_OPERATIONS = ("conv2d", "matmul", "softmax", "max_pool2d")
EXAMPLES = """\
nnvis bench ladder conv2d
nnvis bench ladder matmul --threads 1
"""

#: Characters of a bar as long as the bound.
_BAR = 30


def add_arguments(parser: Parser) -> None:
    """Describe the options."""
    kind = one_of(_OPERATIONS, "ladder")
    parser.add_argument("operation", type=kind, metavar="OPERATION", help=", ".join(_OPERATIONS))
    help_threads = "CPU threads of the last rung (default: all cores)"
    parser.add_argument("--threads", type=count, metavar="N", help=help_threads)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Time the rungs and print each as it is done."""
    import numba

    from nnvis.bench.ladder import LADDERS, climb

    ladder, threads = LADDERS[args.operation], min(args.threads or 1 << 30, numba.get_num_threads())
    first = True
    for rung in climb(ladder, threads):
        if args.json:
            console.print_json(asdict(rung) | {"share": rung.share})
        else:
            if first:
                _print_head(ladder, rung)
            _print_rung(rung)
        first = False
    return 0


def _print_head(ladder: Ladder, rung: Rung) -> None:
    work = f"{console.scaled(ladder.flops)} operations, {rung.intensity:.1f} for each byte"
    print(f"{ladder.operation} {ladder.problem}: {work}.")
    print(f"A thread of this machine cannot exceed {rung.bound:.0f} Gflop/s at that, which the mark | shows; only what")
    print("needs fewer operations than the formula goes beyond it.\n")


def _print_rung(rung: Rung) -> None:
    cells = (rung.name.ljust(10), time_text(rung.seconds).rjust(7), f"{rung.gflops:.1f}".rjust(6), "Gflop/s")
    print(*cells, f"{100 * rung.share:.0f} %".rjust(5), bar(rung.share))
    print(f"{'':10} {rung.change}", flush=True)


def bar(share: float) -> str:
    """As long as the share of the bound; one that exceeds it goes on behind the mark of the bound."""
    filled = max(1, round(_BAR * share))
    return "#" * filled if filled > _BAR else "#" * filled + "." * (_BAR - filled) + "|"
