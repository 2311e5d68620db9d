"""How many threads a kernel gets, and how they are laid out: the one place that decides it.

Kernels over elements, pixels or rows get blocks of :data:`THREADS` threads, as many as it takes; those that reduce give
a block to every row or channel. Numbers of blocks depend on the problem alone, never on the GPU, so that sums come out
in the same order everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Threads of a block: enough to hide the latency of memory, few enough for eight blocks on a multiprocessor.
THREADS = 256
#: The most blocks along the second and the third axis of a grid.
MOST_BLOCKS = 65535


@dataclass(frozen=True)
class Shape:
    """Blocks of a launch, by axis, and threads of a block."""

    blocks: tuple[int, int, int]
    threads: int


def over(count: int, each: int = 1) -> Shape:
    """Threads for `count` elements, of which every thread does `each`."""
    return Shape((max(1, -(-count // (THREADS * each))), 1, 1), THREADS)


def blocks(x: int, y: int = 1, z: int = 1, threads: int = THREADS) -> Shape:
    """A grid of blocks, each of which does a tile, a row or a channel."""
    if y > MOST_BLOCKS or z > MOST_BLOCKS:
        raise ValueError(f"a grid has at most {MOST_BLOCKS} blocks along its second and third axes, not {y} and {z}.")
    return Shape((max(1, x), max(1, y), max(1, z)), threads)
