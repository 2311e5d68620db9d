"""Convolutions of few channels, with lanes along pixels: see :mod:`plane_tiles`.

A job does some bands: rows of one target image. The source rows that a band meets are laid out as planes, one a
channel, with zeros around, and the sums of the band are planes too, until they are complete.
"""

from __future__ import annotations

import numpy as np

from kernels.cpu import plane_plan as pp
from kernels.cpu import scratch
from kernels.cpu.conv_plan import Geometry
from kernels.cpu.jit import inner
from kernels.cpu.launch import body, boxed, entry, launch, unboxed
from kernels.cpu.microkernels import TILE_LANES
from kernels.cpu.packing import activate_floats, add_floats, add_row_sums, clear_floats, copy_floats
from kernels.cpu.plane_pooling import copy_bytes, pool_planes_4, pool_planes_6, pool_planes_8
from kernels.cpu.plane_tiles import (
    DOT_VECTORS,
    OUTER_TAPS,
    dot_planes_4,
    dot_planes_6,
    dot_planes_8,
    outer_planes_4,
    outer_planes_6,
    outer_planes_8,
    pixels_of_few_planes,
    pixels_of_planes,
    planes_of_few_pixels,
    planes_of_pixels,
)
from kernels.cpu.simd import LANES, add, lane_total, load, load_scalar, store_scalar
from kernels.cpu.tile_pooling import few_maxima

_DOT_4, _DOT_6, _DOT_8 = (DOT_VECTORS[channels] * TILE_LANES for channels in (4, 6, 8))
_TAPS_4, _TAPS_6, _TAPS_8 = (OUTER_TAPS[channels] for channels in (4, 6, 8))


# --- pixels and planes ---------------------------------------------------------------------------------------


@inner
def _split_row(pixels, width, channels, planes, plane):
    """Write a row of pixels to planes. The last vector overlaps the one before it."""
    if channels == 1:
        copy_floats(planes, pixels, width)
    elif width < LANES:
        for p in range(width):
            for c in range(channels):
                store_scalar(planes + 4 * (c * plane + p), load_scalar(pixels + 4 * (p * channels + c)))
    elif width < TILE_LANES:
        for c in range(0, channels, LANES):
            for p in range(0, width, LANES):
                at, some = min(p, width - LANES), min(LANES, channels - c)
                planes_of_few_pixels(
                    pixels + 4 * (at * channels + c), channels, some, planes + 4 * (c * plane + at), plane
                )
    else:
        for c in range(0, channels, LANES):
            for p in range(0, width, TILE_LANES):
                at, some = min(p, width - TILE_LANES), min(LANES, channels - c)
                planes_of_pixels(pixels + 4 * (at * channels + c), channels, some, planes + 4 * (c * plane + at), plane)


@inner
def _join_row(planes, plane, width, channels, pixels):
    """Write a row of up to eight planes to pixels."""
    if channels == 1:
        copy_floats(pixels, planes, width)
    elif width < LANES:
        for p in range(width):
            for c in range(channels):
                store_scalar(pixels + 4 * (p * channels + c), load_scalar(planes + 4 * (c * plane + p)))
    elif width < TILE_LANES:
        for p in range(0, width, LANES):
            at = min(p, width - LANES)
            pixels_of_few_planes(planes + 4 * at, plane, channels, pixels + 4 * at * channels)
    else:
        for p in range(0, width, TILE_LANES):
            at = min(p, width - TILE_LANES)
            pixels_of_planes(planes + 4 * at, plane, channels, pixels + 4 * at * channels)


@inner
def _clear_row(channels, planes, plane, line):
    for c in range(channels):
        clear_floats(planes + 4 * c * plane, line)


@inner
def _source_planes(x, first, count, planes, plan):
    """Fill the planes of `count` rows of an image from row `first` on, which may lie outside; what is beside is 0."""
    rows, columns, channels = (
        entry(plan, pp.SOURCE_ROWS),
        entry(plan, pp.SOURCE_COLUMNS),
        entry(plan, pp.SOURCE_CHANNELS),
    )
    line, plane = entry(plan, pp.LINE), entry(plan, pp.PLANE)
    for i in range(count):
        row, place = first + i, planes + 4 * i * line
        if row < 0 or row >= rows:
            _clear_row(channels, place, plane, line)
        else:
            _split_row(x + 4 * row * columns * channels, columns, channels, place + 4 * entry(plan, pp.LEFT), plane)


