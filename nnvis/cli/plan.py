"""``nnvis plan NET``: what a pass runs, node by node: algorithms, fusions, memory."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING

from nnvis.cli import console
from nnvis.cli.arguments import Parser, add_json, add_net_options, add_shape_options, count
from nnvis.cli.nets import NET_HELP, load_graph, shape_options

if TYPE_CHECKING:
    from nnvis.plan import Plan
    from nnvis.plan_table import PlanRow

EXAMPLES = """\
nnvis plan resnet20 --batch 64
nnvis plan mobilenet_v2 --inference
nnvis plan vgg11 --input-shape 32x32x3 --precision exact
nnvis plan runs/lenet5-mnist-1 --json
"""


def add_arguments(parser: Parser) -> None:
    """Describe the options."""
    parser.add_argument("net", metavar="NET", help=NET_HELP)
    add_shape_options(parser)
    parser.add_argument("--batch", type=count, default=64, metavar="N", help="examples of a pass (64)")
    parser.add_argument(
        "--inference", action="store_true", help="a pass that only predicts; without it one of training"
    )
    parser.add_argument("--precision", default="fast", choices=("fast", "exact"), help="exact: direct sums only (fast)")
    add_net_options(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the plan."""
    from nnvis.device import get_device
    from nnvis.plan import Mode, Plan
    from nnvis.plan_table import plan_table

    graph = load_graph(args.net, args.net_option, **shape_options(args))
    graph.validate()
    mode = Mode() if args.inference else Mode(training=True, backward=True)
    plan = Plan(graph, args.batch, mode, get_device("cpu"), exact=args.precision == "exact")
    rows = plan_table(plan)
    if args.json:
        head = {"name": graph.name, "batch": args.batch, "training": mode.training, "precision": args.precision}
        console.print_json(head | {"steps": [asdict(row) for row in rows], "peak_bytes": plan.nbytes})
    else:
        _print(graph.name, plan, rows)
    return 0


def _print(name: str, plan: Plan, rows: list[PlanRow]) -> None:
    purpose = "a training step" if plan.mode.training else "inference"
    print(f"{name}: {purpose} of batch {plan.batch}, {len(rows)} steps\n")
    console.print_table(["…step", "does", "algorithm", ">output", ">memory"], [_cells(row) for row in rows])
    print(
        f"\nactivations, gradients and caches take {console.bytes_text(plan.nbytes)} at once: memory is used again as\n"
        "soon as its last reader is done"
    )
    if fused := sum(len(row.nodes) for row in rows if len(row.nodes) > 1):
        print(f"{fused} nodes run fused with others; one that is watched runs alone, with the same bits")


def _cells(row: PlanRow) -> list[str]:
    memory = console.bytes_text(row.kept_bytes) if row.kept_bytes else ""
    return [row.nodes[-1], row.does, _algorithm(row.algorithms), console.shape_text(row.shape), memory]


def _algorithm(algorithms: dict[str, str]) -> str:
    """One word where all passes agree, else those of forward, data (not of the first layer) and weights."""
    return " / ".join(dict.fromkeys(algorithms.values()) if len(set(algorithms.values())) == 1 else algorithms.values())
