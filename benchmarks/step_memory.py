"""Peak resident memory of training steps, beside PyTorch's: what they add to a process that has imported all it needs.

    python benchmarks/step_memory.py [PART OF A NAME]

Each side of each case is a process of its own, which runs a few steps. Kernels are compiled before that (``nnvis
warmup``), since the compiler itself takes more memory than most networks.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import subprocess
import sys
from collections.abc import Callable

from nnvis.bench.net_cases import TRAINING, Target, our_step, torch_steps

STEPS = 3
SIDES = ("nnvis", "contiguous", "channels-last")


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def prepare(target: Target, side: str) -> Callable[[], object]:
    """Import what this side needs and let it work once on next to nothing, so that its libraries are loaded."""
    if side == "nnvis":
        our_step(Target("mlp", 1, 28))()
        return lambda: our_step(target)
    next(torch_steps(Target("mlp", 1, 28)))[1]()
    return lambda: next(itertools.islice(torch_steps(target), SIDES.index(side) - 1, None))[1]


def measure(target: Target, side: str) -> float:
    """MiB that model, optimiser and steps add."""
    make = prepare(target, side)
    before = peak_bytes()
    step = make()
    for _ in range(STEPS):
        step()
    return (peak_bytes() - before) / 2**20


def in_a_process(number: int, side: str) -> float:
    command = [sys.executable, __file__, "--case", str(number), "--side", side]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("only", nargs="?", default="")
    parser.add_argument("--case", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        print(measure(TRAINING[args.case], args.side))
        return
    subprocess.run([sys.executable, "-m", "nnvis", "warmup"], check=True, stdout=subprocess.DEVNULL)
    print("| training step | nnvis | PyTorch, contiguous | PyTorch, channels-last |")
    print("| --- | ---: | ---: | ---: |")
    for number, target in enumerate(TRAINING):
        if args.only in str(target):
            cells = [f"{in_a_process(number, side):.0f} MiB" for side in SIDES]
            print(f"| {target} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
