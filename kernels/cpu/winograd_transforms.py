"""The transforms of Winograd convolution: from pixels to planes, from planes to pixels, and the same for weights.

The two-dimensional transforms apply the one-dimensional formulas to columns, then to rows. Vectors run along channels.
Nothing here checks bounds: callers own the address arithmetic.
"""

from __future__ import annotations

import functools
import itertools
import math

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from kernels.cpu.microkernels import ACTIVATIONS, TILE_LANES, TILE_VECTOR, outlined
from kernels.cpu.simd import (
    FLOAT,
    INT64,
    broadcast_lane,
    first_lanes,
    float_pointer,
    load_at,
    masked_load,
    masked_store,
    store_at,
)
from kernels.cpu.winograd_formulas import Formulas, points, transform_both_axes
from kernels.cpu.winograd_tiles import PANEL_VECTORS

_MASK = ir.VectorType(ir.IntType(1), TILE_LANES)


def _channel_loop(builder, channels, body):
    """``body(i, mask)`` for the vectors of `channels` floats; the mask is None but for a last one that is a part."""
    lanes = INT64(TILE_LANES)
    whole = builder.udiv(channels, lanes)
    with cgutils.for_range(builder, whole) as loop:
        body(loop.index, None)
    rest = builder.urem(channels, lanes)
    with cgutils.if_unlikely(builder, builder.icmp_signed("!=", rest, INT64(0))):
        body(whole, first_lanes(builder, rest, TILE_LANES))


def _load(builder, pointer, offset, mask):
    if mask is None:
        return load_at(builder, pointer, offset, TILE_VECTOR)
    return masked_load(builder, pointer, offset, mask, TILE_VECTOR)


def _store(builder, vector, pointer, offset, mask):
    if mask is None:
        store_at(builder, vector, pointer, offset)
    else:
        masked_store(builder, vector, pointer, offset, mask)


def _inside(builder, index, low, high):
    after = builder.icmp_signed("<=", low, INT64(index))
    return builder.and_(after, builder.icmp_signed("<", INT64(index), high))


def _rows(builder, image, row, valid, elsewhere):
    """Pointers to the rows of a tile, to `elsewhere` for those that are not valid."""
    places = [builder.add(image, builder.mul(row, INT64(4 * i))) for i in range(len(valid))]
    return [
        float_pointer(builder, builder.select(inside, place, elsewhere))
        for inside, place in zip(valid, places, strict=True)
    ]


def _lane_mask(builder, valid, mask):
    """All lanes (or those of `mask`) if `valid`, else none."""
    none = ir.Constant(_MASK, [0] * TILE_LANES)
    return builder.select(valid, ir.Constant(_MASK, [1] * TILE_LANES) if mask is None else mask, none)


def _panel_offset(builder, index, per_row, panel):
    """Offset of vector `index` where a row of a panel has so many vectors and panels lie `panel` floats apart."""
    at = builder.mul(builder.udiv(index, INT64(per_row)), panel)
    return builder.add(at, builder.mul(builder.urem(index, INT64(per_row)), INT64(TILE_LANES)))


def _make_gather(name, outputs, formula, size, per_row):
    def build(b, args):
        image, row, column, top, bottom, left, right, zeros, channels, target, plane, panel = args
        parts, target = getattr(Formulas(b, outputs), formula)(), float_pointer(b, target)
        rows = _rows(b, image, row, [_inside(b, i, top, bottom) for i in range(size)], zeros)
        columns = [b.mul(column, INT64(j)) for j in range(size)]
        inside = [_inside(b, j, left, right) for j in range(size)]

        def vector(index, mask, whole):
            c = b.mul(index, INT64(TILE_LANES))
            start = b.gep(target, [_panel_offset(b, index, per_row, panel)])
            masks = [mask if whole else _lane_mask(b, valid, mask) for valid in inside]

            def load(i, j):
                return _load(b, rows[i], b.add(columns[j], c), masks[j])

            def store(i, j, value):
                store_at(b, value, start, b.mul(plane, INT64(i * points(outputs) + j)))

            transform_both_axes(parts, size, load, store)

        all_columns = b.and_(inside[0], inside[-1])
        with b.if_else(all_columns) as (then, otherwise):
            with then:
                _channel_loop(b, channels, functools.partial(vector, whole=True))
            with otherwise:
                _channel_loop(b, channels, functools.partial(vector, whole=False))

    @intrinsic
    def gather(typingctx, image, row, column, top, bottom, left, right, zeros, channels, target, plane, panel):
        """Transform all channels of one tile and write a vector into each plane.

        Parameters
        ----------
        image : int
            Address of the tile's first pixel, which may lie outside of the image.
        row, column : int
            Floats from a pixel to the one below and to the one at the right.
        top, bottom, left, right : int
            Rows and columns of the tile that lie inside of the image; others are read from `zeros`.
        zeros : int
            Address of as many zeros as a row of the tile has floats.
        channels : int
        target : int
            Address of the tile's row in the first plane.
        plane, panel : int
            Floats between planes, and between the panels of a plane.
        """

        return types.void(*[types.intp] * 12), outlined(name, build)

    return gather


