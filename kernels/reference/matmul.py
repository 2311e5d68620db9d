"""Matrix products and the fully connected layer.

Source: Goodfellow, Bengio and Courville, "Deep Learning" (2016), sections 2.2 and 6.5.6
(back-propagation through a matrix product).
"""

from __future__ import annotations

import numpy as np

from kernels.reference.activations import _activate


def matmul(a: np.ndarray, b: np.ndarray, c: np.ndarray, transpose_a: bool, transpose_b: bool) -> None:
    """Matrix product ``c = op(a) @ op(b)``, where op transposes its matrix or leaves it alone.

    Parameters
    ----------
    a : ndarray (M, K), or (K, M) if `transpose_a`
    b : ndarray (K, N), or (N, K) if `transpose_b`
    c : ndarray (M, N)
        Output.
    transpose_a, transpose_b : bool
    """
    left = a.astype(np.float64)
    right = b.astype(np.float64)
    c[...] = (left.T if transpose_a else left) @ (right.T if transpose_b else right)


def linear_forward(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, y: np.ndarray, activation: str = "none") -> None:
    """Fully connected layer: ``y[n, j] = activation(sum_i x[n, i] w[i, j] + b[j])``.

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
    bias = 0.0 if b is None else b.astype(np.float64)
    _activate(x.astype(np.float64) @ w.astype(np.float64) + bias, y, activation)


def linear_backward_data(dy: np.ndarray, w: np.ndarray, dx: np.ndarray) -> None:
    """Gradient with respect to the input: ``dx = dy @ w.T``.

    Parameters
    ----------
    dy : ndarray (N, out)
    w : ndarray (in, out)
    dx : ndarray (N, in)
        Output.
    """
    dx[...] = dy.astype(np.float64) @ w.astype(np.float64).T


def linear_backward_weights(x: np.ndarray, dy: np.ndarray, dw: np.ndarray, db: np.ndarray | None) -> None:
    """Gradient with respect to the parameters: ``dw = x.T @ dy`` and ``db = sum_n dy[n]``.

    Parameters
    ----------
    x : ndarray (N, in)
    dy : ndarray (N, out)
    dw : ndarray (in, out)
        Output.
    db : ndarray (out,) or None
        Output; None for a layer without bias.
    """
    gradient = dy.astype(np.float64)
    dw[...] = x.astype(np.float64).T @ gradient
    if db is not None:
        db[...] = gradient.sum(axis=0)
