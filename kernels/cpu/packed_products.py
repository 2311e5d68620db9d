"""Products ``x^T dy`` over many rows, such as the gradient of a linear layer's weights for many tokens.

Both sides are packed, some rows at a time, into the order in which the register tile reads them: a block of x that
stays in the second-level cache, and panels of dy, one after the other in the first. While some panels are multiplied,
the rows of the next are on their way from memory. (Packed by every job: so jobs are few.)
(Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008.)
"""

from __future__ import annotations

import functools
import itertools

import numpy as np
from numba import types
from numba.extending import intrinsic

from kernels.cpu import scratch
from kernels.cpu.conv_plan import Geometry
from kernels.cpu.jit import inner
from kernels.cpu.launch import body, entry, launch
from kernels.cpu.microkernels import (
    TILE_LANES,
    WIDE,
    WIDE_ROWS,
    Sums,
    ask_for,
    by_width,
    outlined,
    prefetch_far,
    unrolled,
)
from kernels.cpu.packing import ROW_BYTES, add_row_sums, clear_floats, copy_rows
from kernels.cpu.simd import INT64, LANES, float_pointer, load, load_scalar, store, store_scalar

#: Fewest rows, columns of x and columns of dy for which packing both sides pays. Of more rows than the last, tiles that
#: read pixels where they lie do as well (:mod:`kernels.cpu.pointwise_weights`).
FEWEST_ROWS, FEWEST_INNER, FEWEST_OUTPUTS, MOST_ROWS = 32, 48, 48, 4096
#: Most rows that are packed at a time; and most tiles of x: a block of both stays in the second-level cache.
STEP_ROWS, BLOCK_TILES = 256, 32
#: Panels of dy that are packed side by side, and rows of x that are packed for one tile after the other.
_SIDE_PANELS, _SIDE_ROWS = 4, 16
#: A job's work at least, and how many jobs are enough; its tiles and panels at least, since each job packs its own.
JOB_WORK, ENOUGH_JOBS, JOB_TILES, JOB_PANELS = 2_000_000, 6, 16, 8
#: What packing a column of x costs, in columns of dy: its rows are shorter than vectors.
TILE_COST = 2
SERIAL_WORK = 300_000
_ROW_TILE_BYTES = 4 * WIDE_ROWS
#: Floats that are written behind a packed row: vectors are not as long as a tile has rows.
_SPARE = -WIDE_ROWS % LANES

# The plan.
ROWS, INNER, OUTPUTS, TILES, PANELS, TILE_GROUPS, PANEL_GROUPS, STEPS = range(8)


def applies(g: Geometry) -> bool:
    """Whether the gradient of the weights of `g` should be summed here. Measured on 16 registers of 8 floats only."""
    enough = FEWEST_ROWS <= g.images <= MOST_ROWS and g.input[2] >= FEWEST_INNER and g.output[2] >= FEWEST_OUTPUTS
    return TILE_LANES == 8 and g.is_product and enough


def _build_tile(b, args):
    x, dy, count, y, stride, last, width, accumulate = args
    x, dy, y = (float_pointer(b, place) for place in (x, dy, y))
    sums = Sums(b, WIDE_ROWS, 2)
    rows = [b.select(b.icmp_signed("<", INT64(r), last), INT64(r), last) for r in range(WIDE_ROWS)]
    results = [b.gep(y, [b.mul(row, stride)]) for row in rows]
    ask_for(b, results)
    sums.clear()

    def step(k):
        left = b.gep(x, [b.mul(k, INT64(WIDE_ROWS))])
        sums.multiply_add(lambda r: b.gep(left, [INT64(r)]), b.gep(dy, [b.mul(k, INT64(WIDE))]))

    unrolled(b, count, 4, step)
    more = b.icmp_signed("!=", accumulate, INT64(0))

    def finish(add, store, *places):
        with b.if_then(more):
            add(*places)
        store(*places)

    by_width(
        b, sums, width,
        lambda: finish(sums.add, sums.store, results), lambda: finish(sums.add_part, sums.store_part, results, width),
    )  # fmt: skip


@intrinsic
def _tile(typingctx, x, dy, count, y, stride, last, width, accumulate):
    """``y[r, : width] (+)= sum_k x[k, r] dy[k]`` for WIDE_ROWS columns of x and WIDE of dy, both packed.

    Addresses; `stride` floats from row to row of `y`. Rows after number `last` must hold what that one holds.
    """
    return types.void(*[types.intp] * 8), outlined("packed_product_tile", _build_tile)


@inner
def _pack_tile(target, source, stride, count, columns):
    """Pack WIDE_ROWS columns of `count` rows; of fewer `columns`, the last one stands in for those beyond."""
    if columns >= WIDE_ROWS + _SPARE:
        for i in range(count):  # what is too much the next row overwrites
            store(target + i * _ROW_TILE_BYTES, load(source + 4 * i * stride))
        return
    for i in range(count):
        for c in range(WIDE_ROWS):
            value = load_scalar(source + 4 * (i * stride + min(c, columns - 1)))
            store_scalar(target + i * _ROW_TILE_BYTES + 4 * c, value)


@inner
def _tile_bytes(count):
    """Bytes of a packed tile of `count` rows."""
    return count * _ROW_TILE_BYTES + 4 * _SPARE


@inner
def _pack_block(target, x, size, count, first, last):
    """Pack `count` rows of x, of `size` floats, for the tiles from `first` to `last`."""
    for low in range(0, count, _SIDE_ROWS):
        some = min(_SIDE_ROWS, count - low)
        for tile in range(first, last):
            column = tile * WIDE_ROWS
            place = target + (tile - first) * _tile_bytes(count) + low * _ROW_TILE_BYTES
            _pack_tile(place, x + 4 * (low * size + column), size, some, size - column)


