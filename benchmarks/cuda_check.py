"""Everything of the GPU on a real one, in less than eight minutes, in one table.

    python benchmarks/cuda_check.py

Kernels and layers against the textbook, training of LeNet-5 and ResNet-20 against the CPU, the same bits in two runs,
and the speed of training steps beside PyTorch's (eager, float32 without TF32, its better memory format) on the same
GPU, if it is installed there.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import nnvis as nv
from nnvis.bench.case import torch_module
from nnvis.bench.net_cases import Target
from nnvis.bench.timer import alternate
from nnvis.cli import console
from nnvis.device import places

ROOT = Path(__file__).resolve().parent.parent
#: What is learned: networks by name, and the learning rate that suits them.
LEARNED = {"lenet5": 0.002, "resnet20": 0.02}
#: Steps that are taken, and how far the losses of the first ones may be from the CPU's.
STEPS, FIRST, TOLERANCE = 150, 10, 1e-2
PARTS = ("kernels", "learn", "speed")
TIMED = (
    Target("mlp", 256, 28), Target("lenet5", 256, 28), Target("resnet20", 128, 32), Target("vgg11", 128, 32),
    Target("mobilenet_v2", 128, 32), Target("vit_ti_16", 64, 32), Target("resnet18", 32, 224),
)  # fmt: skip


@dataclass(frozen=True)
class Line:
    """One line of the table."""

    what: str
    found: str
    good: bool


# --- kernels ------------------------------------------------------------------------------------------------


def kernel_lines() -> Iterator[Line]:
    """The tests of kernels, layers and networks, which elsewhere run in the simulator."""
    for what, folder in (("kernels", "tests/kernels/cuda"), ("layers and networks", "tests/nnvis/cuda")):
        start = time.perf_counter()
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", folder]
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ | {"NNVIS_TEST_GPU": "1"}, capture_output=True, text=True, check=False
        )
        counts = re.findall(r"\d+ (?:passed|failed|errors?)", done.stdout)
        if done.returncode:
            print(done.stdout[-4000:], file=sys.stderr)
        seconds = time.perf_counter() - start
        yield Line(f"{what} against the textbook", f"{', '.join(counts) or 'nothing ran'}, {seconds:.0f} s",
                   done.returncode == 0 and bool(counts))  # fmt: skip


# --- learning -----------------------------------------------------------------------------------------------


def images(target: Target, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Images of ten classes, each a pattern under noise."""
    random = np.random.default_rng(0)
    patterns, labels = random.normal(size=(10, *target.shape)), random.integers(10, size=count)
    return (patterns[labels] + 2 * random.normal(size=(count, *target.shape))).astype(np.float32), labels


def losses(target: Target, device: str, steps: int, lr: float) -> tuple[list[float], nv.Network]:
    """Losses of training steps."""
    x, labels = images(target, 10 * target.batch)
    net = nv.Network(target.graph(), device=device, seed=0)
    trainer = nv.Trainer(net, optimizer=nv.SGD(lr=lr, momentum=0.9))
    parts = [slice(i % 10 * target.batch, (i % 10 + 1) * target.batch) for i in range(steps)]
    return [trainer.step(x[part], labels[part]) for part in parts], net


def learning_lines(steps: int, batch: int) -> Iterator[Line]:
    """Networks that learn as they do on the CPU, and twice in the same way."""
    for name, lr in LEARNED.items():
        target = Target(name, batch, 28 if name == "lenet5" else 32)
        (found, net), (again, twin) = (losses(target, "cuda", steps, lr) for _ in range(2))
        expected, _ = losses(target, "cpu", min(FIRST, steps), lr)
        apart = max(abs(a - b) / max(1e-3, abs(b)) for a, b in zip(found, expected, strict=False))
        yield Line(f"{name}: first losses beside the CPU's", f"{100 * apart:.3f} % apart", apart < TOLERANCE)
        yield Line(f"{name}: loss in {steps} steps", f"{found[0]:.3f} to {found[-1]:.3f}", found[-1] < found[0] / 2)
        states = net.state_dict(), twin.state_dict()
        same = found == again and all(states[0][k].tobytes() == states[1][k].tobytes() for k in states[0])
        yield Line(f"{name}: a second run", "the same bits" if same else "other bits", same)


# --- speed --------------------------------------------------------------------------------------------------


def our_step(target: Target) -> Callable[[], object]:
    """A training step of ours; it returns when the loss is known, and the next one waits for its update."""
    trainer = nv.Trainer(nv.Network(target.graph(), device="cuda"), optimizer=nv.SGD(lr=0.01, momentum=0.9))
    return partial(trainer.step, *target.examples())


def torch_steps(target: Target) -> dict[str, Callable[[], object]]:
    """The same of PyTorch, by memory format; as ours, each takes its batch from the host and says its loss."""
    torch = torch_module()
    if torch is None or not torch.cuda.is_available():
        return {}
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    formats = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}
    return {name: _torch_step(torch, target, layout) for name, layout in formats.items()}


def _torch_step(torch: Any, target: Target, layout: Any) -> Callable[[], object]:
    x, labels = target.examples()
    host = torch.from_numpy(x.transpose(0, 3, 1, 2)).contiguous(memory_format=layout).pin_memory()
    model, targets = target.twin().to("cuda", memory_format=layout).train(), torch.from_numpy(labels).pin_memory()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def step() -> float:
        optimizer.zero_grad()
        found = model(host.to("cuda", non_blocking=True))
        logits = found[0] if isinstance(found, tuple) else found
        loss = torch.nn.functional.cross_entropy(logits, targets.to("cuda", non_blocking=True))
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def speed_lines() -> Iterator[Line]:
    """Seconds of a step, and PyTorch's over ours: above 1 we are faster."""
    for target in TIMED:
        ours, *theirs = alternate([our_step(target), *torch_steps(target).values()], turn=0.3)
        beside = f", PyTorch {1e3 * min(theirs):.2f} ms, ratio {min(theirs) / ours:.2f}" if theirs else ""
        yield Line(f"step {target}", f"{1e3 * ours:.2f} ms{beside}", True)


# --- all ----------------------------------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--parts", nargs="+", choices=("kernels", "learn", "speed"), default=("kernels", "learn", "speed")
    )
    parser.add_argument("--steps", type=int, default=STEPS, help="training steps of each network")
    parser.add_argument("--batch", type=int, default=64, help="images of a training step")
    args = parser.parse_args()
    place = next(each for each in places() if each.name == "cuda")
    if not place.usable:
        print(f"Nothing was checked. {place.description}", file=sys.stderr)
        return 2
    print(place.description)
    made = {"kernels": kernel_lines, "learn": partial(learning_lines, args.steps, args.batch), "speed": speed_lines}
    start, lines = time.perf_counter(), []
    for part in args.parts:
        for line in made[part]():
            lines.append(line)
            print(f"  {line.what}: {line.found}", file=sys.stderr, flush=True)
    lines.append(Line("in all", f"{time.perf_counter() - start:.0f} s", all(line.good for line in lines)))
    console.print_table(["check", "found", "good"], [[e.what, e.found, "yes" if e.good else "NO"] for e in lines])
    return 0 if lines[-1].good else 1


if __name__ == "__main__":
    sys.exit(main())
