"""Matrix products of a few rows: the weights are streamed once, as they lie, and never packed.

With so few rows a product is bound by the reading of the weights, and packing would read and write them once more. A
job does some columns, for all rows; its sums lie in the result, a piece that stays in the first-level cache.
"""

from __future__ import annotations

import functools

import numpy as np

from kernels.cpu import scratch
from kernels.cpu.jit import inner
from kernels.cpu.launch import body, entry, launch
from kernels.cpu.microkernels import ACTIVATIONS, prefetch
from kernels.cpu.packing import CACHE_LINE, activate_floats, clear_floats, copy_floats
from kernels.cpu.simd import load_scalar, store_scalar
from kernels.cpu.wide import BYTES, LANES, fma, load, splat, store

#: Most rows for which this is quicker than register tiles on packed weights.
MOST_ROWS = 4
#: Rows of the weights that are added to the sums at a time, and how many rows ahead they are asked for.
_STEP, _AHEAD = 8, 16
#: With fewer multiply-adds than this, threads cost more than they bring.
SERIAL_WORK = 150_000
#: Most jobs, and fewest columns of one: shorter pieces of the weights' rows are slow to read.
MOST_JOBS, FEWEST_COLUMNS = 8, 128
# The plan.
ROWS, INNER, COLUMNS, JOB_COLUMNS, ACTIVATION = range(5)


@functools.lru_cache(maxsize=512)
def row_plan(rows: int, inner_size: int, columns: int, activation: str) -> tuple[np.ndarray, int, bool]:
    """The plan of a product, its number of jobs, and whether it is too small for threads."""
    jobs = max(1, min(MOST_JOBS, columns // FEWEST_COLUMNS))
    width = -(-columns // jobs // LANES) * LANES
    plan = np.array([rows, inner_size, columns, width, ACTIVATIONS[activation]], np.int32)
    return plan, -(-columns // width), rows * inner_size * columns < SERIAL_WORK


@inner
def _ask(w, stride, width):
    """Ask for pieces of rows of the weights."""
    for i in range(_STEP):
        for c in range(0, width, CACHE_LINE):
            prefetch(w + 4 * (i * stride + c))


@inner
def _scalar(x, index):
    """One float in all lanes."""
    return splat(load_scalar(x + 4 * index))


@inner
def _add_rows(x, w, stride, y, width):
    """``y += sum over eight i of x[i] w[i]``, from the first on, for `width` columns."""
    line = 4 * stride
    w4 = w + 4 * line
    a, b, c, d = _scalar(x, 0), _scalar(x, 1), _scalar(x, 2), _scalar(x, 3)
    e, f, g, h = _scalar(x, 4), _scalar(x, 5), _scalar(x, 6), _scalar(x, 7)
    whole = 4 * (width - width % LANES)
    for at in range(0, whole, BYTES):
        p, q = w + at, w4 + at
        total = fma(a, load(p), load(y + at))
        total = fma(b, load(p + line), total)
        total = fma(c, load(p + 2 * line), total)
        total = fma(d, load(p + 3 * line), total)
        total = fma(e, load(q), total)
        total = fma(f, load(q + line), total)
        total = fma(g, load(q + 2 * line), total)
        store(y + at, fma(h, load(q + 3 * line), total))
    _add_rows_singly(x, w + whole, stride, y + whole, _STEP, width % LANES)


@inner
def _add_rows_singly(x, w, stride, y, count, width):
    """The same for any number of rows, column by column."""
    for c in range(0, 4 * width, 4):
        total = load_scalar(y + c)
        for i in range(count):
            total += load_scalar(x + 4 * i) * load_scalar(w + 4 * i * stride + c)
        store_scalar(y + c, total)


@body
def few_row_products(job, x, w, bias, y, unused, plan, scratch_row):
    """Some columns of ``y = activation(x w + bias)``."""
    rows, size, columns = entry(plan, ROWS), entry(plan, INNER), entry(plan, COLUMNS)
    first = job * entry(plan, JOB_COLUMNS)
    width = min(entry(plan, JOB_COLUMNS), columns - first)
    w, y, line = w + 4 * first, y + 4 * first, 4 * columns
    for m in range(rows):
        if bias:
            copy_floats(y + m * line, bias + 4 * first, width)
        else:
            clear_floats(y + m * line, width)
    whole = size - size % _STEP
    for k in range(0, whole, _STEP):
        if k + _AHEAD + _STEP <= size:
            _ask(w + (k + _AHEAD) * line, columns, width)
        for m in range(rows):
            _add_rows(x + 4 * (m * size + k), w + k * line, columns, y + m * line, width)
    for m in range(rows):
        place = x + 4 * (m * size + whole)
        _add_rows_singly(place, w + whole * line, columns, y + m * line, size - whole, width)
        if entry(plan, ACTIVATION):
            activate_floats(y + m * line, width, entry(plan, ACTIVATION))


def run(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, y: np.ndarray, activation: str = "none") -> None:
    """``y = activation(x @ w + b)`` for at most :data:`MOST_ROWS` rows of `x`."""
    if y.size == 0:
        return
    plan, jobs, serial = row_plan(*x.shape, w.shape[1], activation)
    launch(few_row_products, 0, jobs, serial, (x, w, b, y, None), plan, scratch.thread_rows("tile", 1))
