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


#: Neighbouring output pixels of a row that a 3x3 depthwise tile computes at once.
DEPTHWISE_ROW = 4


def _make_depthwise_row(stride):
    def build(b, args):
        x, row, w, w_step, start, y, channels = args
        x, w, start, y = (float_pointer(b, each) for each in (x, w, start, y))
        rows = [b.gep(x, [b.mul(row, INT64(i))]) for i in range(3)]
        columns = [b.mul(channels, INT64(j)) for j in range((DEPTHWISE_ROW - 1) * stride + 3)]
        weights = [b.gep(w, [b.mul(w_step, INT64(t))]) for t in range(9)]
        sums = Sums(b, DEPTHWISE_ROW, 1, VECTOR)

        def vector_of_channels(c):
            sums.fill(b.gep(start, [c]))
            for kh in range(3):
                taps = [load_at(b, weight, c) for weight in weights[3 * kh : 3 * kh + 3]]
                for j, column in enumerate(columns):
                    pixel = load_at(b, rows[kh], b.add(column, c))
                    for i, (slot,) in enumerate(sums.slots):
                        if 0 <= j - i * stride < 3:
                            b.store(fused_multiply_add(b, pixel, taps[j - i * stride], b.load(slot)), slot)
            sums.store([b.gep(y, [b.add(columns[i], c)]) for i in range(DEPTHWISE_ROW)])

        _channel_loop(b, channels, vector_of_channels)

    @intrinsic
    def depthwise_row(typingctx, x, row, w, w_step, start, y, channels):
        """Four neighbouring output pixels of a 3x3 depthwise convolution, for all channels.

        Parameters
        ----------
        x : int
            Address of the input pixel under the first tap of the first output.
        row : int
            Floats between rows of the input.
        w, w_step : int
            Address of the first tap's weights, and floats from one tap's to the next.
        start, y : int
            Addresses of the first values (one for each channel) and of the first output pixel.
        channels : int
            At least 8.
        """
        return types.void(*[types.intp] * 7), outlined(f"depthwise_row_{stride}", build)

    return depthwise_row


depthwise_row_1, depthwise_row_2 = _make_depthwise_row(1), _make_depthwise_row(2)


@intrinsic
def depthwise_row_outer(typingctx, x, row, step, dy, dy_step, count, y, y_row, channels):
    """``y[t] += sum_p x[p * step + tap t] * dy[p]`` over `count` neighbours, for the nine taps of a 3x3 window.

    Parameters
    ----------
    x : int
        Address of the input pixel under the first tap of the first output.
    row, step : int
        Floats between rows of the input, and between the input pixels of neighbouring outputs.
    dy, dy_step, count : int
        Address of the first output gradient, floats to the next pixel's, and how many follow each other.
    y, y_row : int
        Address of the first tap's sums, and floats from one tap's to the next.
    channels : int
        How many to do: a multiple of 8.
    """

    def build(b, args):
        x, row, step, dy, dy_step, count, y, y_row, channels = args
        x, dy, y = (float_pointer(b, each) for each in (x, dy, y))
        results = [b.gep(y, [b.mul(y_row, INT64(t))]) for t in range(9)]
        rows = [b.gep(x, [b.mul(row, INT64(i))]) for i in range(3)]
        columns = [b.mul(dy_step, INT64(j)) for j in range(3)]
        sums = Sums(b, 9, 1, VECTOR)

        def vector_of_channels(c):
            places = [b.gep(result, [c]) for result in results]
            sums.load(places)
            with cgutils.for_range(b, count) as loop:
                shift = b.add(b.mul(loop.index, step), c)
                gradient = load_at(b, dy, b.add(b.mul(loop.index, dy_step), c))
                for t, (slot,) in enumerate(sums.slots):
                    source = load_at(b, rows[t // 3], b.add(columns[t % 3], shift))
                    b.store(fused_multiply_add(b, source, gradient, b.load(slot)), slot)
            sums.store(places)

        _channel_loop(b, channels, vector_of_channels)

    return types.void(*[types.intp] * 9), outlined("depthwise_row_outer", build)