def _limits(builder, activation):
    """The activation of this number, as a function of vectors; NaN stays."""

    def bound(name, value, otherwise):
        active = builder.icmp_signed(">=", activation, INT64(ACTIVATIONS[name]))
        return broadcast_lane(builder, builder.select(active, FLOAT(value), FLOAT(otherwise)), TILE_VECTOR)

    low, high = bound("relu", 0.0, -math.inf), bound("relu6", 6.0, math.inf)

    def limit(value):
        value = builder.select(builder.fcmp_ordered("<", value, low), low, value)
        return builder.select(builder.fcmp_ordered(">", value, high), high, value)

    return limit


def _make_scatter(name, outputs):
    size = points(outputs)

    def build(b, args):
        source, plane, panel, start, image, row, column, bottom, right, channels, activation = args
        source, start = float_pointer(b, source), float_pointer(b, start)
        parts, valid = Formulas(b, outputs).output(), [b.icmp_signed("<", INT64(i), bottom) for i in range(outputs)]
        rows, zero = _rows(b, image, row, valid, image), INT64(0)
        inside = [b.icmp_signed("<", INT64(j), right) for j in range(outputs)]
        columns = [b.select(inside[j], b.mul(column, INT64(j)), zero) for j in range(outputs)]

        def vector(index, mask):
            c = b.mul(index, INT64(TILE_LANES))
            first = b.gep(source, [b.mul(index, panel)])
            bias = _load(b, start, c, mask)

            def load(i, j):
                return load_at(b, first, b.mul(plane, INT64(i * size + j)), TILE_VECTOR)

            def store(i, j, value):
                _store(b, b.fadd(value, bias), rows[i], b.add(columns[j], c), mask)

            transform_both_axes(parts, size, load, store)

        def limited(index, mask, limit):
            for row, column in itertools.product(rows, columns):
                at = b.add(column, b.mul(index, INT64(TILE_LANES)))
                _store(b, limit(_load(b, row, at, mask)), row, at, mask)

        _channel_loop(b, channels, vector)
        # Bounds take registers, of which a tile has none to spare; and other code for it might round in another way.
        with b.if_then(b.icmp_signed("!=", activation, INT64(0))):
            _channel_loop(b, channels, functools.partial(limited, limit=_limits(b, activation)))

    @intrinsic
    def scatter(typingctx, source, plane, panel, start, image, row, column, bottom, right, channels, activation):
        """Turn the products of one tile into outputs, add first values, activate, and write those inside of the image.

        Outputs outside are written in place of the first row or column, and then written over by these, which are last.

        Parameters
        ----------
        source : int
            Address of the tile's row in the first plane.
        plane, panel : int
            Floats between planes, and between the panels of a plane.
        start : int
            Address of one first value a channel.
        image : int
            Address of the tile's first output.
        row, column : int
            Floats from a pixel to the one below and to the one at the right.
        bottom, right : int
            Rows and columns of the tile inside of the image.
        channels : int
        activation : int
            Of :data:`ACTIVATIONS`.
        """

        return types.void(*[types.intp] * 11), outlined(name, build)

    return scatter


def _make_spread(name, outputs):
    def build(b, args):
        source, tap, count, target, plane = args
        source, target = float_pointer(b, source), float_pointer(b, target)
        parts = Formulas(b, outputs).weight()
        with cgutils.for_range(b, count) as loop:
            at = b.mul(loop.index, INT64(TILE_LANES))

            def load(i, j):
                return load_at(b, source, b.add(at, b.mul(tap, INT64(3 * i + j))), TILE_VECTOR)

            def store(i, j, value):
                store_at(b, value, target, b.add(at, b.mul(plane, INT64(i * points(outputs) + j))))

            transform_both_axes(parts, 3, load, store)

    @intrinsic
    def spread(typingctx, source, tap, count, target, plane):
        """Transform `count` vectors of weights, whose taps lie `tap` floats apart, into planes `plane` floats apart."""

        return types.void(*[types.intp] * 5), outlined(name, build)

    return spread


def _make_collect(name, outputs):
    size = points(outputs)

    def build(b, args):
        source, plane, target, tap, width = args
        source, target = float_pointer(b, source), float_pointer(b, target)
        parts = Formulas(b, outputs).weight_gradient()

        def vector(index, mask):
            at = b.mul(index, INT64(TILE_LANES))

            def load(i, j):
                return load_at(b, source, b.add(at, b.mul(plane, INT64(i * size + j))), TILE_VECTOR)

            def store(i, j, value):
                _store(b, value, target, b.add(at, b.mul(tap, INT64(3 * i + j))), mask)

            transform_both_axes(parts, size, load, store)

        _channel_loop(b, width, vector)

    @intrinsic
    def collect(typingctx, source, plane, target, tap, width):
        """Turn `width` sums of every plane into gradients of the nine taps, which lie `tap` floats apart."""

        return types.void(*[types.intp] * 5), outlined(name, build)

    return collect


gather_input_2 = _make_gather("winograd_input_2", 2, "input", points(2), 1)
gather_input_4 = _make_gather("winograd_input_4", 4, "input", points(4), 1)
gather_gradient_2 = _make_gather("winograd_gradient_2", 2, "gradient", 2, PANEL_VECTORS)
gather_gradient_4 = _make_gather("winograd_gradient_4", 4, "gradient", 4, PANEL_VECTORS)
scatter_output_2, scatter_output_4 = (_make_scatter(f"winograd_output_{m}", m) for m in (2, 4))
spread_weights_2, spread_weights_4 = (_make_spread(f"winograd_weights_{m}", m) for m in (2, 4))
collect_weights_2, collect_weights_4 = (_make_collect(f"winograd_collect_{m}", m) for m in (2, 4))
