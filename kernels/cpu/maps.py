"""Elementwise kernels from a formula: the loop over a flat array, in chunks, with its tail.

Each factory returns a body for :func:`kernels.cpu.jobs.run_chunks`. In-place use is allowed: each vector is read
before it is written.
"""

from __future__ import annotations

import numpy as np

from kernels.cpu.jit import inner
from kernels.cpu.lanes import compiled
from kernels.cpu.wide import BYTES, LANES, float32x16, load, read, splat, store, write


def flatten(*arrays: np.ndarray) -> list[np.ndarray]:
    """Flat views of arrays of equal size.

    Raises
    ------
    ValueError
        If the sizes differ or an array is not C-contiguous (a flat view of it would be a copy).
    """
    size = arrays[0].size
    for array in arrays:
        if array.size != size or not array.flags.c_contiguous:
            shapes = ", ".join(str(each.shape) for each in arrays)
            raise ValueError(f"an elementwise kernel needs C-contiguous arrays of one size, got {shapes}")
    return [array.reshape(-1) for array in arrays]


def map_one(formula):
    """Body of ``y = formula(x, p)``; p is a scalar parameter in all lanes."""
    function = compiled(formula, float32x16)

    @inner
    def body(x, y, parameter, start, stop):
        p = splat(parameter)
        whole = stop - stop % LANES
        for i in range(4 * start, 4 * whole, BYTES):
            store(y + i, function(load(x + i), p))
        if whole < stop:
            tail = read(x + 4 * whole, stop - whole)
            write(y + 4 * whole, function(tail, p), stop - whole)

    return body


def map_two(formula):
    """Body of ``y = formula(a, b, p)``; p is a scalar parameter in all lanes."""
    function = compiled(formula, float32x16)

    @inner
    def body(a, b, y, parameter, start, stop):
        p = splat(parameter)
        whole = stop - stop % LANES
        for i in range(4 * start, 4 * whole, BYTES):
            store(y + i, function(load(a + i), load(b + i), p))
        if whole < stop:
            first, second = read(a + 4 * whole, stop - whole), read(b + 4 * whole, stop - whole)
            write(y + 4 * whole, function(first, second, p), stop - whole)

    return body
