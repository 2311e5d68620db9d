"""Products over few rows, with matrices that are used where they lie: nothing of the size of the weights is packed.

Packing weights pays where many rows share them. A linear layer on a small batch has few: forward, the weights are read
in strips of a tile's columns, a block of their rows at a time, which stays in the second-level cache for all rows of
the batch. For the gradient of the weights only the gradients of the batch are packed, and sums go straight to their
place.
"""

from __future__ import annotations

import functools

import numpy as np
from numba import types
from numba.extending import intrinsic

from kernels.cpu import scratch
from kernels.cpu.conv_plan import Geometry, Tables
from kernels.cpu.launch import body, entry, launch
from kernels.cpu.microkernels import (
    ACTIVATIONS,
    TILE_LANES,
    WIDE,
    WIDE_ROWS,
    Sums,
    begin,
    outer_wide_run,
    outlined,
    unrolled,
)
from kernels.cpu.packing import add_row_sums, clear_floats, copy_rows
from kernels.cpu.simd import INT64, float_pointer

#: Rows of a tile of the forward pass: a divisor of most batches.
ROWS = 8 if TILE_LANES == 16 else 4
#: Most rows of a product, forward and of a gradient's sums.
MOST_ROWS, MOST_SUMMED = 128, 255
#: Most columns of weights that are read in strips: strips of longer rows compete for places in the caches.
MOST_COLUMNS = 512
#: Rows of the weights that are used for all rows of the batch before the next.
BLOCK = 256
#: With fewer multiply-adds than this, threads cost more than they bring.
SERIAL_WORK = 300_000
#: Jobs of a gradient, where there is work enough: parts of the weights' rows, of so many tiles at least.
ENOUGH_JOBS, PART_TILES = 8, 8

# Header of both plans.
(PIXELS, INNER, OUTPUTS, ACTIVATION, PANELS, TILES, PARTS, ENTRIES, PAIRS, OUTS, HEADER) = range(11)


def applies(rows: int, inner_size: int, columns: int) -> bool:
    """Whether a product ``(rows, inner_size) @ (inner_size, columns)`` can be done here, and should."""
    whole = rows % ROWS == 0 and columns % WIDE == 0
    return whole and 0 < rows <= MOST_ROWS and columns <= MOST_COLUMNS and inner_size >= WIDE


def sums_apply(g: Geometry) -> bool:
    """Whether the gradient of the weights of `g` can be summed here, and should."""
    return g.is_product and g.images <= MOST_SUMMED and g.output[2] % WIDE == 0 and g.input[2] >= WIDE_ROWS


# --- forward -------------------------------------------------------------------------------------------------


def _build_rows(b, args):
    x, x_stride, w, w_stride, count, start, y, y_stride, accumulate, activation = args
    x, w, y = (float_pointer(b, place) for place in (x, w, y))
    sums = Sums(b, ROWS, 2)
    sources, results = (
        [b.gep(base, [b.mul(stride, INT64(r))]) for r in range(ROWS)] for base, stride in ((x, x_stride), (y, y_stride))
    )
    begin(b, sums, accumulate, lambda: sums.fill(float_pointer(b, start)), lambda: sums.load(results))

    def step(k):
        sums.multiply_add(lambda r: b.gep(sources[r], [k]), b.gep(w, [b.mul(k, w_stride)]))

    unrolled(b, count, 4, step)
    sums.activate(activation)
    sums.store(results)


@intrinsic
def _rows(typingctx, x, x_stride, w, w_stride, count, start, y, y_stride, accumulate, activation):
    """``y[r] = activation(start + sum_k x[r, k] w[k])`` for ROWS rows r and WIDE columns.

    Addresses of the first elements, and floats between rows; `accumulate` as in the other register tiles.
    """
    return types.void(*[types.intp] * 10), outlined("small_product_rows", _build_rows)


