"""Products over few rows, with matrices that are used where they lie: no packed copy of all weights is made.

Packing weights pays where many rows share them. A linear layer on a small batch has few: forward, the weights are read
in strips of a tile's columns, a block of their rows at a time. The first tile multiplies while it packs: what it reads
it also writes, side by side, for the other rows of the batch. For the gradient of the weights only the gradients of the
batch are packed, and sums go straight to their place.
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
    NARROW,
    TILE_LANES,
    TILE_VECTOR,
    WIDE,
    WIDE_ROWS,
    Sums,
    begin,
    by_width,
    outer_wide_run,
    outlined,
    prefetch_pointer,
    unrolled,
)
from kernels.cpu.packing import ROW_BYTES, add_row_sums, clear_floats, copy_floats, copy_rows
from kernels.cpu.simd import INT64, float_pointer, load_at, store_at

#: Rows of a tile of the forward pass.
ROWS = 8 if TILE_LANES == 16 else WIDE_ROWS
#: Most rows of a product, forward and of a gradient's sums.
MOST_ROWS, MOST_SUMMED = 128, 255
#: Most columns of weights that are read in strips: of longer rows every piece is in a page of its own.
MOST_COLUMNS = 512 if TILE_LANES == 16 else 1024
#: Rows of the weights that are used for all rows of the batch before the next.
BLOCK = 256 if TILE_LANES == 16 else 1024
#: So many rows before they are used, they are asked for.
_AHEAD = 16
#: With fewer multiply-adds than this, threads cost more than they bring.
SERIAL_WORK = 300_000
#: Jobs of a gradient, where there is work enough: parts of the weights' rows, of so many tiles at least.
ENOUGH_JOBS, PART_TILES = 8, 8

# Header of both plans.
(PIXELS, INNER, OUTPUTS, ACTIVATION, PANELS, TILES, PARTS, ENTRIES, PAIRS, OUTS, HEADER) = range(11)


def applies(rows: int, inner_size: int, columns: int) -> bool:
    """Whether a product ``(rows, inner_size) @ (inner_size, columns)`` can be done here, and should."""
    whole = TILE_LANES == 8 or (rows % ROWS == 0 and columns % WIDE == 0)
    return whole and 0 < rows <= MOST_ROWS and NARROW < columns <= MOST_COLUMNS and inner_size >= WIDE


def sums_apply(g: Geometry) -> bool:
    """Whether the gradient of the weights of `g` can be summed here, and should."""
    return g.is_product and g.images <= MOST_SUMMED and g.output[2] % WIDE == 0 and g.input[2] >= WIDE_ROWS


# --- forward -------------------------------------------------------------------------------------------------


def _make_rows(name, packs):
    def build(b, args):
        x, x_stride, w, w_stride, count, start, y, y_stride, last, width, accumulate, activation, *rest = args
        x, w, y, *packed = (float_pointer(b, place) for place in (x, w, y, *rest))
        sums = Sums(b, ROWS, 2)
        rows = [b.select(b.icmp_signed("<", INT64(r), last), INT64(r), last) for r in range(ROWS)]
        sources, results = (
            [b.gep(base, [b.mul(stride, row)]) for row in rows] for base, stride in ((x, x_stride), (y, y_stride))
        )
        load, finish = (
            functools.partial(by_width, b, sums, width, lambda f=f: f(results), lambda g=g: g(results, width))
            for f, g in ((sums.load, sums.load_part), (sums.store, sums.store_part))
        )
        begin(b, sums, accumulate, lambda: sums.fill(float_pointer(b, start)), load)

        def step(k):
            right = b.gep(w, [b.mul(k, w_stride)])
            if packs:
                prefetch_pointer(b, b.gep(w, [b.mul(b.add(k, INT64(_AHEAD)), w_stride)]), level=3)
                for at in (INT64(0), INT64(TILE_LANES)):
                    value = load_at(b, right, at, TILE_VECTOR)
                    store_at(b, value, b.gep(packed[0], [b.mul(k, INT64(WIDE))]), at)
            sums.multiply_add(lambda r: b.gep(sources[r], [k]), right)

        unrolled(b, count, 4, step)
        sums.activate(activation)
        finish()

    return outlined(name, build)


@intrinsic
def _rows(typingctx, x, x_stride, w, w_stride, count, start, y, y_stride, last, width, accumulate, activation):
    """``y[r, : width] = activation(start + sum_k x[r, k] w[k])`` for ROWS rows r and WIDE columns.

    Addresses of the first elements, and floats between rows; rows after number `last` are that one once more.
    `accumulate` as in the other register tiles.
    """
    return types.void(*[types.intp] * 12), _make_rows("small_product_rows", packs=False)


@intrinsic
def _rows_that_pack(
    typingctx, x, x_stride, w, w_stride, count, start, y, y_stride, last, width, accumulate, activation, packed
):
    """The same, while the rows of w are copied to `packed`, side by side."""
    return types.void(*[types.intp] * 13), _make_rows("small_product_rows_that_pack", packs=True)


@body
def small_product(job, x, w, bias, y, unused, plan, scratch_row):
    """One strip of the columns of ``y = activation(x w + bias)``, a block of the weights' rows at a time."""
    rows, size, outputs = entry(plan, PIXELS), entry(plan, INNER), entry(plan, OUTPUTS)
    width, start, packed = min(WIDE, outputs - job * WIDE), scratch_row, scratch_row + ROW_BYTES
    first, strip = 4 * job * WIDE, w + 4 * job * WIDE
    clear_floats(start, WIDE)
    if bias:
        copy_floats(start, bias + first, width)
    for low in range(0, size, BLOCK):
        count = min(BLOCK, size - low)
        activation = entry(plan, ACTIVATION) if low + count == size else 0
        source, target, left = x + 4 * low, y + first, strip + 4 * low * outputs
        done = 0
        if width < WIDE:
            copy_rows(packed, WIDE, left, outputs, count, width)
        else:
            last = min(ROWS, rows) - 1
            _rows_that_pack(
                source, size, left, outputs, count, start, target, outputs, last, width, low, activation, packed
            )
            done = ROWS
        for r in range(done, rows, ROWS):
            last = min(ROWS, rows - r) - 1
            place, result = source + 4 * r * size, target + 4 * r * outputs
            _rows(place, size, packed, WIDE, count, start, result, outputs, last, width, low, activation)


@functools.lru_cache(maxsize=512)
def _forward_plan(rows: int, inner_size: int, columns: int, activation: str) -> tuple[np.ndarray, int, bool]:
    """The plan of a product, its number of jobs, and whether it is too small for threads."""
    h = np.zeros(HEADER, np.int32)
    h[PIXELS], h[INNER], h[OUTPUTS], h[ACTIVATION] = rows, inner_size, columns, ACTIVATIONS[activation]
    return h, -(-columns // WIDE), rows * inner_size * columns < SERIAL_WORK


def forward(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, y: np.ndarray, activation: str = "none") -> None:
    """``y = activation(x @ w + b)`` where :func:`applies` says so."""
    plan, jobs, serial = _forward_plan(*x.shape, w.shape[1], activation)
    rows = scratch.thread_rows("packed strip", (BLOCK + 1) * WIDE)
    launch(small_product, 0, jobs, serial, (x, w, b, y, None), plan, rows)


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