@inner
def _pack_panels(target, dy, outputs, count, first, last):
    """Pack `count` rows of dy for the panels from `first` to `last`."""
    for low in range(0, count, _SIDE_ROWS):
        some = min(_SIDE_ROWS, count - low)
        for panel in range(first, last):
            column = panel * WIDE
            place = target + ((panel - first) * count + low) * ROW_BYTES
            copy_rows(place, WIDE, dy + 4 * (low * outputs + column), outputs, some, min(WIDE, outputs - column))


@inner
def _bias(db, panels, outputs, count, first, last, more):
    """Add the sums of packed rows of dy to `db`, or begin it unless `more`."""
    for panel in range(first, last):
        place, width = db + panel * ROW_BYTES, min(WIDE, outputs - panel * WIDE)
        if not more:
            clear_floats(place, width)
        add_row_sums(place, panels + (panel - first) * count * ROW_BYTES, count, WIDE, width)


@inner
def _ask_ahead(dy, outputs, count, number, total):
    """Prefetch some of `count` pieces of rows of dy, a share of `total` that are asked for by and by."""
    for row in range(number * count // total, (number + 1) * count // total):
        place = dy + 4 * row * outputs
        for panel in range(_SIDE_PANELS):
            prefetch_far(place + panel * ROW_BYTES)


@inner
def _multiply(block, panels, count, dw, size, outputs, tiles, first, last, more, ahead):
    """Add the products of a packed block of x, of some tiles, and of some packed panels of dy."""
    across, total = tiles[1] - tiles[0], (tiles[1] - tiles[0]) * (last - first)
    for panel in range(first, last):
        width = min(WIDE, outputs - panel * WIDE)
        right = panels + (panel - first) * count * ROW_BYTES
        for tile in range(across):
            row = (tiles[0] + tile) * WIDE_ROWS
            _ask_ahead(ahead, outputs, count, (panel - first) * across + tile, total)
            y = dw + 4 * (row * outputs + panel * WIDE)
            last_row = min(WIDE_ROWS, size - row) - 1
            _tile(block + tile * _tile_bytes(count), right, count, y, outputs, last_row, width, more)


@body
def packed_product(job, x, dy, dw, db, unused, plan, scratch_row):
    """Some tiles by some panels of the result; the bias with the first tiles."""
    size, outputs, groups = entry(plan, INNER), entry(plan, OUTPUTS), entry(plan, PANEL_GROUPS)
    rows, steps, parts = entry(plan, ROWS), entry(plan, STEPS), entry(plan, TILE_GROUPS)
    part, group = job // groups, job % groups
    tiles = part * entry(plan, TILES) // parts, (part + 1) * entry(plan, TILES) // parts
    begin, end = group * entry(plan, PANELS) // groups, (group + 1) * entry(plan, PANELS) // groups
    block = scratch_row + _SIDE_PANELS * STEP_ROWS * ROW_BYTES
    for step in range(steps):
        low = step * rows // steps
        count = (step + 1) * rows // steps - low
        _pack_block(block, x + 4 * low * size, size, count, tiles[0], tiles[1])
        for first in range(begin, end, _SIDE_PANELS):
            last = min(first + _SIDE_PANELS, end)
            _pack_panels(scratch_row, dy + 4 * low * outputs, outputs, count, first, last)
            if db and part == 0:
                _bias(db, scratch_row, outputs, count, first, last, step)
            row, column = (low, last) if last < end else (low + count, begin)
            ahead = dy + 4 * (row * outputs + column * WIDE)
            _multiply(block, scratch_row, count, dw, size, outputs, tiles, first, last, step, ahead)


@functools.lru_cache(maxsize=512)
def _plan(g: Geometry) -> tuple[np.ndarray, int, bool]:
    """The plan, its number of jobs, and whether it is too small for threads."""
    rows, size, outputs = g.images, g.input[2], g.output[2]
    tiles, panels, work = -(-size // WIDE_ROWS), -(-outputs // WIDE), rows * size * outputs
    grid = _grid(tiles, panels, min(ENOUGH_JOBS, work // JOB_WORK))
    plan = np.array([rows, size, outputs, tiles, panels, *grid, -(-rows // STEP_ROWS)], np.int32)
    return plan, grid[0] * grid[1], work < SERIAL_WORK


def _grid(tiles: int, panels: int, jobs: int) -> tuple[int, int]:
    """In how many parts tiles and panels are, for so many jobs if they can be had: so that packing costs least."""
    fewest = -(-tiles // BLOCK_TILES)
    down, across = max(fewest, tiles // JOB_TILES), max(1, panels // JOB_PANELS)
    grids = itertools.product(range(fewest, down + 1), range(1, across + 1))

    def cost(grid: tuple[int, int]) -> tuple[int, int]:
        packed = TILE_COST * tiles * WIDE_ROWS * grid[1] + panels * WIDE * grid[0]
        return -min(jobs, grid[0] * grid[1]), packed

    return min(grids, key=cost)


def backward_weights(g: Geometry, x: np.ndarray, dy: np.ndarray, dw: np.ndarray, db: np.ndarray | None) -> None:
    """``dw = x.T @ dy`` and ``db = sum of dy`` where :func:`applies` says so."""
    plan, jobs, serial = _plan(g)
    floats = STEP_ROWS * (_SIDE_PANELS * WIDE + BLOCK_TILES * WIDE_ROWS) + BLOCK_TILES * _SPARE
    rows = scratch.thread_rows("packed product", floats)
    launch(packed_product, 0, jobs, serial, (x, dy, dw, db, None), plan, rows)
