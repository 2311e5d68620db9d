"""The transforms of Winograd convolution, on vectors of channels.

Lavin and Gray 2016; the formulas are in :mod:`kernels.reference.winograd`. A convolution of few outputs is a product of
polynomials, which is found from its values at a few points: at 0, at pairs of a number and its negative, and at
infinity. Since the points come in pairs, every transform splits into sums over even and over odd places that are then
added and subtracted. The two-dimensional transforms apply the one-dimensional ones to columns, then to rows.
"""

from __future__ import annotations

import functools
import math

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from kernels.cpu.microkernels import TILE_LANES, TILE_VECTOR, outlined
from kernels.cpu.simd import (
    INT64,
    first_lanes,
    float_pointer,
    fused_multiply_add,
    load_at,
    masked_load,
    masked_store,
    store_at,
)

#: The positive number of every pair of points, by outputs of a tile along an axis. Of numbers with few digits, 3/4 and
#: 3/2 keep rounding errors smallest, below a third of those of the usual 1 and 2.
PAIRS = {2: (1.0,), 4: (0.75, 1.5)}

_MASK = ir.VectorType(ir.IntType(1), TILE_LANES)
#: So many vectors are held in registers.
_HELD = 24
#: Vectors in a row of a panel.
PANEL_VECTORS = 2


def points(outputs: int) -> int:
    """Points along an axis, as many as pixels of an input tile: ``outputs + 2``."""
    return 2 * len(PAIRS[outputs]) + 2


def _others(pairs, pair):
    """Coefficients, by power of x squared, of the product of ``x^2 - p^2`` over all pairs but `pair`."""
    product = [1.0]
    for p in pairs:
        if p != pair:
            shifted, scaled = [0.0, *product], [*(-p * p * c for c in product), 0.0]
            product = [s + t for s, t in zip(shifted, scaled, strict=True)]
    return product


def _scale(pairs, pair):
    """What values at the points of a pair (at 0 for None) are divided by: the product of distances to other points."""
    if pair is None:
        return math.prod(-p * p for p in pairs)
    return 2 * pair**2 * math.prod(pair**2 - p**2 for p in pairs if p != pair)


class Formulas:
    """The one-dimensional transforms.

    Each is a list of parts: the places of a few results, and a function that makes these from a list of vectors.

    Parameters
    ----------
    builder : llvmlite.ir.IRBuilder
    outputs : int
        2 or 4.
    """

    def __init__(self, builder, outputs: int):
        self.builder, self.outputs, self.pairs = builder, outputs, PAIRS[outputs]

    def _sum(self, terms):
        """Sum of (factor, vector) pairs."""
        b, total = self.builder, None
        for factor, vector in sorted(terms, key=lambda term: term[0] != 1.0):
            constant = ir.Constant(TILE_VECTOR, [factor] * TILE_LANES)
            if total is None:
                total = vector if factor == 1.0 else b.fmul(constant, vector)
            elif factor == 1.0:
                total = b.fadd(total, vector)
            else:
                total = fused_multiply_add(b, constant, vector, total)
        return total

    def _by_points(self, ends, pair):
        """Parts of a transform to values at the points: ``ends`` makes those at 0 and infinity, ``pair(p)`` at +-p."""
        parts = [((0, 2 * len(self.pairs) + 1), ends)]
        return parts + [((2 * k + 1, 2 * k + 2), pair(p)) for k, p in enumerate(self.pairs)]

    def _plus_minus(self, even, odd, factor=1.0):
        """Values at a pair of points."""
        return [self._sum([(1.0, even), (factor, odd)]), self._sum([(1.0, even), (-factor, odd)])]

    def input(self):
        """``B^T d``: values of the input at all points."""
        whole = _others(self.pairs, None)

        def pair(p):
            others = _others(self.pairs, p)

            def values(d):
                even, odd = (self._sum(zip(others, d[i:-1:2], strict=True)) for i in (2, 1))
                return self._plus_minus(even, odd, p)

            return values

        return self._by_points(lambda d: [self._sum(zip(whole, d[i::2], strict=True)) for i in (0, 1)], pair)

    def output(self):
        """``A^T m``: the outputs from the products at all points; the first output comes last."""

        def rows(places):
            return lambda m: [self._output(m, i) for i in places]

        last = self.outputs - 1
        return [(places, rows(places)) for places in (range(last, 0, -2), range(last - 1, -1, -2))]

    def _output(self, m, i):
        terms = [(p**i, pair) for p, pair in zip(self.pairs, self._pair_sums(m, i), strict=True)]
        ends = [(1.0, m[0])] * (i == 0) + [(1.0, m[-1])] * (i == self.outputs - 1)
        return self._sum(terms + ends)

    def _pair_sums(self, m, power):
        """Of the two numbers at every pair of points, the sum for even powers, the difference for odd ones."""
        combine = self.builder.fsub if power % 2 else self.builder.fadd
        return [combine(p, q) for p, q in zip(m[1:-1:2], m[2:-1:2], strict=True)]

    def weight(self):
        """``G g``: values of three weights at all points."""
        first = 1 / _scale(self.pairs, None)

        def pair(p):
            scale = 1 / _scale(self.pairs, p)
            return lambda g: self._plus_minus(self._sum([(scale, g[0]), (scale * p * p, g[2])]), g[1], scale * p)

        return self._by_points(lambda g: [self._sum([(first, g[0])]), g[2]], pair)

    def gradient(self):
        """``A y``: values of output gradients at all points, the transpose of :meth:`output`."""

        def pair(p):
            def values(y):
                even, odd = (self._sum([(p**i, y[i]) for i in range(k, self.outputs, 2)]) for k in (0, 1))
                return self._plus_minus(even, odd)

            return values

        return self._by_points(lambda y: [y[0], y[-1]], pair)

    def weight_gradient(self):
        """``G^T u``: gradients of three weights, the transpose of :meth:`weight`."""
        return [((0, 2), lambda u: [self._tap(u, 0), self._tap(u, 2)]), ((1,), lambda u: [self._tap(u, 1)])]

    def _tap(self, u, i):
        pairs = zip(self.pairs, self._pair_sums(u, i), strict=True)
        scaled = [(p**i / _scale(self.pairs, p), pair) for p, pair in pairs]
        ends = [(1 / _scale(self.pairs, None), u[0])] * (i == 0) + [(1.0, u[-1])] * (i == 2)
        return self._sum(scaled + ends)


