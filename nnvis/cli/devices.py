"""``nnvis devices``: where networks can compute on this machine."""

from __future__ import annotations

import argparse

from nnvis.cli import console
from nnvis.cli.arguments import Parser, add_json
from nnvis.errors import DeviceError

EXAMPLES = """\
nnvis devices
nnvis train lenet5 --device cpu --threads 1
"""


def add_arguments(parser: Parser) -> None:
    """Describe the options."""
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the list."""
    from nnvis.device import DEVICES

    found = [_describe(name, what) for name, what in DEVICES.items()]
    if args.json:
        console.print_json(found)
        return 0
    console.print_table(
        ["device", "usable", "~what it is"],
        [[d["name"], "yes" if d["usable"] else "no", d["description"]] for d in found],
    )
    return 0


def _describe(name: str, what: str) -> dict:
    from nnvis.device import cpu_description, get_device

    try:
        get_device(name)
    except DeviceError as error:
        return {"name": name, "usable": False, "description": str(error)}
    detail = f" ({cpu_description()})" if name == "cpu" else ""
    return {"name": name, "usable": True, "description": what + detail}
