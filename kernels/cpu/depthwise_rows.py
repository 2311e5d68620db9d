"""Depthwise convolution with the usual windows, row by row: 3x3 and 5x5, stride 1 or 2, padding that keeps the size.

A job is some rows of one image (forward and data gradient) or some images (weight gradient), for all channels.
"""

from __future__ import annotations

import functools

import numpy as np

from kernels.cpu import scratch
from kernels.cpu.conv_plan import Geometry
from kernels.cpu.depthwise_row_tiles import (
    ACTIVATION,
    CHANNELS,
    FRAME,
    MOST_VECTORS,
    OUTER_ROWS,
    PIXELS,
    SOURCE_AHEAD,
    SOURCE_COLUMNS,
    SOURCE_ROWS,
    TARGET_AHEAD,
    TARGET_COLUMNS,
    TOP,
    dot_rows_3_1,
    dot_rows_3_2,
    dot_rows_3_transposed,
    dot_rows_5_1,
    dot_rows_5_2,
    dot_rows_5_transposed,
    outer_rows_3_1,
    outer_rows_3_2,
    outer_rows_5_1,
    outer_rows_5_2,
    transposed_left,
)
from kernels.cpu.jit import inner
from kernels.cpu.launch import body, entry, launch
from kernels.cpu.microkernels import ACTIVATIONS, TILE_LANES
from kernels.cpu.normalised import Norm, normalise_pixels
from kernels.cpu.packing import add_floats, add_row_sums, clear_floats, copy_floats

# A plan is the frame of the tiles (first of all), and these.
(
    VARIANT,
    IMAGES,
    SOURCE_IMAGE,
    TARGET_IMAGE,
    TARGET_ROWS,
    BLOCKS,
    FIRST_TAP,
    TAP_STEP,
    TAPS,
    CHUNKS,
    ROW_FLOATS,
    PRIVATE_FLOATS,
    SERIAL,
    BLOCK_ROWS,
    WIDEST,
    NORM,
    PLAN,
) = range(FRAME, FRAME + 17)

#: With fewer multiply-adds than this, threads cost more than they bring.
SERIAL_WORK = 300_000
#: Floats of the rows that are done at once, channel by channel, while the next ones are on their way to the cache.
BLOCK_FLOATS = 24 * 1024
#: The same where sources are normalised on the way: the fewer blocks, the fewer rows are normalised for two of them.
NORMALISED_FLOATS = 48 * 1024
#: Below so many floats of sources and targets, they are likely to lie in a cache, and asking for them ahead costs more
#: than it brings. Processors with vectors of eight tend to have the smaller caches, and fewer loads on their way.
PREFETCH_FLOATS = (2048 if TILE_LANES == 16 else 128) * 1024
#: From so many floats on, beyond what caches hold, tiles are one vector wide: while the second half of the cache lines
#: of a block is done, the lines of the next block, asked for with the first half, have time to come.
ONE_VECTOR_FLOATS = 5 * 1024 * 1024
#: Most private copies of the weight gradient, and fewest pixels that make one worth it.
MOST_CHUNKS, FEWEST_PIXELS = 16, 64
_SINGLE, _DOUBLE, _TRANSPOSED = range(3)


