"""Matrix products and linear layers: convolutions whose images are single pixels, on the same engines."""

from __future__ import annotations

import numpy as np

from kernels.cpu import conv_data, conv_tables, conv_weights, row_products, small_products
from kernels.cpu.conv_plan import product


def matmul(a: np.ndarray, b: np.ndarray, c: np.ndarray, transpose_a: bool, transpose_b: bool) -> None:
    """Matrix product ``c = op(a) @ op(b)``, where op transposes or not.

    Parameters
    ----------
    a : ndarray (M, K), or (K, M) where `transpose_a`
    b : ndarray (K, N), or (N, K) where `transpose_b`
    c : ndarray (M, N)
        Output.
    transpose_a, transpose_b : bool
    """
    rows, columns = c.shape
    inner = a.shape[0] if transpose_a else a.shape[1]
    if inner == 0:
        c[...] = 0.0
    elif not (transpose_a or transpose_b) and rows <= row_products.MOST_ROWS:
        row_products.run(a, b, None, c)
    elif not (transpose_a or transpose_b) and small_products.applies(rows, inner, columns):
        small_products.forward(a, b, None, c)
    elif not transpose_a:
        plan = conv_tables.transposed_plan if transpose_b else conv_tables.forward_plan
        conv_data.run(plan(product(rows, inner, columns)), a, b, None, c)
    else:
        right = np.ascontiguousarray(b.T) if transpose_b else b
        conv_weights.run(product(inner, rows, columns), a, right, c, None)


def linear_forward(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, y: np.ndarray, activation: str = "none") -> None:
    """Linear layer, ``y = activation(x @ w + b)``.

    Parameters
    ----------
    x : ndarray (N, in)
    w : ndarray (in, out)
    b : ndarray (out,) or None
    y : ndarray (N, out)
        Output.
    activation : {"none", "relu", "relu6"}
        Applied to the sums.
    """
    if len(x) <= row_products.MOST_ROWS:
        row_products.run(x, w, b, y, activation)
    elif small_products.applies(*x.shape, w.shape[1]):
        small_products.forward(x, w, b, y, activation)
    else:
        conv_data.run(conv_tables.forward_plan(product(*x.shape, w.shape[1]), activation), x, w, b, y)


def linear_backward_data(dy: np.ndarray, w: np.ndarray, dx: np.ndarray) -> None:
    """Gradient with respect to the input, ``dx = dy @ w.T``.

    Parameters
    ----------
    dy : ndarray (N, out)
    w : ndarray (in, out)
    dx : ndarray (N, in)
        Output.
    """
    conv_data.run(conv_tables.backward_plan(product(*dx.shape, w.shape[1])), dy, w, None, dx)


def linear_backward_weights(x: np.ndarray, dy: np.ndarray, dw: np.ndarray, db: np.ndarray | None) -> None:
    """Gradient with respect to the parameters, ``dw = x.T @ dy`` and ``db = sum of dy``.

    Parameters
    ----------
    x : ndarray (N, in)
    dy : ndarray (N, out)
    dw : ndarray (in, out)
        Output.
    db : ndarray (out,) or None
        Output; None for a layer without bias.
    """
    conv_weights.run(product(*x.shape, dw.shape[1]), x, dy, dw, db)
