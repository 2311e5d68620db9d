"""``nnvis app [FILE]``: open the desktop application."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import sys
from pathlib import Path

from nnvis.errors import DeviceError

EXAMPLES = """\
nnvis app
nnvis app my-net.nnvis
nnvis app runs/lenet5-mnist/graph.json
"""
_PACKAGES = "libegl1 libgl1 libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1 libxcb-shape0 libdbus-1-3"


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


def check_qt() -> None:
    """Raise DeviceError with the one command that helps, unless Qt can show windows here."""
    for package in ("PySide6", "pyqtgraph", "qtawesome", "superqt"):
        if importlib.util.find_spec(package) is None:
            raise DeviceError(f'The app needs {package}, which is not installed; run: pip install "nnvis[app]"')
    try:
        importlib.import_module("PySide6.QtWidgets")
    except ImportError as error:
        raise DeviceError(
            f"Qt lacks a system library ({error}); on Debian or Ubuntu run: sudo apt-get install -y {_PACKAGES}"
        ) from None
    headless = os.environ.get("QT_QPA_PLATFORM", "") in ("offscreen", "minimal", "vnc")
    shown = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    if sys.platform == "linux" and not shown and not headless:
        raise DeviceError("The app needs a screen, but neither DISPLAY nor WAYLAND_DISPLAY is set; start it there.")
