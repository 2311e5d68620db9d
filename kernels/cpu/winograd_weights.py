"""Weight gradients by Winograd tiles: each plane of the source is multiplied with the same plane of output gradients.

The transposed algorithm of :mod:`winograd`. Sums over few weights are private to a job, which does a chunk of the
tiles, and are added in order. Of many weights, a job owns some and walks all tiles, which were transformed before.
Where these are too many for that, they come in groups, and a job owns one plane: it alone reads what belongs to it.
"""

from __future__ import annotations

import numpy as np

from kernels.cpu import scratch
from kernels.cpu import winograd_plan as wp
from kernels.cpu.conv_plan import Geometry
from kernels.cpu.jit import inner
from kernels.cpu.launch import body, entry, launch
from kernels.cpu.microkernels import NARROW, TILE_LANES, WIDE
from kernels.cpu.packing import ROW_BYTES, add_floats, add_row_sums, clear_floats, copy_floats
from kernels.cpu.winograd import fetch_sources, next_tile, pixels_ahead, transform_sources
from kernels.cpu.winograd_tiles import OUTER_ROWS, outer_narrow_rows, outer_wide_rows
from kernels.cpu.winograd_transforms import (
    collect_weights_2,
    collect_weights_4,
    gather_gradient_2,
    gather_gradient_4,
)

# --- parts of both ways --------------------------------------------------------------------------------------


@inner
def _transform_gradients(first, count, dy, z, zeros, plan):
    """Transform the output gradients of `count` tiles into the planes at `z`."""
    height, width, channels = entry(plan, wp.TARGET_H), entry(plan, wp.TARGET_W), entry(plan, wp.TARGET_C)
    plane, panel = entry(plan, wp.PRODUCT_PLANE), entry(plan, wp.PRODUCT_PANEL)
    outputs, tiles, columns = entry(plan, wp.OUTPUTS), entry(plan, wp.IMAGE_TILES), entry(plan, wp.TILES_W)
    line, target = width * channels, z
    image, i, j = first // tiles, first % tiles // columns, first % tiles % columns
    for _ in range(count):
        row, column = i * outputs, j * outputs
        place = dy + 4 * ((image * height + row) * width + column) * channels
        bottom, right = min(outputs, height - row), min(outputs, width - column)
        if outputs == 4:
            gather_gradient_4(place, line, channels, 0, bottom, 0, right, zeros, channels, target, plane, panel)
        else:
            gather_gradient_2(place, line, channels, 0, bottom, 0, right, zeros, channels, target, plane, panel)
        target += ROW_BYTES
        image, i, j = next_tile(image, i, j, tiles, columns)


