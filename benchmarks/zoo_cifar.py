"""Every network of the zoo in its 32x32 form on CIFAR-10: does it learn, how well, and how fast.

For each network three parts: `speed`, images per second of training steps; `heart`, the steps that it needs to learn
64 images by heart (a loss below 0.05); and `learn`, the accuracy on the test images after some epochs with its own
training settings. All get the same `--work`, so a large network sees fewer images, perhaps only a part of them, and is
tested on as many. Where these are few, smaller batches (`--batch`) make more steps of them; the learning rate of
gradient descent goes with the size of the batch, as by Goyal et al., "Accurate, Large Minibatch SGD", 2017, unless
`--lr` says otherwise. Networks so large that it would need more steps than there are get `--adam`. The rate rises over
the first tenth of the steps and falls along a cosine.

Each finished part is one line of JSON in `--out`, where later lines stand above earlier ones; parts that are there
already are skipped (but with `--again`), so an interrupted run goes on. `--table` writes the table into ZOO.md.

    python benchmarks/zoo_cifar.py --data cifar10 --nets resnet20 mobilenet_v2 --epochs 3
    python benchmarks/zoo_cifar.py --data cifar10 --speed-only --table
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np

import nnvis as nv
from nnvis.data import Dataset
from nnvis.data.loader import normalised
from nnvis.layers import BatchNorm2d
from nnvis.plan import Mode
from nnvis.zoo.registry import Entry

HERE = Path(__file__).parent
#: Steps that are timed at least, and for so many seconds; but no further one after so many. Most steps by heart.
_TIMED, _LEAST, _LONG, _MOST = 6, 0.5, 3.0, 200
#: Learning rates of Adam for learning by heart.
_RATES = (1e-3, 1e-4)
_BY_HEART = 0.05
#: Training images that batch normalisation is measured on again before a test.
_MEASURED = 1024
#: What a line of the file holds of each part, by the name of its first value.
PARTS = {"speed": "rate", "heart": "by_heart", "learn": "accuracy"}


@dataclass(frozen=True)
class Effort:
    """How much, and in which steps."""

    epochs: int = 3
    work: float = 4e12
    batch: int = 64
    lr: float | None = None
    adam: bool = False


def graph_of(entry: Entry, data: Dataset, **options: float) -> nv.Graph:
    return entry.build(input_shape=data.input_shape, num_classes=data.num_outputs, **options)


def some_images(data: Dataset, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Images at random, ready for the network, and their classes; a folder has them sorted by class."""
    part = data.train.subset(np.random.default_rng(0).permutation(len(data.train))[:count])
    return normalised(part.images, data.mean, data.std), part.labels


# --- how fast ---------------------------------------------------------------------------------------------------------


def images_per_second(net: nv.Network, data: Dataset, batch: int) -> float:
    """Of training steps, the first of which compile and lay out memory."""
    images, labels = some_images(data, batch)
    trainer = nv.Trainer(net, optimizer=nv.SGD(lr=1e-4))
    for _ in range(2):
        trainer.step(images, labels)
    seconds: list[float] = []
    while sum(seconds) < _LONG and (len(seconds) < _TIMED or sum(seconds) < _LEAST):
        start = time.perf_counter()
        trainer.step(images, labels)
        seconds.append(time.perf_counter() - start)
    return batch / float(np.median(seconds))


def speed(entry: Entry, data: Dataset, mult_adds: int) -> dict[str, float]:
    """With batches of 64, fewer where so many would take long."""
    batch = 64 if mult_adds < 2e9 else 16
    return {"rate": images_per_second(nv.Network(graph_of(entry, data), seed=0), data, batch), "rate_batch": batch}


# --- does it learn ----------------------------------------------------------------------------------------------------


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


# --- how well ---------------------------------------------------------------------------------------------------------


def fewer(data: Dataset, images: int) -> Dataset:
    """At most so many images at random, and at most as many, but not less than a thousand, to test on."""
    random = np.random.default_rng(0)
    train, test = (random.permutation(len(part))[:most] for part, most in (
        (data.train, images), (data.test, max(1000, images))))  # fmt: skip
    return replace(data, train=data.train.subset(train), test=data.test.subset(test))


