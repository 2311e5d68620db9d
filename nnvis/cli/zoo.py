"""``nnvis zoo``: the networks that come with nnvis."""

from __future__ import annotations

import argparse

from nnvis.cli import console
from nnvis.cli.arguments import Parser, add_json

EXAMPLES = """\
nnvis zoo
nnvis zoo --json
"""


def add_arguments(parser: Parser) -> None:
    """Describe the options."""
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the list."""
    entries = [_describe(name) for name in _names()]
    if args.json:
        console.print_json(entries)
        return 0
    console.print_table(
        ["network", ">parameters", ">mult-adds", ">input", "~what it is"],
        [
            [e["name"], console.number(e["parameters"]), console.scaled(e["multiply_adds"]),
             console.shape_text(e["input_shape"]), e["summary"].rstrip(".")]
            for e in entries
        ],
    )  # fmt: skip
    print("\nmult-adds: of one forward pass over one example; 'nnvis summary NET' shows more")
    return 0


def _names() -> list[str]:
    from nnvis import zoo

    return zoo.names()


def _describe(name: str) -> dict:
    from nnvis import zoo

    entry = zoo.entry(name)
    graph = zoo.build(name)
    return {
        "name": name,
        "parameters": graph.num_parameters(),
        "multiply_adds": graph.multiply_adds(),
        "input_shape": graph.input_shape,
        "summary": entry.summary,
        "options": entry.options,
        "defaults": entry.defaults,
    }
