"""Register tiles for sums over few pixels: the gradients that a maximum over 2x2 tiles hands back.

Of such a tile at most one pixel of each channel has a gradient that is not 0. Its value and its place are found for
vectors of channels; then a channel's sums, which are a window of the source, get the windows at those places, each
times its gradient: a quarter of the products. Nothing here checks bounds.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from kernels.cpu.microkernels import TILE_LANES, TILE_VECTOR, Sums, outlined, table_entry, table_pointer
from kernels.cpu.simd import (
    FLOAT,
    INT32,
    INT64,
    INT_VECTOR,
    LANES,
    VECTOR,
    broadcast_lane,
    first_lanes,
    float_pointer,
    fused_multiply_add,
    load_at,
    masked_load,
    store_at,
)

#: Floats of a row of the narrow tile, for short runs of a window, and of the wide one: two vectors.
SHORT, LONG = LANES, 2 * TILE_LANES


def _broadcast_int(builder, value):
    undefined = ir.Constant(INT_VECTOR, ir.Undefined)
    single = builder.insert_element(undefined, builder.trunc(value, INT32), INT32(0))
    return builder.shuffle_vector(single, undefined, ir.Constant(INT_VECTOR, [0] * LANES))


def _build_find(b, args):
    dy, step, line, channels, tiles, base, along, right, down, bias, values, places, apart = args
    dy, bias, values = (float_pointer(b, each) for each in (dy, bias, values))
    mask, zero, places = first_lanes(b, channels), ir.Constant(VECTOR, [0.0] * LANES), table_pointer(b, places)
    pixels = [(INT64(0), INT64(0)), (step, right), (line, down), (b.add(line, step), b.add(right, down))]
    shifts = [_broadcast_int(b, shift) for _, shift in pixels]
    total = cgutils.alloca_once_value(b, load_at(b, bias, INT64(0)))
    with cgutils.for_range(b, tiles) as loop:
        at = b.mul(loop.index, apart)
        tile = b.gep(dy, [b.mul(loop.index, b.mul(step, INT64(2)))])
        value, shift = masked_load(b, tile, INT64(0), mask), shifts[0]
        for (offset, _), other in zip(pixels[1:], shifts[1:], strict=True):
            each = masked_load(b, tile, offset, mask)
            shift = b.select(b.fcmp_unordered("!=", each, zero), other, shift)
            value = b.fadd(value, each)
        store_at(b, value, values, at)
        place = b.add(_broadcast_int(b, b.add(base, b.mul(loop.index, along))), shift)
        b.store(place, b.bitcast(b.gep(places, [at]), INT_VECTOR.as_pointer()), align=4)
        b.store(b.fadd(b.load(total), value), total)
    store_at(b, b.load(total), bias, INT64(0))


@intrinsic
def find_in_tiles(typingctx, dy, step, line, channels, tiles, base, along, right, down, bias, values, places, apart):
    """Write the gradients of a row of 2x2 tiles that are not 0, and their places in the source, for eight channels.

    Parameters
    ----------
    dy, bias, values, places : int
        Addresses: the first tile's first pixel, sums that all gradients are added to, gradients, int32 numbers.
    step, line : int
        Floats from a pixel of `dy` to the next in its row, and to the one below.
    channels : int
        No more are read; those past the last have gradient 0.
    tiles : int
    base, along, right, down : int
        Place of the first pixel, and what is added for the next tile, for the pixel beside it and for the one below.
    apart : int
        From what is written of a tile to what is of the next.
    """
    return types.void(*[types.intp] * 13), outlined("find_in_tiles", _build_find)


def _eight_bytes(b, bytes_, at, size):
    """Bytes from number `at` on of a row of `size`, as int32 lanes; those past the row are 0."""
    pointer = b.inttoptr(bytes_, ir.IntType(8).as_pointer())
    lanes = cgutils.alloca_once(b, INT_VECTOR)
    with b.if_else(b.icmp_signed(">=", size, INT64(LANES)), likely=True) as (long, short):
        with long:  # eight bytes that end within the row; those before the first one are shifted out
            last = b.sub(size, INT64(LANES))
            first = b.select(b.icmp_signed("<", at, last), at, last)
            word = b.load(b.bitcast(b.gep(pointer, [first]), INT64.as_pointer()), align=1)
            word = b.lshr(word, b.mul(b.sub(at, first), INT64(8)))
            b.store(b.zext(b.bitcast(word, ir.VectorType(ir.IntType(8), LANES)), INT_VECTOR), lanes)
        with short:
            b.store(ir.Constant(INT_VECTOR, [0] * LANES), lanes)
            with cgutils.for_range(b, b.sub(size, at)) as loop:
                byte = b.zext(b.load(b.gep(pointer, [b.add(at, loop.index)])), INT32)
                b.store(b.insert_element(b.load(lanes), byte, b.trunc(loop.index, INT32)), lanes)
    return b.load(lanes)


def _build_find_winners(b, args):
    dy, winners, step, channels, tiles, base, along, right, down, bias, values, places, apart = args
    dy, bias, values = (float_pointer(b, each) for each in (dy, bias, values))
    mask, places = first_lanes(b, channels), table_pointer(b, places)
    beside, below = (_broadcast_int(b, each) for each in (right, down))
    zero, none = ir.Constant(VECTOR, [0.0] * LANES), ir.Constant(INT_VECTOR, [0] * LANES)
    one, two, four = (ir.Constant(INT_VECTOR, [number] * LANES) for number in (1, 2, 4))
    size = b.add(b.mul(b.sub(tiles, INT64(1)), step), channels)  # to the end of the row
    total = cgutils.alloca_once_value(b, load_at(b, bias, INT64(0)))
    with cgutils.for_range(b, tiles) as loop:
        at, place = b.mul(loop.index, apart), b.mul(loop.index, step)
        winner = _eight_bytes(b, winners, place, size)
        value = masked_load(b, dy, place, mask)
        value = b.select(b.icmp_unsigned("<", winner, four), value, zero)
        shift = b.select(b.icmp_unsigned("!=", b.and_(winner, one), none), beside, none)
        shift = b.add(shift, b.select(b.icmp_unsigned("!=", b.and_(winner, two), none), below, none))
        store_at(b, value, values, at)
        found = b.add(_broadcast_int(b, b.add(base, b.mul(loop.index, along))), shift)
        b.store(found, b.bitcast(b.gep(places, [at]), INT_VECTOR.as_pointer()), align=4)
        b.store(b.fadd(b.load(total), value), total)
    store_at(b, b.load(total), bias, INT64(0))


@intrinsic
def find_winners(typingctx, dy, winners, step, channels, tiles, base, along, right, down, bias, values, places, apart):
    """What :func:`find_in_tiles` writes, from the gradients of the maxima themselves and the bytes that tell who won.

    Parameters
    ----------
    dy, winners : int
        Addresses of the first tile's. Winners are numbers from 0 to 3 in reading order, or 4 for none.
    step : int
        Channels: from a tile's to the next tile's.
    channels : int
        From here to the last one of a tile; no more than eight are read.
    tiles, base, along, right, down, bias, values, places, apart : int
        As in :func:`find_in_tiles`.
    """
    return types.void(*[types.intp] * 13), outlined("find_winners", _build_find_winners)


def _make_sparse_outer(rows, row_floats):
    lanes = LANES if row_floats == SHORT else TILE_LANES
    vectors = row_floats // lanes

    def build(b, args):
        x, line, values, places, count, y, y_line = args
        x, values, places, y = (
            float_pointer(b, x),
            float_pointer(b, values),
            table_pointer(b, places),
            float_pointer(b, y),
        )
        sums = Sums(b, rows, vectors, ir.VectorType(FLOAT, lanes))
        results = [b.gep(y, [b.mul(y_line, INT64(r))]) for r in range(rows)]
        sums.load(results)
        with cgutils.for_range(b, count) as loop:
            at = b.mul(loop.index, INT64(LANES))
            gradient = broadcast_lane(b, b.load(b.gep(values, [at])), sums.vector)
            source = b.gep(x, [table_entry(b, places, at)])
            for slots in sums.slots:
                for v, slot in enumerate(slots):
                    pixels = load_at(b, source, INT64(v * lanes), sums.vector)
                    b.store(fused_multiply_add(b, pixels, gradient, b.load(slot)), slot)
                source = b.gep(source, [line])
        sums.store(results)

    @intrinsic
    def sparse_outer(typingctx, x, line, values, places, count, y, y_line):
        """``y[r, k] += sum_q values[8 q] * x[places[8 q] + r * line + k]`` for the rows and floats of the tile.

        Parameters
        ----------
        x, values, places, y : int
            Addresses: source, gradients, an int32 table of places in the source, sums.
        line, y_line : int
            Floats from one row to the next.
        count : int
            Number of gradients.
        """
        return types.void(*[types.intp] * 7), outlined(f"sparse_outer_{rows}_{row_floats}", build)

    return sparse_outer


#: By rows of the window.
short_outer_1, short_outer_3, short_outer_5 = (_make_sparse_outer(rows, SHORT) for rows in (1, 3, 5))
long_outer_1, long_outer_3, long_outer_5 = (_make_sparse_outer(rows, LONG) for rows in (1, 3, 5))

#: Rows of the tiles of :data:`window_sums`, by their vectors: so many sums hide the latency of a multiply-add.
WINDOW_TILES = {1: 6, 2: 6, 3: 4, 4: 3, 5: 2}


def _make_window_sums(rows, vectors):
    def build(b, args):
        values, places, count, w, step, line, y, y_line = args
        values, places, w, y = (
            float_pointer(b, values),
            table_pointer(b, places),
            float_pointer(b, w),
            float_pointer(b, y),
        )
        sums = Sums(b, rows, vectors)
        results = [b.gep(y, [b.mul(y_line, INT64(r))]) for r in range(rows)]
        sums.load(results)
        with cgutils.for_range(b, count) as loop:
            gradient = broadcast_lane(b, b.load(b.gep(values, [loop.index])), TILE_VECTOR)
            source = b.gep(w, [b.add(b.mul(loop.index, step), table_entry(b, places, loop.index))])
            for slots in sums.slots:
                for v, slot in enumerate(slots):
                    weights = load_at(b, source, INT64(v * TILE_LANES), TILE_VECTOR)
                    b.store(fused_multiply_add(b, weights, gradient, b.load(slot)), slot)
                source = b.gep(source, [line])
        sums.store(results)

    @intrinsic
    def window_sums(typingctx, values, places, count, w, step, line, y, y_line):
        """``y[r, k] += sum_o values[o] * w[o * step + places[o] + r * line + k]`` for the rows and floats of the tile.

        Parameters
        ----------
        values, places, w, y : int
            Addresses: gradients, an int32 table of places in the window of each, windows, sums.
        count : int
            Number of gradients.
        step, line, y_line : int
            Floats from one window to the next, and from one row to the next.
        """
        return types.void(*[types.intp] * 8), outlined(f"window_sums_{rows}_{vectors}", build)

    return window_sums


#: By vectors of a row.
window_sums_1, window_sums_2, window_sums_3, window_sums_4, window_sums_5 = (
    _make_window_sums(rows, vectors) for vectors, rows in WINDOW_TILES.items()
)
