"""``nnvis summary NET``: every node with its output shape, parameters and costs."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING

from nnvis.cli import console
from nnvis.cli.arguments import Parser, add_json, add_net_options, add_shape_options, count
from nnvis.cli.nets import NET_HELP, load_graph, shape_options
from nnvis.summary import block_summary

if TYPE_CHECKING:
    from nnvis.graph import Graph, SummaryRow

EXAMPLES = """\
nnvis summary lenet5
nnvis summary resnet20 --input-shape 64x64x3 --batch 32
nnvis summary googlenet --blocks
nnvis summary lenet5 --net-option form=1998
nnvis summary runs/lenet5-mnist-1 --json
"""


def add_arguments(parser: Parser) -> None:
    """Describe the options."""
    parser.add_argument("net", metavar="NET", help=NET_HELP)
    add_shape_options(parser)
    parser.add_argument("--batch", type=count, default=1, metavar="N", help="examples that costs are given for (1)")
    parser.add_argument("--blocks", action="store_true", help="one row for each block, such as a residual one")
    add_net_options(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the summary."""
    graph = load_graph(args.net, args.net_option, **shape_options(args))
    rows = block_summary(graph) if args.blocks else graph.summary()
    if args.json:
        console.print_json(_as_data(graph, rows, args.batch))
    else:
        _print(graph, rows, args.batch)
    return 0


def _totals(rows: list[SummaryRow], batch: int) -> dict[str, int]:
    return {
        "parameters": sum(row.parameters for row in rows),
        "multiply_adds": batch * sum(row.multiply_adds for row in rows),
        "activation_bytes": batch * sum(row.activation_bytes for row in rows),
    }


def _as_data(graph: Graph, rows: list[SummaryRow], batch: int) -> dict:
    def scaled(row: SummaryRow) -> dict:
        costs = {"multiply_adds": batch * row.multiply_adds, "activation_bytes": batch * row.activation_bytes}
        return asdict(row) | costs

    head = {"name": graph.name, "input_shape": graph.input_shape, "batch": batch}
    inference = _totals(graph.summary(aux=False), batch)
    return head | {"nodes": [scaled(row) for row in rows], "total": _totals(rows, batch), "inference": inference}


def _print(graph: Graph, rows: list[SummaryRow], batch: int) -> None:
    total = _totals(rows, batch)
    per = "one example" if batch == 1 else f"a batch of {batch}"
    print(f"{graph.name}: input {console.shape_text(graph.input_shape)}, costs of {per} in one forward pass\n")
    console.print_table(
        ["…node", "kind", ">output", ">parameters", ">mult-adds", ">memory"],
        [_cells(row, batch) for row in rows],
        total=[
            "total", f"{len(graph.order())} nodes", "", console.number(total["parameters"]),
            console.scaled(total["multiply_adds"]), console.bytes_text(total["activation_bytes"]),
        ],
    )  # fmt: skip
    if graph.aux_outputs:
        _print_inference(graph, batch)


def _print_inference(graph: Graph, batch: int) -> None:
    """What auxiliary outputs take no part in."""
    total = _totals(graph.summary(aux=False), batch)
    left_out = len(graph.order()) - len(graph.order(aux=False))
    print(
        f"\n{left_out} nodes lead to auxiliary outputs alone, which training uses; inference has\n"
        f"{console.number(total['parameters'])} parameters, {console.scaled(total['multiply_adds'])} mult-adds and "
        f"{console.bytes_text(total['activation_bytes'])} without them"
    )


def _cells(row: SummaryRow, batch: int) -> list[str]:
    """One table row; what costs nothing stays empty, so that the eye finds what does."""
    return [
        row.name,
        row.kind,
        console.shape_text(row.shape),
        console.number(row.parameters) if row.parameters else "",
        console.scaled(batch * row.multiply_adds) if row.multiply_adds else "",
        console.bytes_text(batch * row.activation_bytes) if row.activation_bytes else "",
    ]