@inner
def _band(band, x, planes, plan):
    """Fill the source planes of a band; return its image, first row, and number of rows."""
    bands, unit = entry(plan, pp.BANDS), entry(plan, pp.UNIT)
    image, part, units = band // bands, band % bands, entry(plan, pp.TARGET_ROWS) // unit
    first, last = units * part // bands * unit, units * (part + 1) // bands * unit
    size = entry(plan, pp.SOURCE_ROWS) * entry(plan, pp.SOURCE_COLUMNS) * entry(plan, pp.SOURCE_CHANNELS)
    count = last - first + entry(plan, pp.REACH)
    _source_planes(x + 4 * image * size, first - entry(plan, pp.TOP), count, planes, plan)
    return image, first, last - first


# --- forward and data gradient -------------------------------------------------------------------------------


@inner
def _pack_weights(weights, bias, packed, plan):
    """A row of weights for every tap, with zeros up to the channels of a tile; a last row of first values."""
    tile, channels, stride = entry(plan, pp.TILE), entry(plan, pp.TARGET_CHANNELS), entry(plan, pp.WEIGHT_STRIDE)
    taps, table = entry(plan, pp.TAPS), entry(plan, pp.WEIGHT_TABLE)
    clear_floats(packed, (taps + 1) * tile)
    for tap in range(taps):
        place, source = packed + 4 * tap * tile, weights + 4 * entry(plan, table + tap)
        for o in range(channels):
            store_scalar(place + 4 * o, load_scalar(source + 4 * o * stride))
    if bias:
        copy_floats(packed + 4 * taps * tile, bias, channels)


@inner
def _dot_tiles(planes, packed, sums, pixels, plan):
    """Sums of `pixels` pixels of the lines of the planes; those between the rows of the target mean nothing."""
    tile, count, plane = entry(plan, pp.TILE), entry(plan, pp.TAPS), entry(plan, pp.TARGET_PLANE)
    taps, start = plan + 4 * entry(plan, pp.TAP_TABLE), packed + 4 * entry(plan, pp.TAPS) * tile
    if tile == 4:
        for p in range(0, pixels, _DOT_4):
            dot_planes_4(planes + 4 * p, taps, count, packed, start, sums + 4 * p, plane)
    elif tile == 6:
        for p in range(0, pixels, _DOT_6):
            dot_planes_6(planes + 4 * p, taps, count, packed, start, sums + 4 * p, plane)
    else:
        for p in range(0, pixels, _DOT_8):
            dot_planes_8(planes + 4 * p, taps, count, packed, start, sums + 4 * p, plane)


@inner
def _write_rows(sums, rows, y, plan):
    """Bring the sums of a band to its pixels."""
    columns, channels, line = entry(plan, pp.TARGET_COLUMNS), entry(plan, pp.TARGET_CHANNELS), entry(plan, pp.LINE)
    for row in range(rows):
        place = y + 4 * row * columns * channels
        _join_row(sums + 4 * row * line, entry(plan, pp.TARGET_PLANE), columns, channels, place)
    if entry(plan, pp.ACTIVATION):
        activate_floats(y, rows * columns * channels, entry(plan, pp.ACTIVATION))