def _merged(parts):
    """All parts as one."""

    def together(vectors):
        return [result for _, part in parts for result in part(vectors)]

    return [([place for places, _ in parts for place in places], together)]


def _transform_both_axes(parts, size, load, store):
    """Transform the columns of a square of vectors, then the rows, and hand the results to ``store(i, j, vector)``.

    Where all columns would be more than registers can hold, that is done part by part, and ``load(i, j)`` is called
    anew for each: vectors that wait for a later part would only be spilled.
    """
    ((places, _),) = whole = _merged(parts)
    for rows, part in whole if len(places) * size <= _HELD else parts:
        columns = [part([load(i, j) for i in range(size)]) for j in range(size)]
        for i, row in zip(rows, zip(*columns, strict=True), strict=True):
            for others, other in parts:
                for j, vector in zip(others, other(list(row)), strict=True):
                    store(i, j, vector)


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

            _transform_both_axes(parts, size, load, store)

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


def _make_scatter(name, outputs):
    size = points(outputs)

    def build(b, args):
        source, plane, panel, start, image, row, column, bottom, right, channels = args
        source, start = float_pointer(b, source), float_pointer(b, start)
        parts, valid = Formulas(b, outputs).output(), [b.icmp_signed("<", INT64(i), bottom) for i in range(outputs)]
        rows, zero = _rows(b, image, row, valid, image), INT64(0)
        inside = [b.icmp_signed("<", INT64(j), right) for j in range(outputs)]
        columns = [b.select(inside[j], b.mul(column, INT64(j)), zero) for j in range(outputs)]

        def vector(index, mask):
            c = b.mul(index, INT64(TILE_LANES))
            first = b.gep(source, [_panel_offset(b, index, PANEL_VECTORS, panel)])
            bias = _load(b, start, c, mask)

            def load(i, j):
                return load_at(b, first, b.mul(plane, INT64(i * size + j)), TILE_VECTOR)

            def store(i, j, value):
                _store(b, b.fadd(value, bias), rows[i], b.add(columns[j], c), mask)

            _transform_both_axes(parts, size, load, store)

        _channel_loop(b, channels, vector)

    @intrinsic
    def scatter(typingctx, source, plane, panel, start, image, row, column, bottom, right, channels):
        """Turn the products of one tile into outputs, add first values, and write those inside of the image.

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
        """

        return types.void(*[types.intp] * 10), outlined(name, build)

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

            _transform_both_axes(parts, 3, load, store)

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

            _transform_both_axes(parts, size, load, store)

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
