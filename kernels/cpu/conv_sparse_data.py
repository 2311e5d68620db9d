"""Data gradients behind a maximum pool over 2x2 tiles: sums over the pixels that won. See :mod:`sparse_tiles`.

The pixels of a tile look at overlapping windows of the source, which together make a slightly larger one. It gets, for
each channel, the weights times its gradient: they lie between zeros, so that those of any of the four pixels are read
from another place. A job does some images, each in memory with zeros around, which stays in the first-level cache.
"""

from __future__ import annotations

import functools

import numpy as np

from kernels.cpu import scratch
from kernels.cpu.conv_plan import Geometry
from kernels.cpu.jit import inner
from kernels.cpu.launch import body, boxed, entry, launch, unboxed
from kernels.cpu.microkernels import TILE_LANES
from kernels.cpu.packing import CACHE_LINE, clear_floats, copy_floats
from kernels.cpu.simd import LANES, load_scalar, store_scalar
from kernels.cpu.sparse_tiles import (
    WINDOW_TILES,
    find_in_tiles,
    find_winners,
    window_sums_1,
    window_sums_2,
    window_sums_3,
    window_sums_4,
    window_sums_5,
)

# Header of a plan. Windows are those of tiles; a line is a row of one, or of an image with what is around it.
(
    IMAGES,
    JOBS,
    SERIAL,
    ROWS,
    COLUMNS,
    CHANNELS,
    TARGET_ROWS,
    TARGET_COLUMNS,
    TARGET_CHANNELS,
    WIDTH,
    KERNEL_ROWS,
    RUN,
    DOWN,
    RIGHT,
    TOP,
    LEFT,
    STRIPS,
    VECTORS,
    TILE_ROWS,
    WINDOW_ROWS,
    WINDOW_LINE,
    WINDOW,
    IMAGE_ROWS,
    IMAGE_LINE,
    VALUES,
    PLACES,
    FLOATS,
    HEADER,
) = range(28)

#: Most floats of all windows, and of an image, which should stay in the first-level cache.
MOST_WINDOWS, MOST_IMAGE = 8 * 1024, 16 * 1024
MOST_JOBS = 64
#: With fewer multiply-adds than this, threads cost more than they bring.
SERIAL_WORK = 300_000


def applies(g: Geometry) -> bool:
    """Whether the data gradient of `g` can be summed here."""
    plain = g.groups == 1 and g.dilation == (1, 1) and g.taps > 1 and g.images > 0 and min(g.output[:2]) > 1
    if not plain:
        return False
    h = _header(g)
    return h[TARGET_CHANNELS] * h[WINDOW] <= MOST_WINDOWS and h[IMAGE_ROWS] * h[IMAGE_LINE] <= MOST_IMAGE


