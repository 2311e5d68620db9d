"""Reductions by the threads of a block, in shared memory, as in a tournament: always in the same order.

Two layouts use them. A *row* has a block of its own, whose threads stride along it. A *table* (rows, channels) is cut
into splits of its rows and into parts of its channels, and a block does one split of one part: its threads are `lanes`
beside each other along the channels, so that neighbours read neighbours, and so many *lines* of them, which stride down
the rows. What the splits found is added up by a second kernel, :func:`add_pairs`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import float32

from kernels.cuda import launch
from kernels.cuda.indices import smaller
from kernels.cuda.jit import inner, kernel
from kernels.cuda.toolkit import cuda

#: Floats of shared memory for one number of each thread.
ROOM = launch.THREADS
_ZERO = np.float32(0)
#: The most lanes: those of a warp, which read 128 bytes together.
_LANES = 32
#: Rows that a thread does at least before a sum is split, and when a table is mapped; and the most blocks of a sum.
_SUM_ROWS, _MAP_ROWS, _MOST_BLOCKS = 16, 8, 1024

# --- in kernels ----------------------------------------------------------------------------------


@inner
def total(shared, value, lanes):
    """The sum of the values of all threads of the same lane, to all of them; one lane is the whole block.

    `lanes` and the number of threads are powers of two, and `shared` has a place for each thread.
    """
    thread, half = cuda.threadIdx.x, cuda.blockDim.x // 2
    shared[thread] = value
    cuda.syncthreads()
    while half >= lanes:
        if thread < half:
            shared[thread] += shared[thread + half]
        cuda.syncthreads()
        half //= 2
    result = shared[thread % lanes]
    cuda.syncthreads()  # before anybody uses the room again
    return result


@inner
def largest(shared, value):
    """The largest of the values of all threads, to all of them; not-a-number never is."""
    thread, half = cuda.threadIdx.x, cuda.blockDim.x // 2
    shared[thread] = value
    cuda.syncthreads()
    while half > 0:
        if thread < half and shared[thread + half] > shared[thread]:
            shared[thread] = shared[thread + half]
        cuda.syncthreads()
        half //= 2
    result = shared[0]
    cuda.syncthreads()
    return result


@inner
def place_in_table(lanes):
    """Channel of a thread (the last lanes may lie behind the last channel), its line, and how many lines there are."""
    thread = cuda.threadIdx.x
    return cuda.blockIdx.y * lanes + thread % lanes, thread // lanes, cuda.blockDim.x // lanes


@inner
def rows_of_split(rows, splits):
    """First row of the block's split, and the row behind its last."""
    split = cuda.blockIdx.x
    return split * rows // splits, (split + 1) * rows // splits


@kernel("void(float32[::1], float32[::1], float32[::1], int32, int32, int32)")
def add_pairs_kernel(partial, first, second, channels, splits, lanes):
    """Sums over the splits of both halves of `partial` (2, splits, channels); one block for each part."""
    shared = cuda.shared.array(ROOM, float32)
    channel, line, lines = place_in_table(lanes)
    column = smaller(channel, channels - 1)
    a, b = _ZERO, _ZERO
    for split in range(line, splits, lines):
        a += partial[split * channels + column]
        b += partial[(splits + split) * channels + column]
    a, b = total(shared, a, lanes), total(shared, b, lanes)
    if line == 0 and channel < channels:
        first[channel], second[channel] = a, b


# --- around them ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Table:
    """How an array (rows, channels) is shared out among blocks.

    Attributes
    ----------
    rows, channels : int
    lanes : int
        Threads of a block along the channels, a power of two.
    splits : int
        Of the rows, for sums: it depends on rows and channels alone.
    """

    rows: int
    channels: int
    lanes: int
    splits: int

    @property
    def parts(self) -> int:
        """Blocks along the channels."""
        return -(-self.channels // self.lanes)

    def sums(self) -> launch.Shape:
        """One block for each split of each part."""
        return launch.blocks(self.splits, self.parts, threads=launch.THREADS)

    def totals(self) -> launch.Shape:
        """One block for each part: what adds up the splits."""
        return launch.blocks(1, self.parts, threads=launch.THREADS)

    def map(self) -> launch.Shape:
        """Blocks of which every thread does a few rows."""
        lines = launch.THREADS // self.lanes
        return launch.blocks(-(-self.rows // (lines * _MAP_ROWS)), self.parts, threads=launch.THREADS)


def table_of(rows: int, channels: int) -> Table:
    """The table of an array (rows, channels)."""
    lanes = min(_LANES, launch.THREADS, 1 << (channels - 1).bit_length())
    most = max(1, _MOST_BLOCKS * lanes // channels)
    return Table(rows, channels, lanes, max(1, min(most, rows * lanes // (launch.THREADS * _SUM_ROWS))))


def add_pairs(partial: Any, first: Any, second: Any, table: Table) -> None:
    """``first = partial[0].sum(axis=0)`` and ``second = partial[1].sum(axis=0)``, in an order that never changes.

    Parameters
    ----------
    partial : device array (2 * splits * channels,)
    first, second : device array (channels,)
        Outputs.
    table : Table
    """
    add_pairs_kernel(table.totals(), partial, first, second, table.channels, table.splits, table.lanes)


def row_blocks(rows: int, width: int) -> launch.Shape:
    """One block for each row: no more threads than the row has floats, but whole warps."""
    threads = max(_LANES, 1 << (width - 1).bit_length())
    return launch.blocks(rows, threads=min(threads, launch.THREADS))
