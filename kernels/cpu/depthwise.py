"""Depthwise convolution: every channel with a filter of its own. Vectors run along the channels.

The usual windows have kernels of their own, in :mod:`kernels.cpu.depthwise_rows`; those here do any other.
"""

from __future__ import annotations

import numpy as np

from kernels.cpu import conv_tables as ct
from kernels.cpu import depthwise_rows, rectifiers, scratch
from kernels.cpu import depthwise_tables as dt
from kernels.cpu.conv_plan import Geometry
from kernels.cpu.depthwise_tiles import (
    DEPTHWISE_PIXELS,
    DEPTHWISE_TAPS,
    depthwise_dot,
    depthwise_outer,
)
from kernels.cpu.jit import inner
from kernels.cpu.launch import body, entry, launch, set_entry
from kernels.cpu.packing import add_floats, add_row_sums, clear_floats, copy_floats

#: With fewer channels than a vector has lanes, the general engine takes over.
FEWEST_CHANNELS = 8


def handles(g: Geometry) -> bool:
    """Whether `g` is a depthwise convolution that the kernels of this file can do."""
    channels = g.input[2]
    return g.groups == channels == g.output[2] and channels >= FEWEST_CHANNELS


# --- forward and data gradient -------------------------------------------------------------------------------


@inner
def _scattered(pixels, outs, count, x, w, start, y, taps, tap_count, channels, scratch_row):
    """Tiles over any `count` pixels; the last tile repeats its last pixel."""
    own_pixels, own_outs = scratch_row, scratch_row + 4 * DEPTHWISE_PIXELS
    for p in range(0, count, DEPTHWISE_PIXELS):
        if p + DEPTHWISE_PIXELS <= count:
            depthwise_dot(x, pixels + 4 * p, taps, tap_count, w, start, y, outs + 4 * p, channels)
            continue
        for r in range(DEPTHWISE_PIXELS):
            set_entry(own_pixels, r, entry(pixels, min(p + r, count - 1)))
            set_entry(own_outs, r, entry(outs, min(p + r, count - 1)))
        depthwise_dot(x, own_pixels, taps, tap_count, w, start, y, own_outs, channels)


@inner
def _segment(segment, images, x, w, start, y, plan, scratch_row):
    """The pixels of one segment."""
    at = entry(plan, ct.CLASS_TABLE) + entry(plan, segment) * ct.CLASS_FIELDS
    low, high = entry(plan, segment + 1), min(entry(plan, segment + 2), images * entry(plan, at + ct.CLASS_COUNT))
    part, channels = entry(plan, at + ct.CLASS_PARTS), entry(plan, ct.INNER)
    taps, tap_count = plan + 4 * entry(plan, part), entry(plan, part + 1)
    pixels = plan + 4 * (entry(plan, at + ct.CLASS_PIXELS) + low)
    outs = plan + 4 * (entry(plan, at + ct.CLASS_TARGETS) + low)
    _scattered(pixels, outs, high - low, x, w, start, y, taps, tap_count, channels, scratch_row)


@body
def depthwise_dots(job, x, w, start, y, unused, plan, scratch_row):
    """One slice of one group of images: ``y = start + sum over taps of x * w``, channel by channel."""
    slices, group = entry(plan, ct.SLICES), entry(plan, ct.GROUP)
    first = job // slices * group
    images = min(group, entry(plan, ct.IMAGES) - first)
    source, target = x + 4 * first * entry(plan, ct.SOURCE_IMAGE), y + 4 * first * entry(plan, ct.TARGET_IMAGE)
    at = entry(plan, ct.SLICE_TABLE) + job % slices
    for number in range(entry(plan, at), entry(plan, at + 1)):
        segment = entry(plan, ct.SEGMENT_TABLE) + 3 * number
        _segment(segment, images, source, w, start, target, plan, scratch_row)


def run(
    g: Geometry,
    backward: bool,
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None,
    y: np.ndarray,
    activation: str = "none",
) -> None:
    """Forward pass from input `x` to output `y`, or data gradient from `x` (dy) to `y` (dx), and an activation."""
    if y.size == 0:
        return
    start = b if b is not None else scratch.zeros(g.input[2])
    if depthwise_rows.handles(g, backward):
        depthwise_rows.run(g, backward, x, w, start, y, activation)
        return
    plan = ct.depthwise_plan(g, backward)
    header = plan[: ct.HEADER].tolist()
    rows = scratch.thread_rows("tile", 2 * DEPTHWISE_PIXELS)
    jobs, serial = header[ct.IMAGE_GROUPS] * header[ct.SLICES], bool(header[ct.SERIAL])
    launch(depthwise_dots, 0, jobs, serial, (x, w, start, y, None), plan, rows)
    rectifiers.activate(y, activation)


# --- weight gradient -----------------------------------------------------------------------------------------


