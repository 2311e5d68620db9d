"""Maxima over 2x2 tiles of planes: what :mod:`tile_pooling` finds in pixels, for eight tiles and all channels at once.

Maxima leave as pixels, and winners as bytes: those of a pixel's channels are put together in a word of eight.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from kernels.cpu.microkernels import outlined, transposed
from kernels.cpu.simd import (
    FLOAT,
    INT32,
    INT64,
    INT_VECTOR,
    LANES,
    VECTOR,
    broadcast_lane,
    float_pointer,
    load_at,
    store_at,
)

_BYTE = ir.IntType(8)


def _constant(number):
    return ir.Constant(INT_VECTOR, [number] * LANES)


def _picked(b, first, second, lanes):
    return b.shuffle_vector(first, second, ir.Constant(ir.VectorType(INT32, len(lanes)), lanes))


def _tiles(b, plane, line):
    """The four pixels of eight tiles, in reading order."""
    for row in (INT64(0), line):
        halves = [load_at(b, plane, b.add(row, INT64(at))) for at in (0, LANES)]
        for first in (0, 1):
            yield _picked(b, *halves, list(range(first, 2 * LANES, 2)))


def _best(b, pixels, least):
    """The largest of the pixels, at least `least`, and its number: a later one wins only if larger, or if it is NaN."""
    best, *others = pixels
    winner = _constant(0)
    for number, value in enumerate(others, 1):
        better = b.or_(b.fcmp_ordered(">", value, best), b.fcmp_unordered("uno", value, value))
        best, winner = b.select(better, value, best), b.select(better, _constant(number), winner)
    nobody = b.fcmp_ordered("<=", best, least)
    return b.select(b.fcmp_ordered("<", best, least), least, best), b.select(nobody, _constant(4), winner)


def _store_words(b, numbers, winners, channels):
    """Write the numbers of each pixel's channels as bytes."""
    halves = [_constant(0), _constant(0)]
    for o, number in enumerate(numbers):
        halves[o // 4] = b.or_(halves[o // 4], b.shl(number, _constant(8 * (o % 4))))
    pairs = _picked(b, *halves, [lane + LANES * part for lane in range(LANES) for part in range(2)])
    words = b.bitcast(pairs, ir.VectorType(INT64, LANES))
    for i in range(LANES):
        place = b.gep(winners, [b.mul(channels, INT64(i))])
        b.store(b.extract_element(words, INT32(i)), b.bitcast(place, INT64.as_pointer()), align=1)


def _make_pool_planes(planes):
    def build(b, args):
        sums, plane, line, bounded, channels, y, winners = args
        sums, y, winners = float_pointer(b, sums), float_pointer(b, y), b.inttoptr(winners, _BYTE.as_pointer())
        zero, nothing = ir.Constant(FLOAT, 0.0), ir.Constant(FLOAT, float("nan"))
        least = broadcast_lane(b, b.select(b.icmp_signed("!=", bounded, INT64(0)), zero, nothing))
        places = [b.gep(sums, [b.mul(plane, INT64(o))]) for o in range(planes)]
        found = [_best(b, _tiles(b, place, line), least) for place in places]
        rows = [best for best, _ in found] + [ir.Constant(VECTOR, [0.0] * LANES)] * (LANES - planes)
        for i, pixel in enumerate(transposed(b, rows)):
            store_at(b, pixel, y, b.mul(channels, INT64(i)))
        _store_words(b, [number for _, number in found], winners, channels)

    @intrinsic
    def pool_planes(typingctx, sums, plane, line, bounded, channels, y, winners):
        """Maxima of eight tiles side by side, and who they are.

        Parameters
        ----------
        sums, y, winners : int
            Addresses: the first tile's first pixel, maxima, bytes. Eight channels are written of every pixel, one after
            the other: those past the last lie where the next pixel's go, or behind the last one.
        plane, line : int
            Floats from a plane to the next, and from a row to the one below.
        bounded : int
            Not 0: a maximum is at least 0, and where none is above, nobody wins (4).
        channels : int
            From a pixel to the next; no more than there are planes.
        """
        return types.void(*[types.intp] * 7), outlined(f"pool_planes_{planes}", build)

    return pool_planes


pool_planes_4, pool_planes_6, pool_planes_8 = (_make_pool_planes(planes) for planes in (4, 6, 8))


@intrinsic
def copy_bytes(typingctx, target, source, count):
    """Copy `count` bytes between addresses that do not overlap."""

    def codegen(context, builder, signature, args):
        target, source = (builder.inttoptr(place, _BYTE.as_pointer()) for place in args[:2])
        cgutils.raw_memcpy(builder, target, source, args[2], 1)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), codegen
