"""The formulas of Winograd convolution, on vectors of channels.

Lavin and Gray 2016; see :mod:`kernels.reference.winograd`. A convolution of few outputs is a product of polynomials,
which is found from its values at a few points: at 0, at pairs of a number and its negative, and at infinity. Since the
points come in pairs, every transform splits into sums over even and over odd places that are then added and subtracted.
"""

from __future__ import annotations

import math

from llvmlite import ir

from kernels.cpu.microkernels import TILE_LANES, TILE_VECTOR
from kernels.cpu.simd import fused_multiply_add

#: The positive number of every pair of points, by outputs of a tile along an axis. Of numbers with few digits, 3/4 and
#: 3/2 keep rounding errors smallest, below a third of those of the usual 1 and 2.
PAIRS = {2: (1.0,), 4: (0.75, 1.5)}
#: So many vectors are held in registers.
_HELD = 24


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


def transform_both_axes(parts, size, load, store):
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
