"""Time and memory of the largest networks, each in a process of its own.

Prints for each case how long it took and the most memory that the process had (its peak resident set, which holds
Python, Numba and all kernels). The limit is that of a small laptop: 2 GB for a forward pass over one image.

    python benchmarks/zoo_memory.py
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

LIMIT = 2e9


def summarise() -> None:
    """The summary of a network, as ``nnvis summary resnet50`` makes it: no weights."""
    from nnvis.cli import main

    main(["summary", "resnet50"])


def forward(name: str) -> None:
    """Inference on one image."""
    import numpy as np

    import nnvis as nv

    net = nv.Network(nv.zoo.build(name))
    scores = net.forward(np.random.default_rng(0).normal(size=(1, *net.input_shape)).astype(np.float32))
    assert np.isfinite(scores).all()


def train(name: str) -> None:
    """Two training steps on one image; the first one plans memory and loads kernels."""
    import numpy as np

    import nnvis as nv

    net = nv.Network(nv.zoo.build(name))
    trainer = nv.Trainer(net, optimizer=nv.SGD(lr=1e-4, momentum=0.9))
    x = np.random.default_rng(0).normal(size=(1, *net.input_shape)).astype(np.float32)
    for step in (1, 2):
        began = time.perf_counter()
        loss = trainer.step(x, np.array([3]))
        print(f"  step {step}: {time.perf_counter() - began:.1f} s, loss {loss:.2f}", file=sys.stderr)


CASES: dict[str, tuple[Callable[..., None], tuple[str, ...]]] = {
    "summary of resnet50": (summarise, ()),
    "forward, vgg16 at 224x224": (forward, ("vgg16",)),
    "forward, vit_b_16 at 224x224": (forward, ("vit_b_16",)),
    "training step, resnet1202 at 32x32": (train, ("resnet1202",)),
}


def measure(case: str) -> None:
    """Run one case in a process of its own and print its figures."""
    began = time.perf_counter()
    ran = subprocess.run([sys.executable, __file__, case], stdout=subprocess.PIPE, text=True, check=True)
    seconds, peak = time.perf_counter() - began, float(ran.stdout.splitlines()[-1])
    note = "" if peak < LIMIT else f"  MORE THAN {LIMIT / 1e9:.0f} GB"
    print(f"{case:36} {seconds:6.1f} s  peak {peak / 1e6:6.0f} MB{note}")


def peak_memory() -> float:
    """Largest resident set of this process, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run, arguments = CASES[sys.argv[1]]
        run(*arguments)
        print(peak_memory())
    else:
        for case in CASES:
            measure(case)
