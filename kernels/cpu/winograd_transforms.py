"""The transforms of Winograd convolution, on vectors of channels.

Lavin and Gray 2016; the formulas are in :mod:`kernels.reference.winograd`. A convolution of few outputs is a product of
polynomials, which is found from its values at a few points: at 0, at pairs of a number and its negative, and at
infinity. Since the points come in pairs, every transform splits into sums over even and over odd places that are then
added and subtracted. The two-dimensional transforms apply the one-dimensional ones to columns, then to rows.
"""

from __future__ import annotations

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
    """The one-dimensional transforms, each from a list of vectors to a list of vectors.

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

    def input(self, d):
        """``B^T d``: values of the input at all points."""
        whole = _others(self.pairs, None)
        values = [self._sum(zip(whole, d[0::2], strict=True))]
        for p in self.pairs:
            others = _others(self.pairs, p)
            even = self._sum(zip(others, d[2::2], strict=True))
            odd = self._sum(zip(others, d[1:-1:2], strict=True))
            values += [self._sum([(1.0, even), (p, odd)]), self._sum([(1.0, even), (-p, odd)])]
        return [*values, self._sum(zip(whole, d[1::2], strict=True))]

    def output(self, m):
        """``A^T m``: the outputs from the products at all points."""
        sums = self._pair_sums(m)
        rows = []
        for i in range(self.outputs):
            terms = [(p**i, pair[i % 2]) for p, pair in zip(self.pairs, sums, strict=True)]
            terms += [(1.0, m[0])] * (i == 0) + [(1.0, m[-1])] * (i == self.outputs - 1)
            rows.append(self._sum(terms))
        return rows

    def _pair_sums(self, m):
        """(sum, difference) of what belongs to the two points of every pair."""
        b = self.builder
        return [(b.fadd(p, q), b.fsub(p, q)) for p, q in zip(m[1:-1:2], m[2:-1:2], strict=True)]

    def weight(self, g):
        """``G g``: values of three weights at all points."""
        values = [self._sum([(1 / _scale(self.pairs, None), g[0])])]
        for p in self.pairs:
            scale = 1 / _scale(self.pairs, p)
            even, odd = self._sum([(scale, g[0]), (scale * p * p, g[2])]), (scale * p, g[1])
            values += [self._sum([(1.0, even), odd]), self._sum([(1.0, even), (-odd[0], odd[1])])]
        return [*values, g[2]]

    def gradient(self, y):
        """``A y``: values of output gradients at all points, the transpose of :meth:`output`."""
        values = [y[0]]
        for p in self.pairs:
            even = self._sum([(p**i, y[i]) for i in range(0, self.outputs, 2)])
            odd = self._sum([(p**i, y[i]) for i in range(1, self.outputs, 2)])
            values += [self.builder.fadd(even, odd), self.builder.fsub(even, odd)]
        return [*values, y[-1]]

    def weight_gradient(self, u):
        """``G^T u``: gradients of three weights, the transpose of :meth:`weight`."""
        sums, rows = self._pair_sums(u), []
        for i in range(3):
            scaled = [(p**i / _scale(self.pairs, p), pair[i % 2]) for p, pair in zip(self.pairs, sums, strict=True)]
            first = [(1 / _scale(self.pairs, None), u[0])] * (i == 0)
            rows.append(self._sum([*scaled, *first, *([(1.0, u[-1])] * (i == 2))]))
        return rows


def _both_axes(formula, grid):
    """Apply `formula` to the columns of a grid of vectors, then to the rows."""
    columns = [formula(list(column)) for column in zip(*grid, strict=True)]
    return [formula(list(row)) for row in zip(*columns, strict=True)]


def _square(size):
    return [(i, j) for i in range(size) for j in range(size)]


class _Vectors:
    """Loads and stores whole vectors."""

    def __init__(self, builder):
        self.builder = builder

    def load(self, pointer, offset):
        return load_at(self.builder, pointer, offset, TILE_VECTOR)

    def store(self, vector, pointer, offset):
        store_at(self.builder, vector, pointer, offset)


class _PartVectors(_Vectors):
    """Loads and stores the first `count` lanes."""

    def __init__(self, builder, count):
        super().__init__(builder)
        self.mask = first_lanes(builder, count, TILE_LANES)

    def load(self, pointer, offset):
        return masked_load(self.builder, pointer, offset, self.mask, TILE_VECTOR)

    def store(self, vector, pointer, offset):
        masked_store(self.builder, vector, pointer, offset, self.mask)


def _channel_loop(builder, channels, body):
    """``body(memory, i)`` for the vectors of `channels` floats, the last of which may be a part."""
    lanes = INT64(TILE_LANES)
    whole = builder.udiv(channels, lanes)
    with cgutils.for_range(builder, whole) as loop:
        body(_Vectors(builder), loop.index)
    rest = builder.urem(channels, lanes)
    with cgutils.if_unlikely(builder, builder.icmp_signed("!=", rest, INT64(0))):
        body(_PartVectors(builder, rest), whole)


class _Places:
    """Where the pixels of a tile lie: inside `bounds` at their place in the image, outside of it at `elsewhere`.

    The pointers are kept in memory, since there are more of them than registers.
    """

    def __init__(self, builder, size, image, row, column, bounds, elsewhere):
        self.builder = builder
        top, bottom, left, right = bounds
        self.memory = cgutils.alloca_once(builder, INT64, INT64(size * size))
        rows = [self._inside(i, top, bottom) for i in range(size)]
        columns = [self._inside(j, left, right) for j in range(size)]
        self.size = size
        for i, j in _square(size):
            offset = builder.add(builder.mul(row, INT64(4 * i)), builder.mul(column, INT64(4 * j)))
            inside = builder.and_(rows[i], columns[j])
            place = builder.select(inside, builder.add(image, offset), elsewhere)
            builder.store(place, builder.gep(self.memory, [INT64(i * size + j)]))

    def _inside(self, index, low, high):
        b = self.builder
        return b.and_(b.icmp_signed("<=", low, INT64(index)), b.icmp_signed("<", INT64(index), high))

    def pixel(self, i, j):
        place = self.builder.load(self.builder.gep(self.memory, [INT64(i * self.size + j)]))
        return float_pointer(self.builder, place)


def _panel_offset(builder, index, per_row, panel):
    """Offset of vector `index` where a row of a panel has so many vectors and panels lie `panel` floats apart."""
    at = builder.mul(builder.udiv(index, INT64(per_row)), panel)
    return builder.add(at, builder.mul(builder.urem(index, INT64(per_row)), INT64(TILE_LANES)))


def _make_gather(name, outputs, formula, size, per_row):
    def build(b, args):
        image, row, column, top, bottom, left, right, zeros, channels, target, plane, panel = args
        apply = getattr(Formulas(b, outputs), formula)
        places = _Places(b, size, image, row, column, (top, bottom, left, right), zeros)
        target = float_pointer(b, target)

        def vector(memory, index):
            c = b.mul(index, INT64(TILE_LANES))
            grid = [[memory.load(places.pixel(i, j), c) for j in range(size)] for i in range(size)]
            start = b.gep(target, [_panel_offset(b, index, per_row, panel)])
            values = [value for line in _both_axes(apply, grid) for value in line]
            for xi, value in enumerate(values):
                store_at(b, value, start, b.mul(plane, INT64(xi)))

        _channel_loop(b, channels, vector)

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
            Address of as many zeros as channels.
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
        source, plane, panel, start, image, row, column, bottom, right, elsewhere, channels = args
        none = INT64(0)
        places = _Places(b, outputs, image, row, column, (none, bottom, none, right), elsewhere)
        source, start = float_pointer(b, source), float_pointer(b, start)
        apply = Formulas(b, outputs).output

        def vector(memory, index):
            c = b.mul(index, INT64(TILE_LANES))
            first = b.gep(source, [_panel_offset(b, index, PANEL_VECTORS, panel)])
            offsets = [[b.mul(plane, INT64(i * size + j)) for j in range(size)] for i in range(size)]
            grid = [[load_at(b, first, offset, TILE_VECTOR) for offset in line] for line in offsets]
            bias, result = memory.load(start, c), _both_axes(apply, grid)
            for i, j in _square(outputs):
                memory.store(b.fadd(result[i][j], bias), places.pixel(i, j), c)

        _channel_loop(b, channels, vector)

    @intrinsic
    def scatter(typingctx, source, plane, panel, start, image, row, column, bottom, right, elsewhere, channels):
        """Turn the products of one tile into outputs, add first values, and write those inside of the image.

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
        elsewhere : int
            Address of memory for a pixel, where the other outputs are dropped.
        channels : int
        """

        return types.void(*[types.intp] * 11), outlined(name, build)

    return scatter


def _make_spread(name, outputs):
    def build(b, args):
        source, tap, count, target, plane = args
        source, target = float_pointer(b, source), float_pointer(b, target)
        apply, memory = Formulas(b, outputs).weight, _Vectors(b)
        with cgutils.for_range(b, count) as loop:
            at = b.mul(loop.index, INT64(TILE_LANES))
            taps = [[b.add(at, b.mul(tap, INT64(3 * i + j))) for j in range(3)] for i in range(3)]
            values = _both_axes(apply, [[memory.load(source, offset) for offset in line] for line in taps])
            for xi, value in enumerate(value for line in values for value in line):
                memory.store(value, target, b.add(at, b.mul(plane, INT64(xi))))

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
        apply = Formulas(b, outputs).weight_gradient

        def vector(memory, index):
            at = b.mul(index, INT64(TILE_LANES))
            offsets = [[b.add(at, b.mul(plane, INT64(i * size + j))) for j in range(size)] for i in range(size)]
            grid = [[load_at(b, source, offset, TILE_VECTOR) for offset in line] for line in offsets]
            result = _both_axes(apply, grid)
            for i, j in _square(3):
                memory.store(result[i][j], target, b.add(at, b.mul(tap, INT64(3 * i + j))))

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
