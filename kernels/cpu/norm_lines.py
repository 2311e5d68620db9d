"""What batch normalisation does to a few rows of an array: sums, and maps with coefficients of the channels.

The array (M, C) is read as *wide rows* of a multiple of C and of 16 floats, in which the channels repeat, so that whole
vectors fit for every C. Coefficients of the channels stand in a table of the same width. A few wide rows go side by
side: memory is read in order, and each coefficient serves several vectors.

An activation is a pair of bounds, NaN where there is none: its value is ``min(max(v, low), high)``, and its gradient
passes where v lies between them. The way back computes v again with the coefficients, and so the same bits, of the way
there.
"""

from __future__ import annotations

from kernels.cpu.jit import inner
from kernels.cpu.lanes import compiled
from kernels.cpu.simd import add, fma, load, splat, store, sub
from kernels.cpu.tails import zero_floats

#: Wide rows side by side.
_GROUP = 4


def _bounded_formula(v, low, high):
    v = (v < low).where(low, v)
    return (v > high).where(high, v)


def _passed_formula(v, dy, low, high):
    return ((v <= low) | (v >= high)).where(0.0, dy)


_bounded, _passed = compiled(_bounded_formula), compiled(_passed_formula)


# --- some wide rows: arrays and table are addresses, `line` is the length of a row in bytes ----------------------


def moments(rows):
    """``sum x - shift`` and, a line further, ``sum (x - shift)^2``."""

    @inner
    def lines(arrays, start, table, sums, line, bounds):
        for c in range(0, line, 32):
            place, shift = arrays[0] + start + c, load(table + c)
            first, second = load(sums + c), load(sums + line + c)
            for _ in range(rows):
                u = sub(load(place), shift)
                first, second = add(first, u), fma(u, u, second)
                place += line
            store(sums + c, first)
            store(sums + line + c, second)

    return lines


def slopes(rows):
    """``sum g`` and, a line further, ``sum g (x - mean)``, where g is dy behind the activation."""

    @inner
    def lines(arrays, start, table, sums, line, bounds):
        x, dy = arrays
        low, high = splat(bounds[0]), splat(bounds[1])
        for c in range(0, line, 32):
            mean, factor, offset = load(table + c), load(table + line + c), load(table + 2 * line + c)
            first, second, place = load(sums + c), load(sums + line + c), start + c
            for _ in range(rows):
                u = sub(load(x + place), mean)
                g = _passed(fma(u, factor, offset), load(dy + place), low, high)
                first, second = add(first, g), fma(g, u, second)
                place += line
            store(sums + c, first)
            store(sums + line + c, second)

    return lines


def slopes_from_output(rows):
    """As :func:`slopes`, but the activation is known by its output y, and g is written."""

    @inner
    def lines(arrays, start, table, sums, line, bounds):
        x, y, dy, ds = arrays
        low, high = splat(bounds[0]), splat(bounds[1])
        for c in range(0, line, 32):
            mean, first, second, place = load(table + c), load(sums + c), load(sums + line + c), start + c
            for _ in range(rows):
                g = _passed(load(y + place), load(dy + place), low, high)
                store(ds + place, g)
                first, second = add(first, g), fma(g, sub(load(x + place), mean), second)
                place += line
            store(sums + c, first)
            store(sums + line + c, second)

    return lines


def normalise(rows):
    """``y = activation((x - mean) factor + offset)``."""

    @inner
    def lines(arrays, start, table, line, bounds):
        x, y = arrays
        low, high = splat(bounds[0]), splat(bounds[1])
        for c in range(0, line, 32):
            mean, factor, offset, place = load(table + c), load(table + line + c), load(table + 2 * line + c), start + c
            for _ in range(rows):
                v = fma(sub(load(x + place), mean), factor, offset)
                store(y + place, _bounded(v, low, high))
                place += line

    return lines


def normalise_and_add(rows):
    """``y = activation((x - mean) factor + offset + s)``."""

    @inner
    def lines(arrays, start, table, line, bounds):
        x, y, s = arrays
        low, high = splat(bounds[0]), splat(bounds[1])
        for c in range(0, line, 32):
            mean, factor, offset, place = load(table + c), load(table + line + c), load(table + 2 * line + c), start + c
            for _ in range(rows):
                v = fma(sub(load(x + place), mean), factor, offset)
                store(y + place, _bounded(add(v, load(s + place)), low, high))
                place += line

    return lines


def slope(rows):
    """``dx = g factor + (x - mean) slope + rest``."""

    @inner
    def lines(arrays, start, table, line, bounds):
        x, dy, dx = arrays
        low, high = splat(bounds[0]), splat(bounds[1])
        for c in range(0, line, 32):
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
    """Body of :func:`kernels.cpu.jobs.run_chunks` over wide rows, from a function of a few rows.

    The blocks of each thread, of which there are `share`, come in reverse order: where an earlier pass ended, the cache
    still holds what it read.
    """
    several, one = lines(_GROUP), lines(1)

    @inner
    def job(arrays, table, line, bounds, rows, block, share, start, end):
        start, end = _backwards(start, end, rows, block, share)
        whole = end - (end - start) % _GROUP
        for row in range(start, whole, _GROUP):
            several(arrays, row * line, table, line, bounds)
        for row in range(whole, end):
            one(arrays, row * line, table, line, bounds)

    return job


def summing(lines):
    """The same for sums; those of a block go to a place of its own in `partial`."""
    several, one = lines(_GROUP), lines(1)

    @inner
    def job(arrays, table, partial, line, bounds, block, start, end):
        sums = partial + 2 * line * (start // block)
        zero_floats(sums, 2 * (line // 4))
        whole = end - (end - start) % _GROUP
        for row in range(start, whole, _GROUP):
            several(arrays, row * line, table, sums, line, bounds)
        for row in range(whole, end):
            one(arrays, row * line, table, sums, line, bounds)

    return job
