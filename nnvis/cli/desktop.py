"""``nnvis app [FILE]``: open the desktop application."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from nnvis.cli.qt import check_qt
from nnvis.errors import DeviceError

EXAMPLES = """\
nnvis app
nnvis app my-net.nnvis
nnvis app runs/lenet5-mnist/graph.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="a project (.nnvis) or graph (.json)")
    parser.add_argument(
        "--theme", choices=("system", "light", "dark"), default="system", help="colours (default: the system's)"
    )


def run(args: argparse.Namespace) -> int:
    """Show the window until it is closed."""
    check_qt()
    if args.file is not None and not args.file.exists():
        raise DeviceError(f"There is no file {args.file}.")
    return int(importlib.import_module("ui.app").main(args.file, args.theme))