@inner
def _add_pixels(pairs, count, at, x, dy, private, plan):
    """Add `count` pixels to the private gradient, for taps from `at` on.

    Channels beyond a multiple of eight are in the last vector. Its sums lie apart, so that nothing is added twice.
    """
    channels = entry(plan, dt.CHANNELS)
    whole, last = channels & -8, 4 * (channels - 8)
    for tail in range(2 if whole < channels else 1):
        shift, sums, width = (last, private + 4 * whole, 8) if tail else (0, private, whole)
        for t in range(0, entry(plan, at + dt.CLASS_TAPS), DEPTHWISE_TAPS):
            taps = plan + 4 * (entry(plan, at + dt.CLASS_SHIFTS) + t)
            rows = plan + 4 * (entry(plan, at + dt.CLASS_ROWS) + t)
            depthwise_outer(x + shift, taps, pairs, count, dy + shift, sums, rows, width)


@inner
def _chunk_class(low, high, at, x, dy, private, plan):
    """The pixels from `low` to `high` of one class, a few at a time."""
    step = entry(plan, dt.STEP_PIXELS)
    for p in range(low, high, step):
        pairs = plan + 4 * (entry(plan, at + dt.CLASS_PIXELS) + 2 * p)
        _add_pixels(pairs, min(step, high - p), at, x, dy, private, plan)


@inner
def _chunk(chunk, part, x, dy, private, plan):
    """Private gradient of one chunk of images, or of a part of their pixels."""
    parts, images, chunks = entry(plan, dt.SLICES), entry(plan, dt.IMAGES), entry(plan, dt.CHUNKS)
    channels = entry(plan, dt.CHANNELS)
    bias = private + 4 * (entry(plan, dt.TAPS) + 1) * entry(plan, dt.ROW_FLOATS)
    for image in range(chunk * images // chunks, (chunk + 1) * images // chunks):
        source = x + 4 * image * entry(plan, dt.SOURCE_IMAGE)
        gradients = dy + 4 * image * entry(plan, dt.GRADIENT_IMAGE)
        pixels = entry(plan, dt.GRADIENT_IMAGE) // channels
        low, high = pixels * part // parts, pixels * (part + 1) // parts
        add_row_sums(bias, gradients + 4 * low * channels, high - low, channels, channels)
        for number in range(entry(plan, dt.CLASS_COUNT)):
            at = entry(plan, dt.CLASS_TABLE) + number * dt.CLASS_FIELDS
            size = entry(plan, at + dt.CLASS_SIZE)
            _chunk_class(size * part // parts, size * (part + 1) // parts, at, source, gradients, private, plan)


@inner
def _finish(private, dw, db, plan):
    """Sum all private gradients, in order, and copy them out."""
    floats, channels = entry(plan, dt.PRIVATE_FLOATS), entry(plan, dt.CHANNELS)
    for other in range(1, entry(plan, dt.CHUNKS) * entry(plan, dt.SLICES)):
        add_floats(private, private + 4 * other * floats, floats)
    whole = channels & -8
    rest = channels - whole
    for tap in range(entry(plan, dt.TAPS)):
        row, target = private + 4 * tap * entry(plan, dt.ROW_FLOATS), dw + 4 * tap * channels
        copy_floats(target, row, whole)
        copy_floats(target + 4 * whole, row + 4 * (whole + 8 - rest), rest)
    if db:
        copy_floats(db, private + 4 * (entry(plan, dt.TAPS) + 1) * entry(plan, dt.ROW_FLOATS), channels)


@body
def depthwise_weight_gradient(job, x, dy, dw, db, private, plan, scratch_row):
    """The first jobs fill private gradients; the last one adds them up."""
    parts, floats = entry(plan, dt.SLICES), entry(plan, dt.PRIVATE_FLOATS)
    if job < entry(plan, dt.CHUNKS) * parts:
        own = private + 4 * job * floats
        clear_floats(own, floats)
        _chunk(job // parts, job % parts, x, dy, own, plan)
    else:
        _finish(private, dw, db, plan)


def backward_weights(g: Geometry, x: np.ndarray, dy: np.ndarray, dw: np.ndarray, db: np.ndarray | None) -> None:
    """Weight gradient `dw` and, unless None, bias gradient `db`."""
    if x.size == 0 or dy.size == 0:
        dw[...] = 0.0
        if db is not None:
            db[...] = 0.0
        return
    if depthwise_rows.handles(g):
        depthwise_rows.backward_weights(g, x, dy, dw, db)
        return
    plan = dt.weight_plan(g)
    header = plan[: dt.HEADER].tolist()
    jobs, serial = header[dt.CHUNKS] * header[dt.SLICES], bool(header[dt.SERIAL])
    arrays = x, dy, dw, db, scratch.floats("private gradients", jobs * header[dt.PRIVATE_FLOATS])
    rows = scratch.thread_rows("tile", 1)
    launch(depthwise_weight_gradient, 0, jobs, serial, arrays, plan, rows)
    launch(depthwise_weight_gradient, jobs, 1, True, arrays, plan, rows)
