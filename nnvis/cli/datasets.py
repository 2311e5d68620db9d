"""``nnvis datasets``: what ``--data`` knows by name."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING

from nnvis.cli import console
from nnvis.cli.arguments import Parser, add_json

if TYPE_CHECKING:
    from nnvis.data import DatasetInfo

EXAMPLES = """\
nnvis datasets
nnvis train resnet20 --data ~/pictures          a folder with one folder of images per class
nnvis train mlp --data spirals --data-option classes=3
"""

PATHS = """
--data also takes a path: a folder (or .tar, .zip) with one folder of images
per class, possibly below train/ and test/; a folder with IDX or CIFAR-10 files;
or an .npz file with x and y."""


def add_arguments(parser: Parser) -> None:
    """Describe the options."""
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the list."""
    from nnvis import data

    infos = data.available()
    if args.json:
        console.print_json([asdict(info) for info in infos])
        return 0
    columns = ["data set", ">example", ">classes", ">training", ">test", "~what it is"]
    console.print_table(columns, [_cells(info) for info in infos])
    print(PATHS)
    return 0


def _cells(info: DatasetInfo) -> list[str]:
    note = " (needs a download)" if info.needs_download else ""
    sizes = [console.number(size) for size in info.sizes]
    return [info.name, console.shape_text(info.shape), str(info.classes), *sizes, info.description + note]
