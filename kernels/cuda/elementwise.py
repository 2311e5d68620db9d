"""Sums, products, scaling, copying and padding.

Two operands broadcast like NumPy's, but have equal rank: along each axis the sizes are equal or one of them is 1.
Broadcasting itself is in :mod:`kernels.cuda.broadcast`; here are the kernels for operands of one shape.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kernels.cuda import broadcast, launch, rectifiers
from kernels.cuda.formulas import add, clamp, multiply
from kernels.cuda.indices import divided
from kernels.cuda.jit import kernel
from kernels.cuda.maps import flat, map_none, map_one, map_two
from kernels.cuda.toolkit import cuda
from kernels.cuda.vectors import load4, store4

_ZERO = np.float32(0)
#: The most that rectified linear units let through.
_BOUNDS = {"relu": math.inf, "relu6": 6.0}


def _scale_formula(x, factor):
    return x * factor


def _value_formula(value):
    return value


def _rectified_add_formula(a, b, bound):
    return clamp(a + b, _ZERO, bound)


_add, _multiply = map_two("add_kernel", add), map_two("multiply_kernel", multiply)
_scale = map_one("scale_kernel", _scale_formula)
_fill = map_none("fill_kernel", _value_formula)
_rectified_add = map_two("rectified_add_kernel", _rectified_add_formula)

# --- copies of rows: a thread for each float that is written -------------------------------------


@kernel("void(float32[::1], float32[::1], int32, int32, int32, int32, int32, int32)")
def copy_columns_kernel(src, dst, src_stride, dst_stride, src_start, dst_start, rows, width):
    """Copy a block of columns out of rows of `src_stride` floats into rows of `dst_stride`."""
    i = cuda.grid(1)
    if i < rows * width:
        row, column = divided(i, width)
        dst[row * dst_stride + dst_start + column] = src[row * src_stride + src_start + column]


@kernel("void(float32[::1], float32[::1], int32, int32, int32, int32, int32, int32)")
def copy_fours_kernel(src, dst, src_stride, dst_stride, src_start, dst_start, rows, width):
    """The same where all is a multiple of four floats; strides, places and the width count fours."""
    i = cuda.grid(1)
    if i < rows * width:
        row, column = divided(i, width)
        a, b, c, d = load4(src, 4 * (row * src_stride + src_start + column))
        store4(dst, 4 * (row * dst_stride + dst_start + column), a, b, c, d)


@kernel("void(float32[::1], float32[::1], int32, int32, int32, int32, int32, int32)")
def pad_kernel(x, y, rows, run, outer_rows, outer_run, top, left):
    """Images of `rows` rows of `run` floats into frames of zeros; `left` counts floats."""
    i = cuda.grid(1)
    if i < y.size:
        line, column = divided(i, outer_run)
        image, row = divided(line, outer_rows)
        row, column = row - top, column - left
        inside = row >= 0 and row < rows and column >= 0 and column < run
        y[i] = x[(image * rows + row) * run + column] if inside else _ZERO


@kernel("void(float32[::1], float32[::1], int32, int32, int32, int32, int32, int32)")
def crop_kernel(x, y, rows, run, outer_rows, outer_run, top, left):
    """Images out of frames; `left` counts floats."""
    i = cuda.grid(1)
    if i < x.size:
        line, column = divided(i, run)
        image, row = divided(line, rows)
        x[i] = y[(image * outer_rows + top + row) * outer_run + left + column]


# --- the functions -------------------------------------------------------------------------------


def add_forward(a: Any, b: Any, y: Any, activation: str = "none") -> None:
    """``y = activation(a + b)`` with broadcasting.

    Parameters
    ----------
    a, b : device array
        Equal rank; sizes equal or 1.
    y : device array
        Output, of the broadcast shape.
    activation : {"none", "relu", "relu6"}
        Applied to the sum.
    """
    if a.shape != b.shape:
        broadcast.add(a, b, y)
        rectifiers.activate(y, activation)
    elif activation == "none":
        _add(a, b, y)
    else:
        _rectified_add(a, b, y, _BOUNDS[activation])


def add_backward(dy: Any, da: Any | None, db: Any | None) -> None:
    """``da = dy`` and ``db = dy``, each summed over the axes along which it was repeated.

    Parameters
    ----------
    dy : device array
    da, db : device array or None
        Outputs, shaped like a and b; None where no gradient is wanted.
    """
    for output in (da, db):
        if output is None:
            continue
        if output.shape == dy.shape:
            _scale(dy, output, 1.0)
        else:
            broadcast.sum_to(dy, output)


def multiply_forward(a: Any, b: Any, y: Any) -> None:
    """``y = a b`` with broadcasting.

    Parameters
    ----------
    a, b : device array
        Equal rank; sizes equal or 1.
    y : device array
        Output, of the broadcast shape.
    """
    if a.shape == b.shape:
        _multiply(a, b, y)
    else:
        broadcast.multiply(a, b, y)


def multiply_backward(a: Any, b: Any, dy: Any, da: Any | None, db: Any | None) -> None:
    """``da = dy b`` and ``db = dy a``, each summed over the axes along which it was repeated.

    Parameters
    ----------
    a, b : device array
    dy : device array
        Of the broadcast shape.
    da, db : device array or None
        Outputs, shaped like a and b; None where no gradient is wanted.
    """
    for output, other in ((da, b), (db, a)):
        if output is None:
            continue
        if output.shape == dy.shape:
            multiply_forward(dy, other, output)
        else:
            broadcast.product_sum_to(dy, other, output)


def accumulate(dst: Any, src: Any) -> None:
    """``dst += src``, in place: how gradients meet where an edge fans out.

    Parameters
    ----------
    dst : device array
        Changed in place.
    src : device array, same shape
    """
    _add(dst, src, dst)


def scale_forward(x: Any, y: Any, factor: float) -> None:
    """``y = factor x``; its backward pass is the same function on the gradients.

    Parameters
    ----------
    x : device array
    y : device array, same shape
        Output; may be `x` itself.
    factor : float
    """
    _scale(x, y, factor)


def fill(y: Any, value: float) -> None:
    """Give every element this value.

    Parameters
    ----------
    y : device array
        Output.
    value : float
    """
    _fill(y, value)


def copy_columns(src: Any, dst: Any, src_start: int, dst_start: int, width: int) -> None:
    """Copy `width` columns; concatenating and splitting channels is made of this.

    Parameters
    ----------
    src : device array (M, A)
    dst : device array (M, B)
        Output: only the columns from `dst_start` on, `width` of them, are written.
    src_start, dst_start, width : int
        In columns.

    Raises
    ------
    ValueError
        If the columns do not exist or the arrays have different numbers of rows.
    """
    rows = src.shape[0]
    fits = min(src_start, dst_start, width) >= 0 and rows == dst.shape[0]
    if not fits or src_start + width > src.shape[1] or dst_start + width > dst.shape[1]:
        places = f"{src_start} of {tuple(src.shape)} to {dst_start} of {tuple(dst.shape)}"
        raise ValueError(f"cannot copy {width} columns from {places}")
    if rows == 0 or width == 0:
        return
    columns = (src.shape[1], dst.shape[1], src_start, dst_start)
    if any(each % 4 for each in (*columns, width)):
        copy_columns_kernel(launch.over(rows * width), flat(src), flat(dst), *columns, rows, width)
    else:
        fours = [each // 4 for each in columns]
        copy_fours_kernel(launch.over(rows * width // 4), flat(src), flat(dst), *fours, rows, width // 4)


def _frame(image: Any, outer: Any, top: int, left: int) -> tuple:
    """Flat arrays, rows and floats in a row of each, and the place in floats, after a check that they fit."""
    (count, height, width, channels), frame = image.shape, outer.shape
    fits = top >= 0 and left >= 0 and top + height <= frame[1] and left + width <= frame[2]
    if not fits or (frame[0], frame[3]) != (count, channels):
        raise ValueError(f"{tuple(image.shape)} at ({top}, {left}) does not lie inside {tuple(frame)}")
    return flat(image), flat(outer), height, width * channels, frame[1], frame[2] * channels, top, left * channels


def pad2d_forward(x: Any, y: Any, top: int, left: int) -> None:
    """Put an image into a larger one of zeros.

    Parameters
    ----------
    x : device array (N, H, W, C)
    y : device array (N, top + H + bottom, left + W + right, C)
        Output; bottom and right follow from its shape.
    top, left : int
        In pixels.

    Raises
    ------
    ValueError
        If `x` does not fit into `y` there.
    """
    arguments = _frame(x, y, top, left)
    if y.size:
        pad_kernel(launch.over(y.size), *arguments)


def pad2d_backward(dy: Any, dx: Any, top: int, left: int) -> None:
    """The part of `dy` that lies over the image.

    Parameters
    ----------
    dy : device array (N, top + H + bottom, left + W + right, C)
    dx : device array (N, H, W, C)
        Output.
    top, left : int
        In pixels.
    """
    arguments = _frame(dx, dy, top, left)
    if dx.size:
        crop_kernel(launch.over(dx.size), *arguments)
