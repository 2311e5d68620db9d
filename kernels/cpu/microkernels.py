"""Register tiles: the few inner loops in which matrix products and convolutions spend their time.

Each tile keeps ``ROWS x WIDE`` or ``ROWS x NARROW`` sums in vector registers: two of the target's vectors, or one, a
row. Where its operands lie is told by tables of int32 offsets, counted in floats, so that one tile serves every stride,
padding and dilation (Dukhan 2019, "The Indirect Convolution Algorithm"). Nothing here checks bounds: callers own the
address arithmetic.
"""

from __future__ import annotations

import functools

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from kernels.cpu.host import widest_lanes
from kernels.cpu.simd import (
    FLOAT,
    INT32,
    INT64,
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

#: Floats of one vector of the tiles, as many as a register of the target holds, and its type.
TILE_LANES = widest_lanes()
TILE_VECTOR = ir.VectorType(FLOAT, TILE_LANES)
#: Columns of the wide and of the narrow tile.
WIDE, NARROW = 2 * TILE_LANES, TILE_LANES
#: Their rows: so many sums hide the latency of a multiply-add, and fit the 32 registers of AVX-512, or 16.
WIDE_ROWS, NARROW_ROWS = (12, 14) if TILE_LANES == 16 else (6, 8)
#: Numbers of the activations that a tile can apply to its sums.
ACTIVATIONS = {"none": 0, "relu": 1, "relu6": 2}
#: Rows of the narrow tile of sums of outer products, which has one address for all of them.
NARROW_RUN = 24 if TILE_LANES == 16 else 8


def table_entry(builder, table, index):
    """Element `index` of an int32 table, widened."""
    return builder.sext(builder.load(builder.gep(table, [index])), INT64)


def table_pointer(builder, address):
    """An integer address as ``int32*``."""
    return builder.inttoptr(address, INT32.as_pointer())


def outlined(name, build):
    """Code generator that calls ``build(builder, args)`` as a function of its own in the module.

    The tiles are long: inlined wherever they are used they would double the compile time, and a call costs nothing
    beside their work.
    """

    def codegen(context, builder, signature, args):
        kind = ir.FunctionType(ir.VoidType(), [INT64] * len(args))
        function = cgutils.get_or_insert_function(builder.module, kind, f"nnvis_{name}")
        if function.is_declaration:
            function.linkage = "linkonce_odr"
            function.attributes.add("noinline")
            inside = ir.IRBuilder(function.append_basic_block("entry"))
            build(inside, function.args)
            inside.ret_void()
        builder.call(function, args)
        return context.get_dummy_value()

    return codegen


class Sums:
    """The tile's sums, so many vectors a row: stack slots that LLVM promotes to registers."""

    def __init__(self, builder, rows, vectors, vector=TILE_VECTOR):
        self.builder, self.rows, self.vectors, self.vector = builder, rows, vectors, vector
        self.slots = [[cgutils.alloca_once(builder, vector) for _ in range(vectors)] for _ in range(rows)]

    def each(self):
        """Yield (row, float offset of the vector in its row, slot)."""
        for r, row in enumerate(self.slots):
            for v, slot in enumerate(row):
                yield r, INT64(v * self.vector.count), slot

    def fill(self, start):
        """Begin every row with the vectors at `start`."""
        for _, offset, slot in self.each():
            self.builder.store(load_at(self.builder, start, offset, self.vector), slot)

    def clear(self):
        zero = ir.Constant(self.vector, [0.0] * self.vector.count)
        for _, _, slot in self.each():
            self.builder.store(zero, slot)

    def load(self, pointers):
        for r, offset, slot in self.each():
            self.builder.store(load_at(self.builder, pointers[r], offset, self.vector), slot)

    def store(self, pointers):
        for r, offset, slot in self.each():
            store_at(self.builder, self.builder.load(slot), pointers[r], offset)

    def activate(self, activation):
        """Apply the activation of this number; NaN stays."""
        b = self.builder
        with cgutils.if_unlikely(b, b.icmp_signed("!=", activation, INT64(0))):
            self._limit("<", 0.0)
            with cgutils.if_unlikely(b, b.icmp_signed("==", activation, INT64(ACTIVATIONS["relu6"]))):
                self._limit(">", 6.0)

    def _limit(self, beyond, bound):
        limit = ir.Constant(self.vector, [bound] * self.vector.count)
        for _, _, slot in self.each():
            value = self.builder.load(slot)
            outside = self.builder.fcmp_ordered(beyond, value, limit)
            self.builder.store(self.builder.select(outside, limit, value), slot)

    def add(self, pointers):
        """Add what is there."""
        for r, offset, slot in self.each():
            there = load_at(self.builder, pointers[r], offset, self.vector)
            self.builder.store(self.builder.fadd(self.builder.load(slot), there), slot)

    # Of rows that are shorter than the tile, only the first `width` floats exist.

    def load_part(self, pointers, width):
        masks = self._masks(width)
        for r, offset, slot in self.each():
            self.builder.store(
                masked_load(self.builder, pointers[r], offset, masks[offset.constant], self.vector), slot
            )

    def add_part(self, pointers, width):
        masks = self._masks(width)
        for r, offset, slot in self.each():
            there = masked_load(self.builder, pointers[r], offset, masks[offset.constant], self.vector)
            self.builder.store(self.builder.fadd(self.builder.load(slot), there), slot)

    def store_part(self, pointers, width):
        masks = self._masks(width)
        for r, offset, slot in self.each():
            masked_store(self.builder, self.builder.load(slot), pointers[r], offset, masks[offset.constant])

    def _masks(self, width):
        """By float offset of a vector: which of its lanes lie below `width`."""
        offsets = [v * self.vector.count for v in range(self.vectors)]
        b = self.builder
        return {offset: first_lanes(b, b.sub(width, INT64(offset)), self.vector.count) for offset in offsets}

    def multiply_add(self, scalars, right):
        """Row r += scalars(r) * the vectors at `right`."""
        b, lanes = self.builder, self.vector.count
        vectors = [load_at(b, right, INT64(v * lanes), self.vector) for v in range(self.vectors)]
        for r, row in enumerate(self.slots):
            left = broadcast_lane(b, b.load(scalars(r)), self.vector)
            for vector, slot in zip(vectors, row, strict=True):
                b.store(fused_multiply_add(b, left, vector, b.load(slot)), slot)


def row_pointers(builder, base, table, rows):
    """Pointer of every row: ``base + table[r]`` floats."""
    base, table = float_pointer(builder, base), table_pointer(builder, table)
    return [builder.gep(base, [table_entry(builder, table, INT64(r))]) for r in range(rows)]


def begin(builder, sums, accumulate, fresh, load):
    """Start from what the results hold, by `load`, if `accumulate` is not 0, else with `fresh`."""
    with builder.if_else(builder.icmp_signed("!=", accumulate, INT64(0))) as (then, otherwise):
        with then:
            load()
        with otherwise:
            fresh()


def by_width(builder, sums, width, whole, part):
    """``whole()`` where rows of `width` floats are as long as the tile's, else ``part()``."""
    full = builder.icmp_signed(">=", width, INT64(sums.vectors * sums.vector.count))
    with builder.if_else(full, likely=True) as (then, otherwise):
        with then:
            whole()
        with otherwise:
            part()


def unrolled(builder, count, unroll, body, first=None):
    """``for i in range(count): body(i)``, the loop unrolled `unroll` times, with ``first(i)`` once in such a turn."""
    whole = builder.and_(count, INT64(-unroll))
    with cgutils.for_range_slice(builder, INT64(0), whole, INT64(unroll)) as (i, _):
        if first is not None:
            first(i)
        for u in range(unroll):
            body(builder.add(i, INT64(u)))
    with cgutils.for_range_slice(builder, whole, count, INT64(1)) as (i, _):
        body(i)


def ask_for(builder, pointers):
    """Prefetch the lines at `pointers`, to be written."""
    for pointer in pointers:
        prefetch_pointer(builder, pointer, write=1, level=3)


def _make_dot_tile(name, rows, vectors, unroll):
    def build(b, args):
        x, pixels, taps, tap_count, w, start, y, outs, width, accumulate, activation, ahead, ahead_stride = args
        sums = Sums(b, rows, vectors)
        results = row_pointers(b, y, outs, rows)
        if TILE_LANES == 8:
            ask_for(b, results)
        load, store = (
            functools.partial(by_width, b, sums, width, lambda f=f: f(results), lambda g=g: g(results, width))
            for f, g in ((sums.load, sums.load_part), (sums.store, sums.store_part))
        )
        begin(b, sums, accumulate, lambda: sums.fill(float_pointer(b, start)), load)
        sources = row_pointers(b, x, pixels, rows)
        taps, w, ahead = table_pointer(b, taps), float_pointer(b, w), float_pointer(b, ahead)
        with cgutils.for_range(b, tap_count) as outer:
            entry = b.gep(taps, [b.mul(outer.index, INT64(3))])
            shift, first, run = (table_entry(b, entry, INT64(i)) for i in range(3))
            shifted = [b.gep(source, [shift]) for source in sources]
            weights = b.gep(w, [b.mul(first, INT64(WIDE))])

            def step(k):
                right = b.gep(weights, [b.mul(k, INT64(WIDE))])
                sums.multiply_add(lambda r: b.gep(shifted[r], [k]), right)

            def ask(k):
                place = b.gep(ahead, [b.mul(k, ahead_stride)])
                for floats in range(0, rows * unroll, 16):
                    prefetch_pointer(b, b.gep(place, [INT64(floats)]))

            unrolled(b, run, unroll, step, ask)
        sums.activate(activation)
        store()

    @intrinsic
    def dot_tile(
        typingctx, x, pixels, taps, tap_count, w, start, y, outs, width, accumulate, activation, ahead, ahead_stride
    ):
        """``y[outs[r] : + width] = start + sum_t sum_k x[pixels[r] + taps[t].source + k] * w[taps[t].row + k]``.

        Parameters
        ----------
        x, w, start, y : int
            Addresses: source floats, packed weights (rows of WIDE floats), first values, result.
        pixels, outs : int
            Addresses of int32 tables, one offset a row of the tile.
        taps : int
            Address of an int32 table of triples (source offset, first weight row, run length).
        tap_count : int
        width : int
            Floats of a row of `y`; no more than the tile's are written. (Those of `w` and `start` are all there.)
        accumulate : int
            Not 0: add to what `y` holds and ignore `start`.
        activation : int
            Number of what is applied to the sums in the end, of :data:`ACTIVATIONS`.
        ahead, ahead_stride : int
            Address of what is asked for meanwhile, and floats between what is for one `k` and the next: as many as the
            tile has rows, or 0.

        Rows may be the same pixel more than once, with the same place for its sums.
        """

        return types.void(*[types.intp] * 13), outlined(name, build)

    return dot_tile


def _make_outer_tile(name, rows, vectors, run):
    """With `run` the rows of the tile are neighbours in memory: one address instead of as many as there are rows."""

    def build(b, args):
        x, entries, pixels, count, dy, y, outs, accumulate = args
        sums = Sums(b, rows, vectors)
        results = row_pointers(b, y, outs, rows)
        begin(b, sums, accumulate, sums.clear, lambda: sums.load(results))
        sources = row_pointers(b, x, entries, 1 if run else rows)
        pixels, dy = table_pointer(b, pixels), float_pointer(b, dy)
        # Not unrolled: the compiler would load the factors of both turns at once, for which it has no registers.
        with cgutils.for_range(b, count) as loop:
            pair = b.mul(loop.index, INT64(2))
            shift = table_entry(b, pixels, pair)
            right = b.gep(dy, [table_entry(b, pixels, b.add(pair, INT64(1)))])
            shifted = [b.gep(source, [shift]) for source in sources]
            sums.multiply_add(lambda r: b.gep(shifted[0], [INT64(r)]) if run else shifted[r], right)
        sums.store(results)

    @intrinsic
    def outer_tile(typingctx, x, entries, pixels, count, dy, y, outs, accumulate):
        """``y[outs[r] :] (+)= sum_p x[entries[r] + pixels[p].source] * dy[pixels[p].gradient :]``.

        Parameters
        ----------
        x, dy, y : int
            Addresses: source floats, output gradients, result.
        entries, outs : int
            Addresses of int32 tables, one offset a row of the tile. (Of a run only the first entry is read.)
        pixels : int
            Address of an int32 table of pairs (source offset, gradient offset).
        count : int
            Number of pixels.
        accumulate : int
            Not 0: add to what `y` holds.
        """

        return types.void(*[types.intp] * 8), outlined(name, build)

    return outer_tile


dot_wide = _make_dot_tile("dot_wide", WIDE_ROWS, 2, 4)
dot_narrow = _make_dot_tile("dot_narrow", NARROW_ROWS, 1, 2)
outer_wide = _make_outer_tile("outer_wide", WIDE_ROWS, 2, run=False)
outer_narrow = _make_outer_tile("outer_narrow", NARROW_RUN, 1, run=False)
outer_wide_run = _make_outer_tile("outer_wide_run", WIDE_ROWS, 2, run=True)
outer_narrow_run = _make_outer_tile("outer_narrow_run", NARROW_RUN, 1, run=True)


#: The three exchanges of an 8x8 transposition: distance of the rows that swap, and the lanes of the two results.
_EXCHANGES = (
    (1, (0, 8, 2, 10, 4, 12, 6, 14), (1, 9, 3, 11, 5, 13, 7, 15)),
    (2, (0, 1, 8, 9, 4, 5, 12, 13), (2, 3, 10, 11, 6, 7, 14, 15)),
    (4, (0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15)),
)


def _exchange(builder, a, b, order):
    """Lanes of the pair (a, b) picked by `order`, in every eight lanes of longer vectors."""
    lanes = a.type.count
    picked = [lane % LANES + part + lane // LANES * lanes for part in range(0, lanes, LANES) for lane in order]
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(INT32, lanes), picked))


