"""Sums, products, scaling, copying and padding.

Two operands broadcast like NumPy's, but have equal rank: along each axis the sizes are equal or one
of them is 1. The gradient of an operand is summed over the axes along which it was repeated.

Source: Goodfellow et al., "Deep Learning" (2016), section 6.5 (the chain rule where a value is used
more than once).
"""

from __future__ import annotations

import numpy as np

from kernels.reference.activations import _activate


def _sum_to(gradient: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Sum a float64 `gradient` over the axes along which an array of `shape` was repeated."""
    repeated = tuple(axis for axis, size in enumerate(shape) if size == 1)
    return gradient.sum(axis=repeated, keepdims=True)


def add_forward(a: np.ndarray, b: np.ndarray, y: np.ndarray, activation: str = "none") -> None:
    """``y = activation(a + b)`` with broadcasting.

    Parameters
    ----------
    a, b : ndarray
        Equal rank; sizes equal or 1.
    y : ndarray
        Output, of the broadcast shape.
    activation : {"none", "relu", "relu6"}
        Applied to the sum.
    """
    _activate(a.astype(np.float64) + b.astype(np.float64), y, activation)


def add_backward(dy: np.ndarray, da: np.ndarray | None, db: np.ndarray | None) -> None:
    """``da = dy`` and ``db = dy``, each summed over the axes along which it was repeated.

    Parameters
    ----------
    dy : ndarray
    da, db : ndarray or None
        Outputs, shaped like a and b; None where no gradient is wanted.
    """
    for output in (da, db):
        if output is not None:
            output[...] = _sum_to(dy.astype(np.float64), output.shape)


def multiply_forward(a: np.ndarray, b: np.ndarray, y: np.ndarray) -> None:
    """``y = a b`` with broadcasting.

    Parameters
    ----------
    a, b : ndarray
        Equal rank; sizes equal or 1.
    y : ndarray
        Output, of the broadcast shape.
    """
    y[...] = a.astype(np.float64) * b.astype(np.float64)


def multiply_backward(
    a: np.ndarray, b: np.ndarray, dy: np.ndarray, da: np.ndarray | None, db: np.ndarray | None
) -> None:
    """``da = dy b`` and ``db = dy a``, each summed over the axes along which it was repeated.

    Parameters
    ----------
    a, b : ndarray
    dy : ndarray
        Of the broadcast shape.
    da, db : ndarray or None
        Outputs, shaped like a and b; None where no gradient is wanted.
    """
    gradient = dy.astype(np.float64)
    for output, other in ((da, b), (db, a)):
        if output is not None:
            output[...] = _sum_to(gradient * other, output.shape)


def accumulate(dst: np.ndarray, src: np.ndarray) -> None:
    """``dst += src``, in place: how gradients meet where an edge fans out.

    Parameters
    ----------
    dst : ndarray
        Changed in place.
    src : ndarray, same shape
    """
    dst[...] = dst.astype(np.float64) + src.astype(np.float64)


def scale_forward(x: np.ndarray, y: np.ndarray, factor: float) -> None:
    """``y = factor x``; its backward pass is the same function on the gradients.

    Parameters
    ----------
    x : ndarray
    y : ndarray, same shape
        Output.
    factor : float
    """
    y[...] = factor * x.astype(np.float64)


def fill(y: np.ndarray, value: float) -> None:
    """Give every element this value.

    Parameters
    ----------
    y : ndarray
        Output.
    value : float
    """
    y[...] = value


def copy_columns(src: np.ndarray, dst: np.ndarray, src_start: int, dst_start: int, width: int) -> None:
    """Copy `width` columns; concatenating and splitting channels is made of this.

    Parameters
    ----------
    src : ndarray (M, A)
    dst : ndarray (M, B)
        Output: only the columns from `dst_start` on, `width` of them, are written.
    src_start, dst_start, width : int
        In columns.
    """
    dst[:, dst_start : dst_start + width] = src[:, src_start : src_start + width]


def pad2d_forward(x: np.ndarray, y: np.ndarray, top: int, left: int) -> None:
    """Put an image into a larger one of zeros.

    Parameters
    ----------
    x : ndarray (N, H, W, C)
    y : ndarray (N, top + H + bottom, left + W + right, C)
        Output; bottom and right follow from its shape.
    top, left : int
        In pixels.
    """
    y[...] = 0.0
    y[:, top : top + x.shape[1], left : left + x.shape[2]] = x


def pad2d_backward(dy: np.ndarray, dx: np.ndarray, top: int, left: int) -> None:
    """The part of `dy` that lies over the image.

    Parameters
    ----------
    dy : ndarray (N, top + H + bottom, left + W + right, C)
    dx : ndarray (N, H, W, C)
        Output.
    top, left : int
        In pixels.
    """
    dx[...] = dy[:, top : top + dx.shape[1], left : left + dx.shape[2]]