def optimizer_of(entry: Entry, effort: Effort) -> nv.Optimizer:
    """The network's own, or Adam at 1e-3 if so asked; the rate of gradient descent is meant for batches of 64."""
    suits = entry.defaults | ({"optimizer": "adam", "lr": 1e-3} if effort.adam else {})
    adam = suits.get("optimizer") == "adam"
    lr = suits.get("lr", 0.05) * (1.0 if adam else effort.batch / 64) if effort.lr is None else effort.lr
    settings = {"lr": lr, "weight_decay": suits.get("weight_decay", 0.0)}
    return nv.Adam(**settings) if adam else nv.SGD(**settings, momentum=0.9)


def learn(entry: Entry, data: Dataset, mult_adds: int, effort: Effort) -> dict[str, float]:
    """Losses of the first and last steps of the first epoch, and the accuracy in the end."""
    whole, images = len(data.train), min(effort.epochs * len(data.train), int(effort.work / mult_adds))
    epochs, data = max(1, images // whole), fewer(data, images)
    net, optimizer = nv.Network(graph_of(entry, data), seed=0), optimizer_of(entry, effort)
    start = time.perf_counter()
    losses = [event.loss for event in nv.train(
        net, data, epochs=epochs, batch_size=effort.batch, optimizer=optimizer, seed=0, schedule="warmup:0.1+cosine",
        augmentation="crop4,flip", clip_norm=entry.defaults.get("clip_norm"), evaluate_every=epochs + 1,
    ) if isinstance(event, nv.events.StepDone)]  # fmt: skip
    first_epoch = losses[: len(losses) // epochs]
    few = max(1, len(first_epoch) // 10)
    measure_again(net, data, effort.batch)
    return {
        "images": len(data.train) * epochs, "steps": len(losses), "batch": effort.batch, "lr": optimizer.lr,
        "optimizer": optimizer.name,
        "loss_before": float(np.mean(first_epoch[:few])), "loss_after": float(np.mean(first_epoch[-few:])),
        "accuracy": nv.evaluate(net, data)["accuracy"], "tested": len(data.test),
        "seconds": time.perf_counter() - start,
    }  # fmt: skip


def measure_again(net: nv.Network, data: Dataset, batch: int) -> None:
    """Replace the running statistics of batch normalisation by their mean over some training images.

    Those kept in training follow too slowly for so few steps: with a momentum of 0.0003, as MnasNet has it, they would
    not move in a thousand. Wu and Johnson, "Rethinking 'Batch' in BatchNorm", 2021, section 3.
    """
    momenta = {n.name: n.layer.momentum for n in net.graph.order() if isinstance(n.layer, BatchNorm2d)}
    batches = [batch for batch in batched(data, batch) if momenta]
    running = {name: value for name, value in net.buffers.items() if name.rpartition(".")[0] in momenta}
    sums = {name: np.zeros(value.shape) for name, value in running.items()}
    for images in batches:
        for value in running.values():
            value[...] = 0.0
        net.start_pass(images, Mode(training=True, backward=True)).run_forward()
        for name, value in running.items():
            sums[name] += value / momenta[name.rpartition(".")[0]]
    for name, total in sums.items():
        running[name][...] = total / len(batches)


def batched(data: Dataset, batch: int) -> Iterator[np.ndarray]:
    images, _ = some_images(data, max(batch, min(_MEASURED, len(data.train)) // batch * batch))
    return iter(images.reshape(-1, batch, *images.shape[1:]))


# --- all of it, and the file ------------------------------------------------------------------------------------------


def measure(entry: Entry, data: Dataset, parts: list[str], effort: Effort, busy: bool) -> Iterator[dict]:
    """A line for each part."""
    graph = graph_of(entry, data)
    sizes = {"parameters": graph.num_parameters(), "mult_adds": graph.multiply_adds()}
    row = {"net": entry.name} | sizes
    if "speed" in parts:
        yield row | speed(entry, data, sizes["mult_adds"]) | {"busy": busy}
    if "heart" in parts:
        steps, loss = steps_by_heart(entry, data)
        yield row | {"by_heart": steps, "by_heart_loss": loss}
    if "learn" in parts:
        yield row | learn(entry, data, sizes["mult_adds"], effort)


def finished(out: Path) -> dict[str, dict]:
    """Values by network; what a later line says stands."""
    rows: dict[str, dict] = {}
    for line in out.read_text().splitlines() if out.exists() else ():
        row = json.loads(line)
        rows[row["net"]] = rows.get(row["net"], {}) | row
    return rows


def measure_all(nets: list[str], data: Dataset, parts: list[str], effort: Effort, args: argparse.Namespace) -> None:
    for name in nets:
        known = {} if args.again else finished(args.out).get(name, {})
        left = [part for part in parts if PARTS[part] not in known]
        for row in measure(nv.zoo.entry(name), data, left, effort, args.busy):
            with args.out.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(json.dumps(row), flush=True)


def rate_of(row: dict) -> str:
    rate = f"{row['rate']:,.0f}" if row["rate"] >= 10 else f"{row['rate']:.1f}"
    return f"({rate})" if row.get("busy") else rate


def table(rows: list[dict]) -> str:
    """As Markdown, by family and size."""
    lines = ["| network | parameters | multiply-adds | images/s | steps to learn 64 by heart | images seen "
             "| steps x batch, optimiser | loss, first epoch | test accuracy |",
             "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"]  # fmt: skip
    for row in rows:
        cells = (
            row["net"], f"{row['parameters']:,}", f"{row['mult_adds'] / 1e6:,.1f} M", rate_of(row),
            row["by_heart"] or f"loss {row['by_heart_loss']:.2f} after {_MOST}", f"{row['images']:,}",
            f"{row['steps']:,} x {row['batch']}, {row.get('optimizer', 'sgd')} {row['lr']:g}",
            f"{row['loss_before']:.2f} to {row['loss_after']:.2f}", f"{100 * row['accuracy']:.1f} %",
        )  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def write_table(rows: dict[str, dict], page: Path) -> None:
    """Put the table of all that is complete in place of the one on the page, which ends the page."""
    complete = [rows[name] for name in nv.zoo.names() if set(PARTS.values()) <= set(rows.get(name, ()))]
    text = page.read_text().partition("| network |")[0]
    page.write_text(f"{text}{table(complete)}\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="cifar10", help="a name or path for nnvis.data.load")
    parser.add_argument("--nets", nargs="+", help="networks of the zoo; all without this option")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--speed-only", action="store_true", help="images per second again, of all networks")
    parser.add_argument("--epochs", type=int, default=Effort.epochs)
    parser.add_argument("--work", type=float, default=Effort.work,
                        help="multiply-adds of all forward passes (default: 4e12)")  # fmt: skip
    parser.add_argument("--batch", type=int, default=Effort.batch)
    parser.add_argument("--lr", type=float, help="instead of the network's own, scaled to the batch")
    parser.add_argument("--adam", action="store_true", help="in place of the network's own optimiser")
    parser.add_argument("--again", action="store_true", help="also what is in --out")
    parser.add_argument(
        "--busy", action="store_true", help="others use the machine: puts images per second in brackets"
    )
    parser.add_argument("--out", type=Path, default=HERE / "zoo.jsonl")
    parser.add_argument("--table", action="store_true", help="write ZOO.md anew; nothing else if no networks are named")
    args = parser.parse_args()
    if args.speed_only:
        args.parts, args.again = ["speed"], True
    return args


def main() -> None:
    args = arguments()
    if args.nets or args.speed_only or not args.table:
        effort = Effort(args.epochs, args.work, args.batch, args.lr, args.adam)
        measure_all(args.nets or nv.zoo.names(), nv.data.load(args.data), args.parts, effort, args)
    if args.table:
        write_table(finished(args.out), HERE / "ZOO.md")


if __name__ == "__main__":
    main()