def transposed(builder, rows):
    """Eight vectors with rows as columns; of longer ones, every eight columns on their own."""
    for distance, low, high in _EXCHANGES:
        for i in range(LANES):
            if not i & distance:
                a, b = rows[i], rows[i + distance]
                rows[i] = _exchange(builder, a, b, low)
                rows[i + distance] = _exchange(builder, a, b, high)
    return rows


@intrinsic
def transpose_block(typingctx, source, source_stride, target, target_stride):
    """Write the transpose of 8 x 8 floats; addresses in bytes, strides between rows in floats."""

    def build(b, args):
        source, source_stride, target, target_stride = args
        source, target = float_pointer(b, source), float_pointer(b, target)
        rows = [load_at(b, source, b.mul(source_stride, INT64(i))) for i in range(LANES)]
        for i, row in enumerate(transposed(b, rows)):
            store_at(b, row, target, b.mul(target_stride, INT64(i)))

    return types.void(*[types.intp] * 4), outlined("transpose_block", build)


def prefetch_pointer(builder, pointer, write=0, level=2):
    """Ask for the cache line at `pointer`, to a level of the caches: 3 is the first."""
    bytes_ = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [bytes_, INT32, INT32, INT32])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    data = INT32(1)
    builder.call(function, [builder.bitcast(pointer, bytes_), INT32(write), INT32(level), data])


def _prefetching(write, level):
    @intrinsic
    def prefetch(typingctx, place):
        """Ask for the cache line at address `place`, which need not be valid."""

        def codegen(context, builder, signature, args):
            prefetch_pointer(builder, float_pointer(builder, args[0]), write, level)
            return context.get_dummy_value()

        return types.void(types.intp), codegen

    return prefetch


prefetch = _prefetching(write=0, level=3)
#: To the second-level cache only; and to be written.
prefetch_far, prefetch_target = _prefetching(write=0, level=2), _prefetching(write=1, level=3)
