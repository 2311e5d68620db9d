"""Matrix products and linear layers, on the tiles of :mod:`kernels.cuda.tiles`."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.cuda.jit import inner
from kernels.cuda.maps import flat
from kernels.cuda.scratch import room
from kernels.cuda.sums import add_splits, column_sums
from kernels.cuda.tiles import COLUMNS, INNER, ROWS, Operand, Product, Sizes, at_or_zero

_ZERO = np.float32(0)
#: Fewest steps of the inner size for which a split pays, and blocks that are enough without one.
SPLIT_DEPTH, ENOUGH_BLOCKS = 512, 160


# --- where the operands lie ------------------------------------------------------------------------------------


@inner
def _rows_of_left(array, line, position, group, sizes):
    """Left side (M, K)."""
    if line >= sizes[ROWS]:
        return _ZERO, _ZERO, _ZERO, _ZERO
    return at_or_zero(array, line * sizes[INNER], position, sizes[INNER])


@inner
def _columns_of_left(array, line, position, group, sizes):
    """Left side that is stored (K, M)."""
    if line >= sizes[INNER]:
        return _ZERO, _ZERO, _ZERO, _ZERO
    return at_or_zero(array, line * sizes[ROWS], position, sizes[ROWS])


@inner
def rows_of_right(array, line, position, group, sizes):
    """Right side (K, N)."""
    if line >= sizes[INNER]:
        return _ZERO, _ZERO, _ZERO, _ZERO
    return at_or_zero(array, line * sizes[COLUMNS], position, sizes[COLUMNS])


@inner
def _columns_of_right(array, line, position, group, sizes):
    """Right side that is stored (N, K)."""
    if line >= sizes[COLUMNS]:
        return _ZERO, _ZERO, _ZERO, _ZERO
    return at_or_zero(array, line * sizes[INNER], position, sizes[INNER])


_LEFT = {False: Operand(_rows_of_left, across=False), True: Operand(_columns_of_left, across=True)}
_RIGHT = {False: Operand(rows_of_right, across=True), True: Operand(_columns_of_right, across=False)}
_PRODUCTS = {
    (ta, tb): Product(f"matmul_{'t' if ta else 'n'}{'t' if tb else 'n'}", _LEFT[ta], _RIGHT[tb])
    for ta in (False, True)
    for tb in (False, True)
}


def splits_of(rows: int, columns: int, inner_size: int) -> int:
    """In how many splits a product of few results and many steps is summed: by its size alone."""
    tiles = -(-rows // 64) * -(-columns // 64)
    return max(1, min(ENOUGH_BLOCKS // tiles, inner_size // SPLIT_DEPTH))


def run_split(product: Product, left: Any, right: Any, result: Any, sizes: Sizes, own: tuple[int, ...] = ()) -> None:
    """A product whose inner size may be split: each split writes its own sums, which are then added in order."""
    if sizes.splits == 1:
        product.run(left, right, None, result, sizes, own)
        return
    count = sizes.rows * sizes.line
    partial = room("splits of a product", sizes.splits * count)
    product.run(left, right, None, partial, sizes, own)
    add_splits(partial, result, sizes.splits)


# --- what networks call ----------------------------------------------------------------------------------------


def matmul(a: Any, b: Any, c: Any, transpose_a: bool, transpose_b: bool) -> None:
    """Matrix product ``c = op(a) @ op(b)``, where op transposes or not.

    Parameters
    ----------
    a : device array (M, K), or (K, M) where `transpose_a`
    b : device array (K, N), or (N, K) where `transpose_b`
    c : device array (M, N)
        Output.
    transpose_a, transpose_b : bool
    """
    rows, columns = c.shape
    inner_size = a.shape[0] if transpose_a else a.shape[1]
    if c.size:
        sizes = Sizes(rows, columns, inner_size, columns, splits=splits_of(rows, columns, inner_size))
        run_split(_PRODUCTS[bool(transpose_a), bool(transpose_b)], flat(a), flat(b), flat(c), sizes)


def linear_forward(x: Any, w: Any, b: Any, y: Any, activation: str = "none") -> None:
    """Linear layer, ``y = activation(x @ w + b)``.

    Parameters
    ----------
    x : device array (N, in)
    w : device array (in, out)
    b : device array (out,) or None
    y : device array (N, out)
        Output.
    activation : {"none", "relu", "relu6"}
        Applied to the sums.
    """
    if y.size:
        sizes = Sizes(y.shape[0], y.shape[1], x.shape[1], y.shape[1])
        _PRODUCTS[False, False].run(flat(x), flat(w), b, flat(y), sizes, activation=activation)


def linear_backward_data(dy: Any, w: Any, dx: Any) -> None:
    """Gradient with respect to the input, ``dx = dy @ w.T``.

    Parameters
    ----------
    dy : device array (N, out)
    w : device array (in, out)
    dx : device array (N, in)
        Output.
    """
    if dx.size:
        sizes = Sizes(dx.shape[0], dx.shape[1], w.shape[1], dx.shape[1])
        _PRODUCTS[False, True].run(flat(dy), flat(w), None, flat(dx), sizes)


def linear_backward_weights(x: Any, dy: Any, dw: Any, db: Any) -> None:
    """Gradient with respect to the parameters, ``dw = x.T @ dy`` and ``db = sum of dy``.

    Parameters
    ----------
    x : device array (N, in)
    dy : device array (N, out)
    dw : device array (in, out)
        Output.
    db : device array (out,) or None
        Output; None for a layer without bias.
    """
    matmul(x, dy, dw, True, False)
    if db is not None:
        column_sums(flat(dy), db, *dy.shape)
