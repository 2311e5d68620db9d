"""What batch normalisation does to a few rows of an array: sums, and maps with coefficients of the channels.

The array (M, C) is read as *wide rows* of a multiple of C and of 32 floats, in which the channels repeat, so that whole
vectors fit for every C. Coefficients of the channels stand in a table of the same width. Maps treat a few wide rows
side by side, so that each coefficient serves several vectors; sums go down the columns, two vectors wide, since sums
that are kept in memory would hold up the reading.

An activation is a pair of bounds, NaN where there is none: its value is ``min(max(v, low), high)``, and its gradient
passes where v lies between them. The way back computes v again with the coefficients, and so the same bits, of the way
there.
"""

from __future__ import annotations

import numpy as np

from kernels.cpu.jit import inner
from kernels.cpu.lanes import compiled
from kernels.cpu.microkernels import TILE_LANES, prefetch
from kernels.cpu.tails import zero_floats
from kernels.cpu.wide import BYTES, add, float32x16, fma, load, splat, store, sub

_ZERO = np.float32(0)
#: Wide rows that a map treats side by side (their vectors need many registers), and bytes that a sum treats before it
#: goes on to the next columns.
_GROUP, _STRETCH = 4 if TILE_LANES == 16 else 1, 8192
#: Bytes of two vectors, for which a sum has registers, and from what is read to what will be.
_PAIR, _AHEAD = 2 * BYTES, 8192


def _bounded_formula(v, low, high):
    v = (v < low).where(low, v)
    return (v > high).where(high, v)


def _passed_formula(v, dy, low, high):
    return ((v <= low) | (v >= high)).where(0.0, dy)


bounded, _passed = compiled(_bounded_formula, float32x16), compiled(_passed_formula, float32x16)


# --- some wide rows: arrays and table are addresses, `line` is the length of a row in bytes ----------------------


@inner
def _increase(place, first, second):
    store(place, add(load(place), first))
    store(place + BYTES, add(load(place + BYTES), second))


@inner
def _prefetch_pairs(first, second):
    prefetch(first + _AHEAD)
    prefetch(first + _AHEAD + BYTES)
    prefetch(second + _AHEAD)
    prefetch(second + _AHEAD + BYTES)


@inner
def moments(arrays, start, count, table, sums, line, bounds):
    """``sum x - shift`` and, a line further, ``sum (x - shift)^2``."""
    x, zero = arrays[0] + start, splat(_ZERO)
    for c in range(0, line, _PAIR):
        place, shift0, shift1 = x + c, load(table + c), load(table + c + BYTES)
        s0, s1, q0, q1 = zero, zero, zero, zero
        for _ in range(count):
            prefetch(place + _AHEAD)
            prefetch(place + _AHEAD + BYTES)
            u, v = sub(load(place), shift0), sub(load(place + BYTES), shift1)
            s0, s1, q0, q1 = add(s0, u), add(s1, v), fma(u, u, q0), fma(v, v, q1)
            place += line
        _increase(sums + c, s0, s1)
        _increase(sums + line + c, q0, q1)


@inner
def slopes(arrays, start, count, table, sums, line, bounds):
    """``sum g`` and, a line further, ``sum g (x - mean)``, where g is dy behind the activation."""
    x, dy = arrays
    zero, low, high = splat(_ZERO), splat(bounds[0]), splat(bounds[1])
    for c in range(table, table + line, _PAIR):
        mean0, factor0, offset0 = load(c), load(c + line), load(c + 2 * line)
        mean1, factor1, offset1 = load(c + BYTES), load(c + line + BYTES), load(c + 2 * line + BYTES)
        s0, s1, q0, q1, place = zero, zero, zero, zero, start + c - table
        for _ in range(count):
            _prefetch_pairs(x + place, dy + place)
            u, v = sub(load(x + place), mean0), sub(load(x + place + BYTES), mean1)
            g = _passed(fma(u, factor0, offset0), load(dy + place), low, high)
            h = _passed(fma(v, factor1, offset1), load(dy + place + BYTES), low, high)
            s0, s1, q0, q1 = add(s0, g), add(s1, h), fma(g, u, q0), fma(h, v, q1)
            place += line
        _increase(sums + c - table, s0, s1)
        _increase(sums + line + c - table, q0, q1)


