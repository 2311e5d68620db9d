"""Weight gradients of pointwise convolutions, and of products over many rows: ``dw = x^T dy``.

One side gives the rows of the register tiles, the other their vectors. A job sums a block of the weights over a split
of the pixels, in steps whose pixels stay in the caches, while the tiles ask for those of the next step. Tiles read
pixels where they lie. Only where these share few places of the caches, or vectors would reach over two lines, is a
step packed tile by tile or panel by panel; what is left of a row after whole tiles or panels always is.
"""

from __future__ import annotations

import functools

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from kernels.cpu import scratch
from kernels.cpu.conv_plan import Geometry
from kernels.cpu.jit import inner
from kernels.cpu.launch import body, entry, launch
from kernels.cpu.microkernels import WIDE, WIDE_ROWS, Sums, outlined, prefetch_pointer, transpose_block
from kernels.cpu.normalised import Norm, normalise_pixels
from kernels.cpu.packing import CACHE_LINE, ROW_BYTES, add_floats, add_row_sums, clear_floats, copy_floats
from kernels.cpu.simd import INT64, LANES, float_pointer, load, load_scalar, store, store_scalar
from kernels.cpu.tails import read

#: Pixels of a step: a panel of so many and a tile stay in the first-level cache.
STEP_PIXELS = 64
#: Most tiles and panels of a block: a step of both, and their sums, stay in the second-level cache.
BLOCK_TILES, BLOCK_PANELS = 20, 12
#: Jobs where there is work enough, and pixels that make up for the clearing and adding of one more copy of the sums.
ENOUGH_JOBS, SPLIT_PIXELS = 16, 512
#: With fewer pixels than this products are summed elsewhere; with less work by one thread.
FEWEST_PIXELS, SERIAL_WORK = 256, 300_000
#: Fewer floats than this in all copies of the sums are added by one thread.
SERIAL_SUMS = 64 * 1024
#: Fewer channels of the other side than these do not pay for packing tiles, and panels.
PACKED_TILES, PACKED_PANELS = 96, 48
#: What is saved by gradients as rows and channels as vectors, instead of the reverse, to make up for a transposition.
GAIN = 0.95

# Header of the plan.
(
    PIXELS,
    SWAPPED,
    ROWS,
    COLUMNS,
    TILES,
    PANELS,
    ROW_BLOCKS,
    PANEL_BLOCKS,
    SPLITS,
    BLOCK_ROWS,
    JOB_FLOATS,
    ROWS_IN_PLACE,
    COLUMNS_IN_PLACE,
    NORM,
    HEADER,
) = range(15)

#: Floats from one packed tile, and panel, to the next: an odd number of cache lines.
_TILE_FLOATS, _PANEL_FLOATS = STEP_PIXELS * WIDE_ROWS + CACHE_LINE, STEP_PIXELS * WIDE + CACHE_LINE


def applies(g: Geometry) -> bool:
    """Whether the weight gradient of `g` can be summed here, and should."""
    return g.is_product and g.images >= FEWEST_PIXELS


# --- kernels -------------------------------------------------------------------------------------------------


def _build_tile(b, args):
    x, x_stride, dy, dy_stride, count, sums_at, ahead, ahead_stride, other, other_stride = args
    x, dy, sums_at, ahead, other = (float_pointer(b, place) for place in (x, dy, sums_at, ahead, other))
    sums, rows = Sums(b, WIDE_ROWS, 2), [b.gep(sums_at, [INT64(r * WIDE)]) for r in range(WIDE_ROWS)]
    sums.load(rows)

    def step(p):
        pixel = b.gep(x, [b.mul(p, x_stride)])
        sums.multiply_add(lambda r: b.gep(pixel, [INT64(r)]), b.gep(dy, [b.mul(p, dy_stride)]))

    whole = b.and_(count, INT64(-2))
    with cgutils.for_range_slice(b, INT64(0), whole, INT64(2)) as (p, _):
        pair = b.lshr(p, INT64(1))
        prefetch_pointer(b, b.gep(ahead, [b.mul(pair, ahead_stride)]))
        step(p)
        prefetch_pointer(b, b.gep(other, [b.mul(pair, other_stride)]))
        step(b.add(p, INT64(1)))
    with cgutils.for_range_slice(b, whole, count, INT64(1)) as (p, _):
        step(p)
    sums.store(rows)


