"""Register tiles of Winograd convolution: products of planes that lie in panels made for them.

A transformed source plane is stored by panels of one vector of channels: ``[panel][tile][TILE_LANES]``. A tile of the
product finds all its rows at fixed distances from one address, which leaves the registers to its sums.
"""

from __future__ import annotations

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from kernels.cpu.microkernels import TILE_LANES, TILE_VECTOR, WIDE, Sums, begin, outlined, unrolled
from kernels.cpu.simd import INT64, float_pointer, load_at, store_at

#: Vectors in a row of a panel of weights, or of output gradients.
PANEL_VECTORS = 2
#: Rows of a tile of two vectors and of a tile of one: with the first as many as registers hold.
DOT_ROWS = 12 if TILE_LANES == 16 else 6
NARROW_DOT_ROWS = 12
#: Rows of the tiles that do the rest.
LAST_ROWS = 4
#: Channels of a tile of a weight gradient; a panel of a source plane holds one or two of them.
OUTER_ROWS = 8 if TILE_LANES == 16 else 4


def _rows_of_panel(builder, address, rows):
    pointer = float_pointer(builder, address)
    return [builder.gep(pointer, [INT64(r * WIDE)]) for r in range(rows)]


def _places(builder, rows, vectors, first, panel):
    """Pointers to the vectors of some rows, row by row, where vectors lie in panels of their own."""
    panels = [builder.gep(first, [builder.mul(panel, INT64(v))]) for v in range(vectors)]
    return [builder.gep(each, [INT64(r * TILE_LANES)]) for r in range(rows) for each in panels]


def _make_dot(name, rows, vectors):
    def build(b, args):
        v, panel, depth, u, m, product_panel, accumulate = args
        v, u, m = (float_pointer(b, place) for place in (v, u, m))
        sums, places = Sums(b, rows, vectors), _places(b, rows, vectors, m, product_panel)

        def load():
            for (_, _, slot), place in zip(sums.each(), places, strict=True):
                b.store(load_at(b, place, INT64(0), TILE_VECTOR), slot)

        begin(b, sums, accumulate, sums.clear, load)
        with cgutils.for_range_slice(b, INT64(0), depth, INT64(TILE_LANES)) as (first, _):
            left = b.gep(v, [b.mul(b.udiv(first, INT64(TILE_LANES)), panel)])
            right = b.gep(u, [b.mul(first, INT64(WIDE))])
            rest = b.sub(depth, first)
            count = b.select(b.icmp_signed("<", rest, INT64(TILE_LANES)), rest, INT64(TILE_LANES))

            def step(k):
                row = b.gep(left, [k])
                sums.multiply_add(lambda r: b.gep(row, [INT64(r * TILE_LANES)]), b.gep(right, [b.mul(k, INT64(WIDE))]))

            unrolled(b, count, 4, step)
        for (_, _, slot), place in zip(sums.each(), places, strict=True):
            store_at(b, b.load(slot), place, INT64(0))

    @intrinsic
    def dot(typingctx, v, panel, depth, u, m, product_panel, accumulate):
        """``m[..., r] (+)= sum_k v[k // TILE_LANES, r, k % TILE_LANES] * u[k]``.

        The products may take the place of their sources.

        Parameters
        ----------
        v : int
            Address of the first row of a source plane.
        panel : int
            Floats between its panels.
        depth : int
            How many channels are summed.
        u : int
            Address of rows of WIDE floats, the weights of one channel each.
        m, product_panel : int
            Address of the first row of sums, in panels like those of the source, and floats between these.
        accumulate : int
            Not 0: add to what `m` holds.
        """

        return types.void(*[types.intp] * 7), outlined(name, build)

    return dot


def _make_outer(name, vectors):
    def build(b, args):
        v, z, count, u, accumulate = args
        v, z = float_pointer(b, v), float_pointer(b, z)
        sums, results = Sums(b, OUTER_ROWS, vectors), _rows_of_panel(b, u, OUTER_ROWS)
        begin(b, sums, accumulate, sums.clear, lambda: sums.load(results))

        def step(t):
            row = b.gep(v, [b.mul(t, INT64(TILE_LANES))])
            sums.multiply_add(lambda r: b.gep(row, [INT64(r)]), b.gep(z, [b.mul(t, INT64(WIDE))]))

        unrolled(b, count, 4, step)
        sums.store(results)

    @intrinsic
    def outer(typingctx, v, z, count, u, accumulate):
        """``u[r] (+)= sum_t v[t][r] * z[t]`` for OUTER_ROWS channels r.

        Parameters
        ----------
        v : int
            Address of the first of these channels in a panel of a source plane.
        z, u : int
            Addresses of rows of WIDE floats: output gradients of one tile, sums of one channel.
        count : int
            How many tiles are summed.
        accumulate : int
            Not 0: add to what `u` holds.
        """

        return types.void(*[types.intp] * 5), outlined(name, build)

    return outer


dot_rows = _make_dot("winograd_dot", DOT_ROWS, 2)
dot_last = _make_dot("winograd_dot_last", LAST_ROWS, 2)
narrow_dot_rows = _make_dot("winograd_narrow_dot", NARROW_DOT_ROWS, 1)
narrow_dot_last = _make_dot("winograd_narrow_dot_last", LAST_ROWS, 1)
outer_wide_rows = _make_outer("winograd_outer", 2)
outer_narrow_rows = _make_outer("winograd_narrow_outer", 1)
