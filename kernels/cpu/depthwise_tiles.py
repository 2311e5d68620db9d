"""Register tiles of depthwise convolution: vectors run along the channels, and nothing is summed over them.

They read and write like those of :mod:`microkernels`, and check bounds as little.
"""

from __future__ import annotations

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from kernels.cpu.microkernels import Sums, outlined, row_pointers, table_entry, table_pointer
from kernels.cpu.simd import INT64, LANES, VECTOR, float_pointer, fused_multiply_add, load_at

#: Pixels of a depthwise tile, and taps whose weight gradients are summed together.
DEPTHWISE_PIXELS, DEPTHWISE_TAPS = 6, 9


def _channel_loop(builder, channels, body):
    """``body(c)`` for vectors of channels; the last one overlaps its neighbour where `channels` is not a multiple."""
    count = builder.lshr(builder.add(channels, INT64(LANES - 1)), INT64(3))
    last = builder.sub(channels, INT64(LANES))
    with cgutils.for_range(builder, count) as loop:
        c = builder.shl(loop.index, INT64(3))
        body(builder.select(builder.icmp_signed("<", c, last), c, last))


@intrinsic
def depthwise_dot(typingctx, x, pixels, taps, tap_count, w, start, y, outs, channels):
    """``y[outs[r] + c] = start[c] + sum_t x[pixels[r] + taps[t].source + c] * w[taps[t].row + c]``, for all channels.

    Parameters
    ----------
    x, w, start, y : int
        Addresses.
    pixels, outs : int
        Addresses of int32 tables, one offset for each of the six pixels.
    taps : int
        Address of an int32 table of pairs (source offset, weight offset).
    tap_count : int
    channels : int
        At least 8.
    """

    def build(b, args):
        x, pixels, taps, tap_count, w, start, y, outs, channels = args
        rows = DEPTHWISE_PIXELS
        results, sources = row_pointers(b, y, outs, rows), row_pointers(b, x, pixels, rows)
        taps, w, start = table_pointer(b, taps), float_pointer(b, w), float_pointer(b, start)
        sums = Sums(b, rows, 1, VECTOR)

        def vector_of_channels(c):
            sums.fill(b.gep(start, [c]))
            with cgutils.for_range(b, tap_count) as loop:
                entry = b.gep(taps, [b.shl(loop.index, INT64(1))])
                shift = b.add(table_entry(b, entry, INT64(0)), c)
                weight = load_at(b, w, b.add(table_entry(b, entry, INT64(1)), c))
                for source, (slot,) in zip(sources, sums.slots, strict=True):
                    product = fused_multiply_add(b, load_at(b, source, shift), weight, b.load(slot))
                    b.store(product, slot)
            sums.store([b.gep(result, [c]) for result in results])

        _channel_loop(b, channels, vector_of_channels)

    return types.void(*[types.intp] * 9), outlined("depthwise_dot", build)


@intrinsic
def depthwise_outer(typingctx, x, taps, pixels, count, dy, y, rows, channels):
    """``y[rows[t] + c] += sum_p x[taps[t] + pixels[p].source + c] * dy[pixels[p].gradient + c]``, for all channels.

    Parameters
    ----------
    x, dy, y : int
        Addresses.
    taps, rows : int
        Addresses of int32 tables, one offset for each of the nine taps.
    pixels : int
        Address of an int32 table of pairs (source offset, gradient offset).
    count : int
        Number of pixels.
    channels : int
        A multiple of 8: overlapping vectors would be added twice.
    """

    def build(b, args):
        x, taps, pixels, count, dy, y, rows, channels = args
        sources = row_pointers(b, x, taps, DEPTHWISE_TAPS)
        results = row_pointers(b, y, rows, DEPTHWISE_TAPS)
        pixels, dy = table_pointer(b, pixels), float_pointer(b, dy)
        sums = Sums(b, DEPTHWISE_TAPS, 1, VECTOR)

        def vector_of_channels(c):
            places = [b.gep(result, [c]) for result in results]
            sums.load(places)
            with cgutils.for_range(b, count) as loop:
                entry = b.gep(pixels, [b.shl(loop.index, INT64(1))])
                shift = b.add(table_entry(b, entry, INT64(0)), c)
                gradient = load_at(b, dy, b.add(table_entry(b, entry, INT64(1)), c))
                for source, (slot,) in zip(sources, sums.slots, strict=True):
                    product = fused_multiply_add(b, load_at(b, source, shift), gradient, b.load(slot))
                    b.store(product, slot)
            sums.store(places)

        _channel_loop(b, channels, vector_of_channels)

    return types.void(*[types.intp] * 8), outlined("depthwise_outer", build)
