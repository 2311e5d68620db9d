"""Winograd convolution forward, and its data gradient, which is the same with reversed weights.

Lavin and Gray, "Fast algorithms for convolutional neural networks", 2016: tiles of the source are transformed into
planes, one for each point; each plane is multiplied with the plane of the transformed weights; the products are
transformed into outputs. Few weights are transformed once, and a job does all channels of a block of tiles. Of many
weights, a job transforms those of its own panel of outputs, piece by piece, so that they are never written to memory.
"""

from __future__ import annotations

import numpy as np

from kernels.cpu import scratch
from kernels.cpu import winograd_plan as wp
from kernels.cpu.conv_plan import Geometry
from kernels.cpu.jit import for_good, inner
from kernels.cpu.launch import body, entry, launch
from kernels.cpu.microkernels import NARROW, TILE_LANES, WIDE, prefetch_far, prefetch_target
from kernels.cpu.packing import (
    LINE_BYTES,
    ROW_BYTES,
    clear_floats,
    copy_rows,
    copy_scaled_rows,
    factors_behind,
    pack_transposed,
)
from kernels.cpu.winograd_tiles import (
    DOT_ROWS,
    LAST_ROWS,
    NARROW_DOT_ROWS,
    PANEL_VECTORS,
    dot_last,
    dot_rows,
    narrow_dot_last,
    narrow_dot_rows,
)
from kernels.cpu.winograd_transforms import (
    gather_input_2,
    gather_input_4,
    scatter_output_2,
    scatter_output_4,
    spread_weights_2,
    spread_weights_4,
)

#: Bytes of a row of a plane.
_ROW = 4 * TILE_LANES
_STAGE_BYTES = wp.STAGE_ROWS * ROW_BYTES

# --- parts of both ways --------------------------------------------------------------------------------------


@inner
def next_tile(image, i, j, tiles, columns):
    """The tile after (image, row of tiles, column of tiles): quicker than to divide anew."""
    j += 1
    if j == columns:
        i, j = i + 1, 0
        if i * columns == tiles:
            image, i = image + 1, 0
    return image, i, j


@inner
def transform_sources(first, count, x, v, zeros, plan):
    """Transform `count` tiles of the source, with all channels, into the planes at `v`."""
    height, width, channels = entry(plan, wp.SOURCE_H), entry(plan, wp.SOURCE_W), entry(plan, wp.SOURCE_C)
    plane, panel = entry(plan, wp.SOURCE_PLANE), entry(plan, wp.SOURCE_PANEL)
    outputs, tiles, columns = entry(plan, wp.OUTPUTS), entry(plan, wp.IMAGE_TILES), entry(plan, wp.TILES_W)
    size, line, target = outputs + 2, width * channels, v
    image, i, j = first // tiles, first % tiles // columns, first % tiles % columns
    for _ in range(count):
        row, column = i * outputs - entry(plan, wp.PAD_H), j * outputs - entry(plan, wp.PAD_W)
        place = x + 4 * ((image * height + row) * width + column) * channels
        top, bottom, left, right = max(0, -row), min(size, height - row), max(0, -column), min(size, width - column)
        if outputs == 4:
            gather_input_4(place, line, channels, top, bottom, left, right, zeros, channels, target, plane, panel)
        else:
            gather_input_2(place, line, channels, top, bottom, left, right, zeros, channels, target, plane, panel)
        target += _ROW
        image, i, j = next_tile(image, i, j, tiles, columns)


@inner
def pixels_ahead(place, first, count, field, rows, plan):
    """Where the pixels of `count` tiles from `first` on begin, some rows below, and their cache lines for each point.

    The image at `place` has its height, width and channels from entry `field` of the plan on. Being asked for ahead,
    point by point, what misses the caches arrives while products are made, instead of being waited for by a transform.
    """
    line = 4 * entry(plan, field + 1) * entry(plan, field + 2)
    image, tiles = line * entry(plan, field), entry(plan, wp.IMAGE_TILES)
    lines = count * image // (tiles * LINE_BYTES) + 1
    return place + first * image // tiles + rows * line, -(-lines // entry(plan, wp.POINTS))


