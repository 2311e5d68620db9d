"""How the time of a training step grows with the batch and with the width of the network, beside PyTorch.

python benchmarks/scaling.py [--threads N] [--rounds N]
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

from nnvis.bench.net_cases import Target, our_step, torch_steps
from nnvis.bench.threads import equal_threads
from nnvis.bench.timer import alternate

BATCHES = (8, 32, 128, 512)
WIDTHS = (0.25, 0.5, 1.0, 1.5)


@dataclass(frozen=True)
class Wide(Target):
    """VGG with more or fewer channels in every layer."""

    width: float = 1.0

    def graph(self) -> Any:
        import nnvis as nv

        return nv.zoo.vgg11(self.classes, self.shape, width_mult=self.width)

    def twin(self) -> Any:
        from nnvis.bench import torch_nets

        return torch_nets.vgg(width=self.width)

    def __str__(self) -> str:
        return f"{super().__str__()}, width {self.width:g}"


def targets() -> list[Target]:
    batches = [Target(net, batch, size) for net, size in (("lenet5", 28), ("resnet20", 32)) for batch in BATCHES]
    return batches + [Wide("vgg11", 32, 32, width) for width in WIDTHS]


def row(target: Target, rounds: int) -> str:
    rivals = dict(torch_steps(target))
    ours, *others = alternate([our_step(target), *rivals.values()], rounds)
    flops = 6 * target.batch * target.graph().multiply_adds()  # forward, and twice as much back
    times = f"{1e3 * ours:.2f} ms | {1e3 * min(others):.2f} ms | {min(others) / ours:.2f}"
    return f"| {target} | {times} | {1e6 * ours / target.batch:.0f} us | {flops / ours / 1e9:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    print(f"{args.threads} thread{'s' * (args.threads != 1)}; the ratio is PyTorch's better time over ours\n")
    print("| training step | nnvis | PyTorch | ratio | an example | Gflop/s |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    with equal_threads(args.threads):
        for target in targets():
            print(row(target, args.rounds), flush=True)


if __name__ == "__main__":
    main()
