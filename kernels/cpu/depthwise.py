"""Depthwise convolution: every channel with a filter of its own. Vectors run along the channels."""

from __future__ import annotations

import numpy as np
from numba import get_thread_id, prange

from kernels.cpu import conv_tables as ct
from kernels.cpu import depthwise_tables as dt
from kernels.cpu import scratch
from kernels.cpu.conv_plan import Geometry
from kernels.cpu.jit import inner, kernel
from kernels.cpu.microkernels import DEPTHWISE_PIXELS, DEPTHWISE_TAPS, depthwise_dot, depthwise_outer
from kernels.cpu.packing import add_floats, add_row_sums, clear_floats, copy_floats
from kernels.cpu.simd import address

_NO_BIAS = np.zeros(0, np.float32)
#: With fewer channels than a vector has lanes, the general engine takes over.
FEWEST_CHANNELS = 8


def handles(g: Geometry) -> bool:
    """Whether `g` is a depthwise convolution that the kernels of this file can do."""
    channels = g.input[2]
    return g.groups == channels == g.output[2] and channels >= FEWEST_CHANNELS


# --- forward and data gradient -------------------------------------------------------------------------------


@inner
def _segment(x, w, start, y, plan, segment, images, ints):
    """Tiles over the pixels of one segment; the last tile repeats its last pixel."""
    table = address(plan)
    entry = plan[ct.CLASS_TABLE] + plan[segment] * ct.CLASS_FIELDS
    low = plan[segment + 1]
    high = min(plan[segment + 2], images * plan[entry + ct.CLASS_COUNT])
    part = plan[entry + ct.CLASS_PARTS]
    taps, tap_count = table + 4 * plan[part], plan[part + 1]
    for p in range(low, high, DEPTHWISE_PIXELS):
        pixels, outs = plan[entry + ct.CLASS_PIXELS] + p, plan[entry + ct.CLASS_TARGETS] + p
        at, to = table + 4 * pixels, table + 4 * outs
        if p + DEPTHWISE_PIXELS > high:
            for r in range(DEPTHWISE_PIXELS):
                ints[r] = plan[pixels + min(r, high - p - 1)]
                ints[DEPTHWISE_PIXELS + r] = plan[outs + min(r, high - p - 1)]
            at = address(ints)
            to = at + 4 * DEPTHWISE_PIXELS
        depthwise_dot(x, at, taps, tap_count, w, start, y, to, plan[ct.INNER])


@inner
def _job(job, x, w, start, y, plan, ints):
    """One slice of one group of images."""
    first = job // plan[ct.SLICES] * plan[ct.GROUP]
    images = min(plan[ct.GROUP], plan[ct.IMAGES] - first)
    source, target = x + 4 * first * plan[ct.SOURCE_IMAGE], y + 4 * first * plan[ct.TARGET_IMAGE]
    entry = plan[ct.SLICE_TABLE] + job % plan[ct.SLICES]
    for segment in range(plan[entry], plan[entry + 1]):
        _segment(source, w, start, target, plan, plan[ct.SEGMENT_TABLE] + 3 * segment, images, ints)


@kernel("void(f4[::1], f4[::1], f4[::1], f4[::1], i4[::1], i4[:,::1])")
def depthwise_dots(x, w, start, y, plan, ints):
    """Every target pixel of `plan`: ``y = start + sum over taps of x * w``, channel by channel."""
    jobs = plan[ct.IMAGE_GROUPS] * plan[ct.SLICES]
    at_x, at_w, at_start, at_y = address(x), address(w), address(start), address(y)
    if plan[ct.SERIAL]:
        for job in range(jobs):
            _job(job, at_x, at_w, at_start, at_y, plan, ints[0])
    else:
        for job in prange(jobs):
            _job(job, at_x, at_w, at_start, at_y, plan, ints[get_thread_id()])


def run(g: Geometry, backward: bool, x: np.ndarray, w: np.ndarray, b: np.ndarray | None, y: np.ndarray) -> None:
    """Forward pass from input `x` to output `y`, or data gradient from `x` (dy) to `y` (dx)."""
    if y.size == 0:
        return
    start = b
    if b is None:
        start = scratch.floats("no bias", g.input[2])
        start[...] = 0.0
    ints = scratch.thread_rows("tile pixels", 2 * DEPTHWISE_PIXELS, np.int32)
    plan = ct.depthwise_plan(g, backward)
    depthwise_dots(x.reshape(-1), w.reshape(-1), start, y.reshape(-1), plan, ints)


# --- weight gradient -----------------------------------------------------------------------------------------