@inner
def fetch_sources(place, lines):
    """Ask for `lines` cache lines that will be read, in the second-level cache; give the address behind them."""
    for line in range(lines):
        prefetch_far(place + LINE_BYTES * line)
    return place + LINE_BYTES * lines


@inner
def _fetch_targets(place, lines):
    """Ask for `lines` cache lines that will be written; give the address behind them."""
    for line in range(lines):
        prefetch_target(place + LINE_BYTES * line)
    return place + LINE_BYTES * lines


@inner
def _stage_weights(w, low, count, first, width, factors, stage, plan):
    """Copy `count` weight rows of all taps, for the outputs from `first` on, side by side in the order of use.

    They are multiplied by the factors of the outputs, where there are any.
    """
    reverse = entry(plan, wp.REVERSED)
    sources, targets = entry(plan, wp.SOURCE_C), entry(plan, wp.TARGET_C)
    if width < WIDE:
        clear_floats(stage, 9 * wp.STAGE_ROWS * WIDE)
    for tap in range(9):
        values = w + 4 * tap * sources * targets
        if reverse:
            rows = stage + (8 - tap) * _STAGE_BYTES
            pack_transposed(values + 4 * (first * sources + low), count, sources, width, rows)
            continue
        rows, values = stage + tap * _STAGE_BYTES, values + 4 * (low * targets + first)
        if factors:
            copy_scaled_rows(rows, factors + 4 * first, values, targets, count, width)
        else:
            copy_rows(rows, WIDE, values, targets, count, width)


