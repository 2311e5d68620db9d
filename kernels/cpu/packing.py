"""Copying floats into the layouts that the register tiles read. Addresses are in bytes, strides in floats."""

from __future__ import annotations

import numpy as np

from kernels.cpu.jit import inner
from kernels.cpu.launch import entry
from kernels.cpu.microkernels import ACTIVATIONS, WIDE, prefetch, transpose_block
from kernels.cpu.simd import add, load, load_scalar, mul, splat, store, store_scalar

ROW_BYTES = 4 * WIDE
#: Floats of a cache line.
CACHE_LINE = 16
LINE_BYTES = 4 * CACHE_LINE
#: Rows that lie far apart are asked for so many rows before they are copied.
_AHEAD = 8
_INFINITY = np.float32(np.inf)
_RELU6 = ACTIVATIONS["relu6"]


@inner
def copy_floats(target, source, count):
    """Copy `count` floats."""
    whole = count & -8
    for i in range(0, whole, 8):
        store(target + 4 * i, load(source + 4 * i))
    for i in range(whole, count):
        store_scalar(target + 4 * i, load_scalar(source + 4 * i))


@inner
def add_floats(target, source, count):
    """``target += source`` for `count` floats."""
    whole = count & -8
    for i in range(0, whole, 8):
        store(target + 4 * i, add(load(target + 4 * i), load(source + 4 * i)))
    for i in range(whole, count):
        store_scalar(target + 4 * i, load_scalar(target + 4 * i) + load_scalar(source + 4 * i))


@inner
def clear_floats(target, count):
    """Set `count` floats to zero."""
    zero = splat(0.0)
    whole = count & -8
    for i in range(0, whole, 8):
        store(target + 4 * i, zero)
    for i in range(whole, count):
        store_scalar(target + 4 * i, 0.0)


@inner
def activate_floats(place, count, activation):
    """Apply the activation of this number to `count` floats; NaN stays."""
    highest = np.float32(6.0) if activation == _RELU6 else _INFINITY
    for i in range(count):
        value = load_scalar(place + 4 * i)
        value = np.float32(0.0) if value < np.float32(0.0) else value
        store_scalar(place + 4 * i, highest if value > highest else value)


@inner
def copy_rows(target, target_stride, source, source_stride, count, width):
    """``target[i] = source[i]`` for `count` rows of `width` floats."""
    for i in range(count):
        place, origin = target + 4 * i * target_stride, source + 4 * i * source_stride
        prefetch(origin + 4 * _AHEAD * source_stride)
        if width == WIDE:
            for lane in range(0, WIDE, 8):
                store(place + 4 * lane, load(origin + 4 * lane))
        else:
            copy_floats(place, origin, width)


@inner
def copy_scaled_rows(target, factors, source, source_stride, count, width):
    """``target[i, l] = factors[l] source[i, l]`` for `count` rows; those of `target` are WIDE floats apart."""
    whole = width & -8
    for i in range(count):
        place, origin = target + i * ROW_BYTES, source + 4 * i * source_stride
        prefetch(origin + 4 * _AHEAD * source_stride)
        if width == WIDE:
            for lane in range(0, WIDE, 8):
                store(place + 4 * lane, mul(load(origin + 4 * lane), load(factors + 4 * lane)))
            continue
        for lane in range(0, whole, 8):
            store(place + 4 * lane, mul(load(origin + 4 * lane), load(factors + 4 * lane)))
        for lane in range(whole, width):
            store_scalar(place + 4 * lane, load_scalar(origin + 4 * lane) * load_scalar(factors + 4 * lane))


@inner
def factors_behind(bias, offset):
    """Address of the factors that lie `offset` floats behind the first values; 0 where there are none."""
    return bias + 4 * offset if offset else 0


@inner
def gather_rows(target, target_stride, source, offsets, count, width):
    """``target[i] = source[offsets[2 * i] :]`` for `count` rows of `width` floats.

    `offsets` is a table of pairs, which must not end within the next few.
    """
    for i in range(count):
        ahead = source + 4 * entry(offsets, 2 * (i + _AHEAD))
        for line in range(0, width, CACHE_LINE):
            prefetch(ahead + 4 * line)
        place = source + 4 * entry(offsets, 2 * i)
        copy_floats(target + 4 * i * target_stride, place, width)


@inner
def pack_transposed(source, count, lane_stride, width, target):
    """Write `count` rows of WIDE floats: ``target[i, l] = source[i + l * lane_stride]`` for ``l < width``."""
    lanes, rows = width & -8, count & -8
    for lane in range(0, lanes, 8):
        for i in range(0, rows, 8):
            place = source + 4 * (i + lane * lane_stride)
            transpose_block(place, lane_stride, target + i * ROW_BYTES + 4 * lane, WIDE)
    for i in range(count):
        for lane in range(lanes if i < rows else 0, width):
            value = load_scalar(source + 4 * (i + lane * lane_stride))
            store_scalar(target + i * ROW_BYTES + 4 * lane, value)


@inner
def add_row_sums(target, source, count, stride, width):
    """``target[l] += sum over i of source[i * stride + l]`` for `count` rows of `width` floats."""
    whole, step = width & -8, 4 * stride
    for lane in range(0, whole, 8):
        place = source + 4 * lane
        a, b, c, d = load(target + 4 * lane), splat(0.0), splat(0.0), splat(0.0)
        for i in range(0, count - 3, 4):
            at = place + i * step
            a, b = add(a, load(at)), add(b, load(at + step))
            c, d = add(c, load(at + 2 * step)), add(d, load(at + 3 * step))
        for i in range(count & -4, count):
            a = add(a, load(place + i * step))
        store(target + 4 * lane, add(add(a, b), add(c, d)))
    for lane in range(whole, width):
        total = load_scalar(target + 4 * lane)
        for i in range(count):
            total += load_scalar(source + i * step + 4 * lane)
        store_scalar(target + 4 * lane, total)
