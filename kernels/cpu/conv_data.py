"""The engine behind convolution forward, its data gradient, and matrix products: gathered dot products.

Weights are packed into panels of WIDE outputs. A job walks the pixel classes of some images and, with register tiles
of a few pixels by so many outputs, sums over each pixel's taps straight from the source image.
"""

from __future__ import annotations

import numpy as np

from kernels.cpu import conv_tables as ct
from kernels.cpu import scratch
from kernels.cpu.jit import for_good, has_constants, inner
from kernels.cpu.launch import body, entry, launch, set_entry
from kernels.cpu.microkernels import NARROW, NARROW_ROWS, WIDE, WIDE_ROWS, dot_narrow, dot_wide
from kernels.cpu.normalised import Norm, normalise_pixels
from kernels.cpu.packing import (
    CACHE_LINE,
    ROW_BYTES,
    clear_floats,
    copy_floats,
    copy_rows,
    copy_scaled_rows,
    factors_behind,
    pack_transposed,
)

#: Per-thread scratch: offsets of the rows of a last tile, in whole cache lines; then a job's own panels.
_SCRATCH_FLOATS = -(-2 * max(WIDE_ROWS, NARROW_ROWS) // CACHE_LINE) * CACHE_LINE


@inner
def _pack_rows(low, high, first, last, source, target, panel_bytes, factors, plan):
    """Pack the weight rows from `low` to `high` of one tap, times their factors, for the panels from `first` on."""
    inner_stride, lane_stride = entry(plan, ct.INNER_STRIDE), entry(plan, ct.LANE_STRIDE)
    for panel in range(first, last):
        at = entry(plan, ct.PANEL_TABLE) + panel * ct.PANEL_FIELDS
        width = entry(plan, at + ct.PANEL_WIDTH)
        values = source + 4 * (entry(plan, at + ct.PANEL_WEIGHT) + low * inner_stride)
        rows = target + panel * panel_bytes + low * ROW_BYTES
        if factors:
            own = factors + 4 * entry(plan, at + ct.PANEL_TARGET)
            copy_scaled_rows(rows, own, values, inner_stride, high - low, width)
        elif lane_stride == 1:
            copy_rows(rows, WIDE, values, inner_stride, high - low, width)
        else:
            pack_transposed(values, high - low, lane_stride, width, rows)


@inner
def _pack(first, last, weights, bias, packed, plan):
    """Pack the panels from `first` to `last`: a row of first values (the bias), then rows of weights."""
    inner_rows, taps = entry(plan, ct.INNER), entry(plan, ct.TAPS)
    panel_bytes, factors = (taps * inner_rows + 1) * ROW_BYTES, factors_behind(bias, entry(plan, ct.FACTORS))
    for panel in range(first, last):
        at = entry(plan, ct.PANEL_TABLE) + panel * ct.PANEL_FIELDS
        width, target = entry(plan, at + ct.PANEL_WIDTH), packed + panel * panel_bytes
        clear_floats(target, WIDE if width == WIDE else panel_bytes // 4)
        if bias:
            copy_floats(target, bias + 4 * entry(plan, at + ct.PANEL_TARGET), width)
    step = entry(plan, ct.PACK_ROWS)
    for tap in range(taps):
        place = taps - 1 - tap if entry(plan, ct.REVERSED) else tap
        source = weights + 4 * tap * entry(plan, ct.TAP_STRIDE)
        target = packed + (1 + place * inner_rows) * ROW_BYTES
        for low in range(0, inner_rows, step):
            _pack_rows(low, min(low + step, inner_rows), first, last, source, target, panel_bytes, factors, plan)


@inner
def _tile(x, pixels, rows, taps, tap_count, panel, y, outs, width, more, activation, ahead, stride):
    """One register tile, wide or narrow."""
    if rows == WIDE_ROWS:
        dot_wide(x, pixels, taps, tap_count, panel + ROW_BYTES, panel, y, outs, width, more, activation, ahead, stride)
    else:
        dot_narrow(
            x, pixels, taps, tap_count, panel + ROW_BYTES, panel, y, outs, width, more, activation, ahead, stride
        )


@inner
def _tiles(x, pixels, count, taps, tap_count, panel, width, y, outs, more, activation, asked, table, scratch_row):
    """All tiles of `count` pixels with one panel; the last pixel fills up the rows of the last tile.

    Meanwhile what is at `asked`, unless that is 0, and the offsets in `table` is asked for.
    """
    rows = NARROW_ROWS if width <= NARROW else WIDE_ROWS
    full = rows * (count // rows)
    for p in range(0, full, rows):
        place, stride = (asked + 4 * entry(table, p), rows) if asked else (x, 0)
        _tile(x, pixels + 4 * p, rows, taps, tap_count, panel, y, outs + 4 * p, width, more, activation, place, stride)
    if full < count:
        last_outs = scratch_row + 4 * rows
        for r in range(rows):
            p = min(full + r, count - 1)
            set_entry(scratch_row, r, entry(pixels, p))
            set_entry(last_outs, r, entry(outs, p))
        _tile(x, scratch_row, rows, taps, tap_count, panel, y, last_outs, width, more, activation, x, 0)


@inner
def _asked(panel, x, pixels, y, outs, plan):
    """Where lies what a panel asks for, and offsets from there: its share of later targets, or, the first, sources."""
    if entry(plan, ct.TARGET_AHEAD):
        return y + 4 * (entry(plan, ct.TARGET_AHEAD) + panel * entry(plan, ct.TARGET_SHARE)), outs
    if panel == 0 and entry(plan, ct.AHEAD):
        return x + 4 * entry(plan, ct.AHEAD), pixels
    return 0, pixels


@inner
def _segment(segment, images, x, packed, y, first_panel, last_panel, plan, scratch_row):
    """The pixels of one segment, part by part of the weight rows, panel by panel."""
    at = entry(plan, ct.CLASS_TABLE) + entry(plan, segment) * ct.CLASS_FIELDS
    low = entry(plan, segment + 1)
    count = min(entry(plan, segment + 2), images * entry(plan, at + ct.CLASS_COUNT)) - low
    pixels = plan + 4 * (entry(plan, at + ct.CLASS_PIXELS) + low)
    outs = plan + 4 * (entry(plan, at + ct.CLASS_TARGETS) + low)
    panel_bytes = (entry(plan, ct.TAPS) * entry(plan, ct.INNER) + 1) * ROW_BYTES
    parts, block = entry(plan, at + ct.CLASS_PART_COUNT), entry(plan, ct.BLOCK) or count
    for first in range(0, count, block):
        some, shift = min(block, count - first), 4 * first
        for part in range(parts):
            place = entry(plan, at + ct.CLASS_PARTS) + 2 * part
            taps, tap_count = plan + 4 * entry(plan, place), entry(plan, place + 1)
            activation = entry(plan, ct.ACTIVATION) if part == parts - 1 else 0
            for panel in range(first_panel, last_panel):
                row = entry(plan, ct.PANEL_TABLE) + panel * ct.PANEL_FIELDS
                source = x + 4 * entry(plan, row + ct.PANEL_SOURCE)
                target = y + 4 * entry(plan, row + ct.PANEL_TARGET)
                weights, width = packed + panel * panel_bytes, entry(plan, row + ct.PANEL_WIDTH)
                asked, table = _asked(panel - first_panel, x, pixels, y, outs, plan)
                operands = source, pixels + shift, some, taps, tap_count, weights, width, target, outs + shift
                _tiles(*operands, part, activation, asked, table + shift, scratch_row)


@body
def gathered_dots(job, x, weights, bias, y, packed, plan, scratch_row):
    """The first jobs of `plan` pack weights; each later one does some panels over a slice of a group of images."""
    panels, pack_jobs = entry(plan, ct.PANEL_COUNT), entry(plan, ct.PACK_JOBS)
    if job < pack_jobs:
        _pack(job * panels // pack_jobs, (job + 1) * panels // pack_jobs, weights, bias, packed, plan)
        return
    slices, parts = entry(plan, ct.SLICES), entry(plan, ct.PANEL_GROUPS)
    blocks = entry(plan, ct.IMAGE_GROUPS) * slices
    part, block = (job - pack_jobs) // blocks, (job - pack_jobs) % blocks
    first_panel, last_panel = part * panels // parts, (part + 1) * panels // parts
    panel_bytes = (entry(plan, ct.TAPS) * entry(plan, ct.INNER) + 1) * ROW_BYTES
    own_floats = entry(plan, ct.OWN_PANELS) * panel_bytes // 4
    if pack_jobs == 0:
        if own_floats:
            packed = scratch_row + 4 * _SCRATCH_FLOATS - first_panel * panel_bytes
        _pack(first_panel, last_panel, weights, bias, packed, plan)
    first = block // slices * entry(plan, ct.GROUP)
    images = min(entry(plan, ct.GROUP), entry(plan, ct.IMAGES) - first)
    source, target = x + 4 * first * entry(plan, ct.SOURCE_IMAGE), y + 4 * first * entry(plan, ct.TARGET_IMAGE)
    norm = entry(plan, ct.NORM)
    if norm:
        channels, ready = entry(plan, ct.INNER), scratch_row + 4 * (_SCRATCH_FLOATS + own_floats)
        normalise_pixels(source, ready, images, channels, 0, channels, bias + 4 * norm, channels)
        source = ready
    at = entry(plan, ct.SLICE_TABLE) + block % slices
    for number in range(entry(plan, at), entry(plan, at + 1)):
        segment = entry(plan, ct.SEGMENT_TABLE) + 3 * number
        _segment(segment, images, source, packed, target, first_panel, last_panel, plan, scratch_row)


def _bias_and_table(b: np.ndarray | None, channels: int, norm: Norm) -> np.ndarray:
    """The bias, zeros if there is none, and behind it the table of coefficients of what is in front."""
    b = scratch.zeros(channels) if b is None else b
    place = scratch.floats("bias and coefficients", channels + norm.floats)[: channels + norm.floats]
    norm.tabulate(place, b)
    return place


def run(
    plan: np.ndarray,
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None,
    y: np.ndarray,
    norm: Norm | None = None,
) -> None:
    """Execute `plan`: every target pixel becomes ``y = b + sum over taps of x @ w``.

    Parameters
    ----------
    plan : ndarray of int32
        From :mod:`kernels.cpu.conv_tables`.
    x, w, y : ndarray
        Source pixels, weights and target pixels, C-contiguous float32.
    b : ndarray (target channels,) or None
        Added to every pixel. Where the plan has them, factors of the target channels' weights lie behind it.
    norm : Norm or None
        Normalises the source pixels, if the plan says so.

    The plan's activation is applied to the sums.
    """
    if y.size == 0:
        return
    if has_constants():
        plan = ct.packed_apart(plan)
    header = plan[: ct.HEADER].tolist()
    serial, pack_jobs = bool(header[ct.SERIAL]), header[ct.PACK_JOBS]
    shared, own = ct.packed_floats(header)
    if norm is not None:
        own += header[ct.GROUP] * header[ct.INNER]
        b = _bias_and_table(b, header[ct.NORM], norm)
    arrays = x, w, b, y, scratch.kept("packed weights", shared)
    rows = scratch.thread_rows("tile", _SCRATCH_FLOATS + own)
    if pack_jobs:
        with for_good():
            launch(gathered_dots, 0, pack_jobs, serial, arrays, plan, rows)
    jobs = header[ct.IMAGE_GROUPS] * header[ct.SLICES] * header[ct.PANEL_GROUPS]
    launch(gathered_dots, pack_jobs, jobs, serial, arrays, plan, rows)
