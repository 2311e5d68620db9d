"""``nnvis devices``: where networks can compute on this machine."""

from __future__ import annotations

import argparse
import dataclasses

from nnvis.cli import console
from nnvis.cli.arguments import Parser, add_json

EXAMPLES = """\
nnvis devices
nnvis train lenet5 --device cpu --threads 1
"""


def add_arguments(parser: Parser) -> None:
    """Describe the options."""
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the list."""
    from nnvis.device import places

    found = places()
    if args.json:
        console.print_json([dataclasses.asdict(each) for each in found])
        return 0
    console.print_table(
        ["device", "usable", "~what it is"],
        [[each.name, "yes" if each.usable else "no", each.description] for each in found],
    )
    return 0
