"""Every network of the zoo in its 32x32 form on CIFAR-10: does it learn, how well, and how fast.

For each network three things: images per second of training steps; the steps that it needs to learn 64 images by
heart (a loss below 0.05); and the accuracy on the test images after some epochs with its own training settings. All get
the same `--work`, so a large network sees fewer images, perhaps only a part of them, and is tested on as many. Each
finished network is one line of JSON in `--out`; those that are there already are skipped, so an interrupted run goes
on. `--table` prints the file.

    python benchmarks/zoo_cifar.py --data cifar10 --nets resnet20 mobilenet_v2 --epochs 3 --out zoo.jsonl
    python benchmarks/zoo_cifar.py --out zoo.jsonl --table
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np

import nnvis as nv
from nnvis.data import Dataset
from nnvis.data.loader import normalised
from nnvis.zoo.registry import Entry

#: Steps that are timed; most steps for learning by heart.
_TIMED, _MOST = 4, 200
#: Learning rates of Adam for learning by heart.
_RATES = (1e-3, 1e-4)
_BY_HEART = 0.05


def graph_of(entry: Entry, data: Dataset, **options: float) -> nv.Graph:
    return entry.build(input_shape=data.input_shape, num_classes=data.num_outputs, **options)


def some_images(data: Dataset, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Images at random, ready for the network, and their classes; a folder has them sorted by class."""
    part = data.train.subset(np.random.default_rng(0).permutation(len(data.train))[:count])
    return normalised(part.images, data.mean, data.std), part.labels


def images_per_second(net: nv.Network, data: Dataset, batch: int) -> float:
    """Of training steps, the first two of which compile and lay out memory."""
    images, labels = some_images(data, batch)
    trainer = nv.Trainer(net, optimizer=nv.SGD(lr=1e-4))
    seconds = []
    for _ in range(2 + _TIMED):
        start = time.perf_counter()
        trainer.step(images, labels)
        seconds.append(time.perf_counter() - start)
    return batch / float(np.median(seconds[2:]))


def steps_by_heart(entry: Entry, data: Dataset) -> tuple[int | None, float]:
    """Steps until 64 images are known by heart, None if it takes too many; and the last loss.

    Without dropout, which works against it: so also the loss at auxiliary outputs can vanish. Networks whose last
    rectifiers die at the first learning rate get a second one; those that have Adam's in their own settings, theirs.
    """
    rates = (entry.defaults["lr"],) if entry.defaults.get("optimizer") == "adam" else _RATES
    off = {name: 0.0 for name in ("dropout", "aux_dropout", "drop_path") if name in entry.options}
    images, labels = some_images(data, 64)
    for lr in rates:
        graph = graph_of(entry, data, **off)
        trainer = nv.Trainer(nv.Network(graph, seed=0), optimizer=nv.Adam(lr=lr), clip_norm=1.0)
        for step in range(1, _MOST + 1):
            loss = trainer.step(images, labels)
            if loss < _BY_HEART:
                return step, loss
    return None, loss


def fewer(data: Dataset, images: int) -> Dataset:
    """At most so many images at random, and at most as many, but not less than a thousand, to test on."""
    random = np.random.default_rng(0)
    train, test = (random.permutation(len(part))[:most] for part, most in (
        (data.train, images), (data.test, max(1000, images))))  # fmt: skip
    return replace(data, train=data.train.subset(train), test=data.test.subset(test))


def some_epochs(graph: nv.Graph, entry: Entry, data: Dataset, images: int) -> dict[str, float]:
    """Train on about so many images; losses of the first and last steps of the first epoch, and the accuracy."""
    suits, whole = entry.defaults, len(data.train)
    epochs, data = max(1, images // whole), fewer(data, images)
    rate = {"lr": suits.get("lr", 0.05), "weight_decay": suits.get("weight_decay", 0.0)}
    optimizer = nv.Adam(**rate) if suits.get("optimizer") == "adam" else nv.SGD(**rate, momentum=0.9)
    losses, accuracy, start = [], 0.0, time.perf_counter()
    for event in nv.train(
        nv.Network(graph, seed=0), data, epochs=epochs, batch_size=64, optimizer=optimizer, seed=0,
        schedule="warmup:0.1+cosine", augmentation="crop4,flip", clip_norm=suits.get("clip_norm"),
        evaluate_every=epochs,
    ):  # fmt: skip
        if isinstance(event, nv.events.StepDone):
            losses.append(event.loss)
        elif isinstance(event, nv.events.Finished):
            accuracy = event.metrics["test_accuracy"]
    first_epoch = losses[: len(losses) // epochs]
    few = max(1, len(first_epoch) // 10)
    return {
        "images": len(data.train) * epochs, "epochs": len(data.train) * epochs / whole, "tested": len(data.test),
        "loss_before": float(np.mean(first_epoch[:few])), "loss_after": float(np.mean(first_epoch[-few:])),
        "accuracy": accuracy, "seconds": time.perf_counter() - start,
    }  # fmt: skip


def measure(entry: Entry, data: Dataset, epochs: int, work: float) -> dict:
    graph = graph_of(entry, data)
    row = {"net": entry.name, "parameters": graph.num_parameters(), "mult_adds": graph.multiply_adds()}
    row["rate"] = images_per_second(nv.Network(graph, seed=0), data, 64)
    row["by_heart"], row["by_heart_loss"] = steps_by_heart(entry, data)
    images = min(epochs * len(data.train), int(work / row["mult_adds"]))
    return row | some_epochs(graph, entry, data, images)


def table(rows: list[dict]) -> str:
    """As Markdown, by family and size as in the file."""
    lines = ["| network | parameters | multiply-adds | images/s | steps to learn 64 by heart | epochs "
             "| loss, first epoch | test accuracy |",
             "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"]  # fmt: skip
    for row in rows:
        cells = (
            row["net"], f"{row['parameters']:,}", f"{row['mult_adds'] / 1e6:,.1f} M", f"{row['rate']:,.0f}",
            row["by_heart"] or f"loss {row['by_heart_loss']:.2f} after {_MOST}", f"{row['epochs']:.2g}",
            f"{row['loss_before']:.2f} to {row['loss_after']:.2f}", f"{100 * row['accuracy']:.1f} %",
        )  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def finished(out: Path) -> list[dict]:
    return [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="cifar10", help="a name or path for nnvis.data.load")
    parser.add_argument("--nets", nargs="+", help="networks of the zoo; all without this option")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--work", type=float, default=4e12, help="multiply-adds of all forward passes (default: 4e12)")
    parser.add_argument("--out", type=Path, default=Path("zoo.jsonl"))
    parser.add_argument("--table", action="store_true", help="print what is in --out, and measure nothing")
    args = parser.parse_args()
    if args.table:
        print(table(finished(args.out)))
        return
    data = nv.data.load(args.data)
    for name in args.nets or nv.zoo.names():
        if name in (row["net"] for row in finished(args.out)):
            continue
        row = measure(nv.zoo.entry(name), data, args.epochs, args.work)
        with args.out.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(table([row]).splitlines()[-1], flush=True)


if __name__ == "__main__":
    main()
