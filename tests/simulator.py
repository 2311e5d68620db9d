"""Numba's simulator of GPUs, made fast enough for networks: threads of a block are greenlets and take turns.

Numba's own starts a thread of the system for each and polls them all until they stand at the barrier. Here each runs
until it reaches the barrier, in an order that is shuffled every time: a kernel that lacks a barrier finds, sooner or
later, what is not written yet.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from greenlet import getcurrent, greenlet


class _Lane(greenlet):
    """A thread of a block; it hands over to the block at each barrier."""

    def __init__(self, run, block, block_index, thread_index):
        super().__init__(run)
        self.block, self.blockIdx, self.threadIdx = block, block_index, thread_index


class _Block:
    """A block of threads, as :class:`numba.cuda.simulator.kernel.BlockManager`."""

    def __init__(self, function, grid_dim, block_dim, debug):
        self.function, self.block_dim = function, block_dim
        self.votes = np.zeros(block_dim, bool)

    def run(self, block_point, *args):
        from numba.cuda.simulator.kernelapi import Dim3

        index, order = Dim3(*block_point), random.Random(sum(block_point))
        lanes = [_Lane(self.function, self, index, Dim3(*point)) for point in np.ndindex(*self.block_dim)]
        order.shuffle(lanes)
        for lane in lanes:
            lane.switch(*args)
        while lanes := [lane for lane in lanes if not lane.dead]:
            order.shuffle(lanes)
            for lane in lanes:
                lane.switch()


def _wait() -> None:
    getcurrent().parent.switch()


def _vote(vote: Any) -> np.ndarray:
    """The votes of all threads of the block."""
    lane = getcurrent()
    where = lane.threadIdx.x, lane.threadIdx.y, lane.threadIdx.z
    lane.block.votes[where] = bool(vote)
    _wait()
    votes = lane.block.votes.copy()
    _wait()
    return votes


def _shared_array(self, shape, dtype):
    """One array for all threads of a block: that of the place in the kernel that asks for it."""
    from numba.core import types
    from numba.np.numpy_support import as_dtype

    caller = sys._getframe(1)
    place = caller.f_code, caller.f_lasti
    if place not in self._allocations:
        self._allocations[place] = np.empty(shape, as_dtype(dtype) if isinstance(dtype, types.Type) else dtype)
    return self._allocations[place]


def install() -> None:
    """Let all kernels that are simulated from now on run so."""
    from numba.cuda.simulator import kernel, kernelapi

    kernel.BlockManager = _Block
    kernelapi.FakeCUDAShared.array = _shared_array
    module = kernelapi.FakeCUDAModule
    module.threadIdx = property(lambda self: getcurrent().threadIdx)
    module.blockIdx = property(lambda self: getcurrent().blockIdx)
    module.syncthreads = lambda self: _wait()
    module.syncthreads_count = lambda self, vote: int(_vote(vote).sum())
    module.syncthreads_and = lambda self, vote: int(_vote(vote).all())
    module.syncthreads_or = lambda self, vote: int(_vote(vote).any())


def passed_in(folder: Path) -> int:
    """Run the tests of a folder in a process of their own, in which the simulator was chosen when Python began.

    Returns
    -------
    int
        How many passed, of which there are no others.
    """
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "1"}
    environment.pop("PYTEST_ADDOPTS", None)
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed, "nothing was run"
    assert "skipped" not in done.stdout
    return int(passed[1])
