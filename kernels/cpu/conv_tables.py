"""The work plan of a convolution forward or data-gradient pass, as one int32 array that the kernel walks.

Work is cut by the size of the problem alone: groups of images, slices of their pixels, groups of weight panels.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kernels.cpu.conv_plan import (
    Geometry,
    Pair,
    PixelClass,
    Tables,
    backward_classes,
    even_parts,
    forward_classes,
    over_images,
)
from kernels.cpu.microkernels import ACTIVATIONS, NARROW_ROWS, WIDE, WIDE_ROWS

# Header of the plan: sizes, then where each table begins.
(
    IMAGES,
    GROUP,
    SOURCE_IMAGE,
    TARGET_IMAGE,
    IMAGE_GROUPS,
    SLICES,
    PANEL_GROUPS,
    PANEL_COUNT,
    PACK_JOBS,
    PACK_ROWS,
    SERIAL,
    TAPS,
    INNER,
    TAP_STRIDE,
    INNER_STRIDE,
    LANE_STRIDE,
    REVERSED,
    FACTORS,
    NORM,
    ACTIVATION,
    AHEAD,
    BLOCK,
    TARGET_AHEAD,
    TARGET_SHARE,
    OWN_PANELS,
    PANEL_TABLE,
    SLICE_TABLE,
    SEGMENT_TABLE,
    CLASS_TABLE,
    HEADER,
) = range(30)

#: Columns of a row of the panel table: first weight, first source and target channel, valid outputs.
PANEL_WEIGHT, PANEL_SOURCE, PANEL_TARGET, PANEL_WIDTH, PANEL_FIELDS = range(5)
#: Columns of a row of the class table: pixel and target offsets, pixels in an image, parts, how many.
CLASS_PIXELS, CLASS_TARGETS, CLASS_COUNT, CLASS_PARTS, CLASS_PART_COUNT, CLASS_FIELDS = range(6)

#: Most weight rows in one sum: so much of a panel stays in the second-level cache.
PART_ROWS = 1536
#: Source and target pixels of one job should stay in the second-level cache.
JOB_FLOATS = 48 * 1024
MOST_PIXELS, FEWEST_PIXELS = 1536, 96
#: Weights beyond this many floats are read by as few jobs as possible.
LARGE_WEIGHTS = 128 * 1024
#: With fewer multiply-adds than this, threads cost more than they bring.
SERIAL_WORK = 300_000
FEWEST_JOBS = 16
#: Most floats of panels that a job packs where its thread packed others before.
OWN_FLOATS = 64 * 1024
#: Panels that are packed side by side, so that the rows of the weights are read in longer pieces.
PACK_PANELS = 4
#: Weight rows that are packed for one panel after the other: as many as a set of the first-level cache has ways.
PACK_STEP = 8
#: Source floats that are on their way while tiles compute.
AHEAD_FLOATS = 1024
#: Weights of so many floats stay near enough, and so many targets may not be there when they are written: then these
#: are asked for, a block of whole tiles, wide and narrow, before their turn.
HOT_FLOATS, COLD_FLOATS = 256 * 1024, 64 * 1024
BLOCK_PIXELS = round(96 / math.lcm(WIDE_ROWS, NARROW_ROWS)) * math.lcm(WIDE_ROWS, NARROW_ROWS)
INT32_MAX = 2**31 - 1


@dataclass(frozen=True)
class _Side:
    """Sizes of one pass: from source pixels through weights to target pixels."""

    classes: list[PixelClass]
    source: tuple[int, int, int]
    target: tuple[int, int, int]
    reversed: bool


def _side(g: Geometry, backward: bool) -> _Side:
    if backward:
        return _Side(backward_classes(g), g.output, g.input, True)
    return _Side(forward_classes(g), g.input, g.output, False)


@functools.lru_cache(maxsize=512)
def forward_plan(g: Geometry, activation: str = "none", scaled: bool = False, normalised: bool = False) -> np.ndarray:
    """Plan of the forward pass and what is applied to its sums; weights are (KH, KW, C_in / groups, C_out).

    With `scaled` there are factors of the output channels' weights behind the bias. With `normalised` (products only)
    there is a table of coefficients by which jobs normalise their source pixels first.
    """
    plan = _plan(g, _side(g, False), inner_stride=g.output[2], lane_stride=1)
    plan[ACTIVATION], plan[FACTORS] = ACTIVATIONS[activation], g.output[2] if scaled else 0
    if normalised:
        plan[NORM], plan[AHEAD] = g.output[2], 0
        if plan[IMAGE_GROUPS] > 1:  # else several jobs would normalise the same pixels
            plan[PANEL_GROUPS] = 1
    return plan


@functools.lru_cache(maxsize=512)
def backward_plan(g: Geometry) -> np.ndarray:
    """Plan of the data gradient; weights are the forward pass's."""
    return _plan(g, _side(g, True), inner_stride=1, lane_stride=g.output[2])


