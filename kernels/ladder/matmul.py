"""Matrix products, ``c = a @ b`` with a (M, K), b (K, N), c (M, N): from the formula to the engine."""

from __future__ import annotations

import numpy as np

from kernels import reference
from kernels.cpu.jit import inner, kernel
from kernels.cpu.matmul import matmul as engine

#: Rows of `b` and columns of it in a block of :func:`matmul_tiled`: 128 x 128 floats are 64 KB.
_INNER, _COLUMNS = 128, 128

#: From the slowest idea to the fastest.
RUNGS = ("textbook", "loops", "reordered", "tiled", "simd")


def matmul_textbook(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
    """The formula: NumPy in float64."""
    reference.matmul(a, b, c, False, False)


@kernel("void(f4[:,::1], f4[:,::1], f4[:,::1])", parallel=False)
def matmul_loops(a, b, c):
    """Three loops, as the formula reads: each number of `c` is a sum that walks down a column of `b`."""
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            total = np.float32(0)
            for k in range(a.shape[1]):
                total += a[i, k] * b[k, j]
            c[i, j] = total


@kernel("void(f4[:,::1], f4[:,::1], f4[:,::1])", parallel=False)
def matmul_reordered(a, b, c):
    """The loops in another order: the innermost runs along rows of `b` and `c`, so that the compiler finds vectors."""
    for i in range(a.shape[0]):
        c[i, :] = 0
        for k in range(a.shape[1]):
            factor = a[i, k]
            for j in range(b.shape[1]):
                c[i, j] += factor * b[k, j]


@inner
def _add_block(a, b, c, rows, columns):
    """Add to these `columns` of `c` what these `rows` of `b` give."""
    whole = rows[0] + (rows[1] - rows[0]) // 4 * 4
    for i in range(a.shape[0]):
        for k in range(rows[0], whole, 4):
            p, q, r, s = a[i, k], a[i, k + 1], a[i, k + 2], a[i, k + 3]
            for j in range(columns[0], columns[1]):
                c[i, j] += p * b[k, j] + q * b[k + 1, j] + r * b[k + 2, j] + s * b[k + 3, j]
        for k in range(whole, rows[1]):
            for j in range(columns[0], columns[1]):
                c[i, j] += a[i, k] * b[k, j]


@kernel("void(f4[:,::1], f4[:,::1], f4[:,::1])", parallel=False)
def matmul_tiled(a, b, c):
    """Blocks: a piece of `b` stays in the cache for all rows of `a`, and four of its rows meet each row of `c`."""
    c[...] = 0
    for first in range(0, a.shape[1], _INNER):
        last = min(first + _INNER, a.shape[1])
        for left in range(0, b.shape[1], _COLUMNS):
            _add_block(a, b, c, (first, last), (left, min(left + _COLUMNS, b.shape[1])))


def matmul_simd(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
    """Vectors by hand: a tile of `c` stays in registers for a whole block; `b` is packed so that loads never wait."""
    engine(a, b, c, False, False)
