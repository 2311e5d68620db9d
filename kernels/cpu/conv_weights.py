"""Weight gradients: sums of outer products of source pixels and output gradients. See :mod:`weight_tables`."""

from __future__ import annotations

import numpy as np

from kernels.cpu import packed_products, pointwise_weights, scratch, small_products
from kernels.cpu import weight_tables as wt
from kernels.cpu.conv_plan import Geometry
from kernels.cpu.jit import inner
from kernels.cpu.launch import body, entry, launch
from kernels.cpu.microkernels import (
    NARROW,
    NARROW_RUN,
    WIDE,
    WIDE_ROWS,
    outer_narrow,
    outer_narrow_run,
    outer_wide,
    outer_wide_run,
)
from kernels.cpu.packing import (
    ROW_BYTES,
    add_floats,
    add_row_sums,
    clear_floats,
    copy_floats,
    copy_rows,
    gather_rows,
)

# --- chunks: private gradients of small weights --------------------------------------------------------------


@inner
def _pack_gradients(dy, pixels, packed, plan):
    """Pack the gradients of `pixels` pixels by panels."""
    outputs = entry(plan, wt.OUTPUTS)
    for panel in range(entry(plan, wt.PANEL_COUNT)):
        at = entry(plan, wt.PANEL_TABLE) + panel * wt.PANEL_FIELDS
        source, width = dy + 4 * entry(plan, at + wt.PANEL_OUTPUT), entry(plan, at + wt.PANEL_WIDTH)
        target = packed + panel * pixels * ROW_BYTES
        if width < WIDE:
            clear_floats(target, pixels * WIDE)
        copy_rows(target, WIDE, source, outputs, pixels, width)


@inner
def _add_bias(gradients, panel_bytes, low, high, private, plan):
    """Add the gradients from pixel `low` to `high` to the bias rows."""
    panel_rows, unit = entry(plan, wt.ROWS) + wt.SPARE_ROWS, entry(plan, wt.UNIT)
    for panel in range(entry(plan, wt.PANEL_COUNT)):
        bias = private + ((panel + 1) * panel_rows - 1) * ROW_BYTES
        place = gradients + panel * panel_bytes + low * 4 * unit
        add_row_sums(bias, place, high - low, unit, min(unit, WIDE))


@inner
def _outer_tile(x, entries, run, pairs, count, gradients, sums, rows, narrow):
    """One register tile of outer products, added to the private gradient."""
    if narrow and run:
        outer_narrow_run(x, entries, pairs, count, gradients, sums, rows, 1)
    elif narrow:
        outer_narrow(x, entries, pairs, count, gradients, sums, rows, 1)
    elif run:
        outer_wide_run(x, entries, pairs, count, gradients, sums, rows, 1)
    else:
        outer_wide(x, entries, pairs, count, gradients, sums, rows, 1)


@inner
def _chunk_pixels(pairs, count, at, x, packed, panel_bytes, private, plan):
    """Add the outer products of a few pixels of one class to the private gradient."""
    entries, rows = plan + 4 * entry(plan, at + wt.CLASS_ENTRIES), plan + 4 * entry(plan, at + wt.CLASS_ROWS)
    runs, panel_rows = entry(plan, at + wt.CLASS_RUNS), entry(plan, wt.ROWS) + wt.SPARE_ROWS
    narrow = entry(plan, entry(plan, wt.PANEL_TABLE) + wt.PANEL_WIDTH) <= NARROW
    step = 4 * (NARROW_RUN if narrow else WIDE_ROWS)
    for panel in range(entry(plan, wt.PANEL_COUNT)):
        row = entry(plan, wt.PANEL_TABLE) + panel * wt.PANEL_FIELDS
        source = x + 4 * entry(plan, row + wt.PANEL_SOURCE)
        gradients, sums = packed + panel * panel_bytes, private + panel * panel_rows * ROW_BYTES
        for tile in range(entry(plan, at + wt.CLASS_TILES)):
            at_tile, run = tile * step, entry(plan, runs + tile)
            _outer_tile(source, entries + at_tile, run, pairs, count, gradients, sums, rows + at_tile, narrow)


