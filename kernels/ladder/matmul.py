"""Matrix products, ``c = a @ b`` with a (M, K), b (K, N), c (M, N): from the formula to the engine."""

from __future__ import annotations

import numpy as np

from kernels import reference
from kernels.cpu.jit import inner, kernel
from kernels.cpu.matmul import matmul as engine

#: Rows of `b` and columns of it in a block of :func:`matmul_tiled`: 64 x 512 floats are 128 KB.
_INNER, _COLUMNS = 64, 512

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
def _add_tile(a, b, c, k, left, right):
    """Add to columns `left` to `right` of four rows of `c` what four rows of `b` give: a store for four products."""
    b0, b1, b2, b3 = b[k][left:right], b[k + 1][left:right], b[k + 2][left:right], b[k + 3][left:right]
    c0, c1, c2, c3 = c[0][left:right], c[1][left:right], c[2][left:right], c[3][left:right]
    a0, a1, a2, a3 = a[0][k : k + 4], a[1][k : k + 4], a[2][k : k + 4], a[3][k : k + 4]
    for j in range(b0.size):
        p, q, r, s = b0[j], b1[j], b2[j], b3[j]
        c0[j] += a0[0] * p + a0[1] * q + a0[2] * r + a0[3] * s
        c1[j] += a1[0] * p + a1[1] * q + a1[2] * r + a1[3] * s
        c2[j] += a2[0] * p + a2[1] * q + a2[2] * r + a2[3] * s
        c3[j] += a3[0] * p + a3[1] * q + a3[2] * r + a3[3] * s


@inner
def _add_rows(a, b, c, first, last, left, right):
    """The same for any number of rows, one product at a time."""
    for i in range(a.shape[0]):
        for k in range(first, last):
            factor, row, other = a[i, k], c[i][left:right], b[k][left:right]
            for j in range(row.size):
                row[j] += factor * other[j]


@kernel("void(f4[:,::1], f4[:,::1], f4[:,::1])", parallel=False)
def matmul_tiled(a, b, c):
    """Blocks: a piece of `b` stays in the cache for all rows of `a`, and four of its rows at once meet four of `c`."""
    c[...] = 0
    for first in range(0, a.shape[1], _INNER):
        last = min(first + _INNER, a.shape[1])
        whole = first + (last - first) // 4 * 4
        for left in range(0, b.shape[1], _COLUMNS):
            right = min(left + _COLUMNS, b.shape[1])
            for i in range(0, a.shape[0] // 4 * 4, 4):
                for k in range(first, whole, 4):
                    _add_tile(a[i : i + 4], b, c[i : i + 4], k, left, right)
                _add_rows(a[i : i + 4], b, c[i : i + 4], whole, last, left, right)
            rest = a.shape[0] // 4 * 4
            _add_rows(a[rest:], b, c[rest:], first, last, left, right)


def matmul_simd(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
    """Vectors by hand: a tile of `c` stays in registers for a whole block; `b` is packed so that loads never wait."""
    engine(a, b, c, False, False)
