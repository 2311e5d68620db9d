"""Register tiles of depthwise convolution that walk along rows: a vector or two of channels, four neighbouring pixels.

A tile does all pixels of some rows for as many channels as a register holds, or a cache line: else each line would come
from the second-level cache once for either half. The weights of one vector (or their gradient's sums) stay in
registers, and each source pixel is read once for all the taps of a row that meet it. Source pixels beside the image are
read as zeros by masks; rows above or below it are skipped. Nothing here checks bounds.
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
    float_pointer,
    fused_multiply_add,
    load_at,
    masked_load,
    masked_store,
    store_at,
)

#: Neighbouring target pixels of a tile, and vectors of channels of the widest: a cache line.
PIXELS, MOST_VECTORS = 4, 16 // TILE_LANES
#: Entries of the table that describes a pass: sizes, and the source row and column under the first tap of the first
#: target pixel. (Of a transposed pass: padding, and the column that the first tile's leftmost tap meets.) Then how far
#: ahead, in floats, sources and targets are asked for; 0 if not at all. Last the number of the activation.
(
    SOURCE_ROWS,
    SOURCE_COLUMNS,
    TARGET_COLUMNS,
    CHANNELS,
    TOP,
    LEFT,
    SOURCE_AHEAD,
    TARGET_AHEAD,
    ACTIVATION,
    FRAME,
) = range(10)

# Masks are integers of one bit a lane.
_BITS, _MASK = ir.IntType(TILE_LANES), ir.VectorType(ir.IntType(1), TILE_LANES)
_ALL, _NONE = _BITS(2**TILE_LANES - 1), _BITS(0)
#: Tap rows whose weight gradients are summed together: nine or ten sums, which fit 16 registers.
OUTER_ROWS = {3: 3, 5: 2}


class _Walk:
    """The sources that target pixels meet, by row and by column.

    Parameters
    ----------
    kernel, stride : int
        3 or 5; 1 or 2.
    transposed : bool
        Whether targets are the forward pass's inputs; with a stride of 2 and the usual padding, ``kernel // 2``.
    """

    def __init__(self, builder, frame, kernel, stride, transposed):
        self.builder, self.stride, self.transposed = builder, stride, transposed
        frame = table_pointer(builder, frame)
        (
            self.rows,
            self.columns,
            self.outputs,
            self.channels,
            self.top,
            self.left,
            self.source_ahead,
            self.target_ahead,
            self.activation,
        ) = (table_entry(builder, frame, INT64(i)) for i in range(FRAME))
        self.links = _transposed_links(kernel) if transposed else _links(kernel, stride)
        self.count = 1 + max(column for _, _, column in self.links)
        #: Columns that may lie beside the image.
        self.edges = {j for j in range(self.count) if j < kernel // 2 or j >= self.count - kernel // 2}

    def row(self, target, tap):
        """The source row under a row of taps, and whether it is there."""
        b = self.builder
        if not self.transposed:
            row = b.add(b.add(b.mul(target, INT64(self.stride)), self.top), tap)
            return row, b.icmp_unsigned("<", row, self.rows)
        twice = b.sub(b.add(target, self.top), tap)
        row = b.ashr(twice, INT64(1))
        even = b.icmp_signed("==", b.and_(twice, INT64(1)), INT64(0))
        return row, b.and_(even, b.icmp_unsigned("<", row, self.rows))

    def chunks(self):
        """Loop over the tiles of a row: (first target pixel of the tile, first one that no tile before has done)."""
        b = self.builder
        with cgutils.for_range_slice(b, INT64(0), self.outputs, INT64(PIXELS)) as (fresh, _):
            last = b.sub(self.outputs, INT64(PIXELS))
            yield b.select(b.icmp_signed("<", fresh, last), fresh, last), fresh

    def prefetch(self, sources, target):
        """Ask for the pixels of a tile some rows ahead, where there is enough data for that to pay.

        Of the places in `sources`, where the tile's rows of taps begin, the first are those of rows that no target row
        before has met.
        """
        b = self.builder
        count = PIXELS // 2 if self.transposed else PIXELS * self.stride
        fresh = 1 if self.transposed else self.stride
        asked = [(self.source_ahead, sources[:fresh], count), (self.target_ahead, [target], PIXELS)]
        for ahead, places, pixels in asked:
            with b.if_then(b.icmp_signed("!=", ahead, INT64(0))):
                for place in places:
                    place = b.gep(place, [ahead])
                    for i in range(pixels):
                        _prefetch(b, b.gep(place, [b.mul(self.channels, INT64(i))]))

    def first_column(self, target):
        b = self.builder
        column = b.ashr(target, INT64(1)) if self.transposed else b.mul(target, INT64(self.stride))
        return b.add(column, self.left)

    def masks(self, column, lanes):
        """For each column from `column` on: `lanes`, or none where it lies beside the image."""
        b, masks = self.builder, [lanes] * self.count
        for j in self.edges:
            inside = b.icmp_unsigned("<", b.add(column, INT64(j)), self.columns)
            masks[j] = _where(b, inside, lanes)
        return masks

    def places(self, source, masks):
        """Where each column of one row of sources is read, and by which mask."""
        b = self.builder
        return [_place(b, b.gep(source, [b.mul(self.channels, INT64(j))]), masks[j]) for j in range(self.count)]

    def meet(self, places, multiply_add, offset=0):
        """Read one row of sources, and ``multiply_add(pixel of the tile, tap column, source)`` for all that meet.

        Channels are those of the vector that begins `offset` floats behind `places`.
        """
        for j, (place, mask) in enumerate(places):
            value = _load(self.builder, place, INT64(offset), mask)
            for pixel, tap, column in self.links:
                if column == j:
                    multiply_add(pixel, tap, value)


def _prefetch(builder, pointer):
    bytes_ = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [bytes_, INT32, INT32, INT32])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    builder.call(function, [builder.bitcast(pointer, bytes_), INT32(0), INT32(3), INT32(1)])


def _links(kernel, stride):
    """All (pixel of the tile, tap column, source column) that meet."""
    return [(i, k, i * stride + k) for i in range(PIXELS) for k in range(kernel)]


def _transposed_links(kernel):
    """The same for the data gradient of a stride of two."""
    pairs = [(i, k, i + kernel // 2 - k) for i in range(PIXELS) for k in range(kernel)]
    first = transposed_left(kernel)
    return [(i, k, twice // 2 - first) for i, k, twice in pairs if twice % 2 == 0]


def transposed_left(kernel: int) -> int:
    """Column, relative to half that of the first target pixel, of the leftmost source of a transposed tile."""
    return -((kernel // 2) // 2)


def _where(builder, condition, mask):
    """`mask`, or no lanes; of whole vectors the condition itself, since AVX2 makes masks of bits one lane at a time."""
    return condition if mask is _ALL else builder.select(condition, mask, _NONE)


def _place(builder, pointer, mask):
    """Where whole vectors are read instead of those at `pointer`, if the mask is a condition: there, or from zeros."""
    if mask is _ALL or mask.type.width > 1:
        return pointer, mask
    count = MOST_VECTORS * TILE_LANES
    zeros = ir.Constant(ir.VectorType(FLOAT, count), [0.0] * count)
    zeros = builder.bitcast(cgutils.global_constant(builder, "zeros", zeros), pointer.type)
    return builder.select(mask, pointer, zeros), _ALL


def _load(builder, pointer, offset, mask):
    if mask.type.width == 1:
        pointer, mask = _place(builder, builder.gep(pointer, [offset]), mask)
        offset = INT64(0)
    if mask is _ALL:
        return load_at(builder, pointer, offset, TILE_VECTOR)
    return masked_load(builder, pointer, offset, builder.bitcast(mask, _MASK), TILE_VECTOR)


def _lanes(builder, channels):
    """Mask of the channels that are there. With vectors of eight, which masks make slow, there are always enough."""
    if TILE_LANES == 8:
        return _ALL
    first = builder.trunc(builder.not_(builder.shl(INT64(-1), channels)), _BITS)
    return builder.select(builder.icmp_signed(">=", channels, INT64(TILE_LANES)), _ALL, first)


def _make_dot_rows(kernel, stride, transposed, vectors):
    def build(b, args):
        x, w, w_step, start, y, frame, first, last, lanes = args
        x, w, start, y = (float_pointer(b, each) for each in (x, w, start, y))
        walk, mask = _Walk(b, frame, kernel, stride, transposed), _lanes(b, lanes)
        offsets = [INT64(v * TILE_LANES) for v in range(vectors)]
        initial = [_load(b, start, offset, mask) for offset in offsets]
        weights = [b.gep(w, [b.mul(w_step, INT64(t))]) for t in range(kernel * kernel)]
        kept = [_load(b, each, INT64(0), mask) for each in weights] if kernel == 3 and vectors == 1 else []
        sums = Sums(b, PIXELS, vectors)
        line = b.mul(walk.columns, walk.channels)

        def row_of_taps(kh, v, places):
            taps = range(kernel * kh, kernel * kh + kernel)
            row = [kept[t] if kept else _load(b, weights[t], offsets[v], mask) for t in taps]

            def multiply_add(pixel, tap, value):
                slot = sums.slots[pixel][v]
                b.store(fused_multiply_add(b, value, row[tap], b.load(slot)), slot)

            walk.meet(places, multiply_add, v * TILE_LANES)

        with cgutils.for_range_slice(b, first, last, INT64(1)) as (target, _):
            rows = [walk.row(target, INT64(kh)) for kh in range(kernel)]
            pointers = [b.gep(x, [b.mul(row, line)]) for row, _ in rows]
            out = b.gep(y, [b.mul(b.mul(target, walk.outputs), walk.channels)])
            for pixel, _ in walk.chunks():
                column = walk.first_column(pixel)
                masks, shift = walk.masks(column, mask), b.mul(column, walk.channels)
                place = b.gep(out, [b.mul(pixel, walk.channels)])
                walk.prefetch([b.gep(each, [shift]) for each in pointers[kernel // 2 :]], place)
                for slots in sums.slots:
                    for value, slot in zip(initial, slots, strict=True):
                        b.store(value, slot)
                for kh, (_, inside) in enumerate(rows):
                    with b.if_then(inside):
                        places = walk.places(b.gep(pointers[kh], [shift]), masks)
                        for v in range(vectors):
                            row_of_taps(kh, v, places)
                sums.activate(walk.activation)
                _store_pixels(b, sums, place, walk.channels, lanes, mask)

    @intrinsic
    def dot_rows(typingctx, x, w, w_step, start, y, frame, first, last, lanes):
        """Target rows `first` to `last` of one image: ``y = activation(start + sum over taps of x w)``.

        Parameters
        ----------
        x, w, start, y : int
            Addresses of the first channel to do: in the source image, the first tap, the first values, the target.
        w_step : int
            Floats from one tap to the next.
        frame : int
            Address of the int32 table of the pass.
        first, last : int
        lanes : int
            Channels from there on; no more than the tile's vectors hold are done.
        """
        name = f"depthwise_dot_{kernel}_{stride}_{transposed}_{vectors}"
        return types.void(*[types.intp] * 9), outlined(name, build)

    return dot_rows


def _store_pixels(builder, sums, target, step, lanes, mask):
    """Write the vectors of neighbouring pixels; only the channels that are there."""
    places = [builder.gep(target, [builder.mul(step, INT64(i))]) for i in range(PIXELS)]
    if mask is _ALL:
        sums.store(places)
        return
    values = [builder.load(slot) for _, _, slot in sums.each()]
    full = builder.icmp_signed(">=", lanes, INT64(TILE_LANES))
    with builder.if_else(full, likely=True) as (whole, part):
        with whole:
            for value, place in zip(values, places, strict=True):
                store_at(builder, value, place, INT64(0))
        with part:
            for value, place in zip(values, places, strict=True):
                masked_store(builder, value, place, INT64(0), builder.bitcast(mask, _MASK))


def _make_outer_rows(kernel, stride):
    height = OUTER_ROWS[kernel]

    def build(b, args):
        x, dy, y, y_step, frame, first, last, tap_row, lanes = args
        x, dy, y = (float_pointer(b, each) for each in (x, dy, y))
        walk, mask = _Walk(b, frame, kernel, stride, False), _lanes(b, lanes)
        sums = Sums(b, height * kernel, 1)
        base = b.gep(y, [b.mul(b.mul(tap_row, INT64(kernel)), y_step)])
        results = [b.gep(base, [b.mul(y_step, INT64(t))]) for t in range(height * kernel)]
        sums.load(results)
        line = b.mul(walk.columns, walk.channels)
        with cgutils.for_range_slice(b, first, last, INT64(1)) as (target, _):
            rows = [walk.row(target, b.add(tap_row, INT64(kh))) for kh in range(height)]
            if kernel % height:  # the last rows of taps may lie beyond the window
                exists = [b.icmp_signed("<", b.add(tap_row, INT64(kh)), INT64(kernel)) for kh in range(height)]
                rows = [(row, b.and_(inside, known)) for (row, inside), known in zip(rows, exists, strict=True)]
            pointers = [b.gep(x, [b.mul(row, line)]) for row, _ in rows]
            upstream = b.gep(dy, [b.mul(b.mul(target, walk.outputs), walk.channels)])
            for pixel, fresh in walk.chunks():
                column = walk.first_column(pixel)
                masks, shift = walk.masks(column, mask), b.mul(column, walk.channels)
                place = b.gep(upstream, [b.mul(pixel, walk.channels)])
                walk.prefetch([b.gep(each, [shift]) for each in pointers], place)
                gradients = _fresh_pixels(b, place, b.sub(fresh, pixel), walk.channels, mask)

                def multiply_add(i, tap, value, kh, gradients=gradients):
                    (slot,) = sums.slots[kh * kernel + tap]
                    b.store(fused_multiply_add(b, value, gradients[i], b.load(slot)), slot)

                for kh, (_, inside) in enumerate(rows):
                    with b.if_then(inside):
                        source = b.gep(pointers[kh], [shift])
                        places = walk.places(source, masks)
                        walk.meet(places, lambda *link, kh=kh, add=multiply_add: add(*link, kh))
        sums.store(results)

    @intrinsic
    def outer_rows(typingctx, x, dy, y, y_step, frame, first, last, tap_row, lanes):
        """Add target rows `first` to `last` of one image to the sums of some rows of taps, for some channels.

        Parameters
        ----------
        x, dy, y : int
            Addresses of the first channel to do: in the source image, the gradients, the first tap's sums.
        y_step : int
            Floats from one tap's sums to the next; every row of sums holds whole vectors.
        frame, first, last, lanes
            As for the dot products.
        tap_row : int
            The first of the rows of taps, of which two or three are done.
        """
        return types.void(*[types.intp] * 9), outlined(f"depthwise_outer_{kernel}_{stride}", build)

    return outer_rows


def _fresh_pixels(builder, place, done, step, mask):
    """Four neighbours at `place`, zero for the first `done` of them, which a tile before has done."""
    b = builder
    masks = [_where(b, b.icmp_signed(">=", INT64(i), done), mask) for i in range(PIXELS - 1)]
    return [_load(b, place, b.mul(step, INT64(i)), own) for i, own in enumerate([*masks, mask])]


def _dot_tiles(*shape):
    """The tiles of one vector and of the most vectors."""
    single = _make_dot_rows(*shape, 1)
    return single, _make_dot_rows(*shape, MOST_VECTORS) if MOST_VECTORS > 1 else single


dot_rows_3_1, dot_rows_3_2 = _dot_tiles(3, 1, False), _dot_tiles(3, 2, False)
dot_rows_5_1, dot_rows_5_2 = _dot_tiles(5, 1, False), _dot_tiles(5, 2, False)
dot_rows_3_transposed, dot_rows_5_transposed = _dot_tiles(3, 2, True), _dot_tiles(5, 2, True)
outer_rows_3_1, outer_rows_3_2 = _make_outer_rows(3, 1), _make_outer_rows(3, 2)
outer_rows_5_1, outer_rows_5_2 = _make_outer_rows(5, 1), _make_outer_rows(5, 2)