@body
def small_product(job, x, w, bias, y, unused, plan, scratch_row):
    """One strip of the columns of ``y = activation(x w + bias)``."""
    rows, size, outputs = entry(plan, PIXELS), entry(plan, INNER), entry(plan, OUTPUTS)
    first, start = 4 * job * WIDE, scratch_row
    if bias:
        start = bias + first
    else:
        clear_floats(scratch_row, WIDE)
    for low in range(0, size, BLOCK):
        count = min(BLOCK, size - low)
        activation = entry(plan, ACTIVATION) if low + count == size else 0
        strip = w + 4 * low * outputs + first
        for r in range(0, rows, ROWS):
            source, target = x + 4 * (r * size + low), y + 4 * r * outputs + first
            _rows(source, size, strip, outputs, count, start, target, outputs, low, activation)


@functools.lru_cache(maxsize=512)
def _forward_plan(rows: int, inner_size: int, columns: int, activation: str) -> tuple[np.ndarray, int, bool]:
    """The plan of a product, its number of jobs, and whether it is too small for threads."""
    h = np.zeros(HEADER, np.int32)
    h[PIXELS], h[INNER], h[OUTPUTS], h[ACTIVATION] = rows, inner_size, columns, ACTIVATIONS[activation]
    return h, columns // WIDE, rows * inner_size * columns < SERIAL_WORK


def forward(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, y: np.ndarray, activation: str) -> None:
    """``y = activation(x @ w + b)`` where :func:`applies` says so."""
    plan, jobs, serial = _forward_plan(*x.shape, w.shape[1], activation)
    launch(small_product, 0, jobs, serial, (x, w, b, y, None), plan, scratch.thread_rows("tile", WIDE))


# --- gradient of the weights ---------------------------------------------------------------------------------


@body
def small_gradient(job, x, dy, dw, db, unused, plan, scratch_row):
    """A panel of the outputs for some of the weights' rows, and the bias with the first of them."""
    pixels, size, outputs = entry(plan, PIXELS), entry(plan, INNER), entry(plan, OUTPUTS)
    panels, tiles, parts = entry(plan, PANELS), entry(plan, TILES), entry(plan, PARTS)
    first, part = 4 * (job % panels) * WIDE, job // panels
    copy_rows(scratch_row, WIDE, dy + first, outputs, pixels, WIDE)
    if db and part == 0:
        clear_floats(db + first, WIDE)
        add_row_sums(db + first, scratch_row, pixels, WIDE, WIDE)
    entries, pairs, outs = plan + 4 * entry(plan, ENTRIES), plan + 4 * entry(plan, PAIRS), plan + 4 * entry(plan, OUTS)
    for tile in range(part * tiles // parts, (part + 1) * tiles // parts):
        low = min(tile * WIDE_ROWS, size - WIDE_ROWS)  # the last tile does rows of the one before once more
        outer_wide_run(x + 4 * low, entries, pairs, pixels, scratch_row, dw + 4 * low * outputs + first, outs, 0)


@functools.lru_cache(maxsize=512)
def _gradient_plan(g: Geometry) -> tuple[np.ndarray, int, bool]:
    """The plan of a gradient, its number of jobs, and whether it is too small for threads."""
    tables = Tables(HEADER)
    h, pixel = tables.header, np.arange(g.images)
    h[PIXELS], h[INNER], h[OUTPUTS], h[PANELS] = g.images, g.input[2], g.output[2], g.output[2] // WIDE
    h[TILES] = -(-g.input[2] // WIDE_ROWS)
    h[PARTS] = max(1, min(-(-ENOUGH_JOBS // int(h[PANELS])), int(h[TILES]) // PART_TILES))
    h[ENTRIES] = tables.add(np.arange(1))
    h[PAIRS] = tables.add(np.stack([pixel * g.input[2], pixel * WIDE], axis=1))
    h[OUTS] = tables.add(np.arange(WIDE_ROWS) * g.output[2])
    return tables.finish(), int(h[PANELS] * h[PARTS]), g.images * g.input[2] * g.output[2] < SERIAL_WORK


def backward_weights(g: Geometry, x: np.ndarray, dy: np.ndarray, dw: np.ndarray, db: np.ndarray | None) -> None:
    """``dw = x.T @ dy`` and ``db = sum of dy`` where :func:`sums_apply` says so."""
    plan, jobs, serial = _gradient_plan(g)
    rows = scratch.thread_rows("packed pixels", g.images * WIDE)
    launch(small_gradient, 0, jobs, serial, (x, dy, dw, db, None), plan, rows)