def work(g: Geometry) -> tuple[int, int]:
    """Multiply-adds of whole registers, in all lanes, and floats of images and tiles that sums are added to."""
    h = _header(g)
    tiles = g.images * (g.output[0] // 2) * (g.output[1] // 2)
    window = int(h[TILE_ROWS] * _chunks(h) * h[STRIPS] * h[VECTORS]) * TILE_LANES
    return tiles * window * g.output[2], tiles * window + g.images * int(h[IMAGE_ROWS] * h[IMAGE_LINE])


def _chunks(h: np.ndarray) -> int:
    """Register tiles below each other in a window."""
    return -(-int(h[KERNEL_ROWS] + h[DOWN]) // int(h[TILE_ROWS]))


@functools.lru_cache(maxsize=512)
def _header(g: Geometry) -> np.ndarray:
    h = np.zeros(HEADER, np.int64)
    h[IMAGES], h[ROWS:TARGET_ROWS], h[TARGET_ROWS:WIDTH] = g.images, g.input, g.output
    h[WIDTH] = -(-g.output[2] // LANES) * LANES
    h[DOWN], h[RIGHT] = g.stride[0], g.stride[1] * g.input[2]
    h[TOP], h[LEFT] = g.padding[0], g.padding[1] * g.input[2]
    h[KERNEL_ROWS], h[RUN] = g.kernel[0], g.kernel[1] * g.input[2]
    vectors = -(-int(h[RUN] + h[RIGHT]) // TILE_LANES)
    h[STRIPS] = -(-vectors // max(WINDOW_TILES))
    h[VECTORS] = -(-vectors // int(h[STRIPS]))
    h[TILE_ROWS] = WINDOW_TILES[int(h[VECTORS])]
    rows, floats = _chunks(h) * h[TILE_ROWS], h[STRIPS] * h[VECTORS] * TILE_LANES
    h[WINDOW_ROWS], h[WINDOW_LINE] = h[DOWN] + rows, h[RIGHT] + floats
    h[WINDOW] = h[WINDOW_ROWS] * h[WINDOW_LINE]
    below, beside = g.output[0] // 2 - 1, g.output[1] // 2 - 1  # tiles after the first
    h[IMAGE_ROWS] = max(2 * below * h[DOWN] + rows, h[TOP] + g.input[0])
    h[IMAGE_LINE] = max(2 * beside * h[RIGHT] + floats, h[LEFT] + g.input[1] * g.input[2])
    return h


@functools.lru_cache(maxsize=512)
def _plan(g: Geometry) -> np.ndarray:
    h = _header(g).copy()
    h[SERIAL] = work(g)[0] < SERIAL_WORK
    h[JOBS] = 1 if h[SERIAL] else min(g.images, MOST_JOBS)
    gradients = g.output[1] // 2 * h[WIDTH]
    h[VALUES] = -(-int(h[IMAGE_ROWS] * h[IMAGE_LINE]) // CACHE_LINE) * CACHE_LINE
    h[PLACES] = h[VALUES] + gradients
    h[FLOATS] = h[PLACES] + gradients + LANES  # sums that nobody asks for are in the last ones
    return h.astype(np.int32)


@inner
def _place_weights(weights, windows, plan):
    """The windows of all channels: weights of the first pixel's, moved by one pixel of the tile, between zeros."""
    channels, rows, run = entry(plan, TARGET_CHANNELS), entry(plan, KERNEL_ROWS), entry(plan, RUN)
    line, step = entry(plan, WINDOW_LINE), entry(plan, WINDOW)
    clear_floats(windows, channels * step)
    first = windows + 4 * (entry(plan, DOWN) * line + entry(plan, RIGHT))
    for row in range(rows):
        for k in range(run):
            source, target = weights + 4 * (row * run + k) * channels, first + 4 * (row * line + k)
            for o in range(channels):
                store_scalar(target + 4 * o * step, load_scalar(source + 4 * o))


@inner
def _find_gradients(dy, winners, row, scratch_row, plan):
    """Gradients of a row of tiles, and where the weights of each begin in a window."""
    channels, columns, width = entry(plan, TARGET_CHANNELS), entry(plan, TARGET_COLUMNS), entry(plan, WIDTH)
    right, down, tiles = entry(plan, RIGHT), entry(plan, DOWN) * entry(plan, WINDOW_LINE), columns // 2
    values, places = scratch_row + 4 * entry(plan, VALUES), scratch_row + 4 * entry(plan, PLACES)
    unused = scratch_row + 4 * (entry(plan, FLOATS) - LANES)
    clear_floats(unused, LANES)
    for o in range(0, channels, LANES):
        found = down + right, 0, -right, -down, unused, values + 4 * o, places + 4 * o, width
        if winners:
            at = row * tiles * channels + o
            find_winners(dy + 4 * at, winners + at, channels, channels - o, tiles, *found)
        else:
            place = dy + 4 * (2 * row * columns * channels + o)
            find_in_tiles(place, channels, columns * channels, channels - o, tiles, *found)


def _tile(window_sums, rows):
    """The function that adds to a strip of a window, some rows at a time."""

    @inner
    def strip(values, places, windows, target, plan):
        channels, step = entry(plan, TARGET_CHANNELS), entry(plan, WINDOW)
        line, image_line = entry(plan, WINDOW_LINE), entry(plan, IMAGE_LINE)
        for row in range(0, entry(plan, KERNEL_ROWS) + entry(plan, DOWN), rows):
            place = target + 4 * row * image_line
            window_sums(values, places, channels, windows + 4 * row * line, step, line, place, image_line)

    return strip


_strip_1, _strip_2, _strip_3, _strip_4, _strip_5 = (
    _tile(work, WINDOW_TILES[vectors])
    for vectors, work in enumerate((window_sums_1, window_sums_2, window_sums_3, window_sums_4, window_sums_5), 1)
)


@inner
def _add_windows(values, places, windows, target, plan):
    """Add what the gradients of one tile bring to its window of the image."""
    vectors = entry(plan, VECTORS)
    for strip in range(entry(plan, STRIPS)):
        at = 4 * strip * vectors * TILE_LANES
        if vectors == 1:
            _strip_1(values, places, windows + at, target + at, plan)
        elif vectors == 2:
            _strip_2(values, places, windows + at, target + at, plan)
        elif vectors == 3:
            _strip_3(values, places, windows + at, target + at, plan)
        elif vectors == 4:
            _strip_4(values, places, windows + at, target + at, plan)
        else:
            _strip_5(values, places, windows + at, target + at, plan)


@inner
def _image(dy, winners, windows, dx, scratch_row, plan):
    """Data gradient of one image."""
    rows, columns, width = entry(plan, TARGET_ROWS) // 2, entry(plan, TARGET_COLUMNS), entry(plan, WIDTH)
    line, down, right = entry(plan, IMAGE_LINE), entry(plan, DOWN), entry(plan, RIGHT)
    values, places = scratch_row + 4 * entry(plan, VALUES), scratch_row + 4 * entry(plan, PLACES)
    clear_floats(scratch_row, entry(plan, IMAGE_ROWS) * line)
    for row in range(rows):
        _find_gradients(dy, winners, row, scratch_row, plan)
        for tile in range(columns // 2):
            at, target = 4 * tile * width, scratch_row + 8 * (row * down * line + tile * right)
            _add_windows(values + at, places + at, windows, target, plan)
    floats, source = entry(plan, COLUMNS) * entry(plan, CHANNELS), entry(plan, TOP) * line + entry(plan, LEFT)
    for row in range(entry(plan, ROWS)):
        copy_floats(dx + 4 * row * floats, scratch_row + 4 * (source + row * line), floats)


@body
def sparse_windows(job, dy, winners, weights, dx, windows, plan, scratch_row):
    """The first job brings the weights in order; each later one does some images."""
    if job == 0:
        _place_weights(weights, windows, plan)
        return
    images, jobs, who = entry(plan, IMAGES), entry(plan, JOBS), unboxed(winners)
    size = entry(plan, ROWS) * entry(plan, COLUMNS) * entry(plan, CHANNELS)
    pixels = entry(plan, TARGET_ROWS) * entry(plan, TARGET_COLUMNS)
    if who:
        pixels = (entry(plan, TARGET_ROWS) // 2) * (entry(plan, TARGET_COLUMNS) // 2)
    for image in range(images * (job - 1) // jobs, images * job // jobs):
        at = image * pixels * entry(plan, TARGET_CHANNELS)
        _image(dy + 4 * at, who + at if who else 0, windows, dx + 4 * image * size, scratch_row, plan)


def backward_data(
    g: Geometry, dy: np.ndarray, w: np.ndarray, dx: np.ndarray, winners: np.ndarray | None = None
) -> None:
    """Data gradient `dx` of a `dy` with one value a 2x2 tile and channel; or, with `winners`, of the tiles' own."""
    plan = _plan(g)
    header = plan.tolist()
    windows = scratch.floats("sparse windows", header[TARGET_CHANNELS] * header[WINDOW])
    rows = scratch.thread_rows("sparse pixels", header[FLOATS])
    arrays = dy, boxed(winners), w, dx, windows
    launch(sparse_windows, 0, 1, True, arrays, plan, rows)
    launch(sparse_windows, 1, header[JOBS], bool(header[SERIAL]), arrays, plan, rows)
