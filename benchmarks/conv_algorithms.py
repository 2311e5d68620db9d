"""Every algorithm of 3x3 convolutions on layers of the zoo, and whether the quickest one is chosen.

python benchmarks/conv_algorithms.py --threads 1

Gflop/s count the multiply-adds of the definition: an algorithm that needs fewer may exceed the peak of the machine. A
star marks what ``kernels.cpu.conv_choice.choose`` takes; a row ends in how much slower that is than the best.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import numba
import numpy as np

from kernels import cpu
from kernels.cpu.conv_choice import OUTPUTS, choose
from kernels.cpu.conv_plan import convolution
from nnvis.bench.timer import alternate

HOW = (1, 1), (1, 1), (1, 1), 1

#: Images, height and width, input and output channels.
LAYERS = {
    "resnet20": [(64, 32, 16, 16), (64, 16, 32, 32), (64, 8, 64, 64)],
    "vgg11": [(64, 16, 64, 128), (64, 8, 128, 256), (64, 8, 256, 256), (64, 4, 512, 512), (64, 2, 512, 512)],
    "resnet18": [(8, 56, 64, 64), (8, 28, 128, 128), (8, 14, 256, 256), (8, 7, 512, 512)],
    "resnet18, one image": [(1, 56, 64, 64), (1, 28, 128, 128), (1, 14, 256, 256), (1, 7, 512, 512)],
    "googlenet": [(32, 32, 64, 192), (32, 16, 96, 128), (32, 16, 16, 32), (32, 8, 144, 288), (32, 4, 192, 384)],
}


def passes(images: int, size: int, inputs: int, outputs: int) -> dict[str, Callable[[str], None]]:
    """The three passes of a layer, each a function of the algorithm."""
    random = np.random.default_rng(0)
    shapes = (images, size, size, inputs), (3, 3, inputs, outputs), (images, size, size, outputs)
    x, w, y = (random.standard_normal(shape, np.float32) for shape in shapes)
    dx, dw, dy = np.empty_like(x), np.empty_like(w), y.copy()
    return {
        "forward": lambda how: cpu.conv2d_forward(x, w, None, y, *HOW, how),
        "data": lambda how: cpu.conv2d_backward_data(dy, w, dx, *HOW, how),
        "weights": lambda how: cpu.conv2d_backward_weights(x, dy, dw, None, *HOW, how),
    }


def compare(name: str, layer: tuple[int, int, int, int], rounds: int) -> None:
    images, size, inputs, outputs = layer
    flops = 2 * images * size * size * 9 * inputs * outputs
    shapes = (images, size, size, inputs), (images, size, size, outputs)
    geometry = convolution(*shapes, (3, 3), *HOW)
    for which, work in passes(*layer).items():
        chosen = choose(geometry, which)
        times = alternate([partial(work, how) for how in OUTPUTS], rounds, 0.02)
        found = dict(zip(OUTPUTS, times, strict=True))
        rates = "  ".join(f"{how} {flops / t / 1e9:4.0f}{'*' if how == chosen else ' '}" for how, t in found.items())
        lost = found[chosen] / min(times) - 1
        shape = f"{images}x{size}x{size}x{inputs} -> {outputs}"
        print(f"{name:20} {which:8} {shape:22} {rates}" + f" {100 * lost:.0f} % lost" * (lost > 0.03), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", choices=LAYERS, default=list(LAYERS), metavar="NET")
    parser.add_argument("--threads", type=int, default=numba.get_num_threads())
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    numba.set_num_threads(args.threads)
    for name in args.nets:
        for layer in LAYERS[name]:
            compare(name, layer, args.rounds)


if __name__ == "__main__":
    main()