@inner
def _step(x, dy, plan, entry, pairs, count, private):
    """Add `count` pixels to the private gradient, nine taps at a time; a vector of its own holds the last channels."""
    table, channels = address(plan), plan[dt.CHANNELS]
    whole, last = channels & -8, 4 * (channels - 8)
    for t in range(0, plan[entry + dt.CLASS_TAPS], DEPTHWISE_TAPS):
        taps = table + 4 * (plan[entry + dt.CLASS_SHIFTS] + t)
        rows = table + 4 * (plan[entry + dt.CLASS_ROWS] + t)
        depthwise_outer(x, taps, pairs, count, dy, private, rows, whole)
        if whole < channels:
            depthwise_outer(x + last, taps, pairs, count, dy + last, private + 4 * whole, rows, 8)


@inner
def _chunk(job, x, dy, plan, private):
    """Private gradient of one chunk of images, or of a slice of their pixels."""
    clear_floats(private, plan[dt.PRIVATE_FLOATS])
    chunk, part, parts = job // plan[dt.SLICES], job % plan[dt.SLICES], plan[dt.SLICES]
    bias = private + 4 * (plan[dt.TAPS] + 1) * plan[dt.ROW_FLOATS]
    channels, last = plan[dt.CHANNELS], (chunk + 1) * plan[dt.IMAGES] // plan[dt.CHUNKS]
    for first in range(chunk * plan[dt.IMAGES] // plan[dt.CHUNKS], last):
        source, gradient = x + 4 * first * plan[dt.SOURCE_IMAGE], dy + 4 * first * plan[dt.GRADIENT_IMAGE]
        pixels = plan[dt.GRADIENT_IMAGE] // channels
        low, high = pixels * part // parts, pixels * (part + 1) // parts
        add_row_sums(bias, gradient + 4 * low * channels, high - low, channels, channels)
        for number in range(plan[dt.CLASS_COUNT]):
            entry = plan[dt.CLASS_TABLE] + number * dt.CLASS_FIELDS
            size = plan[entry + dt.CLASS_SIZE]
            low, high = size * part // parts, size * (part + 1) // parts
            for p in range(low, high, plan[dt.STEP_PIXELS]):
                pairs = address(plan) + 4 * (plan[entry + dt.CLASS_PIXELS] + 2 * p)
                _step(source, gradient, plan, entry, pairs, min(plan[dt.STEP_PIXELS], high - p), private)


@inner
def _add_chunks(private, plan, chunk_bytes):
    """Sum all private gradients, in order, into the first."""
    for other in range(1, plan[dt.CHUNKS] * plan[dt.SLICES]):
        add_floats(private, private + other * chunk_bytes, plan[dt.PRIVATE_FLOATS])


@inner
def _unpack(private, plan, dw, db, has_bias):
    channels = plan[dt.CHANNELS]
    whole = channels & -8
    rest = channels - whole
    for tap in range(plan[dt.TAPS]):
        row, target = private + 4 * tap * plan[dt.ROW_FLOATS], dw + 4 * tap * channels
        copy_floats(target, row, whole)
        copy_floats(target + 4 * whole, row + 4 * (whole + 8 - rest), rest)
    if has_bias:
        copy_floats(db, private + 4 * (plan[dt.TAPS] + 1) * plan[dt.ROW_FLOATS], channels)


@kernel("void(f4[::1], f4[::1], f4[::1], f4[::1], i4[::1], f4[:,::1])")
def depthwise_weight_gradient(x, dy, dw, db, plan, private):
    """Weight and bias gradient; `db` is empty where there is no bias."""
    jobs, chunk_bytes = plan[dt.CHUNKS] * plan[dt.SLICES], 4 * private.shape[1]
    at_x, at_dy, base = address(x), address(dy), address(private)
    if plan[dt.SERIAL]:
        for job in range(jobs):
            _chunk(job, at_x, at_dy, plan, base + job * chunk_bytes)
    else:
        for job in prange(jobs):
            _chunk(job, at_x, at_dy, plan, base + job * chunk_bytes)
    _add_chunks(base, plan, chunk_bytes)
    _unpack(base, plan, address(dw), address(db), db.size > 0)


def backward_weights(g: Geometry, x: np.ndarray, dy: np.ndarray, dw: np.ndarray, db: np.ndarray | None) -> None:
    """Weight gradient `dw` and, unless None, bias gradient `db`."""
    bias = _NO_BIAS if db is None else db
    if x.size == 0 or dy.size == 0:
        dw[...] = 0.0
        bias[...] = 0.0
        return
    plan = dt.weight_plan(g)
    jobs, floats = int(plan[dt.CHUNKS] * plan[dt.SLICES]), int(plan[dt.PRIVATE_FLOATS])
    private = scratch.floats("private gradients", jobs * floats)[: jobs * floats].reshape(jobs, floats)
    depthwise_weight_gradient(x.reshape(-1), dy.reshape(-1), dw.reshape(-1), bias, plan, private)