@functools.lru_cache(maxsize=512)
def transposed_plan(g: Geometry) -> np.ndarray:
    """Plan of a product whose weights are stored (columns, inner)."""
    return _plan(g, _side(g, False), inner_stride=1, lane_stride=g.input[2])


@functools.lru_cache(maxsize=512)
def depthwise_plan(g: Geometry, backward: bool) -> np.ndarray:
    """Plan of a depthwise pass, forward or data gradient: one panel of all channels, weights not packed."""
    side = _side(g, backward)
    tables = Tables(HEADER)
    h = tables.header
    _sizes(h, g, side, g.output[2])
    _partition(h, g, side, panels=1)
    h[SERIAL] = g.images * np.prod(side.target) * g.taps < SERIAL_WORK
    h[CLASS_TABLE] = _add_classes(tables, g, side, _depthwise_taps)
    h[SLICES] = _add_slices(tables, h, side)
    return tables.finish()


def packed_apart(plan: np.ndarray) -> np.ndarray:
    """The plan with jobs that pack the weights, for those that do so for themselves."""
    if plan[PACK_JOBS]:
        return plan
    apart = plan.copy()
    apart[PACK_JOBS], apart[OWN_PANELS] = -(-int(plan[PANEL_COUNT]) // PACK_PANELS), 0
    return apart


def packed_floats(header: list[int]) -> tuple[int, int]:
    """Floats of the packed weights that all jobs share, and of those of a thread's own.

    Per panel there is one row of first values and one for each tap and source channel.
    """
    panel, own = (header[TAPS] * header[INNER] + 1) * WIDE, header[OWN_PANELS]
    return 0 if own else header[PANEL_COUNT] * panel, own * panel


def _plan(g: Geometry, side: _Side, inner_stride: int, lane_stride: int) -> np.ndarray:
    inner = side.source[2] // g.groups
    panels = _panels(g, side, lane_stride, inner_stride)
    tables = Tables(HEADER)
    h = tables.header
    _sizes(h, g, side, inner)
    h[TAP_STRIDE] = g.input[2] // g.groups * g.output[2]
    h[INNER_STRIDE], h[LANE_STRIDE] = inner_stride, lane_stride
    _partition(h, g, side, len(panels))
    h[PANEL_COUNT], h[PANEL_TABLE] = len(panels), tables.add(panels)
    h[CLASS_TABLE] = _add_classes(tables, g, side, functools.partial(_parts, inner=inner))
    h[SLICES] = _add_slices(tables, h, side)
    jobs = h[IMAGE_GROUPS] * h[SLICES]
    # where each panel has one job only, that job packs it
    h[PACK_JOBS] = 0 if jobs == 1 else -(-len(panels) // PACK_PANELS)
    h[AHEAD] = _ahead(g, inner)
    h[PACK_ROWS] = PACK_STEP if lane_stride == 1 else inner
    h[PANEL_GROUPS] = min(len(panels), max(1, -(-FEWEST_JOBS // max(1, int(jobs)))))
    h[OWN_PANELS] = _own_panels(h)
    if _asks_for_targets(h, g, side):
        h[BLOCK], h[TARGET_SHARE] = BLOCK_PIXELS, WIDE_ROWS * side.target[2] // len(panels)
        h[TARGET_AHEAD] = BLOCK_PIXELS * side.target[2]
    return tables.finish()


def _ahead(g: Geometry, inner: int) -> int:
    """Floats from a tile's first pixel to those that are asked for meanwhile, where pixels lie one behind the other."""
    most = max(WIDE_ROWS, NARROW_ROWS) * inner
    return max(most, AHEAD_FLOATS) if g.is_product and most <= PART_ROWS * WIDE_ROWS else 0


def _asks_for_targets(h: np.ndarray, g: Geometry, side: _Side) -> bool:
    """Whether a block of pixels takes all panels before the next one, whose targets are asked for meanwhile."""
    wide, alone = side.target[2] >= side.source[2], h[PANEL_GROUPS] == 1
    cold = g.images * side.target[2] >= COLD_FLOATS
    return bool(g.is_product and wide and alone and cold and _weights(h) <= HOT_FLOATS)


def _weights(h: np.ndarray) -> int:
    """Floats of all panels, without first values."""
    return int(h[TAPS]) * int(h[INNER]) * int(h[PANEL_COUNT]) * WIDE


def _own_panels(h: np.ndarray) -> int:
    """Panels of a job that packs them for itself, in memory of its thread: if few enough for the second-level cache."""
    panels = -(-int(h[PANEL_COUNT]) // int(h[PANEL_GROUPS]))
    floats = panels * (int(h[TAPS]) * int(h[INNER]) + 1) * WIDE
    return panels if h[PACK_JOBS] == 0 and floats <= OWN_FLOATS else 0


def _sizes(h: np.ndarray, g: Geometry, side: _Side, inner: int) -> None:
    h[IMAGES], h[TAPS], h[INNER], h[REVERSED] = g.images, g.taps, inner, side.reversed
    h[SOURCE_IMAGE], h[TARGET_IMAGE] = np.prod(side.source), np.prod(side.target)


def _panels(g: Geometry, side: _Side, lane_stride: int, inner_stride: int) -> list[list[int]]:
    """Rows of the panel table: each channel group's outputs, WIDE at a time."""
    inner, outputs = side.source[2] // g.groups, side.target[2] // g.groups
    group_stride = inner if side.reversed else outputs  # groups follow each other along C_out
    rows = []
    for group in range(g.groups):
        for first in range(0, outputs, WIDE):
            weight = group * group_stride + first * lane_stride
            width = min(WIDE, outputs - first)
            rows.append([weight, group * inner, group * outputs + first, width])
    return rows


def _partition(h: np.ndarray, g: Geometry, side: _Side, panels: int) -> None:
    """Choose how many images one job takes."""
    pixels = side.target[0] * side.target[1]
    floats = max(1, max(h[SOURCE_IMAGE], h[TARGET_IMAGE]))
    weights = g.taps * int(h[INNER]) * panels * WIDE
    wanted = JOB_FLOATS // (floats // max(1, pixels) + 1)
    if weights >= LARGE_WEIGHTS and panels >= FEWEST_JOBS // 2:
        wanted = 2048
    wanted = min(max(wanted, FEWEST_PIXELS), MOST_PIXELS)
    images = max(1, wanted // max(1, pixels))
    groups = max(1, -(-g.images // images))
    if g.is_product and weights <= HOT_FLOATS and g.images >= FEWEST_JOBS * FEWEST_PIXELS:
        groups = max(groups, FEWEST_JOBS)  # so that jobs take all panels, whose targets lie side by side
    if 1 < groups * panels < FEWEST_JOBS:  # a power of two: of few jobs some threads would get one more than others
        groups = min(g.images, 1 << int(groups - 1).bit_length())
    h[GROUP] = max(1, min(-(-g.images // groups), INT32_MAX // floats))
    h[IMAGE_GROUPS] = -(-g.images // h[GROUP])
    h[SERIAL] = g.images * pixels * int(weights) < SERIAL_WORK


#: One step of the sum over a class's weight rows: (source offset, first weight row, length).
Run = tuple[int, int, int]


def _add_classes(tables: Tables, g: Geometry, side: _Side, parts_of: Callable) -> int:
    """Add the class table; ``parts_of(g, side, class)`` lists the taps, in parts that are summed one after another."""
    h, rows = tables.header, []
    for each in side.classes:
        sources = over_images(each.sources * side.source[2], int(h[SOURCE_IMAGE]), int(h[GROUP]))
        targets = over_images(each.targets * side.target[2], int(h[TARGET_IMAGE]), int(h[GROUP]))
        parts = [[tables.add(taps), len(taps)] for taps in parts_of(g, side, each)]
        at = tables.add(sources), tables.add(targets)
        rows.append([*at, each.targets.size, tables.add(parts), len(parts)])
    return tables.add(rows)


def _depthwise_taps(g: Geometry, side: _Side, each: PixelClass) -> list[list[Pair]]:
    """All taps as one part of pairs (source offset, weight offset)."""
    return [[(shift * side.source[2], tap * side.source[2]) for tap, shift in each.taps]]


def _parts(g: Geometry, side: _Side, each: PixelClass, inner: int) -> list[list[Run]]:
    """The runs of a class in parts of at most PART_ROWS weight rows."""
    runs = _runs(g, side, each, inner)
    total = sum(length for _, _, length in runs)
    return [_cut(runs, low, high) for low, high in even_parts(total, PART_ROWS)]


def _runs(g: Geometry, side: _Side, each: PixelClass, inner: int) -> list[Run]:
    """The taps of a class, neighbours joined where source and packed weights are both contiguous."""
    runs: list[Run] = []
    for tap, shift in each.taps:
        place = g.taps - 1 - tap if side.reversed else tap
        source, row = shift * side.source[2], place * inner
        if runs and (runs[-1][0] + runs[-1][2], runs[-1][1] + runs[-1][2]) == (source, row):
            runs[-1] = (*runs[-1][:2], runs[-1][2] + inner)
        else:
            runs.append((source, row, inner))
    return runs


def _cut(runs: list[Run], low: int, high: int) -> list[Run]:
    """What lies in ``low:high`` when the runs are laid end to end."""
    kept, begin = [], 0
    for source, row, length in runs:
        start, stop = max(low, begin), min(high, begin + length)
        if start < stop:
            kept.append((source + start - begin, row + start - begin, stop - start))
        begin += length
    return kept


def _add_slices(tables: Tables, h: np.ndarray, side: _Side) -> int:
    """Cut the pixels of a group of images into slices: lists of segments (class, first pixel, past the last)."""
    most = 1 << 30 if h[GROUP] > 1 else _segment_pixels(h, side)
    slices: list[list[list[int]]] = [[]]
    filled = 0
    for number, each in enumerate(side.classes):
        for low, high in even_parts(int(each.targets.size * h[GROUP]), most):
            if filled and filled + high - low > most:
                slices.append([])
                filled = 0
            slices[-1].append([number, low, high])
            filled += high - low
    bounds = np.cumsum([0, *map(len, slices)])
    h[SEGMENT_TABLE] = tables.add([segment for part in slices for segment in part])
    h[SLICE_TABLE] = tables.add(bounds)
    return len(slices)


def _segment_pixels(h: np.ndarray, side: _Side) -> int:
    floats = max(side.source[2], side.target[2]) + 1
    return int(min(max(JOB_FLOATS // floats, FEWEST_PIXELS), MOST_PIXELS))
