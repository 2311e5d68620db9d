"""The engine behind matrix products and convolutions: tiles of a product ``left (M, K) @ right (K, N)``.

The textbook's kernel gives a thread to every result; it reads two floats from memory for each multiply-add, and waits.
Here a block of 256 threads does a tile of 128 x 128 results. Together they bring 8 columns of the left side and 8 rows
of the right one into shared memory; then each thread takes 8 floats of either into registers and multiplies every one
by every other: 64 multiply-adds for 16 floats read, in four instructions. While they multiply, the next floats are on
their way from memory into registers, and go to the other half of shared memory: one barrier a step. Small products get
tiles of 64 x 64, of which there are more.
(Volkov and Demmel, "Benchmarking GPUs to tune dense linear algebra", 2008; CUTLASS: "Efficient GEMM in CUDA".)

Where the operands come from is told by two functions, so that a convolution is a product whose left side is gathered
from an image as it is needed (implicit GEMM: Chetlur et al., "cuDNN: Efficient Primitives for Deep Learning", 2014).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from kernels.cuda.indices import divided
from kernels.cuda.jit import Kernel, inner, kernel
from kernels.cuda.launch import blocks
from kernels.cuda.toolkit import cuda
from kernels.cuda.vectors import load4, store4

_ZERO = np.float32(0)
_SIX = np.float32(6)
#: Numbers that a product is told: M, N and K of each group; floats from row to row, from group to group and from split
#: to split of the result; splits of K, and the steps of each; whether there is a bias, and floats from one group's to
#: the next; the groups of an image, and floats from one image's result to the next. Then follow those of the operands.
(
    ROWS, COLUMNS, INNER, LINE, GROUP, SPLIT, SPLITS, SPLIT_DEPTH, BIAS, BIAS_GROUP, GROUPS, IMAGE, OWN,
) = range(13)  # fmt: skip
SIZES = OWN + 15
#: Numbers of the activations that are applied to the sums.
ACTIVATIONS = {"none": 0, "relu": 1, "relu6": 2}
_SIGNATURE = f"void(float32[::1], float32[::1], float32[::1], float32[::1], UniTuple(int32, {SIZES}), int32, float32)"
#: Multiprocessors that small tiles should keep busy.
FEW_BLOCKS = 80


@dataclass(frozen=True)
class Tile:
    """A tile's side, the steps of K that are in shared memory at a time, and the side of a thread's part.

    So many steps are `unrolled`, a power of two: more would take so many registers that fewer blocks fit at a time.
    """

    side: int
    depth: int
    part: int
    unrolled: int

    @property
    def threads(self) -> int:
        """Threads of a block; each brings four floats of either operand at a time: side * depth / 4 is as many."""
        return (self.side // self.part) ** 2


LARGE, SMALL = Tile(128, 8, 8, unrolled=2), Tile(64, 16, 4, unrolled=4)
#: Splits of the inner size are multiples of this.
WHOLE = 16


@inner
def _itself(group, sizes):
    """The number of a group."""
    return group


@dataclass(frozen=True)
class Operand:
    """One side of a product.

    Attributes
    ----------
    fetch : device function
        ``fetch(array, line, position, group, sizes)`` gives four floats from a position of a line on, 0 beyond the end.
    across : bool
        Lines are steps of K and positions are rows (columns) of the result; otherwise the other way around.
    locate : device function
        ``locate(group, sizes)`` is what `fetch` is told as the group, found once: its number unless given.
    """

    fetch: Callable
    across: bool
    locate: Callable = _itself


@inner
def one_by_one(array, place, count):
    """Four floats of ``array[place : place + count]``, 0 beyond them."""
    a = array[place] if count > 0 else _ZERO
    b = array[place + 1] if count > 1 else _ZERO
    c = array[place + 2] if count > 2 else _ZERO
    d = array[place + 3] if count > 3 else _ZERO
    return a, b, c, d


@inner
def at_or_zero(array, begin, position, size):
    """Four floats of ``array[begin + position :]``, 0 where the position is `size` or more."""
    place = begin + position
    if position + 4 <= size and place % 4 == 0:
        return load4(array, place)
    return one_by_one(array, place, size - position)


@inner
def activated(value, activation):
    """The activation of this number; NaN stays."""
    if activation > 0 and value < _ZERO:
        value = _ZERO
    if activation > 1 and value > _SIX:
        value = _SIX
    return value


def _make_parts(operand: Operand, tile: Tile) -> tuple[Callable, Callable]:
    """Functions that bring one operand to registers, and from there to shared memory, laid out by (step, row)."""
    fetch, side, quads = operand.fetch, tile.side, tile.depth // 4
    line_floats = side + 4  # so that four columns, side by side in a warp, meet other banks

    if operand.across:

        @inner
        def bring(array, first, step, thread, group, sizes):
            return fetch(array, step + thread // (side // 4), first + thread % (side // 4) * 4, group, sizes)

        @inner
        def put(shared, begin, thread, four):
            place = begin + thread // (side // 4) * line_floats + thread % (side // 4) * 4
            store4(shared, place, four[0], four[1], four[2], four[3])

    else:

        @inner
        def bring(array, first, step, thread, group, sizes):
            return fetch(array, first + thread // quads, step + thread % quads * 4, group, sizes)

        @inner
        def put(shared, begin, thread, four):
            place = begin + thread % quads * 4 * line_floats + thread // quads
            shared[place] = four[0]
            shared[place + line_floats] = four[1]
            shared[place + 2 * line_floats] = four[2]
            shared[place + 3 * line_floats] = four[3]

    return bring, put


def _repeated(step: Callable, times: int, stride: int) -> Callable:
    """A step of the inner loop so many times, each `stride` further on, with one test and one address for all."""
    if times == 1:
        return step
    half, shift = _repeated(step, times // 2, stride), times // 2 * stride

    @inner
    def both(shared_left, shared_right, left, right, own_left, own_right, sums):
        half(shared_left, shared_right, left, right, own_left, own_right, sums)
        half(shared_left, shared_right, left + shift, right + shift, own_left, own_right, sums)

    return both


def make_product(name: str, left: Operand, right: Operand, tile: Tile) -> Kernel:
    """A kernel that multiplies two operands; `name` is a part of its own."""
    bring_left, put_left = _make_parts(left, tile)
    bring_right, put_right = _make_parts(right, tile)
    locate_left, locate_right = left.locate, right.locate
    side, depth, part, unrolled = tile.side, tile.depth, tile.part, tile.unrolled
    line_floats = side + 4
    half = depth * line_floats
    both = 2 * half
    assert both % 4 == 0, "the second array in shared memory would not begin where four floats can be read at once"
    results = part * part
    across = side // part
    fours = part // 4

    @inner
    def multiply_step(shared_left, shared_right, left, right, own_left, own_right, sums):
        """Add the products of one column of the left side and one row of the right one."""
        for i in range(fours):
            four = load4(shared_left, left + i * across * 4)
            own_left[4 * i], own_left[4 * i + 1], own_left[4 * i + 2], own_left[4 * i + 3] = four
            four = load4(shared_right, right + i * across * 4)
            own_right[4 * i], own_right[4 * i + 1], own_right[4 * i + 2], own_right[4 * i + 3] = four
        for i in range(part):
            for j in range(part):
                sums[i * part + j] += own_left[i] * own_right[j]

    multiply_steps = _repeated(multiply_step, unrolled, line_floats)

    @inner
    def multiply(shared_left, shared_right, begin, row, column, own_left, own_right, sums):
        """Add the products of the floats in one half of shared memory."""
        for step in range(0, depth, unrolled):
            line = begin + step * line_floats
            multiply_steps(shared_left, shared_right, line + row, line + column, own_left, own_right, sums)

    @inner
    def finish(sums, bias, own_bias, result, row, column, group, split, sizes, activation, scale):
        """Scale, add the bias, activate, and write a thread's results.

        Small loops unroll, and leave the sums in registers.
        """
        for j in range(part):
            x = column + j // 4 * across * 4 + j % 4
            own_bias[j] = bias[group * sizes[BIAS_GROUP] + x] if sizes[BIAS] and x < sizes[COLUMNS] else _ZERO
        for i in range(part):
            for j in range(part):
                sums[i * part + j] = activated(scale * sums[i * part + j] + own_bias[j], activation)
        image, own_group = divided(group, sizes[GROUPS])
        begin = image * sizes[IMAGE] + own_group * sizes[GROUP] + split * sizes[SPLIT]
        for i in range(part):
            y = row + i // 4 * across * 4 + i % 4
            width = sizes[COLUMNS] - column if y < sizes[ROWS] else 0
            place = begin + y * sizes[LINE] + column
            for j in range(part):
                shift = j // 4 * across * 4 + j % 4
                if shift < width:
                    result[place + shift] = sums[i * part + j]

    def product(left_array, right_array, bias, result, sizes, activation, scale):
        shared_left = cuda.shared.array(both, np.float32)
        shared_right = cuda.shared.array(both, np.float32)
        own_left, own_right = cuda.local.array(part, np.float32), cuda.local.array(part, np.float32)
        sums = cuda.local.array(results, np.float32)
        for i in range(results):
            sums[i] = _ZERO
        thread, first_row, first_column = cuda.threadIdx.x, cuda.blockIdx.x * side, cuda.blockIdx.y * side
        group, split = cuda.blockIdx.z // sizes[SPLITS], cuda.blockIdx.z % sizes[SPLITS]
        at_left, at_right = locate_left(group, sizes), locate_right(group, sizes)
        row, column = thread // across * 4, thread % across * 4
        begin = split * sizes[SPLIT_DEPTH]
        end = begin + sizes[SPLIT_DEPTH]
        if end > sizes[INNER]:
            end = sizes[INNER]
        put_left(shared_left, 0, thread, bring_left(left_array, first_row, begin, thread, at_left, sizes))
        put_right(shared_right, 0, thread, bring_right(right_array, first_column, begin, thread, at_right, sizes))
        cuda.syncthreads()
        now = 0
        for step in range(begin, end, depth):
            next_left = bring_left(left_array, first_row, step + depth, thread, at_left, sizes)
            next_right = bring_right(right_array, first_column, step + depth, thread, at_right, sizes)
            multiply(shared_left, shared_right, now, row, column, own_left, own_right, sums)
            now = half - now
            put_left(shared_left, now, thread, next_left)
            put_right(shared_right, now, thread, next_right)
            cuda.syncthreads()
        row, column = first_row + row, first_column + column
        finish(sums, bias, own_right, result, row, column, group, split, sizes, activation, scale)

    product.__name__ = f"{name}_{side}"
    return kernel(_SIGNATURE)(product)


class Product:
    """A product of two operands, in both sizes of tiles.

    Parameters
    ----------
    name : str
        A part of the names of its kernels.
    left, right : Operand
    """

    def __init__(self, name: str, left: Operand, right: Operand):
        self._operands = name, left, right
        self._kernels = {tile: make_product(*self._operands, tile) for tile in (LARGE, SMALL)}

    def _kernel(self, tile: Tile) -> Kernel:
        if tile not in self._kernels:
            self._kernels[tile] = make_product(*self._operands, tile)
        return self._kernels[tile]

    def run(
        self,
        left: Any,
        right: Any,
        bias: Any,
        result: Any,
        sizes: Sizes,
        own: tuple[int, ...] = (),
        activation: str = "none",
        scale: float = 1.0,
    ) -> None:
        """Write ``activation(scale * left @ right + bias)`` of all groups, or partial sums of all splits.

        All arrays are flat and on the device.
        """
        tile = fitting(sizes)
        numbers = tuple(np.int32(number) for number in (*sizes.numbers(bias is not None), *own))
        padded = numbers + (np.int32(0),) * (SIZES - len(numbers))
        shape = blocks(-(-sizes.rows // tile.side), -(-sizes.columns // tile.side), sizes.products, tile.threads)
        first = result if bias is None else bias
        how = np.int32(ACTIVATIONS[activation]), np.float32(scale)
        self._kernel(tile)(shape, left, right, first, result, padded, *how)


@dataclass(frozen=True)
class Sizes:
    """Of a product: rows, columns and inner size of each group, floats between rows and between groups of the result.

    With several `splits` of the inner size the result is as many matrices, one behind the other, to be added up. With
    several `images` there are as many of all groups, with operands of their own, and `image` floats between their
    results; fetching an operand, a group is counted over all images.
    """

    rows: int
    columns: int
    inner: int
    line: int
    group: int = 0
    groups: int = 1
    splits: int = 1
    images: int = 1
    image: int = 0

    @property
    def products(self) -> int:
        """How many matrices there are."""
        return self.images * self.groups * self.splits

    @property
    def split_depth(self) -> int:
        """Steps of the inner size that a split has: whole tiles of them."""
        return -(-self.inner // (self.splits * WHOLE)) * WHOLE

    def numbers(self, has_bias: bool) -> tuple[int, ...]:
        """The first numbers that the kernels are told."""
        split = self.rows * self.line if self.splits > 1 else 0
        depths = self.splits, self.split_depth
        results, biases = (self.line, self.group, split), (has_bias, self.columns)
        return (self.rows, self.columns, self.inner, *results, *depths, *biases, self.groups, self.image)


def fitting(sizes: Sizes) -> Tile:
    """Large tiles, unless half of each would be empty, or there are too few of them to keep a GPU busy."""
    large = -(-sizes.rows // LARGE.side) * -(-sizes.columns // LARGE.side) * sizes.products
    return LARGE if min(sizes.rows, sizes.columns) > SMALL.side and large >= FEW_BLOCKS else SMALL