def handles(g: Geometry, backward: bool = False) -> bool:
    """Whether `g`, a depthwise convolution, is one for the kernels of this file; the data gradient if `backward`."""
    k, s = g.kernel[0], g.stride[0]
    usual = g.kernel == (k, k) and g.stride == (s, s) and g.padding == (k // 2, k // 2) and g.dilation == (1, 1)
    columns = g.input[1] if backward else g.output[1]
    even = g.input[1] % 2 == 0 or s == 1 or not backward
    return usual and k in (3, 5) and s in (1, 2) and columns >= PIXELS and even


def normalises(g: Geometry) -> bool:
    """Whether normalising sources on the way pays: few rows must be normalised for two blocks of targets."""
    return _block_rows(g, NORMALISED_FLOATS) >= min(g.output[0], 3 * g.kernel[0])


def _frame(plan: np.ndarray, g: Geometry, backward: bool, normalised: bool = False) -> None:
    """Sizes of a pass, and where the source of the first target pixel lies."""
    source, target = (g.output, g.input) if backward else (g.input, g.output)
    half, transposed = g.kernel[0] // 2, backward and g.stride[0] == 2
    corner = (half, transposed_left(g.kernel[0])) if transposed else (-half, -half)
    rows = _block_rows(g, NORMALISED_FLOATS if normalised else BLOCK_FLOATS)
    plan[:FRAME] = (source[0], source[1], target[1], target[2], *corner, 0, 0, 0)
    floats = g.images * (np.prod(source) + np.prod(target))
    plan[WIDEST] = TILE_LANES * (1 if floats >= ONE_VECTOR_FLOATS else MOST_VECTORS)
    if floats >= PREFETCH_FLOATS:
        plan[SOURCE_AHEAD] = 0 if normalised else rows * np.prod(source) // target[0]
        plan[TARGET_AHEAD] = rows * np.prod(target[1:])
    plan[VARIANT] = _TRANSPOSED if transposed else _SINGLE if g.stride[0] == 1 else _DOUBLE
    plan[IMAGES], plan[SOURCE_IMAGE], plan[TARGET_IMAGE] = g.images, np.prod(source), np.prod(target)
    plan[TARGET_ROWS], plan[TAPS], plan[BLOCK_ROWS] = target[0], g.taps, rows
    plan[SERIAL] = g.images * int(np.prod(target)) * g.taps < SERIAL_WORK


def _block_rows(g: Geometry, most: int) -> int:
    """Target rows whose sources and targets, with those of the next block, fit the second-level cache."""
    floats = max(np.prod(g.input), np.prod(g.output)) / g.output[0]
    return int(min(g.output[0], max(1, most // floats)))


@functools.lru_cache(maxsize=512)
def _dot_plan(g: Geometry, backward: bool, activation: str, normalised: bool = False) -> np.ndarray:
    plan = np.zeros(PLAN, np.int32)
    _frame(plan, g, backward, normalised)
    plan[BLOCKS] = -(-plan[TARGET_ROWS] // plan[BLOCK_ROWS])
    # With a stride of 1, the data gradient is a convolution with the taps in reverse order.
    reverse, channels = backward and g.stride[0] == 1, g.output[2]
    plan[FIRST_TAP] = (g.taps - 1) * channels if reverse else 0
    plan[TAP_STEP] = -channels if reverse else channels
    plan[ACTIVATION] = ACTIVATIONS[activation]
    return plan


# --- forward and data gradient -------------------------------------------------------------------------------


def _make_dots(single, double, transposed):
    one_of_single, more_of_single = single
    one_of_double, more_of_double = double
    one_transposed, more_transposed = transposed

    @inner
    def one(x, w, step, start, y, plan, first, last, lanes):
        variant = entry(plan, VARIANT)
        if variant == _SINGLE:
            one_of_single(x, w, step, start, y, plan, first, last, lanes)
        elif variant == _DOUBLE:
            one_of_double(x, w, step, start, y, plan, first, last, lanes)
        else:
            one_transposed(x, w, step, start, y, plan, first, last, lanes)

    @inner
    def more(x, w, step, start, y, plan, first, last, lanes):
        variant = entry(plan, VARIANT)
        if variant == _SINGLE:
            more_of_single(x, w, step, start, y, plan, first, last, lanes)
        elif variant == _DOUBLE:
            more_of_double(x, w, step, start, y, plan, first, last, lanes)
        else:
            more_transposed(x, w, step, start, y, plan, first, last, lanes)

    @inner
    def rows_of_image(x, w, start, y, plan, first, last):
        channels, step = entry(plan, CHANNELS), entry(plan, TAP_STEP)
        widest = entry(plan, WIDEST)
        w += 4 * entry(plan, FIRST_TAP)
        for place in range(0, channels, widest):
            # the last vectors overlap their neighbours, and write the same again
            if widest > TILE_LANES and channels - place > TILE_LANES and channels >= widest:
                c = min(place, channels - widest)
                more(x + 4 * c, w + 4 * c, step, start + 4 * c, y + 4 * c, plan, first, last, channels - c)
                continue
            for part in range(place, min(channels, place + widest), TILE_LANES):
                c = max(0, min(part, channels - TILE_LANES))
                one(x + 4 * c, w + 4 * c, step, start + 4 * c, y + 4 * c, plan, first, last, channels - c)

    return rows_of_image


_dots_3 = _make_dots(dot_rows_3_1, dot_rows_3_2, dot_rows_3_transposed)
_dots_5 = _make_dots(dot_rows_5_1, dot_rows_5_2, dot_rows_5_transposed)


@inner
def _block(job, x, y, plan):
    """Addresses of the images of a job, and its rows."""
    blocks, rows = entry(plan, BLOCKS), entry(plan, TARGET_ROWS)
    image, part = job // blocks, job % blocks
    x += 4 * image * entry(plan, SOURCE_IMAGE)
    y += 4 * image * entry(plan, TARGET_IMAGE)
    return x, y, rows * part // blocks, rows * (part + 1) // blocks


@inner
def _normalised_rows(x, norm, plan, first, last, own):
    """Normalise what the target rows `first` to `last` read of the image `x` into `own`.

    The address that is returned stands for that of the image; but other rows are not there.
    """
    stride, top, channels = 2 if entry(plan, VARIANT) == _DOUBLE else 1, entry(plan, TOP), entry(plan, CHANNELS)
    low, high = max(0, first * stride + top), min(entry(plan, SOURCE_ROWS), (last - 1) * stride - top + 1)
    columns = entry(plan, SOURCE_COLUMNS)
    skipped = 4 * low * columns * channels
    normalise_pixels(x + skipped, own, (high - low) * columns, channels, 0, channels, norm, channels)
    return own - skipped


@body
def depthwise_rows_3(job, x, w, start, y, norm, plan, scratch_row):
    """Some rows of one image, 3x3 windows."""
    x, y, first, last = _block(job, x, y, plan)
    if norm:
        x = _normalised_rows(x, norm, plan, first, last, scratch_row)
    _dots_3(x, w, start, y, plan, first, last)


@body
def depthwise_rows_5(job, x, w, start, y, norm, plan, scratch_row):
    """Some rows of one image, 5x5 windows."""
    x, y, first, last = _block(job, x, y, plan)
    if norm:
        x = _normalised_rows(x, norm, plan, first, last, scratch_row)
    _dots_5(x, w, start, y, plan, first, last)


def run(
    g: Geometry,
    backward: bool,
    x: np.ndarray,
    w: np.ndarray,
    start: np.ndarray,
    y: np.ndarray,
    activation: str = "none",
    norm: Norm | None = None,
) -> None:
    """Forward pass from `x` to `y`, or data gradient from `x` (dy) to `y` (dx): sums from `start` on, activated.

    With `norm` the source of a forward pass is normalised on the way.
    """
    plan = _dot_plan(g, backward, activation, norm is not None)
    jobs = int(plan[IMAGES] * plan[BLOCKS])
    work = depthwise_rows_3 if g.kernel[0] == 3 else depthwise_rows_5
    table, rows = None, scratch.thread_rows("tile", 1)
    if norm is not None:
        table = scratch.floats("coefficients", norm.floats)[: norm.floats]
        norm.tabulate(table)
        rows = scratch.thread_rows("normalised rows", _source_floats(g, -(-plan[TARGET_ROWS] // plan[BLOCKS])))
    launch(work, 0, jobs, bool(plan[SERIAL]), (x, w, start, y, table), plan, rows)


def _source_floats(g: Geometry, rows: int) -> int:
    """Floats of the source rows under so many target rows."""
    return int(((rows - 1) * g.stride[0] + g.kernel[0]) * g.input[1] * g.input[2])


# --- weight gradient -----------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=512)
def _outer_plan(g: Geometry, normalised: bool = False) -> np.ndarray:
    plan = np.zeros(PLAN, np.int32)
    _frame(plan, g, False, normalised)
    channels, pixels = g.output[2], g.output[0] * g.output[1]
    most = max(1, g.images * pixels // FEWEST_PIXELS)
    plan[CHUNKS] = 1 if plan[SERIAL] else min(MOST_CHUNKS, g.images, most)
    plan[BLOCKS] = 1 if plan[SERIAL] else min(g.output[0], max(1, min(MOST_CHUNKS // int(plan[CHUNKS]), most)))
    # A row of sums holds whole vectors of channels; then follow rows for the bias.
    plan[ROW_FLOATS] = -(-channels // TILE_LANES) * TILE_LANES
    height = OUTER_ROWS[g.kernel[0]]
    plan[FIRST_TAP] = -(-g.kernel[0] // height) * height * g.kernel[1]
    plan[PRIVATE_FLOATS] = (plan[FIRST_TAP] + 1) * plan[ROW_FLOATS]
    plan[NORM] = plan[CHUNKS] * plan[BLOCKS] * plan[PRIVATE_FLOATS] if normalised else 0
    return plan


def _make_outers(single, double, kernel):
    height = OUTER_ROWS[kernel]

    @inner
    def rows_of_image(x, dy, private, plan, first, last):
        channels, step, variant = entry(plan, CHANNELS), entry(plan, ROW_FLOATS), entry(plan, VARIANT)
        for place in range(0, channels, TILE_LANES):
            # the last vector begins early; its sums lie apart from its neighbour's
            c = max(0, min(place, channels - TILE_LANES))
            source, upstream, sums, lanes = x + 4 * c, dy + 4 * c, private + 4 * place, channels - c
            for tap_row in range(0, kernel, height):
                if variant == _SINGLE:
                    single(source, upstream, sums, step, plan, first, last, tap_row, lanes)
                else:
                    double(source, upstream, sums, step, plan, first, last, tap_row, lanes)

    return rows_of_image


_outers_3 = _make_outers(outer_rows_3_1, outer_rows_3_2, 3)
_outers_5 = _make_outers(outer_rows_5_1, outer_rows_5_2, 5)


def _make_chunk(rows_of_image):
    @inner
    def chunk(job, x, dy, private, norm, with_bias, plan, own):
        """Private gradient of one chunk of images, or of a block of their rows."""
        blocks, images, chunks = entry(plan, BLOCKS), entry(plan, IMAGES), entry(plan, CHUNKS)
        number, part, channels = job // blocks, job % blocks, entry(plan, CHANNELS)
        first, last = entry(plan, TARGET_ROWS) * part // blocks, entry(plan, TARGET_ROWS) * (part + 1) // blocks
        clear_floats(private, entry(plan, PRIVATE_FLOATS))
        bias, line = private + 4 * entry(plan, FIRST_TAP) * entry(plan, ROW_FLOATS), entry(plan, TARGET_COLUMNS)
        for image in range(number * images // chunks, (number + 1) * images // chunks):
            upstream = dy + 4 * image * entry(plan, TARGET_IMAGE)
            source, rows = x + 4 * image * entry(plan, SOURCE_IMAGE), entry(plan, BLOCK_ROWS)
            for row in range(first, last, rows):
                below, ready = min(last, row + rows), source
                if norm:
                    ready = _normalised_rows(source, norm, plan, row, below, own)
                rows_of_image(ready, upstream, private, plan, row, below)
            if with_bias:
                add_row_sums(bias, upstream + 4 * first * line * channels, (last - first) * line, channels, channels)

    return chunk


_chunk_3, _chunk_5 = _make_chunk(_outers_3), _make_chunk(_outers_5)


@inner
def _own(job, private, plan):
    """Where a job keeps its gradients, and the table of coefficients behind those of all, or 0."""
    norm = entry(plan, NORM)
    table = private + 4 * norm if norm else 0
    return private + 4 * job * entry(plan, PRIVATE_FLOATS), table


@inner
def _finish(tap, dw, db, private, plan):
    """Sum one tap's private gradients, in order, and copy them out."""
    floats, channels, width = entry(plan, PRIVATE_FLOATS), entry(plan, CHANNELS), entry(plan, ROW_FLOATS)
    is_bias = tap == entry(plan, TAPS)
    if is_bias and not db:
        return
    row = private + 4 * width * (entry(plan, FIRST_TAP) if is_bias else tap)
    for other in range(1, entry(plan, CHUNKS) * entry(plan, BLOCKS)):
        add_floats(row, row + 4 * other * floats, width)
    if is_bias:
        copy_floats(db, row, channels)
        return
    last, target = (channels - 1) // TILE_LANES * TILE_LANES, dw + 4 * tap * channels
    early = last + TILE_LANES - channels if last else 0
    copy_floats(target, row, last)
    copy_floats(target + 4 * last, row + 4 * (last + early), channels - last)


@body
def depthwise_outer_rows_3(job, x, dy, dw, db, private, plan, scratch_row):
    """The first jobs fill private gradients of 3x3 windows; the others add them up, tap by tap."""
    jobs = entry(plan, CHUNKS) * entry(plan, BLOCKS)
    if job < jobs:
        own, norm = _own(job, private, plan)
        _chunk_3(job, x, dy, own, norm, db, plan, scratch_row)
    else:
        _finish(job - jobs, dw, db, private, plan)


@body
def depthwise_outer_rows_5(job, x, dy, dw, db, private, plan, scratch_row):
    """The same for 5x5 windows."""
    jobs = entry(plan, CHUNKS) * entry(plan, BLOCKS)
    if job < jobs:
        own, norm = _own(job, private, plan)
        _chunk_5(job, x, dy, own, norm, db, plan, scratch_row)
    else:
        _finish(job - jobs, dw, db, private, plan)


def backward_weights(
    g: Geometry,
    x: np.ndarray,
    dy: np.ndarray,
    dw: np.ndarray,
    db: np.ndarray | None,
    norm: Norm | None = None,
) -> None:
    """Weight gradient `dw` and, unless None, bias gradient `db`; with `norm` the source is normalised on the way."""
    plan = _outer_plan(g, norm is not None)
    jobs, serial = int(plan[CHUNKS] * plan[BLOCKS]), bool(plan[SERIAL])
    size = jobs * int(plan[PRIVATE_FLOATS])
    private, rows = scratch.floats("private gradients", size), scratch.thread_rows("tile", 1)
    if norm is not None:
        private = scratch.floats("private gradients", size + norm.floats)[: size + norm.floats]
        norm.tabulate(private)
        rows = scratch.thread_rows("normalised rows", _source_floats(g, int(plan[BLOCK_ROWS])))
    arrays = x, dy, dw, db, private
    work = depthwise_outer_rows_3 if g.kernel[0] == 3 else depthwise_outer_rows_5
    launch(work, 0, jobs, serial, arrays, plan, rows)
    launch(work, jobs, g.taps + 1, serial or size < SERIAL_WORK, arrays, plan, rows)