@inner
def _add_plane(v, z, count, channels, first_panel, last_panel, sums, more, plan):
    """Add the products of `count` tiles, over some channels and panels, to the sums of one point."""
    for panel in range(first_panel, last_panel):
        gradients = z + 4 * panel * entry(plan, wp.PRODUCT_PANEL)
        rows = sums + (panel - first_panel) * entry(plan, wp.SUM_ROWS) * ROW_BYTES
        wide = entry(plan, wp.TARGET_C) - panel * WIDE > NARROW
        for c in range(0, channels, OUTER_ROWS):
            source = v + 4 * (c // TILE_LANES * entry(plan, wp.SOURCE_PANEL) + c % TILE_LANES)
            if wide:
                outer_wide_rows(source, gradients, count, rows + c * ROW_BYTES, more)
            else:
                outer_narrow_rows(source, gradients, count, rows + c * ROW_BYTES, more)


@inner
def _add_products(v, z, count, channels, first_panel, last_panel, u, more, x, dy, ahead, plan):
    """Add the products of `count` tiles, over some channels and panels, to the sums of all points.

    Unless `ahead` is 0, the pixels of tiles from there on are asked for meanwhile.
    """
    x, source_lines = pixels_ahead(x, ahead, count, wp.SOURCE_H, wp.AHEAD_ROWS, plan)
    dy, gradient_lines = pixels_ahead(dy, ahead, count, wp.TARGET_H, wp.AHEAD_ROWS, plan)
    for xi in range(entry(plan, wp.POINTS)):
        if ahead:
            x, dy = fetch_sources(x, source_lines), fetch_sources(dy, gradient_lines)
        sources, gradients = v + 4 * xi * entry(plan, wp.SOURCE_PLANE), z + 4 * xi * entry(plan, wp.PRODUCT_PLANE)
        sums = u + 4 * xi * entry(plan, wp.SUM_PLANE)
        _add_plane(sources, gradients, count, channels, first_panel, last_panel, sums, more, plan)


@inner
def _collect(u, low, high, panel, dw, plan):
    """Turn the sums at `u`, of channels `low` to `high` and one panel, into weight gradients."""
    channels, outputs = entry(plan, wp.SOURCE_C), entry(plan, wp.TARGET_C)
    width, tap, plane = min(WIDE, outputs - panel * WIDE), channels * outputs, entry(plan, wp.SUM_PLANE)
    for c in range(low, high):
        source, target = u + (c - low) * ROW_BYTES, dw + 4 * (c * outputs + panel * WIDE)
        if entry(plan, wp.OUTPUTS) == 4:
            collect_weights_4(source, plane, target, tap, width)
        else:
            collect_weights_2(source, plane, target, tap, width)


@inner
def _sum_bias(part, parts, dy, partial, plan):
    """Sum the output gradients of one part of all pixels."""
    outputs = entry(plan, wp.TARGET_C)
    pixels = entry(plan, wp.IMAGES) * entry(plan, wp.TARGET_H) * entry(plan, wp.TARGET_W)
    low, high = part * pixels // parts, (part + 1) * pixels // parts
    target = partial + 4 * part * entry(plan, wp.ZEROS)
    clear_floats(target, outputs)
    add_row_sums(target, dy + 4 * low * outputs, high - low, outputs, outputs)


@inner
def _add_bias(parts, partial, db, plan):
    """Add the parts in order."""
    outputs = entry(plan, wp.TARGET_C)
    copy_floats(db, partial, outputs)
    for part in range(1, parts):
        add_floats(db, partial + 4 * part * entry(plan, wp.ZEROS), outputs)


# --- few weights: private sums over a chunk of the tiles -----------------------------------------------------


@inner
def _chunk(chunk, x, dy, u, plan, scratch_row):
    """Private sums of one chunk of tiles, block by block."""
    chunks, tiles, step = entry(plan, wp.CHUNKS), entry(plan, wp.TILES), entry(plan, wp.BLOCK)
    zeros, v = scratch_row, scratch_row + 4 * entry(plan, wp.ZEROS)
    z = v + 4 * entry(plan, wp.POINTS) * entry(plan, wp.SOURCE_PLANE)
    clear_floats(zeros, entry(plan, wp.ZEROS))
    begin, end = chunk * tiles // chunks, (chunk + 1) * tiles // chunks
    for first in range(begin, end, step):
        count = min(step, end - first)
        transform_sources(first, count, x, v, zeros, plan)
        _transform_gradients(first, count, dy, z, zeros, plan)
        _add_products(
            v,
            z,
            count,
            entry(plan, wp.SOURCE_C),
            0,
            entry(plan, wp.PANELS),
            u,
            first - begin,
            x,
            dy,
            first + count,
            plan,
        )


@body
def winograd_weight_chunks(job, x, dy, dw, db, private, plan, scratch_row):
    """The first jobs fill private sums; later ones add them up, some source channels of a panel each."""
    chunks, steps, points = entry(plan, wp.CHUNKS), entry(plan, wp.WEIGHT_STEPS), entry(plan, wp.POINTS)
    plane = entry(plan, wp.SUM_PLANE)
    floats, bias = points * plane, private + 4 * chunks * points * plane
    if job < chunks:
        _chunk(job, x, dy, private + 4 * job * floats, plan, scratch_row)
        if db:
            _sum_bias(job, chunks, dy, bias, plan)
        return
    panel, low = (job - chunks) // steps, (job - chunks) % steps * wp.STAGE_ROWS
    high = min(low + wp.STAGE_ROWS, entry(plan, wp.SOURCE_C))
    sums = private + (panel * entry(plan, wp.SUM_ROWS) + low) * ROW_BYTES
    for xi in range(points):
        place = sums + 4 * xi * plane
        for other in range(1, chunks):
            add_floats(place, place + 4 * other * floats, (high - low) * WIDE)
    _collect(sums, low, high, panel, dw, plan)
    if db and job == chunks:
        _add_bias(chunks, bias, db, plan)


# --- many weights: tiles are transformed before ---------------------------------------------------------------


@inner
def _transform_part(group, number, x, dy, db, planes, zeros, plan):
    """Transform source and output gradients of a part of one block of a group into the block's planes."""
    own, part = number // wp.BLOCK_PARTS, number % wp.BLOCK_PARTS
    block = group * entry(plan, wp.GROUP_BLOCKS) + own
    if block >= entry(plan, wp.BLOCKS):
        return
    clear_floats(zeros, entry(plan, wp.ZEROS))
    first, place = block * entry(plan, wp.BLOCK), planes + 4 * own * entry(plan, wp.BLOCK_PLANES)
    tiles = min(entry(plan, wp.BLOCK), entry(plan, wp.TILES) - first)
    low, high = part * tiles // wp.BLOCK_PARTS, (part + 1) * tiles // wp.BLOCK_PARTS
    transform_sources(first + low, high - low, x, place + 4 * low * TILE_LANES, zeros, plan)
    z = place + 4 * entry(plan, wp.POINTS) * entry(plan, wp.SOURCE_PLANE) + low * ROW_BYTES
    _transform_gradients(first + low, high - low, dy, z, zeros, plan)
    if db and part == 0:
        _sum_bias(block, entry(plan, wp.BLOCKS), dy, _bias(planes, plan), plan)


@inner
def _bias(planes, plan):
    """Where the sums of the bias lie, behind the planes of a group."""
    return planes + 4 * entry(plan, wp.GROUP_BLOCKS) * entry(plan, wp.BLOCK_PLANES)


# --- one group: every job owns some weights -------------------------------------------------------------------


@inner
def _own_weights(number, planes, dw, u, plan):
    """Sum some weights over all blocks, and write them."""
    parts, channels, panels = entry(plan, wp.PANEL_BLOCKS), entry(plan, wp.BLOCK_CHANNELS), entry(plan, wp.BLOCK_PANELS)
    low, first = number // parts * channels, number % parts * panels
    high, last = min(low + channels, entry(plan, wp.SOURCE_C)), min(first + panels, entry(plan, wp.PANELS))
    tiles, step = entry(plan, wp.TILES), entry(plan, wp.BLOCK)
    gradients = 4 * entry(plan, wp.POINTS) * entry(plan, wp.SOURCE_PLANE)
    for block in range(entry(plan, wp.BLOCKS)):
        own = planes + 4 * block * entry(plan, wp.BLOCK_PLANES)
        v = own + 4 * (low // TILE_LANES) * entry(plan, wp.SOURCE_PANEL)
        count = min(step, tiles - block * step)
        _add_products(v, own + gradients, count, high - low, first, last, u, block, 0, 0, 0, plan)
    for panel in range(first, last):
        _collect(u + (panel - first) * entry(plan, wp.SUM_ROWS) * ROW_BYTES, low, high, panel, dw, plan)


@body
def winograd_weight_blocks(job, x, dy, dw, db, planes, plan, scratch_row):
    """The first jobs transform a part of a block of tiles, later ones own channels and panels."""
    makers = entry(plan, wp.GROUP_BLOCKS) * wp.BLOCK_PARTS
    if job < makers:
        _transform_part(0, job, x, dy, db, planes, scratch_row, plan)
        return
    if db and job == makers:
        _add_bias(entry(plan, wp.BLOCKS), _bias(planes, plan), db, plan)
    _own_weights(job - makers, planes, dw, scratch_row, plan)


# --- several groups: every job owns one plane ------------------------------------------------------------------


@inner
def _own_plane(group, xi, planes, u, plan):
    """Add one group of blocks to the sums of one point; they begin anew with the first group of a span."""
    blocks, tiles, step = entry(plan, wp.GROUP_BLOCKS), entry(plan, wp.TILES), entry(plan, wp.BLOCK)
    channels, panels, more = entry(plan, wp.SOURCE_C), entry(plan, wp.PANELS), group % entry(plan, wp.SPAN_GROUPS)
    v = planes + 4 * xi * entry(plan, wp.SOURCE_PLANE)
    z = planes + 4 * (entry(plan, wp.POINTS) * entry(plan, wp.SOURCE_PLANE) + xi * entry(plan, wp.PRODUCT_PLANE))
    sums = u + 4 * xi * entry(plan, wp.SUM_PLANE)
    for block in range(group * blocks, min((group + 1) * blocks, entry(plan, wp.BLOCKS))):
        _add_plane(v, z, min(step, tiles - block * step), channels, 0, panels, sums, more, plan)
        v, z, more = v + 4 * entry(plan, wp.BLOCK_PLANES), z + 4 * entry(plan, wp.BLOCK_PLANES), 1
    _end_span(group, sums, sums + 4 * entry(plan, wp.POINTS) * entry(plan, wp.SUM_PLANE), plan)


@inner
def _end_span(group, sums, total, plan):
    """At the end of a span of groups, add its sums to the total of the spans, unless it is the only one."""
    span, floats, last = entry(plan, wp.SPAN_GROUPS), entry(plan, wp.SUM_PLANE), entry(plan, wp.GROUPS) - 1
    if last < span:
        return
    if group == span - 1:
        copy_floats(total, sums, floats)
    elif group == last or group % span == span - 1:
        add_floats(total, sums, floats)


@body
def winograd_weight_planes(job, x, dy, dw, db, planes, plan, scratch_row):
    """Of each group the first jobs transform a part of a block, later ones own a plane. The last jobs collect sums."""
    makers, points = entry(plan, wp.GROUP_BLOCKS) * wp.BLOCK_PARTS, entry(plan, wp.POINTS)
    group, number, bias = job // (makers + points), job % (makers + points), _bias(planes, plan)
    u = bias + 4 * entry(plan, wp.BLOCKS) * entry(plan, wp.ZEROS)
    if group < entry(plan, wp.GROUPS):
        if number < makers:
            _transform_part(group, number, x, dy, db, planes, scratch_row, plan)
        else:
            _own_plane(group, number - makers, planes, u, plan)
        return
    number = job - entry(plan, wp.GROUPS) * (makers + points)
    if db and number == 0:
        _add_bias(entry(plan, wp.BLOCKS), bias, db, plan)
    if entry(plan, wp.GROUPS) > entry(plan, wp.SPAN_GROUPS):
        u += 4 * points * entry(plan, wp.SUM_PLANE)
    steps = entry(plan, wp.WEIGHT_STEPS)
    panel, low = number // steps, number % steps * wp.STAGE_ROWS
    high = min(low + wp.STAGE_ROWS, entry(plan, wp.SOURCE_C))
    _collect(u + (panel * entry(plan, wp.SUM_ROWS) + low) * ROW_BYTES, low, high, panel, dw, plan)


# --- entry ---------------------------------------------------------------------------------------------------


def run(g: Geometry, outputs: int, x: np.ndarray, dy: np.ndarray, dw: np.ndarray, db: np.ndarray | None) -> None:
    """Weight gradient `dw` and, unless None, bias gradient `db` of the convolution `g`.

    Parameters
    ----------
    g : Geometry
        One for which :func:`winograd_plan.applies`.
    outputs : int
        Outputs of a tile along an axis, 2 or 4.
    x, dy, dw : ndarray
    db : ndarray (outputs,) or None
    """
    if x.size == 0 or dy.size == 0:
        dw[...] = 0.0
        if db is not None:
            db[...] = 0.0
        return
    way, plan, header = wp.weight_work(g, outputs)
    _WAYS[way](plan, header, x, dy, dw, db)


def _run_chunks(plan, h, x, dy, dw, db):
    chunks, serial = h[wp.CHUNKS], bool(h[wp.SERIAL])
    private = scratch.floats("winograd sums", chunks * (h[wp.POINTS] * h[wp.SUM_PLANE] + h[wp.ZEROS]))
    rows = scratch.thread_rows("winograd", wp.scratch_floats(h, wp.SOURCE_PLANE, wp.PRODUCT_PLANE))
    launch(winograd_weight_chunks, 0, chunks, serial or chunks == 1, (x, dy, dw, db, private), plan, rows)
    jobs = h[wp.PANELS] * h[wp.WEIGHT_STEPS]
    launch(winograd_weight_chunks, chunks, jobs, serial or jobs == 1, (x, dy, dw, db, private), plan, rows)


def _run_blocks(plan, h, x, dy, dw, db):
    makers, owners = h[wp.GROUP_BLOCKS] * wp.BLOCK_PARTS, h[wp.CHANNEL_BLOCKS] * h[wp.PANEL_BLOCKS]
    serial, planes = bool(h[wp.SERIAL]), scratch.floats("winograd planes", wp.block_floats(h))
    arrays, rows = (x, dy, dw, db, planes), scratch.thread_rows("winograd", wp.scratch_floats(h, wp.SUM_PLANE))
    launch(winograd_weight_blocks, 0, makers, serial, arrays, plan, rows)
    launch(winograd_weight_blocks, makers, owners, serial or owners == 1, arrays, plan, rows)


def _run_planes(plan, h, x, dy, dw, db):
    makers, points, planes = h[wp.GROUP_BLOCKS] * wp.BLOCK_PARTS, h[wp.POINTS], wp.block_floats(h)
    planes = scratch.floats("winograd planes", planes + 2 * points * h[wp.SUM_PLANE])
    arrays, rows = (x, dy, dw, db, planes), scratch.thread_rows("winograd", wp.scratch_floats(h))
    for first in range(0, h[wp.GROUPS] * (makers + points), makers + points):
        launch(winograd_weight_planes, first, makers, False, arrays, plan, rows)
        launch(winograd_weight_planes, first + makers, points, False, arrays, plan, rows)
    done, jobs = h[wp.GROUPS] * (makers + points), h[wp.PANELS] * h[wp.WEIGHT_STEPS]
    launch(winograd_weight_planes, done, jobs, False, arrays, plan, rows)


_WAYS = {"chunks": _run_chunks, "blocks": _run_blocks, "planes": _run_planes}
