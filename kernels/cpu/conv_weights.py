"""Weight gradients: sums of outer products of source pixels and output gradients. See :mod:`weight_tables`."""

from __future__ import annotations

import numpy as np
from numba import get_thread_id, prange

from kernels.cpu import scratch
from kernels.cpu import weight_tables as wt
from kernels.cpu.conv_plan import Geometry
from kernels.cpu.jit import inner, kernel
from kernels.cpu.microkernels import NARROW, NARROW_ROWS, WIDE, WIDE_ROWS, outer_narrow, outer_wide
from kernels.cpu.packing import ROW_BYTES, add_floats, add_row_sums, clear_floats, copy_floats, pack_rows
from kernels.cpu.simd import address

_NO_BIAS = np.zeros(0, np.float32)


# --- chunks: private gradients of small weights --------------------------------------------------------------


@inner
def _pack_gradients(dy, pixels, low, high, plan, private, packed):
    """Pack the gradients of `pixels` pixels by panels and add those from `low` to `high` to the bias rows.

    Returns the address of the packed panels.
    """
    panel_rows = plan[wt.ROWS] + wt.SPARE_ROWS
    in_place = plan[wt.OUTPUTS] == WIDE and plan[wt.PANEL_COUNT] == 1
    for panel in range(plan[wt.PANEL_COUNT]):
        target = packed + panel * pixels * ROW_BYTES
        if in_place:
            target = dy
        else:
            entry = plan[wt.PANEL_TABLE] + panel * wt.PANEL_FIELDS
            source = dy + 4 * plan[entry + wt.PANEL_OUTPUT]
            pack_rows(source, pixels, plan[wt.OUTPUTS], 1, plan[entry + wt.PANEL_WIDTH], target)
        bias = private + ((panel + 1) * panel_rows - 1) * ROW_BYTES
        add_row_sums(bias, target + low * ROW_BYTES, high - low, WIDE, WIDE)
    return dy if in_place else packed


@inner
def _step(x, pairs, count, plan, entry, packed, private, width):
    """Add the outer products of `count` pixels to one panel of the private gradient, for all entries of a class."""
    table = address(plan)
    entries, rows = table + 4 * plan[entry + wt.CLASS_ENTRIES], table + 4 * plan[entry + wt.CLASS_ROWS]
    if width > NARROW:
        for e in range(0, plan[entry + wt.CLASS_ENTRY_COUNT], WIDE_ROWS):
            outer_wide(x, entries + 4 * e, pairs, count, packed, private, rows + 4 * e, 1)
    else:
        for e in range(0, plan[entry + wt.CLASS_ENTRY_COUNT], NARROW_ROWS):
            outer_narrow(x, entries + 4 * e, pairs, count, packed, private, rows + 4 * e, 1)


@inner
def _chunk_class(x, packed, pixels, images, part, plan, entry, private):
    """The pixels of one class and one slice of a group of images."""
    count = images * plan[entry + wt.CLASS_SIZE]
    low, high = count * part // plan[wt.SLICES], count * (part + 1) // plan[wt.SLICES]
    steps = (high - low + wt.STEP_PIXELS - 1) // wt.STEP_PIXELS
    panel_rows = plan[wt.ROWS] + wt.SPARE_ROWS
    for step in range(steps):
        first = low + (high - low) * step // steps
        length = low + (high - low) * (step + 1) // steps - first
        pairs = address(plan) + 4 * (plan[entry + wt.CLASS_PIXELS] + 2 * first)
        for panel in range(plan[wt.PANEL_COUNT]):
            row = plan[wt.PANEL_TABLE] + panel * wt.PANEL_FIELDS
            source = x + 4 * plan[row + wt.PANEL_SOURCE]
            gradients, sums = packed + panel * pixels * ROW_BYTES, private + panel * panel_rows * ROW_BYTES
            _step(source, pairs, length, plan, entry, gradients, sums, plan[row + wt.PANEL_WIDTH])


