"""``nnvis predict RUN IMAGE...``: which class is on each image, and how sure the network is."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import numpy as np

from nnvis.cli import arguments as a
from nnvis.cli import console, exits
from nnvis.cli.compute import using_threads
from nnvis.errors import ConfigError, DataError

if TYPE_CHECKING:
    from nnvis.runs import SavedRun

EXAMPLES = """\
nnvis predict runs/lenet5-mnist-1 seven.png
nnvis predict runs/lenet5-mnist-1 --invert scans/*.jpg     dark digits on white paper
nnvis predict runs/resnet20-cifar10-1 cat.jpg --top 3 --json
"""


def add_arguments(parser: a.Parser) -> None:
    """Describe the options."""
    parser.add_argument("run", metavar="RUN", help="folder of a run, or a checkpoint file")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="PNG, JPEG, BMP or WebP; any size, colour or grey")
    parser.add_argument("--top", type=a.count, default=5, metavar="N", help="classes to show for each image (5)")
    parser.add_argument("--invert", action="store_true", help="swap dark and bright, for dark digits on white paper")
    a.add_compute(parser)
    a.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Classify and print; images that cannot be read are named in the end."""
    from nnvis.runs import load_run

    with using_threads(args.threads):
        saved = load_run(args.run, args.device)
        _check(saved)
        images, failures = _read(args, saved)
        found = saved.predict(np.stack(list(images.values()))) if images else np.empty((0, 1))
    top = {name: _top(row, saved.class_names, args.top) for name, row in zip(images, found, strict=True)}
    if args.json:
        console.print_json(
            [{"image": n, "top": [{"class": c, "probability": p} for c, p in t]} for n, t in top.items()]
        )
    else:
        _print(top)
    if failures:
        exits.complain(_failure(failures, len(args.images)))
    return exits.BAD_INPUT if failures else exits.OK


def _check(saved: SavedRun) -> None:
    shape = saved.net.input_shape
    if len(shape) != 3 or shape[-1] not in (1, 3):
        raise ConfigError(
            f"{saved.net.graph.name} takes examples of shape {console.shape_text(shape)}, which are no images; "
            "predict is for images."
        )
    if saved.class_names is None:
        raise ConfigError(f"The run in {saved.folder.path} knows no classes: it was trained for regression.")


def _read(args: argparse.Namespace, saved: SavedRun) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Images that could be read, resized to what the network takes, and why the others could not."""
    from nnvis.data import read_image

    height, width, channels = saved.net.input_shape
    images, failures = {}, {}
    for name in args.images:
        try:
            pixels = read_image(name, (height, width), "rgb" if channels == 3 else "grey")
            images[name] = 255 - pixels if args.invert else pixels
        except DataError as error:
            failures[name] = str(error)
    return images, failures


def _failure(failures: dict[str, str], total: int) -> str:
    if total == 1:
        return next(iter(failures.values()))
    return f"{len(failures)} of {total} images could not be read: {', '.join(failures)}."


def _top(probabilities: np.ndarray, classes: tuple[str, ...] | None, count: int) -> list[tuple[str, float]]:
    """The most probable classes, best first."""
    if len(probabilities) == 1:  # a single output is the probability of the second of two classes
        probabilities = np.array([1 - probabilities[0], probabilities[0]])
    order = np.argsort(-probabilities, kind="stable")[:count]
    names = classes or tuple(map(str, range(len(probabilities))))
    return [(names[i], float(probabilities[i])) for i in order]


def _as_data(image: str, found: list[tuple[str, float]]) -> dict:
    return {"image": image, "top": [{"class": name, "probability": probability} for name, probability in found]}


def _print(top: dict[str, list[tuple[str, float]]]) -> None:
    rows = []
    for image, found in top.items():
        for rank, (name, probability) in enumerate(found):
            rows.append(["" if rank else image, name, console.percent(probability), "█" * round(20 * probability)])
    if rows:
        console.print_table(["…image", "class", ">probability", ""], rows)
