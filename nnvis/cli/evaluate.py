"""``nnvis eval RUN``: measures a trained run on test data."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from nnvis.cli import arguments as a
from nnvis.cli import console
from nnvis.cli.compute import using_threads

if TYPE_CHECKING:
    from nnvis.data import Dataset
    from nnvis.runs import SavedRun

EXAMPLES = """\
nnvis eval runs/lenet5-mnist-1
nnvis eval runs/lenet5-mnist-1 --confusion
nnvis eval runs/lenet5-mnist-1/checkpoints/last.safetensors --json
nnvis eval runs/lenet5-mnist-1 --data ~/my-digits --data-option mode=grey --data-option size=28,28
"""


def add_arguments(parser: a.Parser) -> None:
    """Describe the options."""
    parser.add_argument("run", metavar="RUN", help="folder of a run, or a checkpoint file")
    parser.add_argument("--data", metavar="NAME|PATH", help="other data than the run's own")
    a.add_data_options(parser)
    parser.add_argument(
        "--split", type=a.one_of(("train", "validation", "test"), "split"), default="test", metavar="NAME",
        help="train, validation or test (default)",
    )  # fmt: skip
    parser.add_argument("--confusion", action="store_true", help="show which classes are taken for which")
    a.add_compute(parser)
    a.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    from nnvis.runs import load_run

    with using_threads(args.threads):
        saved = load_run(args.run, args.device)
        data = _data(args, saved)
        found = saved.evaluate(data, args.split)
    if args.json:
        console.print_json(_as_data(found, saved, data, args))
    else:
        _print(found, saved, data, args)
    return 0


def _data(args: argparse.Namespace, saved: SavedRun) -> Dataset:
    if args.data is None and not args.data_option:
        return saved.load_data()
    from nnvis.data import load

    if args.data is None and saved.source is not None:
        return load(saved.source.name, **{**saved.source.options, **a.options_dict(args.data_option)})
    return _as_in_training(load(args.data, **a.options_dict(args.data_option)), saved)


def _as_in_training(data: Dataset, saved: SavedRun) -> Dataset:
    """Other data with the mean and standard deviation that the network is used to."""
    import dataclasses

    return dataclasses.replace(data, mean=saved.data["mean"], std=saved.data["std"])


def _as_data(found: dict[str, Any], saved: SavedRun, data: Dataset, args: argparse.Namespace) -> dict[str, Any]:
    kept = found if args.confusion else {k: v for k, v in found.items() if k != "confusion"}
    return {"checkpoint": saved.path, "data": data.name, "split": args.split, "classes": data.class_names, **kept}


def _print(found: dict[str, Any], saved: SavedRun, data: Dataset, args: argparse.Namespace) -> None:
    epoch = f"after epoch {saved.state['epoch']}" if saved.state["epoch"] else "within the first epoch"
    print(f"{saved.net.graph.name} {epoch}, from {saved.path}")
    print(f"{console.number(found['count'])} {args.split} examples of {data.name}\n")
    texts = {"loss": console.loss_text(found["loss"])}
    texts |= {name: console.percent(found[name]) for name in ("accuracy", "top5") if name in found}
    for name, text in texts.items():
        print(f"  {name:<10}{text:>9}")
    if args.confusion and "confusion" in found:
        from nnvis.metrics import format_confusion

        print("\n" + format_confusion(found["confusion"], data.class_names))