@inner
def _chunk(job, x, dy, plan, private, packed):
    """Private gradient of one chunk of images, or of a slice of their pixels."""
    clear_floats(private, plan[wt.PANEL_COUNT] * (plan[wt.ROWS] + wt.SPARE_ROWS) * WIDE)
    chunk, part = job // plan[wt.SLICES], job % plan[wt.SLICES]
    last = (chunk + 1) * plan[wt.IMAGES] // plan[wt.CHUNKS]
    for first in range(chunk * plan[wt.IMAGES] // plan[wt.CHUNKS], last, plan[wt.GROUP]):
        images = min(plan[wt.GROUP], last - first)
        pixels = images * (plan[wt.GRADIENT_IMAGE] // plan[wt.OUTPUTS])
        low, high = pixels * part // plan[wt.SLICES], pixels * (part + 1) // plan[wt.SLICES]
        source = x + 4 * first * plan[wt.SOURCE_IMAGE]
        gradients = dy + 4 * first * plan[wt.GRADIENT_IMAGE]
        gradients = _pack_gradients(gradients, pixels, low, high, plan, private, packed)
        for number in range(plan[wt.CLASS_COUNT]):
            entry = plan[wt.CLASS_TABLE] + number * wt.CLASS_FIELDS
            _chunk_class(source, gradients, pixels, images, part, plan, entry, private)


@inner
def _add_chunks(row, panel, plan, private, chunk_bytes, target):
    """Sum one row of sixteen over the chunks, in order, into `target`."""
    entry = plan[wt.PANEL_TABLE] + panel * wt.PANEL_FIELDS
    place = private + (panel * (plan[wt.ROWS] + wt.SPARE_ROWS) + row) * ROW_BYTES
    for other in range(1, plan[wt.CHUNKS] * plan[wt.SLICES]):
        add_floats(place, place + other * chunk_bytes, WIDE)
    copy_floats(target + 4 * plan[entry + wt.PANEL_OUTPUT], place, plan[entry + wt.PANEL_WIDTH])


@kernel("void(f4[::1], f4[::1], f4[::1], f4[::1], i4[::1], f4[:,::1], f4[:,::1])")
def weight_gradient_chunks(x, dy, dw, db, plan, private, packed):
    """Weight and bias gradient; `db` is empty where there is no bias."""
    jobs = plan[wt.CHUNKS] * plan[wt.SLICES]
    at_x, at_dy, at_dw, at_db, base = address(x), address(dy), address(dw), address(db), address(private)
    chunk_bytes = 4 * private.shape[1]
    if plan[wt.SERIAL]:
        for job in range(jobs):
            _chunk(job, at_x, at_dy, plan, base + job * chunk_bytes, address(packed))
    else:
        for job in prange(jobs):
            _chunk(job, at_x, at_dy, plan, base + job * chunk_bytes, address(packed[get_thread_id()]))
    for panel in range(plan[wt.PANEL_COUNT]):
        for row in range(plan[wt.ROWS]):
            _add_chunks(row, panel, plan, base, chunk_bytes, at_dw + 4 * row * plan[wt.OUTPUTS])
        if db.size > 0:
            _add_chunks(plan[wt.ROWS] + 1, panel, plan, base, chunk_bytes, at_db)


# --- blocks: every job owns a part of large weights ----------------------------------------------------------


@inner
def _pack_step(x, dy, pairs, count, channels, first_panel, last_panel, plan, sources, gradients):
    """Copy the channels and gradients of `count` pixels side by side."""
    for p in range(count):
        source, gradient = x + 4 * plan[pairs + 2 * p], dy + 4 * plan[pairs + 2 * p + 1]
        copy_floats(sources + 4 * p * plan[wt.BLOCK_INNER], source, channels)
        for panel in range(first_panel, last_panel):
            entry = plan[wt.PANEL_TABLE] + panel * wt.PANEL_FIELDS
            target = gradients + ((panel - first_panel) * wt.STEP_PIXELS + p) * ROW_BYTES
            copy_floats(target, gradient + 4 * plan[entry + wt.PANEL_OUTPUT], plan[entry + wt.PANEL_WIDTH])


@inner
def _block_tiles(sources, gradients, count, channels, width, plan, more, dw, tile):
    """All tiles of one panel: `count` packed pixels' outer products, added to `dw` where `more` is not 0."""
    table = address(plan)
    pairs, outs = table + 4 * plan[wt.STEP_TABLE], table + 4 * plan[wt.OUT_ROWS]
    for c in range(0, channels, WIDE_ROWS):
        entries = table + 4 * (plan[wt.ENTRY_ROWS] + c)
        target = dw + 4 * c * plan[wt.OUTPUTS]
        if c + WIDE_ROWS <= channels and width == WIDE:
            outer_wide(sources, entries, pairs, count, gradients, target, outs, more)
            continue
        outer_wide(sources, entries, pairs, count, gradients, tile, table + 4 * plan[wt.TILE_ROWS], 0)
        for r in range(min(WIDE_ROWS, channels - c)):
            row = target + 4 * r * plan[wt.OUTPUTS]
            if more:
                add_floats(row, tile + r * ROW_BYTES, width)
            else:
                copy_floats(row, tile + r * ROW_BYTES, width)


@inner
def _clear_block(dw, channels, first_panel, last_panel, plan):
    for panel in range(first_panel, last_panel):
        entry = plan[wt.PANEL_TABLE] + panel * wt.PANEL_FIELDS
        for c in range(channels):
            place = dw + 4 * (c * plan[wt.OUTPUTS] + plan[entry + wt.PANEL_OUTPUT])
            clear_floats(place, plan[entry + wt.PANEL_WIDTH])


@inner
def _block(tap, first_channel, channels, first_panel, last_panel, x, dy, dw, plan, packed, tile):
    """One block of the weights: some source channels of one tap by some panels of outputs, over all images."""
    dw = dw + 4 * (tap * plan[wt.INNER] + first_channel) * plan[wt.OUTPUTS]
    entry = plan[wt.TAP_TABLE] + tap * wt.TAP_FIELDS
    if plan[entry + wt.TAP_SIZE] == 0:
        _clear_block(dw, channels, first_panel, last_panel, plan)
    gradients = packed + 4 * wt.STEP_PIXELS * plan[wt.BLOCK_INNER]
    more = 0
    for first in range(0, plan[wt.IMAGES], plan[wt.GROUP]):
        images = min(plan[wt.GROUP], plan[wt.IMAGES] - first)
        source = x + 4 * (first * plan[wt.SOURCE_IMAGE] + first_channel)
        gradient = dy + 4 * first * plan[wt.GRADIENT_IMAGE]
        pixels = images * plan[entry + wt.TAP_SIZE]
        for low in range(0, pixels, wt.STEP_PIXELS):
            count, pairs = min(wt.STEP_PIXELS, pixels - low), plan[entry + wt.TAP_PIXELS] + 2 * low
            _pack_step(
                source, gradient, pairs, count, channels, first_panel, last_panel, plan, packed, gradients
            )
            for panel in range(first_panel, last_panel):
                row = plan[wt.PANEL_TABLE] + panel * wt.PANEL_FIELDS
                right = gradients + (panel - first_panel) * wt.STEP_PIXELS * ROW_BYTES
                width, target = plan[row + wt.PANEL_WIDTH], dw + 4 * plan[row + wt.PANEL_OUTPUT]
                _block_tiles(packed, right, count, channels, width, plan, more, target, tile)
            more = 1


@inner
def _bias_sums(dy, db, first_panel, last_panel, plan):
    """Bias gradient of some panels: sums over all pixels."""
    pixels = plan[wt.IMAGES] * (plan[wt.GRADIENT_IMAGE] // plan[wt.OUTPUTS])
    for panel in range(first_panel, last_panel):
        entry = plan[wt.PANEL_TABLE] + panel * wt.PANEL_FIELDS
        shift, width = 4 * plan[entry + wt.PANEL_OUTPUT], plan[entry + wt.PANEL_WIDTH]
        clear_floats(db + shift, width)
        add_row_sums(db + shift, dy + shift, pixels, plan[wt.OUTPUTS], width)


@inner
def _block_job(job, x, dy, dw, db, plan, packed, tile):
    """Job number -> (tap, block of channels, group of panels); jobs past the last tap sum the bias."""
    panel_group, job = job % plan[wt.PANEL_GROUPS], job // plan[wt.PANEL_GROUPS]
    first_panel = panel_group * plan[wt.PANEL_COUNT] // plan[wt.PANEL_GROUPS]
    last_panel = (panel_group + 1) * plan[wt.PANEL_COUNT] // plan[wt.PANEL_GROUPS]
    block, tap = job % plan[wt.INNER_BLOCKS], job // plan[wt.INNER_BLOCKS]
    if tap == plan[wt.TAPS]:
        _bias_sums(dy, db, first_panel, last_panel, plan)
        return
    low = block * plan[wt.INNER] // plan[wt.INNER_BLOCKS]
    high = (block + 1) * plan[wt.INNER] // plan[wt.INNER_BLOCKS]
    _block(tap, low, high - low, first_panel, last_panel, x, dy, dw, plan, packed, tile)


@kernel("void(f4[::1], f4[::1], f4[::1], f4[::1], i4[::1], f4[:,::1], f4[:,::1])")
def weight_gradient_blocks(x, dy, dw, db, plan, packed, tiles):
    """Weight and bias gradient; `db` is empty where there is no bias."""
    jobs = plan[wt.TAPS] * plan[wt.INNER_BLOCKS] * plan[wt.PANEL_GROUPS]
    if db.size > 0:
        jobs += plan[wt.PANEL_GROUPS]
    at_x, at_dy, at_dw, at_db = address(x), address(dy), address(dw), address(db)
    if plan[wt.SERIAL]:
        for job in range(jobs):
            _block_job(job, at_x, at_dy, at_dw, at_db, plan, address(packed), address(tiles))
    else:
        for job in prange(jobs):
            thread = get_thread_id()
            _block_job(job, at_x, at_dy, at_dw, at_db, plan, address(packed[thread]), address(tiles[thread]))


# --- entry ---------------------------------------------------------------------------------------------------


def run(g: Geometry, x: np.ndarray, dy: np.ndarray, dw: np.ndarray, db: np.ndarray | None) -> None:
    """Weight gradient `dw` and, unless None, bias gradient `db` of the convolution or product `g`."""
    bias = _NO_BIAS if db is None else db
    arrays = x.reshape(-1), dy.reshape(-1), dw.reshape(-1), bias
    if x.size == 0 or dy.size == 0:
        dw[...] = 0.0
        bias[...] = 0.0
    elif wt.uses_blocks(g):
        plan = wt.block_plan(g)
        packed = scratch.thread_rows("packed pixels", wt.block_floats(plan))
        weight_gradient_blocks(*arrays, plan, packed, scratch.thread_rows("tile", WIDE_ROWS * WIDE))
    else:
        plan = wt.chunk_plan(g)
        private_floats, packed_floats = wt.chunk_floats(plan)
        chunks = int(plan[wt.CHUNKS] * plan[wt.SLICES])
        private = scratch.floats("private gradients", chunks * private_floats)
        private = private[: chunks * private_floats].reshape(chunks, private_floats)
        packed = scratch.thread_rows("packed pixels", packed_floats)
        weight_gradient_chunks(*arrays, plan, private, packed)