@inner
def _chunk(chunk, part, x, dy, bias, private, packed, plan):
    """Private gradient of one chunk of images, or of a part of their pixels."""
    parts, images, chunks = entry(plan, wt.SLICES), entry(plan, wt.IMAGES), entry(plan, wt.CHUNKS)
    last, packs = (chunk + 1) * images // chunks, entry(plan, wt.PACKS)
    for first in range(chunk * images // chunks, last, entry(plan, wt.GROUP)):
        count = min(entry(plan, wt.GROUP), last - first)
        pixels = count * entry(plan, wt.PIXELS)
        source = x + 4 * first * entry(plan, wt.SOURCE_IMAGE)
        gradients = dy + 4 * first * entry(plan, wt.GRADIENT_IMAGE)
        panel_bytes = ROW_BYTES
        if packs:
            _pack_gradients(gradients, pixels, packed, plan)
            gradients, panel_bytes = packed, pixels * ROW_BYTES
        if bias:
            _add_bias(gradients, panel_bytes, pixels * part // parts, pixels * (part + 1) // parts, private, plan)
        for number in range(entry(plan, wt.CLASS_COUNT)):
            at = entry(plan, wt.CLASS_TABLE) + number * wt.CLASS_FIELDS
            members = count * entry(plan, at + wt.CLASS_SIZE)
            low, high = members * part // parts, members * (part + 1) // parts
            steps = (high - low + entry(plan, wt.STEP) - 1) // entry(plan, wt.STEP)
            for step in range(steps):
                begin, end = low + (high - low) * step // steps, low + (high - low) * (step + 1) // steps
                pairs = plan + 4 * (entry(plan, at + wt.CLASS_PIXELS) + 2 * begin)
                _chunk_pixels(pairs, end - begin, at, source, gradients, panel_bytes, private, plan)


@inner
def _add_chunks(row, panel, private, dw, db, plan):
    """Sum one row of a panel over the private gradients, in order: a row of the weights, or past them the bias."""
    rows, outputs = entry(plan, wt.ROWS), entry(plan, wt.OUTPUTS)
    at = entry(plan, wt.PANEL_TABLE) + panel * wt.PANEL_FIELDS
    chunk_rows = entry(plan, wt.PANEL_COUNT) * (rows + wt.SPARE_ROWS)
    target = dw + 4 * row * outputs
    if row == rows:
        row, target = row + 1, db
    place = private + (panel * (rows + wt.SPARE_ROWS) + row) * ROW_BYTES
    for other in range(1, entry(plan, wt.CHUNKS) * entry(plan, wt.SLICES)):
        add_floats(place, place + other * chunk_rows * ROW_BYTES, WIDE)
    copy_floats(target + 4 * entry(plan, at + wt.PANEL_OUTPUT), place, entry(plan, at + wt.PANEL_WIDTH))


@body
def weight_gradient_chunks(job, x, dy, dw, db, private, plan, scratch_row):
    """The first jobs fill private gradients; later ones add them up, one panel of outputs each."""
    parts = entry(plan, wt.SLICES)
    chunks = entry(plan, wt.CHUNKS) * parts
    if job < chunks:
        floats = entry(plan, wt.PANEL_COUNT) * (entry(plan, wt.ROWS) + wt.SPARE_ROWS) * WIDE
        own = private + 4 * job * floats
        clear_floats(own, floats)
        _chunk(job // parts, job % parts, x, dy, db, own, scratch_row, plan)
        return
    for row in range(entry(plan, wt.ROWS) + (1 if db else 0)):
        _add_chunks(row, job - chunks, private, dw, db, plan)


# --- blocks: every job owns a part of large weights ----------------------------------------------------------


@inner
def _block_pixels(pairs, count, x, channels, dy, width, more, scratch_row, plan):
    """Copy the channels and gradients of `count` pixels side by side; add their outer products to the block's sums.

    Sums begin anew where `more` is 0. They have whole tiles: rows and columns past the block's own are never read.
    """
    inner_floats, output_floats = entry(plan, wt.BLOCK_INNER), entry(plan, wt.BLOCK_OUTPUTS)
    sources = scratch_row + 4 * inner_floats * output_floats
    gradients = sources + 4 * entry(plan, wt.STEP) * inner_floats
    gather_rows(sources, inner_floats, x, pairs, count, channels)
    gather_rows(gradients, output_floats, dy, pairs + 4, count, width)
    steps, outs = plan + 4 * entry(plan, wt.STEP_TABLE), plan + 4 * entry(plan, wt.OUT_ROWS)
    for first in range(0, width, WIDE):
        for c in range(0, channels, WIDE_ROWS):
            entries = plan + 4 * (entry(plan, wt.ENTRY_ROWS) + c)
            target = scratch_row + 4 * (c * output_floats + first)
            outer_wide_run(sources, entries, steps, count, gradients + 4 * first, target, outs, more)


@inner
def _block(tap, x, channels, dy, width, dw, scratch_row, plan):
    """One block of the weights: some source channels of one tap by some outputs, over all images."""
    images, group, step = entry(plan, wt.IMAGES), entry(plan, wt.GROUP), entry(plan, wt.STEP)
    at = entry(plan, wt.TAP_TABLE) + tap * wt.TAP_FIELDS
    size, table = entry(plan, at + wt.TAP_SIZE), entry(plan, at + wt.TAP_PIXELS)
    row_floats, outputs = entry(plan, wt.BLOCK_OUTPUTS), entry(plan, wt.OUTPUTS)
    if size == 0:
        clear_floats(scratch_row, channels * row_floats)
    more = 0
    for first in range(0, images, group):
        pixels = min(group, images - first) * size
        source = x + 4 * first * entry(plan, wt.SOURCE_IMAGE)
        gradients = dy + 4 * first * entry(plan, wt.GRADIENT_IMAGE)
        for low in range(0, pixels, step):
            count, pairs = min(step, pixels - low), plan + 4 * (table + 2 * low)
            _block_pixels(pairs, count, source, channels, gradients, width, more, scratch_row, plan)
            more = 1
    for c in range(channels):
        copy_floats(dw + 4 * c * outputs, scratch_row + 4 * c * row_floats, width)


@body
def weight_gradient_blocks(job, x, dy, dw, db, unused, plan, scratch_row):
    """A job does one block of the weights: tap, channels and outputs; jobs past the last tap sum the bias."""
    panel_groups, outputs = entry(plan, wt.PANEL_GROUPS), entry(plan, wt.OUTPUTS)
    panels, part = entry(plan, wt.PANEL_COUNT), job % panel_groups
    first = part * panels // panel_groups * WIDE
    width = min(outputs, (part + 1) * panels // panel_groups * WIDE) - first
    blocks, channels = entry(plan, wt.INNER_BLOCKS), entry(plan, wt.INNER)
    block, tap = job // panel_groups % blocks, job // panel_groups // blocks
    dy += 4 * first
    if tap == entry(plan, wt.TAPS):
        clear_floats(db + 4 * first, width)
        pixels = entry(plan, wt.IMAGES) * entry(plan, wt.PIXELS)
        add_row_sums(db + 4 * first, dy, pixels, outputs, width)
        return
    tiles = entry(plan, wt.INNER_TILES)
    low, high = block * tiles // blocks * WIDE_ROWS, min(channels, (block + 1) * tiles // blocks * WIDE_ROWS)
    target = dw + 4 * ((tap * channels + low) * outputs + first)
    _block(tap, x + 4 * low, high - low, dy, width, target, scratch_row, plan)


# --- entry ---------------------------------------------------------------------------------------------------


def is_pointwise(g: Geometry) -> bool:
    """Whether :mod:`pointwise_weights` sums the gradient of `g`."""
    return pointwise_weights.applies(g) and not packed_products.applies(g)


def run(g: Geometry, x: np.ndarray, dy: np.ndarray, dw: np.ndarray, db: np.ndarray | None) -> None:
    """Weight gradient `dw` and, unless None, bias gradient `db` of the convolution or product `g`."""
    if x.size == 0 or dy.size == 0:
        dw[...] = 0.0
        if db is not None:
            db[...] = 0.0
    elif packed_products.applies(g):
        packed_products.backward_weights(g, x, dy, dw, db)
    elif is_pointwise(g):
        pointwise_weights.run(g, x, dy, dw, db)
    elif small_products.sums_apply(g):
        small_products.backward_weights(g, x, dy, dw, db)
    elif wt.uses_blocks(g):
        _run_blocks(wt.block_plan(g), x, dy, dw, db)
    else:
        _run_chunks(wt.chunk_plan(g), x, dy, dw, db)


def _run_chunks(plan, x, dy, dw, db):
    header = plan[: wt.HEADER].tolist()
    chunks, panels, serial = header[wt.CHUNKS] * header[wt.SLICES], header[wt.PANEL_COUNT], bool(header[wt.SERIAL])
    private_floats, packed_floats = wt.chunk_floats(header)
    arrays = x, dy, dw, db, scratch.floats("private gradients", chunks * private_floats)
    rows = scratch.thread_rows("packed pixels", packed_floats)
    launch(weight_gradient_chunks, 0, chunks, serial, arrays, plan, rows)
    small = chunks * private_floats < wt.SERIAL_SUMS
    launch(weight_gradient_chunks, chunks, panels, small, arrays, plan, rows)


def _run_blocks(plan, x, dy, dw, db):
    header = plan[: wt.HEADER].tolist()
    jobs = (header[wt.TAPS] * header[wt.INNER_BLOCKS] + (db is not None)) * header[wt.PANEL_GROUPS]
    rows = scratch.thread_rows("packed pixels", wt.block_floats(header))
    launch(weight_gradient_blocks, 0, jobs, bool(header[wt.SERIAL]), (x, dy, dw, db, None), plan, rows)
