"""``nnvis zoo``: the networks that come with nnvis."""

from __future__ import annotations

import argparse

from nnvis.cli import console
from nnvis.cli.arguments import Parser, add_json

EXAMPLES = """\
nnvis zoo
nnvis zoo --json
"""


_FOOTER = """
mult-adds, activations: of one forward pass over one example, the latter of
  all layers together in float32; auxiliary classifiers are left out
depth: layers with weights on the longest path; convolutions, linear and
  attention layers count, those of gates on the way, too
'nnvis summary NET' shows every layer"""


def add_arguments(parser: Parser) -> None:
    """Describe the options."""
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the list."""
    entries = [_describe(name) for name in _names()]
    if args.json:
        console.print_json(entries)
    else:
        _print(entries)
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
        "family": entry.family,
        "parameters": graph.num_parameters(),
        "multiply_adds": graph.multiply_adds(),
        "activation_bytes": graph.activation_bytes(),
        "depth": graph.depth(),
        "input_shape": graph.input_shape,
        "summary": entry.summary,
        "options": entry.options,
        "defaults": entry.defaults,
    }


def _print(entries: list[dict]) -> None:
    """The table, with a line above each family."""
    from nnvis.zoo.families import FAMILIES

    columns = ["network", ">parameters", ">mult-adds", ">activations", ">depth", ">input"]
    head, rule, *rows = console.table_lines(columns, map(_cells, entries))
    print(f"{head}\n{rule}")
    family = None
    for entry, row in zip(entries, rows, strict=True):
        if entry["family"] != family:
            family = entry["family"]
            print(f"\n{FAMILIES.get(family, family)}")
        print(row)
    print(_FOOTER)


def _cells(entry: dict) -> list[str]:
    return [
        entry["name"], console.number(entry["parameters"]), console.scaled(entry["multiply_adds"]),
        console.bytes_text(entry["activation_bytes"]), str(entry["depth"]), console.shape_text(entry["input_shape"]),
    ]  # fmt: skip
