"""Sums over many rows, in splits that are added in order: the same bits on every GPU, without atomic operations."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.cuda.jit import kernel
from kernels.cuda.launch import THREADS, blocks, over
from kernels.cuda.scratch import room
from kernels.cuda.toolkit import cuda

_ZERO = np.float32(0)
#: Rows that make a split of a column's sum worth it, and the most splits.
SPLIT_ROWS, MOST_SPLITS = 128, 64


@kernel("void(float32[::1], float32[::1], int32, int32)")
def add_splits_kernel(partial, result, count, splits):
    """``result[i] = sum of partial[split, i]``, in order."""
    i = cuda.grid(1)
    if i < count:
        total = partial[i]
        for split in range(1, splits):
            total += partial[split * count + i]
        result[i] = total


@kernel("void(float32[::1], float32[::1], int32, int32, int32)")
def column_sums_kernel(x, partial, rows, columns, splits):
    """Sums of the columns of x (rows, columns) over one split of the rows: neighbouring threads read neighbours."""
    column, split = cuda.grid(1), cuda.blockIdx.y
    if column < columns:
        total = _ZERO
        for row in range(split * rows // splits, (split + 1) * rows // splits):
            total += x[row * columns + column]
        partial[split * columns + column] = total


def add_splits(partial: Any, result: Any, splits: int) -> None:
    """Add up so many arrays, one behind the other in `partial`, all of the size of `result`; both are flat."""
    add_splits_kernel(over(result.size), partial, result, np.int32(result.size), np.int32(splits))


def column_sums(x: Any, sums: Any, rows: int, columns: int) -> None:
    """``sums[c] = sum of x[:, c]`` of a flat array x of so many rows and columns."""
    splits = max(1, min(MOST_SPLITS, rows // SPLIT_ROWS))
    partial = sums if splits == 1 else room("column sums", splits * columns)
    column_sums_of_splits(x, partial, rows, columns, splits)
    if splits > 1:
        add_splits(partial, sums, splits)


def column_sums_of_splits(x: Any, sums: Any, rows: int, columns: int, splits: int) -> None:
    """The sums of the columns of each of so many equal parts of the rows: ``sums[split, c]``, flat."""
    numbers = (np.int32(number) for number in (rows, columns, splits))
    column_sums_kernel(blocks(-(-columns // THREADS), splits), x, sums, *numbers)
