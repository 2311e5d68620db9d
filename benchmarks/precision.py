"""Does the fast precision cost accuracy: the same runs with it and with "exact", over some seeds.

python benchmarks/precision.py --cifar path/to/cifar10 --seeds 3
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np

import nnvis as nv
from nnvis.data import Dataset


def accuracy(name: str, data: Dataset, epochs: int, precision: str, seed: int) -> float:
    """On the test images, after training with the network's own settings."""
    entry = nv.zoo.entry(name)
    graph = entry.build(input_shape=data.input_shape, num_classes=data.num_outputs)
    net = nv.Network(graph, seed=seed, precision=precision)
    optimizer = nv.SGD(lr=entry.defaults.get("lr", 0.05), momentum=0.9, weight_decay=1e-4)
    run = nv.fit(net, data, epochs=epochs, batch_size=64, optimizer=optimizer, seed=seed, schedule="warmup:0.1+cosine")
    return float(run.history["val_accuracy"][-1])


def compare(name: str, data: Dataset, epochs: int, seeds: int) -> None:
    found = {p: [accuracy(name, data, epochs, p, seed) for seed in range(seeds)] for p in ("fast", "exact")}
    for precision, values in found.items():
        each = ", ".join(f"{100 * value:.2f}" for value in values)
        print(f"{name:10} {precision:6} {each} %; mean {100 * np.mean(values):.2f} %", flush=True)
    gap = 100 * (np.mean(found["fast"]) - np.mean(found["exact"]))
    print(f"{name:10} fast - exact {gap:+.2f} points; spread of seeds {100 * np.std(found['exact']):.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cifar", help="a name or path for nnvis.data.load; without it only MNIST")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=2)
    args = parser.parse_args()
    compare("lenet5", nv.data.load("mnist"), args.epochs, args.seeds)
    if args.cifar:
        compare("resnet20", nv.data.load(args.cifar), args.epochs, args.seeds)


if __name__ == "__main__":
    main()
