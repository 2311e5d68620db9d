"""Sums and products of arrays whose shapes differ, and sums over repeated axes.

Neighbouring axes along which the same arrays repeat are merged, which leaves at most four for images.

For a sum, a block is a table of threads: a column for each of its outputs, a row for each share of their terms. Threads
that are neighbours read neighbours in memory: these are terms of different outputs where outputs lie side by side, and
of the same output if not. Where few outputs have many terms, blocks do parts of them, and the sums of the parts are
added up by the same kernel.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import float32

from kernels.cpu.broadcast import merged_axes
from kernels.cuda import launch
from kernels.cuda.formulas import add as add_formula
from kernels.cuda.formulas import multiply as multiply_formula
from kernels.cuda.indices import divided
from kernels.cuda.jit import Kernel, inner, kernel
from kernels.cuda.maps import flat
from kernels.cuda.scratch import one, room
from kernels.cuda.toolkit import cuda

#: The most outputs of a block where they lie side by side: 32 floats are a line of memory.
_SIDE_BY_SIDE = 32
#: Blocks that are wanted for a sum, and terms that a thread should have at least.
_BLOCKS, _TERMS = 512, 8
_ROOM = launch.THREADS
_ZERO = np.float32(0)

_FOUR = "UniTuple(int32, 4)"


@inner
def _place(index, sizes, strides):
    """Where element `index` of an array of four `sizes` lies in an array of these strides."""
    place = 0
    if sizes[3] > 1:
        index, last = divided(index, sizes[3])
        place += last * strides[3]
    if sizes[2] > 1:
        index, last = divided(index, sizes[2])
        place += last * strides[2]
    if sizes[1] > 1:
        index, last = divided(index, sizes[1])
        place += last * strides[1]
    return place + index * strides[0]


def _binary(name: str, formula: Any) -> Kernel:
    """Kernel ``y = formula(a, b)``, a thread for each element."""
    function = inner(formula)

    def body(a, b, y, sizes, a_strides, b_strides):
        i = cuda.grid(1)
        if i < y.size:
            u, v = a[_place(i, sizes, a_strides)], b[_place(i, sizes, b_strides)]
            y[i] = function(u, v, _ZERO)

    body.__name__, body.__doc__ = name, formula.__doc__
    return kernel(f"void(float32[::1], float32[::1], float32[::1], {_FOUR}, {_FOUR}, {_FOUR})")(body)


_add_kernel = _binary("broadcast_add_kernel", add_formula)
_multiply_kernel = _binary("broadcast_multiply_kernel", multiply_formula)


@kernel(f"void(float32[::1], float32[::1], float32[::1], {_FOUR}, {_FOUR}, {_FOUR}, {_FOUR}, int32, int32, boolean)")
def broadcast_sum_kernel(dy, other, sums, kept, summed, dy_strides, other_strides, outputs, columns, columns_first):
    """``sums[part, output] = sum of dy * other`` over a part of the axes `summed`, a block for `columns` outputs.

    `kept` and `summed` are the four sizes, with 1 for the axes of the other kind.
    """
    shared = cuda.shared.array(_ROOM, float32)
    rows = cuda.blockDim.x // columns
    if columns_first:
        row, column = divided(cuda.threadIdx.x, columns)
    else:
        column, row = divided(cuda.threadIdx.x, rows)
    place = row * columns + column
    output, part = cuda.blockIdx.x * columns + column, cuda.blockIdx.y
    total = _ZERO
    if output < outputs:
        first, factor = _place(output, kept, dy_strides), _place(output, kept, other_strides)
        terms = summed[0] * summed[1] * summed[2] * summed[3]
        for i in range(part * rows + row, terms, cuda.gridDim.y * rows):
            total += dy[first + _place(i, summed, dy_strides)] * other[factor + _place(i, summed, other_strides)]
    shared[place] = total
    cuda.syncthreads()
    half = rows // 2
    while half > 0:
        if row < half:
            shared[place] += shared[place + half * columns]
        cuda.syncthreads()
        half //= 2
    if row == 0 and output < outputs:
        sums[part * outputs + output] = shared[place]


def _sum(dy: Any, other: Any, sums: Any, sizes: tuple, strides: list[tuple], parts: int) -> None:
    """Sums of `parts` parts; strides are those of dy, of the other and of the output, which is 0 along summed axes."""
    kept = tuple(size if stride else 1 for size, stride in zip(sizes, strides[2], strict=True))
    summed = tuple(1 if stride else size for size, stride in zip(sizes, strides[2], strict=True))
    outputs, terms = math.prod(kept), math.prod(summed)
    columns = _columns(strides[2], outputs, terms)
    shape = launch.blocks(-(-outputs // columns), parts, threads=launch.THREADS)
    broadcast_sum_kernel(shape, dy, other, sums, kept, summed, *strides[:2], outputs, columns, strides[2][3] > 0)


def _columns(strides: tuple[int, ...], outputs: int, terms: int) -> int:
    """How many outputs a block does, a power of two."""
    if strides[3]:
        return _power(min(outputs, _SIDE_BY_SIDE, launch.THREADS))
    return launch.THREADS // _power(min(terms, launch.THREADS))


def _power(number: int) -> int:
    """The power of two that is not smaller."""
    return 1 << (number - 1).bit_length()


def _parts(outputs: int, terms: int, columns: int) -> int:
    """In how many parts the terms of each output are summed: 1 where there are outputs enough for many blocks."""
    wanted = _BLOCKS // -(-outputs // columns)
    useful = terms // (launch.THREADS // columns * _TERMS)
    return max(1, min(wanted, useful))


def add(a: Any, b: Any, y: Any) -> None:
    """``y = a + b``; shapes of equal rank, sizes equal or 1, `y` of the broadcast shape."""
    axes = merged_axes(y.shape, a, b)
    if y.size:
        _add_kernel(launch.over(y.size), flat(a), flat(b), flat(y), *axes)


def multiply(a: Any, b: Any, y: Any) -> None:
    """``y = a b``; shapes of equal rank, sizes equal or 1, `y` of the broadcast shape."""
    axes = merged_axes(y.shape, a, b)
    if y.size:
        _multiply_kernel(launch.over(y.size), flat(a), flat(b), flat(y), *axes)


def product_sum_to(dy: Any, other: Any, output: Any) -> None:
    """``output = sum of dy * other`` over the axes where `output` has size 1; `other` may broadcast."""
    sizes, *strides = merged_axes(dy.shape, dy, other, output)
    if not output.size:
        return
    dy, other, sums = flat(dy), flat(other), flat(output)
    count = sums.size
    terms = dy.size // count
    parts = _parts(count, terms, _columns(strides[2], count, terms))
    if parts == 1:
        _sum(dy, other, sums, sizes, strides, 1)
        return
    partial = room("broadcast sums", parts * count)
    _sum(dy, other, partial, sizes, strides, parts)
    whole, nothing = (count, count, count, 1), (0, 0, 0, 0)
    _sum(partial, one(), sums, (parts, 1, 1, count), [whole, nothing, (0, 0, 0, 1)], 1)


def sum_to(dy: Any, output: Any) -> None:
    """``output = sum of dy`` over the axes where `output` has size 1."""
    product_sum_to(dy, one().reshape((1,) * len(dy.shape)), output)