@inner
def _narrow_maxima(sums, pixels, y, winners, plan):
    """Maxima of two rows that are too short for vectors of them: by way of pixels."""
    columns, channels, line = entry(plan, pp.TARGET_COLUMNS), entry(plan, pp.TARGET_CHANNELS), entry(plan, pp.LINE)
    least = np.float32(0.0) if entry(plan, pp.ACTIVATION) else np.float32(np.nan)
    for i in range(2):
        place = pixels + 4 * i * columns * channels
        _join_row(sums + 4 * i * line, entry(plan, pp.TARGET_PLANE), columns, channels, place)
    few_maxima(pixels, y, winners, 2, columns, 1, columns // 2, channels, least, 0)


@inner
def _maxima(sums, y, winners, plan):
    """Maxima of two rows. The last vector overlaps the one before it; some floats behind them are written, too."""
    tile, channels, plane = entry(plan, pp.TILE), entry(plan, pp.TARGET_CHANNELS), entry(plan, pp.TARGET_PLANE)
    line, bounded, count = entry(plan, pp.LINE), entry(plan, pp.ACTIVATION), entry(plan, pp.TARGET_COLUMNS) // 2
    for p in range(0, count, LANES):
        at = min(p, count - LANES)
        target, who = y + 4 * at * channels, winners + at * channels
        if tile == 4:
            pool_planes_4(sums + 8 * at, plane, line, bounded, channels, target, who)
        elif tile == 6:
            pool_planes_6(sums + 8 * at, plane, line, bounded, channels, target, who)
        else:
            pool_planes_8(sums + 8 * at, plane, line, bounded, channels, target, who)


@inner
def _write_maxima(sums, rows, pixels, y, winners, plan):
    """Bring the maxima of a band to their pixels."""
    line, floats = entry(plan, pp.LINE), entry(plan, pp.TARGET_COLUMNS) // 2 * entry(plan, pp.TARGET_CHANNELS)
    for row in range(rows // 2):
        source, place, who = sums + 8 * row * line, y + 4 * row * floats, winners + row * floats
        if entry(plan, pp.TARGET_COLUMNS) < 2 * LANES:
            _narrow_maxima(source, pixels, place, who, plan)
        elif row < rows // 2 - 1:
            _maxima(source, place, who, plan)
        else:  # what lies behind the last row is not this band's
            spare = pixels + 4 * (floats + LANES)
            _maxima(source, pixels, spare, plan)
            copy_floats(place, pixels, floats)
            copy_bytes(who, spare, floats)


@body
def plane_dots(job, x, weights, bias, y, winners, plan, scratch_row):
    """The bands of one job, from source pixels `x` to target pixels `y`, or to those of a pool and its winners."""
    jobs, bands = entry(plan, pp.JOBS), entry(plan, pp.TOTAL_BANDS)
    columns, channels, line = entry(plan, pp.TARGET_COLUMNS), entry(plan, pp.TARGET_CHANNELS), entry(plan, pp.LINE)
    planes, sums = scratch_row + 4 * entry(plan, pp.SOURCE_PLACE), scratch_row + 4 * entry(plan, pp.RESULT_PLACE)
    pixels, who = scratch_row + 4 * entry(plan, pp.PIXEL_PLACE), unboxed(winners)
    _pack_weights(weights, bias, scratch_row, plan)
    clear_floats(planes, entry(plan, pp.SOURCE_CHANNELS) * entry(plan, pp.PLANE))
    for band in range(bands * job // jobs, bands * (job + 1) // jobs):
        image, first, rows = _band(band, x, planes, plan)
        _dot_tiles(planes, scratch_row, sums, (rows - 1) * line + columns, plan)
        at = image * entry(plan, pp.TARGET_ROWS) + first
        if who:
            at = at // 2 * (columns // 2) * channels
            _write_maxima(sums, rows, pixels, y + 4 * at, who + at, plan)
        else:
            _write_rows(sums, rows, y + 4 * at * columns * channels, plan)


def run(
    g: Geometry,
    backward: bool,
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None,
    y: np.ndarray,
    activation: str = "none",
    winners: np.ndarray | None = None,
) -> None:
    """Forward pass from input `x` to output `y`, or data gradient from `x` (dy) to `y` (dx).

    With `winners` (bytes) a forward pass writes maxima over 2x2 tiles and who they are.
    """
    if y.size == 0:
        return
    plan = pp.dot_plan(g, backward, activation, winners is not None)
    header = plan[: pp.HEADER].tolist()
    rows = scratch.thread_rows("planes", header[pp.FLOATS])
    launch(plane_dots, 0, header[pp.JOBS], bool(header[pp.SERIAL]), (x, w, b, y, boxed(winners)), plan, rows)


# --- weight gradient -----------------------------------------------------------------------------------------


@inner
def _outer_tiles(planes, gradients, rows, sums, plan):
    """Add the products of the rows of a band to the sums of all taps, lane by lane."""
    tile, taps, entries = entry(plan, pp.TILE), entry(plan, pp.TAPS), plan + 4 * entry(plan, pp.TAP_TABLE)
    plane, line, target_line = entry(plan, pp.TARGET_PLANE), entry(plan, pp.LINE), entry(plan, pp.TARGET_LINE)
    width, step = entry(plan, pp.TARGET_COLUMNS), 4 * tile * TILE_LANES
    if tile == 4:
        for t in range(0, taps, _TAPS_4):
            place = sums + t * step
            outer_planes_4(planes, entries + 4 * t, gradients, plane, rows, line, target_line, width, place)
    elif tile == 6:
        for t in range(0, taps, _TAPS_6):
            place = sums + t * step
            outer_planes_6(planes, entries + 4 * t, gradients, plane, rows, line, target_line, width, place)
    else:
        for t in range(0, taps, _TAPS_8):
            place = sums + t * step
            outer_planes_8(planes, entries + 4 * t, gradients, plane, rows, line, target_line, width, place)


@inner
def _add_bias(gradients, plane, count, tile, sums):
    """Add the pixels of each plane to its sums, lane by lane."""
    for o in range(tile):
        place = sums + 4 * o * TILE_LANES
        add_row_sums(place, gradients + 4 * o * plane, count // TILE_LANES, TILE_LANES, TILE_LANES)


@inner
def _gradient_planes(dy, rows, planes, plan):
    columns, channels, line = (
        entry(plan, pp.TARGET_COLUMNS),
        entry(plan, pp.TARGET_CHANNELS),
        entry(plan, pp.TARGET_LINE),
    )
    for row in range(rows):
        source = dy + 4 * row * columns * channels
        _split_row(source, columns, channels, planes + 4 * row * line, entry(plan, pp.TARGET_PLANE))


@inner
def _add_lanes(sums, bias, private, plan):
    """Write the totals of all sums: a row of channels for every tap, and one for the bias."""
    tile, taps, channels = entry(plan, pp.TILE), entry(plan, pp.TAPS), entry(plan, pp.TARGET_CHANNELS)
    for tap in range(taps + 1):
        row = sums + 4 * tap * tile * TILE_LANES if tap < taps else bias
        for o in range(channels):
            place = row + 4 * o * TILE_LANES
            total = load(place)
            for lane in range(8, TILE_LANES, 8):
                total = add(total, load(place + 4 * lane))
            store_scalar(private + 4 * (tap * channels + o), lane_total(total))


@inner
def _chunk(job, x, dy, private, sums, plan):
    """Private gradient of the bands of one job."""
    jobs, bands, tile = entry(plan, pp.JOBS), entry(plan, pp.TOTAL_BANDS), entry(plan, pp.TILE)
    plane = entry(plan, pp.TARGET_PLANE)
    pixel_floats = entry(plan, pp.TARGET_COLUMNS) * entry(plan, pp.TARGET_CHANNELS)
    planes, gradients = sums + 4 * entry(plan, pp.SOURCE_PLACE), sums + 4 * entry(plan, pp.RESULT_PLACE)
    bias = planes - 4 * tile * TILE_LANES
    clear_floats(sums, entry(plan, pp.FLOATS))
    for band in range(bands * job // jobs, bands * (job + 1) // jobs):
        image, first, rows = _band(band, x, planes, plan)
        upstream = dy + 4 * (image * entry(plan, pp.TARGET_ROWS) + first) * pixel_floats
        _gradient_planes(upstream, rows, gradients, plan)
        _outer_tiles(planes, gradients, rows, sums, plan)
        _add_bias(gradients, plane, rows * entry(plan, pp.TARGET_LINE), tile, bias)
    _add_lanes(sums, bias, private, plan)


@body
def plane_outers(job, x, dy, dw, db, private, plan, scratch_row):
    """The first jobs fill private gradients; the last one adds them up, in order."""
    jobs, channels = entry(plan, pp.JOBS), entry(plan, pp.TARGET_CHANNELS)
    weights = entry(plan, pp.TAPS) * channels
    size = weights + channels
    if job < jobs:
        _chunk(job, x, dy, private + 4 * job * size, scratch_row, plan)
        return
    for other in range(1, jobs):
        add_floats(private, private + 4 * other * size, size)
    copy_floats(dw, private, weights)
    if db:
        copy_floats(db, private + 4 * weights, channels)


def backward_weights(g: Geometry, x: np.ndarray, dy: np.ndarray, dw: np.ndarray, db: np.ndarray | None) -> None:
    """Weight gradient `dw` and, unless None, bias gradient `db`."""
    plan = pp.outer_plan(g)
    header = plan[: pp.HEADER].tolist()
    jobs, serial = header[pp.JOBS], bool(header[pp.SERIAL])
    private = scratch.floats("private gradients", jobs * (header[pp.TAPS] + 1) * header[pp.TARGET_CHANNELS])
    rows = scratch.thread_rows("planes", header[pp.FLOATS])
    arrays = x, dy, dw, db, private
    launch(plane_outers, 0, jobs, serial, arrays, plan, rows)
    launch(plane_outers, jobs, 1, True, arrays, plan, rows)