@intrinsic
def _outer_tile(typingctx, x, x_stride, dy, dy_stride, count, sums, ahead, ahead_stride, other, other_stride):
    """``sums[r] += sum_p x[p * x_stride + r] * dy[p * dy_stride :]`` for WIDE_ROWS rows r of WIDE floats.

    Parameters
    ----------
    x, dy, sums : int
        Addresses.
    x_stride, dy_stride : int
        Floats from pixel to pixel.
    count : int
        Number of pixels.
    ahead, ahead_stride : int
        What will be read later: every two pixels the line at this address is asked for, and so many floats further the
        next one.
    other, other_stride : int
        The same once more. More at a time would keep the processor waiting.
    """
    return types.void(*[types.intp] * 10), outlined("pointwise_outer", _build_tile)


@inner
def _pack_tiles(target, source, stride, count, width):
    """Pack `width` channels of `count` pixels by tiles: WIDE_ROWS floats a pixel, and anything after the last pixel."""
    whole = max(0, (width - WIDE_ROWS - LANES) // WIDE_ROWS + 1) * WIDE_ROWS
    for p in range(count):
        place, origin = target + 4 * p * WIDE_ROWS, source + 4 * p * stride
        for c in range(0, whole, WIDE_ROWS):
            for lane in range(0, WIDE_ROWS, LANES):
                store(place + 4 * lane, load(origin + 4 * (c + lane)))
            place += 4 * _TILE_FLOATS
        for c in range(whole, width, WIDE_ROWS):
            for lane in range(0, WIDE_ROWS, LANES):
                store(place + 4 * lane, read(origin + 4 * (c + lane), max(0, width - c - lane)))
            place += 4 * _TILE_FLOATS


@inner
def _pack_panels(target, source, stride, count, width):
    """Pack `width` channels of `count` pixels by panels of WIDE floats a pixel."""
    whole = width // WIDE * WIDE
    for p in range(count):
        place, origin = target + p * ROW_BYTES, source + 4 * p * stride
        for c in range(0, whole, WIDE):
            for lane in range(0, WIDE, LANES):
                store(place + 4 * lane, load(origin + 4 * (c + lane)))
            place += 4 * _PANEL_FLOATS
        if whole < width:
            for lane in range(0, WIDE, LANES):
                store(place + 4 * lane, read(origin + 4 * (whole + lane), max(0, width - whole - lane)))


@inner
def _ahead(call, x, height, dy, width, half, rest, plan):
    """Address and stride of what call number `call` of a tile asks for: a half of the pixels' lines of one column."""
    line, below = call >> 1, (call & 1) * half
    lines = (width + CACHE_LINE - 1) // CACHE_LINE
    if line < lines:
        stride = entry(plan, COLUMNS)
        return dy + 4 * (line * CACHE_LINE + below * stride), stride
    line -= lines
    if line * CACHE_LINE < height:
        stride = entry(plan, ROWS)
        return x + 4 * (line * CACHE_LINE + below * stride), stride
    return rest, 0


@inner
def _add_step(x, tiles, height, dy, panels, width, count, next_x, next_dy, more, sums, bias, plan):
    """Add the outer products of a step of pixels to the sums of a block, and its gradients to the bias rows.

    What is not packed is read where it lies. Meanwhile `more` pixels, those of the next step, are asked for.
    """
    x_stride, dy_stride, rows = entry(plan, ROWS), entry(plan, COLUMNS), entry(plan, BLOCK_ROWS)
    whole_tiles, whole_panels = _in_place(height, width, plan)
    call, calls = 0, ((height + WIDE_ROWS - 1) // WIDE_ROWS) * ((width + WIDE - 1) // WIDE)
    for c in range(0, width, WIDE):
        z, z_stride = dy + 4 * c, dy_stride
        if c >= whole_panels:
            z, z_stride = panels + 4 * (c - whole_panels) // WIDE * _PANEL_FLOATS, WIDE
        for r in range(0, height, WIDE_ROWS):
            v, v_stride = x + 4 * r, x_stride
            if r >= whole_tiles:
                v, v_stride = tiles + 4 * (r - whole_tiles) // WIDE_ROWS * _TILE_FLOATS, WIDE_ROWS
            ahead, stride, other, other_stride = v, 0, v, 0
            if more:
                ahead, stride = _ahead(call, next_x, height, next_dy, width, more >> 1, v, plan)
                other, other_stride = _ahead(calls + call, next_x, height, next_dy, width, more >> 1, v, plan)
            _outer_tile(v, v_stride, z, z_stride, count, sums + r * ROW_BYTES, ahead, stride, other, other_stride)
            call += 1
        if bias:
            add_row_sums(sums + (rows - 1) * ROW_BYTES, z, count, z_stride, WIDE)
        sums += rows * ROW_BYTES


@inner
def _in_place(height, width, plan):
    """How many rows and columns of a block are read where they lie: whole tiles and panels, or none."""
    tiles = height // WIDE_ROWS * WIDE_ROWS if entry(plan, ROWS_IN_PLACE) else 0
    panels = width // WIDE * WIDE if entry(plan, COLUMNS_IN_PLACE) else 0
    return tiles, panels


@inner
def _collect(sums, width, columns, dw, db, plan):
    """Bring the sums of one panel to their place among the weights; `dw` and `db` are the panel's first."""
    rows = entry(plan, BLOCK_ROWS)
    if entry(plan, SWAPPED):
        _transpose(sums, width, columns, dw, entry(plan, ROWS))
        return
    for r in range(width):
        copy_floats(dw + 4 * r * entry(plan, COLUMNS), sums + r * ROW_BYTES, columns)
    if db:
        copy_floats(db, sums + (rows - 1) * ROW_BYTES, columns)


@inner
def _transpose(source, rows, columns, target, stride):
    """``target[c * stride + r] = source[r * WIDE + c]``."""
    whole_rows, whole_columns = rows & -8, columns & -8
    for r in range(0, whole_rows, 8):
        for c in range(0, whole_columns, 8):
            transpose_block(source + r * ROW_BYTES + 4 * c, WIDE, target + 4 * (c * stride + r), stride)
    for r in range(rows):
        for c in range(whole_columns if r < whole_rows else 0, columns):
            store_scalar(target + 4 * (c * stride + r), load_scalar(source + r * ROW_BYTES + 4 * c))


@inner
def _bounds(block, plan):
    """First row, past the last row, first column and past the last column of a block."""
    across, down = entry(plan, PANEL_BLOCKS), entry(plan, ROW_BLOCKS)
    i, j = block // across, block % across
    tiles, panels = entry(plan, TILES), entry(plan, PANELS)
    top, bottom = i * tiles // down * WIDE_ROWS, min(entry(plan, ROWS), (i + 1) * tiles // down * WIDE_ROWS)
    left, right = j * panels // across * WIDE, min(entry(plan, COLUMNS), (j + 1) * panels // across * WIDE)
    return top, bottom, left, right


@inner
def _sum_block(block, split, x, dy, bias, sums, plan, packed, norm):
    """Sum one block over one split of the pixels; `norm` normalises those of the input, unless it is 0."""
    top, bottom, left, right = _bounds(block, plan)
    rows, columns, splits = entry(plan, ROWS), entry(plan, COLUMNS), entry(plan, SPLITS)
    if entry(plan, SWAPPED):
        x, dy = dy, x
    width, height = right - left, bottom - top
    panels = packed + 4 * ((height + WIDE_ROWS - 1) // WIDE_ROWS) * _TILE_FLOATS
    ready = panels + 4 * ((width + WIDE - 1) // WIDE) * _PANEL_FLOATS
    whole_tiles, whole_panels = _in_place(height, width, plan)
    clear_floats(sums, entry(plan, JOB_FLOATS))
    with_bias = bias != 0 and top == 0
    begin, end = split * entry(plan, PIXELS) // splits, (split + 1) * entry(plan, PIXELS) // splits
    steps = (end - begin + STEP_PIXELS - 1) // STEP_PIXELS
    for step in range(steps):
        low, high = begin + (end - begin) * step // steps, begin + (end - begin) * (step + 1) // steps
        own_x, own_dy, count = x + 4 * (low * rows + top), dy + 4 * (low * columns + left), high - low
        next_x, next_dy = own_x + 4 * count * rows, own_dy + 4 * count * columns
        if norm and entry(plan, SWAPPED):
            normalise_pixels(own_dy, ready, count, columns, left, right, norm, columns)
            own_dy = ready
        elif norm:
            normalise_pixels(own_x, ready, count, rows, top, bottom, norm, rows)
            own_x = ready
        _pack_tiles(packed, own_x + 4 * whole_tiles, rows, count, height - whole_tiles)
        _pack_panels(panels, own_dy + 4 * whole_panels, columns, count, width - whole_panels)
        more = min(count, end - high)
        pixels = own_x, packed, height, own_dy, panels, width, count, next_x, next_dy, more
        _add_step(*pixels, sums, with_bias, plan)


@inner
def _collect_panel(block, panel, splits, sums, dw, db, plan):
    """Add the splits of one panel of a block, in order, and bring it to its place."""
    top, bottom, left, right = _bounds(block, plan)
    floats, first = entry(plan, BLOCK_ROWS) * WIDE, left + panel * WIDE
    if first >= right:
        return
    sums += 4 * panel * floats
    for split in range(1, splits):
        add_floats(sums, sums + 4 * split * entry(plan, JOB_FLOATS), floats)
    own = db + 4 * first if db and top == 0 else 0
    place = first * entry(plan, ROWS) + top if entry(plan, SWAPPED) else top * entry(plan, COLUMNS) + first
    _collect(sums, bottom - top, min(WIDE, right - first), dw + 4 * place, own, plan)


@body
def pointwise_gradient(job, x, dy, dw, db, private, plan, scratch_row):
    """The first jobs sum blocks over splits of the pixels; later ones add the splits, one panel of a block each."""
    splits, most = entry(plan, SPLITS), entry(plan, JOB_FLOATS) // (entry(plan, BLOCK_ROWS) * WIDE)
    jobs = entry(plan, ROW_BLOCKS) * entry(plan, PANEL_BLOCKS) * splits
    if job >= jobs:
        block, panel = (job - jobs) // most, (job - jobs) % most
        _collect_panel(block, panel, splits, private + 4 * block * splits * entry(plan, JOB_FLOATS), dw, db, plan)
        return
    packed = scratch_row + 4 * entry(plan, JOB_FLOATS)
    sums = scratch_row if splits == 1 else private + 4 * job * entry(plan, JOB_FLOATS)
    at = entry(plan, NORM)
    norm = private + 4 * (at - 1) if at else 0
    _sum_block(job // splits, job % splits, x, dy, db, sums, plan, packed, norm)
    if splits == 1:
        for panel in range(most):
            _collect_panel(job, panel, 1, sums, dw, db, plan)


# --- plan ----------------------------------------------------------------------------------------------------


def _cost(rows: int, columns: int) -> int:
    """Multiply-adds of a pixel, with those of the tiles' idle rows and lanes."""
    return -(-rows // WIDE_ROWS) * WIDE_ROWS * -(-columns // WIDE) * WIDE


def _shares_places(channels: int) -> bool:
    """Whether pixels lie a multiple of eight cache lines apart: then few places of the caches are theirs."""
    return channels % (8 * CACHE_LINE) == 0


@functools.lru_cache(maxsize=512)
def _plan(g: Geometry, bias: bool, normalised: bool = False) -> np.ndarray:
    """Plan of a gradient; with `bias` the output gradients must lie in panels."""
    h = np.zeros(HEADER, np.int32)
    rows, columns = g.input[2], g.output[2]
    h[SWAPPED] = not bias and _cost(columns, rows) < GAIN * _cost(rows, columns)
    if h[SWAPPED]:
        rows, columns = columns, rows
    h[PIXELS], h[ROWS], h[COLUMNS] = g.images, rows, columns
    h[TILES], h[PANELS] = -(-rows // WIDE_ROWS), -(-columns // WIDE)
    h[ROW_BLOCKS], h[PANEL_BLOCKS] = -(-h[TILES] // BLOCK_TILES), -(-h[PANELS] // BLOCK_PANELS)
    blocks = int(h[ROW_BLOCKS] * h[PANEL_BLOCKS])
    h[SPLITS] = max(1, min(-(-ENOUGH_JOBS // blocks), g.images // SPLIT_PIXELS))
    # one row more for the bias
    h[BLOCK_ROWS] = -(-h[TILES] // h[ROW_BLOCKS]) * WIDE_ROWS + 1
    h[JOB_FLOATS] = h[BLOCK_ROWS] * WIDE * -(-h[PANELS] // h[PANEL_BLOCKS])
    h[ROWS_IN_PLACE] = columns < PACKED_TILES or not _shares_places(rows)
    # vectors that do not begin with a cache line reach over two
    h[COLUMNS_IN_PLACE] = rows < PACKED_PANELS or not (_shares_places(columns) or columns % CACHE_LINE)
    # one more than where the table of coefficients begins
    h[NORM] = 1 + (blocks * h[SPLITS] * h[JOB_FLOATS] if h[SPLITS] > 1 else 0) if normalised else 0
    return h


def _scratch_floats(h: list[int]) -> int:
    """Floats of a thread: the sums of a block, its packed tiles and panels."""
    rows, panels = h[BLOCK_ROWS], h[JOB_FLOATS] // (h[BLOCK_ROWS] * WIDE)
    return h[JOB_FLOATS] + rows // WIDE_ROWS * _TILE_FLOATS + panels * _PANEL_FLOATS


def run(
    g: Geometry,
    x: np.ndarray,
    dy: np.ndarray,
    dw: np.ndarray,
    db: np.ndarray | None,
    norm: Norm | None = None,
) -> None:
    """``dw = x.T @ dy`` and ``db = sum of dy`` where :func:`applies` says so; `norm` normalises x on the way."""
    plan = _plan(g, db is not None, norm is not None)
    h = plan[:HEADER].tolist()
    blocks, splits = h[ROW_BLOCKS] * h[PANEL_BLOCKS], h[SPLITS]
    size = blocks * splits * h[JOB_FLOATS] if splits > 1 else 0
    private = scratch.floats("private gradients", size) if size else None
    own = _scratch_floats(h)
    if norm is not None:
        private = scratch.floats("private gradients", size + norm.floats)[: size + norm.floats]
        norm.tabulate(private)
        own += STEP_PIXELS * g.input[2]
    rows = scratch.thread_rows("packed pixels", own)
    arrays, serial = (x, dy, dw, db, private), g.images * h[ROWS] * h[COLUMNS] < SERIAL_WORK
    launch(pointwise_gradient, 0, blocks * splits, serial, arrays, plan, rows)
    if splits > 1:
        panels, few = h[JOB_FLOATS] // (h[BLOCK_ROWS] * WIDE), size < SERIAL_SUMS
        launch(pointwise_gradient, blocks * splits, blocks * panels, few, arrays, plan, rows)
