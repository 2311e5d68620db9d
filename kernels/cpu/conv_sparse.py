"""Weight gradients behind a maximum pool over 2x2 tiles: sums over the pixels that won. See :mod:`sparse_tiles`.

A job does some bands: rows of tiles of one image. The source rows that a band meets are copied, with zeros around, so
that every window lies inside; sums are private to the job, a window's rows for every output channel.
"""

from __future__ import annotations

import functools

import numpy as np

from kernels.cpu import scratch
from kernels.cpu.conv_plan import Geometry
from kernels.cpu.jit import inner
from kernels.cpu.launch import body, boxed, entry, launch, unboxed
from kernels.cpu.microkernels import TILE_LANES
from kernels.cpu.packing import CACHE_LINE, add_floats, clear_floats, copy_floats
from kernels.cpu.simd import LANES, load_scalar, store_scalar
from kernels.cpu.sparse_tiles import (
    LONG,
    SHORT,
    find_in_tiles,
    find_winners,
    long_outer_1,
    long_outer_3,
    long_outer_5,
    short_outer_1,
    short_outer_3,
    short_outer_5,
)

# Header of a plan.
(
    JOBS,
    BANDS,
    TOTAL_BANDS,
    SERIAL,
    ROWS,
    COLUMNS,
    CHANNELS,
    TARGET_ROWS,
    TARGET_COLUMNS,
    TARGET_CHANNELS,
    WIDTH,
    WINDOW_ROWS,
    RUN,
    SUM_LINE,
    DOWN,
    RIGHT,
    TOP,
    LEFT,
    LINE,
    SOURCE_ROWS,
    VALUES,
    PLACES,
    FLOATS,
    HEADER,
) = range(24)

#: Floats of the source rows of a band, and of its gradients, which should stay in the first-level cache.
BAND_FLOATS = 6 * 1024
#: Most floats of private sums, which should stay in the second-level cache, and most private sums.
MOST_SUMS, MOST_CHUNKS = 32 * 1024, 16
#: With fewer multiply-adds than this, threads cost more than they bring.
SERIAL_WORK = 300_000


def applies(g: Geometry) -> bool:
    """Whether the weight gradient of `g` can be summed here."""
    plain = g.groups == 1 and g.dilation == (1, 1) and g.taps > 1 and g.images > 0 and min(g.output[:2]) > 1
    return plain and g.output[2] * g.kernel[0] * sum_line(g) <= MOST_SUMS


