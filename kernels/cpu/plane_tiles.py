"""Register tiles with lanes along pixels, for convolutions of so few channels that vectors of channels would be empty.

Images lie as planes, one a channel, padded with zeros: the pixels that a tap meets are then neighbours in memory, for
whole vectors of target pixels at once. Pixels and planes are turned into each other by blocks of eight pixels and
channels. Nothing here checks bounds.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from kernels.cpu.microkernels import (
    TILE_LANES,
    TILE_VECTOR,
    Sums,
    outlined,
    row_pointers,
    table_entry,
    table_pointer,
    transposed,
)
from kernels.cpu.simd import (
    FLOAT,
    INT32,
    INT64,
    INT_VECTOR,
    LANES,
    broadcast_lane,
    first_lanes,
    float_pointer,
    fused_multiply_add,
    load_at,
    masked_load,
    masked_store,
    store_at,
)

#: Vectors of pixels of a dot product tile, by its channels: the sums fit 32 registers, or 16.
DOT_VECTORS = {4: 6, 6: 4, 8: 3} if TILE_LANES == 16 else {4: 3, 6: 2, 8: 1}
#: Taps of a tile of sums of outer products, by its channels.
OUTER_TAPS = {4: 6, 6: 4, 8: 3} if TILE_LANES == 16 else {4: 3, 6: 2, 8: 1}
#: The last pixels, past which eight lanes of pixels of two channels would reach.
_MASKED = 3


def _make_dot_planes(channels):
    vectors = DOT_VECTORS[channels]

    def build(b, args):
        x, taps, count, w, start, y, plane = args
        x, w, start, y = (float_pointer(b, each) for each in (x, w, start, y))
        taps, sums = table_pointer(b, taps), Sums(b, channels, vectors)
        for r, _, slot in sums.each():
            b.store(broadcast_lane(b, b.load(b.gep(start, [INT64(r)])), TILE_VECTOR), slot)
        with cgutils.for_range(b, count) as loop:
            place = b.gep(x, [table_entry(b, taps, loop.index)])
            pixels = [load_at(b, place, INT64(v * TILE_LANES), TILE_VECTOR) for v in range(vectors)]
            row = b.gep(w, [b.mul(loop.index, INT64(channels))])
            for r, slots in enumerate(sums.slots):
                weight = broadcast_lane(b, b.load(b.gep(row, [INT64(r)])), TILE_VECTOR)
                for value, slot in zip(pixels, slots, strict=True):
                    b.store(fused_multiply_add(b, value, weight, b.load(slot)), slot)
        sums.store([b.gep(y, [b.mul(plane, INT64(r))]) for r in range(channels)])

    @intrinsic
    def dot_planes(typingctx, x, taps, count, w, start, y, plane):
        """``y[o * plane + p] = start[o] + sum_t w[t * channels + o] * x[taps[t] + p]`` for some vectors of pixels p.

        Parameters
        ----------
        x, w, start, y : int
            Addresses: the first pixel's source under the first tap, packed weights, first values, result.
        taps : int
            Address of an int32 table: from the first tap's source to this one's.
        count : int
            Number of taps.
        plane : int
            Floats from one channel of `y` to the next.
        """
        return types.void(*[types.intp] * 7), outlined(f"dot_planes_{channels}", build)

    return dot_planes


def _make_outer_planes(channels):
    taps = OUTER_TAPS[channels]

    def build(b, args):
        x, entries, dy, plane, rows, x_line, dy_line, width, y = args
        sums = Sums(b, taps, channels)
        results = [b.gep(float_pointer(b, y), [INT64(t * channels * TILE_LANES)]) for t in range(taps)]
        sums.load(results)
        sources = row_pointers(b, x, entries, taps)
        planes = [b.gep(float_pointer(b, dy), [b.mul(plane, INT64(o))]) for o in range(channels)]
        with cgutils.for_range(b, rows) as outer:
            x_row, dy_row = b.mul(outer.index, x_line), b.mul(outer.index, dy_line)
            with cgutils.for_range_slice(b, INT64(0), width, INT64(TILE_LANES)) as (column, _):
                mask = first_lanes(b, b.sub(width, column), TILE_LANES)
                source, at = b.add(x_row, column), b.add(dy_row, column)
                values = [masked_load(b, each, source, mask, TILE_VECTOR) for each in sources]
                for o, each in enumerate(planes):
                    gradient = load_at(b, each, at, TILE_VECTOR)
                    for t, value in enumerate(values):
                        slot = sums.slots[t][o]
                        b.store(fused_multiply_add(b, value, gradient, b.load(slot)), slot)
        sums.store(results)

    @intrinsic
    def outer_planes(typingctx, x, entries, dy, plane, rows, x_line, dy_line, width, y):
        """``y[t, o, lane] += x[entries[t] + r * x_line + p] * dy[o * plane + r * dy_line + p]`` over rows r, pixels p.

        Parameters
        ----------
        x, dy, y : int
            Addresses: the first pixel's source under the first tap, gradients, sums that are to be added lane by lane.
        entries : int
            Address of an int32 table: from the first tap's source to this one's.
        plane : int
            Floats from one channel of `dy` to the next.
        rows, width : int
            Pixels. Those of `dy` past the width, up to whole vectors, are zeros; those of `x` are not looked at.
        x_line, dy_line : int
            Floats from one row to the next.
        """
        return types.void(*[types.intp] * 9), outlined(f"outer_planes_{channels}", build)

    return outer_planes


dot_planes_4, dot_planes_6, dot_planes_8 = (_make_dot_planes(channels) for channels in (4, 6, 8))
outer_planes_4, outer_planes_6, outer_planes_8 = (_make_outer_planes(channels) for channels in (4, 6, 8))


def _half(builder, vector, part):
    """Eight lanes of a vector, from lane ``8 * part`` on."""
    lanes = [LANES * part + lane for lane in range(LANES)]
    return builder.shuffle_vector(vector, vector, ir.Constant(INT_VECTOR, lanes))


def _joined(builder, halves):
    """One vector of one or two of eight lanes."""
    if len(halves) == 1:
        return halves[0]
    lanes = ir.Constant(ir.VectorType(INT32, 2 * LANES), list(range(2 * LANES)))
    return builder.shuffle_vector(*halves, lanes)


def _make_planes_of_pixels(count):
    parts = range(count // LANES)

    def build(b, args):
        pixels, step, channels, planes, plane = args
        pixels, planes, mask = float_pointer(b, pixels), float_pointer(b, planes), first_lanes(b, channels)

        def pixel(i):
            return masked_load(b, pixels, b.mul(step, INT64(i)), mask)

        rows = [_joined(b, [pixel(i + LANES * part) for part in parts]) for i in range(LANES)]
        for i, row in enumerate(transposed(b, rows)):
            with b.if_then(b.icmp_signed("<", INT64(i), channels)):
                store_at(b, row, planes, b.mul(plane, INT64(i)))

    @intrinsic
    def planes_of_pixels(typingctx, pixels, step, channels, planes, plane):
        """Write so many pixels, up to eight channels of each, to planes.

        Parameters
        ----------
        pixels, planes : int
            Addresses of the first pixel. Of a pixel no more is read than its channels.
        step : int
            Floats from one pixel to the next.
        channels : int
        plane : int
            Floats from one plane to the next.
        """
        return types.void(*[types.intp] * 5), outlined(f"planes_of_pixels_{count}", build)

    return planes_of_pixels


def _make_pixels_of_planes(count):
    vector, parts = ir.VectorType(FLOAT, count), range(count // LANES)

    def build(b, args):
        planes, plane, channels, pixels = args
        planes, pixels, mask = float_pointer(b, planes), float_pointer(b, pixels), first_lanes(b, channels)
        last, rows = b.sub(channels, INT64(1)), []
        for i in range(LANES):
            row = b.select(b.icmp_signed("<", INT64(i), last), INT64(i), last)
            rows.append(load_at(b, planes, b.mul(plane, row), vector))
        rows = transposed(b, rows)
        for i, pixel in enumerate(_half(b, row, part) for part in parts for row in rows):
            place = b.mul(channels, INT64(i))
            if i < count - _MASKED:
                # lanes past the channels go where the next pixels will be
                store_at(b, pixel, pixels, place)
            else:
                masked_store(b, pixel, pixels, place, mask)

    @intrinsic
    def pixels_of_planes(typingctx, planes, plane, channels, pixels):
        """The reverse: write the floats of two to eight planes, and no others, to neighbouring pixels."""
        return types.void(*[types.intp] * 4), outlined(f"pixels_of_planes_{count}", build)

    return pixels_of_planes


#: For eight pixels, and for as many as a vector of the tiles holds.
planes_of_few_pixels, pixels_of_few_planes = _make_planes_of_pixels(LANES), _make_pixels_of_planes(LANES)
planes_of_pixels, pixels_of_planes = _make_planes_of_pixels(TILE_LANES), _make_pixels_of_planes(TILE_LANES)
