"""``nnvis gradcheck NET``: hand-written gradients against finite differences, fast kernels against textbook ones."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from nnvis.cli import arguments as a
from nnvis.cli import console, exits
from nnvis.cli.nets import NET_HELP, load_graph, shape_options

if TYPE_CHECKING:
    from nnvis.gradcheck import GradcheckReport, GradcheckRow

EXAMPLES = """\
nnvis gradcheck lenet5
nnvis gradcheck resnet20 --input-shape 8x8x3 --samples 2
nnvis gradcheck my_graph.json --json
"""


def add_arguments(parser: a.Parser) -> None:
    """Describe the options."""
    parser.add_argument("net", metavar="NET", help=NET_HELP)
    a.add_shape_options(parser)
    parser.add_argument("--batch", type=a.count, default=2, metavar="N", help="random examples (2)")
    parser.add_argument("--samples", type=a.count, default=5, metavar="N", help="values of each parameter (5)")
    parser.add_argument("--seed", type=a.whole, default=0, metavar="N", help="of weights, examples and choice (0)")
    parser.add_argument("--device", default="cpu", metavar="NAME", help="whose kernels to check (cpu)")
    a.add_net_options(parser)
    a.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Check and print; exit code 1 if a gradient is wrong."""
    from nnvis.gradcheck import gradcheck

    graph = load_graph(args.net, args.net_option, **shape_options(args))
    with _progress(args.json) as progress:
        report = gradcheck(graph, args.batch, args.seed, args.samples, args.device, progress)
    if args.json:
        console.print_json({"ok": report.ok, "rows": [asdict(row) | {"ok": row.ok} for row in report.rows]})
    else:
        _print(report)
    wrong = [row.name for row in report.rows if not row.ok]
    if wrong:
        exits.complain(f"{len(wrong)} of {len(report.rows)} gradients are wrong: {', '.join(wrong)}.")
    return exits.CRASH if wrong else exits.OK


@contextlib.contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[int, int, str], None] | None]:
    """A line on the terminal that says what is being checked, and goes in the end."""
    if quiet or not console.is_terminal():
        yield None
        return
    from rich.console import Console

    with Console(file=sys.stdout).status("compiling kernels") as status:
        yield lambda done, total, name: status.update(f"checking {name} ({done + 1} of {total})")


def _print(report: GradcheckReport) -> None:
    columns = ["…parameter", ">shape", ">checked", ">to differences", ">to textbook", ""]
    console.print_table(columns, [_cells(row) for row in report.rows])
    skipped = sum(row.skipped for row in report.rows)
    print("\nlargest relative errors: of the textbook gradient to finite differences in")
    print("float64, and of the fast gradient to the textbook's")
    if skipped:
        print(f"{skipped} values at a kink, where there is no derivative, were passed over")


def _cells(row: GradcheckRow) -> list[str]:
    fast = "" if row.device_error is None else f"{row.device_error:.1e}"
    errors = [f"{row.difference_error:.1e}" if row.checked else "", fast]
    return [row.name, console.shape_text(row.shape), str(row.checked), *errors, "ok" if row.ok else "WRONG"]