def sum_line(g: Geometry) -> int:
    """Floats of the sums of a row of the window: its run of source floats, in whole tiles."""
    run = g.kernel[1] * g.input[2]
    long = -(-max(0, run - SHORT) // LONG)
    return long * LONG + (SHORT if run > long * LONG else 0)


def work(g: Geometry) -> tuple[int, int]:
    """Multiply-adds of whole registers, in all lanes, and gradients."""
    gradients = g.images * (g.output[0] // 2) * (g.output[1] // 2) * g.output[2]
    long, rest = divmod(sum_line(g), LONG)
    return gradients * g.kernel[0] * (long * LONG + (TILE_LANES if rest else 0)), gradients


@functools.lru_cache(maxsize=512)
def _plan(g: Geometry) -> np.ndarray:
    h = np.zeros(HEADER, np.int64)
    rows = g.output[0] // 2
    h[ROWS:TARGET_ROWS], h[TARGET_ROWS:WIDTH] = g.input, g.output
    h[WIDTH] = -(-g.output[2] // LANES) * LANES
    h[WINDOW_ROWS], h[RUN], h[SUM_LINE] = g.kernel[0], g.kernel[1] * g.input[2], sum_line(g)
    h[DOWN], h[RIGHT] = g.stride
    h[TOP], h[LEFT] = g.padding
    h[LINE] = (g.input[1] + 2 * g.padding[1]) * g.input[2]
    tile_lines, more = 2 * g.stride[0], max(0, g.kernel[0] - g.stride[0])
    tiles, line = g.output[1] // 2, int(h[LINE])
    most = max(1, (BAND_FLOATS - more * line) // (tile_lines * line + 2 * tiles * LANES))
    h[BANDS] = -(-rows // most)
    band = -(-rows // int(h[BANDS]))
    h[SOURCE_ROWS] = band * tile_lines + more
    h[TOTAL_BANDS] = g.images * h[BANDS]
    h[SERIAL] = work(g)[0] < SERIAL_WORK
    h[JOBS] = 1 if h[SERIAL] else min(int(h[TOTAL_BANDS]), MOST_CHUNKS)
    # the last window's tiles read past the source
    source = int(h[SOURCE_ROWS] * h[LINE]) + LONG
    h[VALUES] = -(-source // CACHE_LINE) * CACHE_LINE
    h[PLACES] = h[VALUES] + band * tiles * LANES
    h[FLOATS] = h[PLACES] + band * tiles * LANES
    return h.astype(np.int32)


def _private_floats(header: list[int]) -> int:
    """Those of the sums of a job, and of its bias."""
    return header[WIDTH] * (header[WINDOW_ROWS] * header[SUM_LINE] + 1)


@inner
def _copy_source(x, first, source, plan):
    """Copy the rows of an image from row `first` on, which may lie outside; what is outside is 0."""
    line, floats = entry(plan, LINE), entry(plan, COLUMNS) * entry(plan, CHANNELS)
    left = entry(plan, LEFT) * entry(plan, CHANNELS)
    for i in range(entry(plan, SOURCE_ROWS)):
        row, place = first + i, source + 4 * i * line
        if row < 0 or row >= entry(plan, ROWS):
            clear_floats(place, line)
        else:
            copy_floats(place + 4 * left, x + 4 * row * floats, floats)


@inner
def _find_gradients(dy, winners, channels, rows, bias, values, places, plan):
    """Gradients and places of eight channels of some rows of tiles; add the gradients to the bias."""
    step, columns = entry(plan, TARGET_CHANNELS), entry(plan, TARGET_COLUMNS)
    right, down, tiles = entry(plan, RIGHT) * entry(plan, CHANNELS), entry(plan, DOWN) * entry(plan, LINE), columns // 2
    for row in range(rows):
        at, first = 4 * row * tiles * LANES, 2 * row * down
        found = 2 * right, right, down, bias, values + at, places + at, LANES
        if winners:
            source = row * tiles * step
            find_winners(dy + 4 * source, winners + source, step, channels, tiles, first, *found)
        else:
            find_in_tiles(dy + 8 * row * columns * step, step, columns * step, channels, tiles, first, *found)


def _tiles(outer_1, outer_3, outer_5):
    """The function that adds a window's rows, as many at a time as one of these tiles has."""

    @inner
    def tiles(x, line, values, places, count, sums, sum_line, rows):
        row = 0
        while row < rows:
            source, target = x + 4 * row * line, sums + 4 * row * sum_line
            if rows - row >= 5:
                outer_5(source, line, values, places, count, target, sum_line)
                row += 5
            elif rows - row >= 3:
                outer_3(source, line, values, places, count, target, sum_line)
                row += 3
            else:
                outer_1(source, line, values, places, count, target, sum_line)
                row += 1

    return tiles


_short_tiles = _tiles(short_outer_1, short_outer_3, short_outer_5)
_long_tiles = _tiles(long_outer_1, long_outer_3, long_outer_5)


@inner
def _add_windows(source, values, places, count, sums, plan):
    """Add the windows of the source at the places of one channel to its sums."""
    rows, line, sum_line = entry(plan, WINDOW_ROWS), entry(plan, LINE), entry(plan, SUM_LINE)
    long = sum_line // LONG * LONG
    for k in range(0, long, LONG):
        _long_tiles(source + 4 * k, line, values, places, count, sums + 4 * k, sum_line, rows)
    if long < sum_line:
        _short_tiles(source + 4 * long, line, values, places, count, sums + 4 * long, sum_line, rows)


@inner
def _add_band(dy, winners, rows, source, sums, bias, plan):
    """Add what some rows of tiles bring to the sums of all channels, eight at a time."""
    values, places = source + 4 * entry(plan, VALUES), source + 4 * entry(plan, PLACES)
    channels, count = entry(plan, TARGET_CHANNELS), rows * (entry(plan, TARGET_COLUMNS) // 2)
    step = 4 * entry(plan, WINDOW_ROWS) * entry(plan, SUM_LINE)
    for first in range(0, channels, LANES):
        who = winners + first if winners else 0
        _find_gradients(dy + 4 * first, who, channels - first, rows, bias + 4 * first, values, places, plan)
        for o in range(min(LANES, channels - first)):
            _add_windows(source, values + 4 * o, places + 4 * o, count, sums + (first + o) * step, plan)


@inner
def _chunk(job, x, dy, winners, sums, source, plan):
    """Private gradient of the bands of one job."""
    jobs, total, bands = entry(plan, JOBS), entry(plan, TOTAL_BANDS), entry(plan, BANDS)
    rows, columns, channels = entry(plan, TARGET_ROWS), entry(plan, TARGET_COLUMNS), entry(plan, TARGET_CHANNELS)
    image_floats = entry(plan, ROWS) * entry(plan, COLUMNS) * entry(plan, CHANNELS)
    bias = sums + 4 * entry(plan, WIDTH) * entry(plan, WINDOW_ROWS) * entry(plan, SUM_LINE)
    clear_floats(source, entry(plan, FLOATS))
    for band in range(total * job // jobs, total * (job + 1) // jobs):
        image, part, tile_rows = band // bands, band % bands, rows // 2
        first, last = tile_rows * part // bands, tile_rows * (part + 1) // bands
        _copy_source(x + 4 * image * image_floats, 2 * first * entry(plan, DOWN) - entry(plan, TOP), source, plan)
        if winners:
            at = (image * tile_rows + first) * (columns // 2) * channels
            _add_band(dy + 4 * at, winners + at, last - first, source, sums, bias, plan)
        else:
            at = (image * rows + 2 * first) * columns * channels
            _add_band(dy + 4 * at, 0, last - first, source, sums, bias, plan)


@inner
def _write_weights(sums, dw, plan):
    """Bring the sums, a window for every channel, into the order of the weights."""
    channels, rows, run, line = (
        entry(plan, TARGET_CHANNELS), entry(plan, WINDOW_ROWS), entry(plan, RUN), entry(plan, SUM_LINE),
    )  # fmt: skip
    for o in range(channels):
        for row in range(rows):
            place, target = sums + 4 * (o * rows + row) * line, dw + 4 * (row * run * channels + o)
            for k in range(run):
                store_scalar(target + 4 * k * channels, load_scalar(place + 4 * k))


@body
def sparse_outers(job, x, dy, winners, private, unused, plan, scratch_row):
    """Fill the private gradients of a job."""
    size = entry(plan, WIDTH) * (entry(plan, WINDOW_ROWS) * entry(plan, SUM_LINE) + 1)
    own = private + 4 * job * size
    clear_floats(own, size)
    _chunk(job, x, dy, unboxed(winners), own, scratch_row, plan)


@body
def sparse_totals(job, private, dw, db, unused, unused_too, plan, scratch_row):
    """Add up the private gradients, in order."""
    weights = entry(plan, WIDTH) * entry(plan, WINDOW_ROWS) * entry(plan, SUM_LINE)
    size = weights + entry(plan, WIDTH)
    for other in range(1, entry(plan, JOBS)):
        add_floats(private, private + 4 * other * size, size)
    _write_weights(private, dw, plan)
    if db:
        copy_floats(db, private + 4 * weights, entry(plan, TARGET_CHANNELS))


def backward_weights(
    g: Geometry, x: np.ndarray, dy: np.ndarray, dw: np.ndarray, db: np.ndarray | None, winners: np.ndarray | None = None
) -> None:
    """Weight gradient `dw` and, unless None, bias gradient `db`.

    Of a `dy` with one value a 2x2 tile and channel; or, with `winners`, of the tiles' own gradients.
    """
    plan = _plan(g)
    header = plan.tolist()
    jobs, serial = header[JOBS], bool(header[SERIAL])
    private = scratch.floats("private gradients", jobs * _private_floats(header))
    rows = scratch.thread_rows("sparse pixels", header[FLOATS])
    launch(sparse_outers, 0, jobs, serial, (x, dy, boxed(winners), private, None), plan, rows)
    launch(sparse_totals, 0, 1, True, (private, dw, db, None, None), plan, rows)
