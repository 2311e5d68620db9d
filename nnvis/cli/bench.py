"""``nnvis bench``: timings of kernels and training steps, beside PyTorch where it is installed."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING

from nnvis.cli import console
from nnvis.cli.arguments import Parser, add_json, count, did_you_mean
from nnvis.errors import UnknownNameError

if TYPE_CHECKING:
    from nnvis.bench import Row

EXAMPLES = """\
nnvis bench
nnvis bench train inference --threads 1
nnvis bench train --only resnet20
nnvis bench conv matmul --rounds 15
"""

#: Width of the columns, which fit 80 characters; a negative one is set flush left.
_WIDTHS = (-42, 3, 7, 7, 5, 7, 5)
_HEADINGS = ("case", "thr", "ours", "rival", "ratio", "Gflop/s", "peak")


def add_arguments(parser: Parser) -> None:
    """Describe the options."""
    groups = "matmul, conv, norm, pool, train, inference (default: all)"
    parser.add_argument("which", nargs="*", metavar="GROUP", help=groups)
    parser.add_argument("--only", metavar="TEXT", help="only cases with this in their names, such as resnet20")
    parser.add_argument("--threads", type=count, nargs="+", metavar="N", help="numbers of CPU threads (default: 1 2)")
    parser.add_argument("--rounds", type=count, metavar="N", help="turns of each side, whose median counts (7)")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Time and print, row by row."""
    from nnvis import bench

    _check(args.which, bench.GROUPS)
    options = {"groups": args.which, "threads": args.threads, "rounds": args.rounds, "only": args.only}
    if not args.json:
        _print_head()
    bench.run(
        **{key: value for key, value in options.items() if value},
        report=_print_json if args.json else _print_row,
    )
    return 0


def _check(groups: list[str], known: tuple[str, ...]) -> None:
    for group in groups:
        if group not in known:
            hint = did_you_mean(group, known) or f"; known are {', '.join(known)}"
            raise UnknownNameError(f"There is no benchmark '{group}'{hint}.")


def _print_head() -> None:
    from nnvis.bench.case import torch_module

    if torch_module() is None:
        print("PyTorch is not installed, so there is nothing to compare with except BLAS.\n")
    print("thr: threads; ratio: time of the fastest rival over ours: above 1 we are faster;")
    print("peak: share of what this machine can multiply and add at best\n")
    print(_line(_HEADINGS), flush=True)


def _print_row(row: Row) -> None:
    rival = time_text(min(row.rivals.values())) if row.rivals else ""
    ratio = f"{row.ratio:.2f}" if row.ratio else ""
    rate = f"{row.gflops:.0f}" if row.gflops else ""
    share = f"{100 * row.share:.0f} %" if row.share else ""
    print(_line((row.name, str(row.threads), time_text(row.seconds), rival, ratio, rate, share)), flush=True)


def _print_json(row: Row) -> None:
    console.print_json(asdict(row) | {"ratio": row.ratio, "share": row.share})


def _line(cells: tuple[str, ...]) -> str:
    padded = [c.ljust(-w) if w < 0 else c.rjust(w) for c, w in zip(cells, _WIDTHS, strict=True)]
    return " ".join(padded).rstrip()


def time_text(seconds: float) -> str:
    """Three digits and a unit."""
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "us")):
        value = seconds * factor
        if value >= 1 or unit == "us":
            return f"{value:.{max(0, 2 - len(str(int(value))) + 1)}f} {unit}"
    raise AssertionError