@inner
def slopes_from_output(arrays, start, count, table, sums, line, bounds):
    """As :func:`slopes`, but the activation is known by its output y, and g is written."""
    x, y, dy, ds = arrays
    zero, low, high = splat(_ZERO), splat(bounds[0]), splat(bounds[1])
    for c in range(0, line, _PAIR):
        mean0, mean1 = load(table + c), load(table + c + BYTES)
        s0, s1, q0, q1, place = zero, zero, zero, zero, start + c
        for _ in range(count):
            _prefetch_pairs(x + place, dy + place)
            g = _passed(load(y + place), load(dy + place), low, high)
            h = _passed(load(y + place + BYTES), load(dy + place + BYTES), low, high)
            store(ds + place, g)
            store(ds + place + BYTES, h)
            u, v = sub(load(x + place), mean0), sub(load(x + place + BYTES), mean1)
            s0, s1, q0, q1 = add(s0, g), add(s1, h), fma(g, u, q0), fma(h, v, q1)
            place += line
        _increase(sums + c, s0, s1)
        _increase(sums + line + c, q0, q1)


def normalise(rows):
    """``y = activation((x - mean) factor + offset)``."""

    @inner
    def lines(arrays, start, table, line, bounds):
        x, y = arrays
        low, high = splat(bounds[0]), splat(bounds[1])
        for c in range(0, line, BYTES):
            mean, factor, offset, place = load(table + c), load(table + line + c), load(table + 2 * line + c), start + c
            for _ in range(rows):
                v = fma(sub(load(x + place), mean), factor, offset)
                store(y + place, bounded(v, low, high))
                place += line

    return lines


def normalise_and_add(rows):
    """``y = activation((x - mean) factor + offset + s)``."""

    @inner
    def lines(arrays, start, table, line, bounds):
        x, y, s = arrays
        low, high = splat(bounds[0]), splat(bounds[1])
        for c in range(0, line, BYTES):
            mean, factor, offset, place = load(table + c), load(table + line + c), load(table + 2 * line + c), start + c
            for _ in range(rows):
                v = fma(sub(load(x + place), mean), factor, offset)
                store(y + place, bounded(add(v, load(s + place)), low, high))
                place += line

    return lines


def slope(rows):
    """``dx = g factor + (x - mean) slope + rest``."""

    @inner
    def lines(arrays, start, table, line, bounds):
        x, dy, dx = arrays
        low, high = splat(bounds[0]), splat(bounds[1])
        for c in range(0, line, BYTES):
            mean, factor, offset = load(table + c), load(table + line + c), load(table + 2 * line + c)
            slope, rest, place = load(table + 3 * line + c), load(table + 4 * line + c), start + c
            for _ in range(rows):
                u = sub(load(x + place), mean)
                g = _passed(fma(u, factor, offset), load(dy + place), low, high)
                store(dx + place, fma(g, factor, fma(u, slope, rest)))
                place += line

    return lines


# --- jobs: blocks of wide rows -----------------------------------------------------------------------------------


@inner
def _backwards(start, end, rows, block, share):
    """The block of wide rows that comes instead of this one when every `share` blocks are taken in reverse order."""
    blocks = -(-rows // block)
    number = start // block
    first = number - number % share
    last = first + share if first + share < blocks else blocks
    start = (first + last - 1 - number) * block
    return start, start + block if start + block < rows else rows


def mapping(lines):
    """Body of :func:`kernels.cpu.jobs.run_chunks` over wide rows, from a function of a few rows."""
    several, one = lines(_GROUP), lines(1)

    @inner
    def job(arrays, table, line, bounds, start, end):
        whole = end - (end - start) % _GROUP
        for row in range(start, whole, _GROUP):
            several(arrays, row * line, table, line, bounds)
        for row in range(whole, end):
            one(arrays, row * line, table, line, bounds)

    return job


def summing(lines):
    """The same for sums; those of a block go to a place of its own in `partial`.

    The blocks of each thread, of which there are `share`, come in reverse order. What has just written the array ended
    at its end, and the map that follows begins at its beginning: there the cache still holds it.
    """

    @inner
    def job(arrays, table, partial, line, bounds, rows, block, share, start, end):
        start, end = _backwards(start, end, rows, block, share)
        sums, step = partial + 2 * line * (start // block), max(4, _STRETCH // line)
        zero_floats(sums, line // 2)
        for row in range(start, end, step):
            lines(arrays, row * line, min(step, end - row), table, sums, line, bounds)

    return job