@inner
def _transform_weights(w, low, high, panel, factors, u, stage, plan):
    """Transform the weights from source channels `low` to `high` to a panel of outputs into planes at `u`."""
    first, plane = panel * WIDE, entry(plan, wp.WEIGHT_PLANE)
    width = min(WIDE, entry(plan, wp.TARGET_C) - first)
    for k in range(low, high, wp.STAGE_ROWS):
        count, target = min(wp.STAGE_ROWS, high - k), u + (k - low) * ROW_BYTES
        _stage_weights(w, k, count, first, width, factors, stage, plan)
        if entry(plan, wp.OUTPUTS) == 4:
            spread_weights_4(stage, wp.STAGE_ROWS * WIDE, count * WIDE // TILE_LANES, target, plane)
        else:
            spread_weights_2(stage, wp.STAGE_ROWS * WIDE, count * WIDE // TILE_LANES, target, plane)


@inner
def _multiply(v, depth, u, m, count, width, more, plan):
    """Products of `count` tiles of one plane with one panel of weights."""
    panel, product_panel, t = entry(plan, wp.SOURCE_PANEL), entry(plan, wp.PRODUCT_PANEL), 0
    if width > NARROW:
        while t + DOT_ROWS <= count:
            dot_rows(v + t * _ROW, panel, depth, u, m + t * _ROW, product_panel, more)
            t += DOT_ROWS
        while t < count:
            dot_last(v + t * _ROW, panel, depth, u, m + t * _ROW, product_panel, more)
            t += LAST_ROWS
    else:
        while t + NARROW_DOT_ROWS <= count:
            narrow_dot_rows(v + t * _ROW, panel, depth, u, m + t * _ROW, product_panel, more)
            t += NARROW_DOT_ROWS
        while t < count:
            narrow_dot_last(v + t * _ROW, panel, depth, u, m + t * _ROW, product_panel, more)
            t += LAST_ROWS


@inner
def _transform_products(first, count, m, bias, channels, y, plan):
    """Turn the products of `count` tiles into `channels` channels of the target that begin at `y`."""
    height, width, pixel = entry(plan, wp.TARGET_H), entry(plan, wp.TARGET_W), entry(plan, wp.TARGET_C)
    plane, panel = entry(plan, wp.PRODUCT_PLANE), entry(plan, wp.PRODUCT_PANEL)
    outputs, tiles, columns = entry(plan, wp.OUTPUTS), entry(plan, wp.IMAGE_TILES), entry(plan, wp.TILES_W)
    line, source, activation = width * pixel, m, entry(plan, wp.ACTIVATION)
    image, i, j = first // tiles, first % tiles // columns, first % tiles % columns
    for _ in range(count):
        row, column = i * outputs, j * outputs
        place = y + 4 * ((image * height + row) * width + column) * pixel
        bottom, right = min(outputs, height - row), min(outputs, width - column)
        if outputs == 4:
            scatter_output_4(source, plane, panel, bias, place, line, pixel, bottom, right, channels, activation)
        else:
            scatter_output_2(source, plane, panel, bias, place, line, pixel, bottom, right, channels, activation)
        source += _ROW
        image, i, j = next_tile(image, i, j, tiles, columns)


# --- few weights: a job does all channels of some tiles ------------------------------------------------------


@body
def winograd_by_tiles(job, x, w, bias, y, u, plan, scratch_row):
    """The first jobs transform weights, some source channels of one panel each; later ones do a block of tiles."""
    panels, steps, depth = entry(plan, wp.PANELS), entry(plan, wp.WEIGHT_STEPS), entry(plan, wp.SOURCE_C)
    points, weight_plane = entry(plan, wp.POINTS), entry(plan, wp.WEIGHT_PLANE)
    zeros, rest = scratch_row, scratch_row + 4 * entry(plan, wp.ZEROS)
    if job < panels * steps:
        panel, low = job // steps, job % steps * wp.STAGE_ROWS
        target = u + 4 * panel * points * weight_plane + low * ROW_BYTES
        factors = factors_behind(bias, entry(plan, wp.FACTORS))
        _transform_weights(w, low, min(depth, low + wp.STAGE_ROWS), panel, factors, target, scratch_row, plan)
        return
    clear_floats(zeros, entry(plan, wp.ZEROS))
    first = (job - panels * steps) * entry(plan, wp.BLOCK)
    count = min(entry(plan, wp.BLOCK), entry(plan, wp.TILES) - first)
    v = rest
    m = v if entry(plan, wp.IN_PLACE) else v + 4 * points * entry(plan, wp.SOURCE_PLANE)
    transform_sources(first, count, x, v, zeros, plan)
    channels = entry(plan, wp.TARGET_C)
    next_sources, source_lines = pixels_ahead(x, first + count, count, wp.SOURCE_H, wp.AHEAD_ROWS, plan)
    targets, target_lines = pixels_ahead(y, first, count, wp.TARGET_H, 0, plan)
    for xi in range(points):
        next_sources, targets = fetch_sources(next_sources, source_lines), _fetch_targets(targets, target_lines)
        for panel in range(panels):
            weights = u + 4 * (panel * points + xi) * weight_plane
            before = PANEL_VECTORS * panel * entry(plan, wp.PRODUCT_PANEL)
            target = m + 4 * (xi * entry(plan, wp.PRODUCT_PLANE) + before)
            source = v + 4 * xi * entry(plan, wp.SOURCE_PLANE)
            _multiply(source, depth, weights, target, count, channels - panel * WIDE, 0, plan)
    _transform_products(first, count, m, bias if bias else zeros, channels, y, plan)


# --- many weights: a job does some outputs of some tiles -----------------------------------------------------


@inner
def _panel_products(v, count, w, panel, factors, u, m, stage, plan):
    """Sum the products of one panel over the source channels, piece by piece."""
    depth, width = entry(plan, wp.SOURCE_C), entry(plan, wp.TARGET_C) - panel * WIDE
    step = entry(plan, wp.DEPTH_STEP)
    for low in range(0, depth, step):
        high = min(depth, low + step)
        _transform_weights(w, low, high, panel, factors, u, stage, plan)
        piece = v + 4 * (low // TILE_LANES) * entry(plan, wp.SOURCE_PANEL)
        for xi in range(entry(plan, wp.POINTS)):
            source = piece + 4 * xi * entry(plan, wp.SOURCE_PLANE)
            weights = u + 4 * xi * entry(plan, wp.WEIGHT_PLANE)
            target = m + 4 * xi * entry(plan, wp.PRODUCT_PLANE)
            _multiply(source, high - low, weights, target, count, width, low, plan)


@body
def winograd_by_panels(job, x, w, bias, y, v, plan, scratch_row):
    """For each group of blocks of tiles: the first jobs transform a part of one, later ones do a panel of one."""
    blocks, panels, points = entry(plan, wp.GROUP_BLOCKS), entry(plan, wp.PANELS), entry(plan, wp.POINTS)
    makers = blocks * wp.BLOCK_PARTS
    group, number = job // (makers + blocks * panels), job % (makers + blocks * panels)
    own = number // wp.BLOCK_PARTS if number < makers else (number - makers) // panels
    first = (group * blocks + own) * entry(plan, wp.BLOCK)
    count = min(entry(plan, wp.BLOCK), entry(plan, wp.TILES) - first)
    if count <= 0:
        return
    zeros, rest = scratch_row, scratch_row + 4 * entry(plan, wp.ZEROS)
    clear_floats(zeros, entry(plan, wp.ZEROS))
    v += 4 * own * points * entry(plan, wp.SOURCE_PLANE)
    if number < makers:
        part = number % wp.BLOCK_PARTS
        low, high = part * count // wp.BLOCK_PARTS, (part + 1) * count // wp.BLOCK_PARTS
        transform_sources(first + low, high - low, x, v + low * _ROW, zeros, plan)
        return
    stage, panel = rest, (number - makers) % panels
    u = stage + 9 * _STAGE_BYTES
    m = u + 4 * points * entry(plan, wp.WEIGHT_PLANE)
    _panel_products(v, count, w, panel, factors_behind(bias, entry(plan, wp.FACTORS)), u, m, stage, plan)
    begin = panel * WIDE
    channels, start = min(WIDE, entry(plan, wp.TARGET_C) - begin), bias + 4 * begin if bias else zeros
    _transform_products(first, count, m, start, channels, y + 4 * begin, plan)


# --- entry ---------------------------------------------------------------------------------------------------


def run(
    g: Geometry,
    outputs: int,
    backward: bool,
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None,
    y: np.ndarray,
    activation: str = "none",
    scaled: bool = False,
) -> None:
    """Convolution of `x`, or data gradient where `x` is that of the outputs, written to `y`.

    Parameters
    ----------
    g : Geometry
        One for which :func:`winograd_plan.applies`.
    outputs : int
        Outputs of a tile along an axis, 2 or 4.
    backward : bool
    x, w, y : ndarray
        Source pixels, weights and target pixels, C-contiguous float32.
    b : ndarray (target channels,) or None
    activation : str
        Applied to the outputs.
    scaled : bool
        Whether factors of the target channels' weights lie behind `b`.
    """
    if y.size == 0:
        return
    panels, plan, header = wp.pass_work(g, outputs, backward, activation, scaled)
    (_run_by_panels if panels else _run_by_tiles)(plan, header, x, w, b, y)


def _run_by_tiles(plan, h, x, w, b, y):
    weight_jobs, serial = h[wp.PANELS] * h[wp.WEIGHT_STEPS], bool(h[wp.SERIAL])
    transformed = scratch.kept("winograd planes", h[wp.PANELS] * h[wp.POINTS] * h[wp.WEIGHT_PLANE])
    planes = (wp.SOURCE_PLANE,) if h[wp.IN_PLACE] else (wp.SOURCE_PLANE, wp.PRODUCT_PLANE)
    rows = scratch.thread_rows("winograd", wp.scratch_floats(h, *planes))
    with for_good():
        launch(winograd_by_tiles, 0, weight_jobs, serial or weight_jobs == 1, (x, w, b, y, transformed), plan, rows)
    launch(winograd_by_tiles, weight_jobs, h[wp.BLOCKS], serial, (x, w, b, y, transformed), plan, rows)


def _run_by_panels(plan, h, x, w, b, y):
    blocks, serial = h[wp.GROUP_BLOCKS], bool(h[wp.SERIAL])
    makers, owners = blocks * wp.BLOCK_PARTS, blocks * h[wp.PANELS]
    transformed = scratch.floats("winograd planes", blocks * h[wp.POINTS] * h[wp.SOURCE_PLANE])
    rows = scratch.thread_rows("winograd", wp.scratch_floats(h, wp.WEIGHT_PLANE, wp.PRODUCT_PLANE))
    for group in range(h[wp.GROUPS]):
        first = group * (makers + owners)
        launch(winograd_by_panels, first, makers, serial, (x, w, b, y, transformed), plan, rows)
        launch(winograd_by_panels, first + makers, owners, serial, (x, w, b, y, transformed), plan, rows)
