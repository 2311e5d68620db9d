"""Small matrix products within one job, on the register tiles of :mod:`kernels.cpu.microkernels`.

The right operand is packed into *panels* of WIDE columns, one behind the other; lanes of the last panel beyond the
last column hold anything. The left operand and the result are rows in memory, so many floats apart; the result has room
for whole panels. Addresses are in bytes, strides in floats.
"""

from __future__ import annotations

from kernels.cpu.jit import inner
from kernels.cpu.launch import set_entry
from kernels.cpu.microkernels import WIDE, WIDE_ROWS, dot_wide, outer_wide, outer_wide_run
from kernels.cpu.packing import ROW_BYTES, clear_floats, copy_rows, pack_transposed

#: Most rows of the left operand of :func:`multiply_transposed`.
BLOCK = 96
# Parts of the working memory, in bytes: offsets of the rows of both sides, the one tap, first values, pixels.
_ROWS_BYTES = 4 * WIDE_ROWS * WIDE_ROWS
_RESULT, _TAP, _FIRST = _ROWS_BYTES, 2 * _ROWS_BYTES, 2 * _ROWS_BYTES + 32
_PIXELS = _FIRST + ROW_BYTES
#: Floats of working memory that a product needs.
WORK = _PIXELS // 4 + 2 * BLOCK


def padded(columns: int) -> int:
    """`columns` rounded up to whole panels."""
    return -(-columns // WIDE) * WIDE


whole_panels = inner(padded)


@inner
def pack_columns(panels, source, stride, count, columns):
    """Panels of the matrix of `count` rows and `columns` columns at `source`."""
    for first in range(0, columns, WIDE):
        copy_rows(panels, WIDE, source + 4 * first, stride, count, min(WIDE, columns - first))
        panels += count * ROW_BYTES


@inner
def pack_transpose(panels, source, stride, count, columns):
    """Panels of the transpose of the matrix of `columns` rows and `count` columns at `source`."""
    for first in range(0, columns, WIDE):
        pack_transposed(source + 4 * first * stride, count, stride, min(WIDE, columns - first), panels)
        panels += count * ROW_BYTES


@inner
def _row_tables(table, stride):
    """Offsets of the rows of a tile of which 1, 2, ... 6 rows are there; the last one stands in for those beyond."""
    for valid in range(1, WIDE_ROWS + 1):
        for r in range(WIDE_ROWS):
            set_entry(table, (valid - 1) * WIDE_ROWS + r, min(r, valid - 1) * stride)


@inner
def multiply(a, a_stride, rows, count, panels, columns, y, y_stride, work, more):
    """``y = a b``, or ``y += a b`` if `more`: `rows` x `count` times `count` x `columns`."""
    _row_tables(work, a_stride)
    _row_tables(work + _RESULT, y_stride)
    for i, value in enumerate((0, 0, count)):
        set_entry(work + _TAP, i, value)
    clear_floats(work + _FIRST, WIDE)
    for first in range(0, columns, WIDE):
        for r in range(0, rows, WIDE_ROWS):
            table = work + 4 * WIDE_ROWS * (min(WIDE_ROWS, rows - r) - 1)
            target = y + 4 * (r * y_stride + first)
            source = a + 4 * r * a_stride
            outs, first_values = table + _RESULT, work + _FIRST
            dot_wide(source, table, work + _TAP, 1, panels, first_values, target, outs, WIDE, more, 0, source, 0)
        panels += count * ROW_BYTES


@inner
def multiply_transposed(a, a_stride, rows, count, panels, columns, y, y_stride, work, more):
    """``y = a^T b``, or ``y += a^T b`` if `more`: a is `count` x `rows`, with at most :data:`BLOCK` rows."""
    _row_tables(work, 1)
    _row_tables(work + _RESULT, y_stride)
    for i in range(count):
        set_entry(work + _PIXELS, 2 * i, i * a_stride)
        set_entry(work + _PIXELS, 2 * i + 1, i * WIDE)
    for first in range(0, columns, WIDE):
        for r in range(0, rows, WIDE_ROWS):
            table = work + 4 * WIDE_ROWS * (min(WIDE_ROWS, rows - r) - 1)
            target = y + 4 * (r * y_stride + first)
            pixels, outs = work + _PIXELS, table + _RESULT
            if r + WIDE_ROWS <= rows:
                outer_wide_run(a + 4 * r, table, pixels, count, panels, target, outs, more)
            else:
                outer_wide(a + 4 * r, table, pixels, count, panels, target, outs, more)
        panels += count * ROW_BYTES
