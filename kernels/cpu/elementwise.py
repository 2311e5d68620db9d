"""Sums, products, scaling, copying and padding.

Two operands broadcast like NumPy's, but have equal rank: along each axis the sizes are equal or one of them is 1.
Broadcasting itself is in :mod:`kernels.cpu.broadcast`; here are the kernels for operands of one shape.
"""

from __future__ import annotations

import math

import numpy as np

from kernels.cpu import broadcast, rectifiers
from kernels.cpu.jit import inner, kernel
from kernels.cpu.jobs import CHUNK, SMALL, run_chunks, run_jobs
from kernels.cpu.maps import flatten, map_one, map_two
from kernels.cpu.simd import address
from kernels.cpu.tails import copy_floats, read, write, zero_floats

_NO_PARAMETER = np.float32(0)


def _add(a, b, p):
    return a + b


def _multiply(a, b, p):
    return a * b


def _scale(x, factor):
    return x * factor


def _rectified_add(a, b, bound):
    y = a + b
    y = (y < 0.0).where(0.0, y)
    return (y > bound).where(bound, y)


_add_body, _multiply_body, _scale_body = map_two(_add), map_two(_multiply), map_one(_scale)
_rectified_add_body = map_two(_rectified_add)
#: The most that rectified linear units let through.
_BOUNDS = {"relu": math.inf, "relu6": 6.0}


@kernel("void(f4[::1], f4[::1], f4[::1])", parallel=False)
def add_kernel(a, b, y):
    """``y = a + b``."""
    run_chunks(_add_body, (address(a), address(b), address(y), _NO_PARAMETER), y.size, CHUNK, y.size < SMALL)


@kernel("void(f4[::1], f4[::1], f4[::1], f4)", parallel=False)
def rectified_add_kernel(a, b, y, bound):
    """``y = min(max(a + b, 0), bound)``."""
    run_chunks(_rectified_add_body, (address(a), address(b), address(y), bound), y.size, CHUNK, y.size < SMALL)


@kernel("void(f4[::1], f4[::1], f4[::1])", parallel=False)
def multiply_kernel(a, b, y):
    """``y = a b``."""
    run_chunks(_multiply_body, (address(a), address(b), address(y), _NO_PARAMETER), y.size, CHUNK, y.size < SMALL)


@kernel("void(f4[::1], f4[::1], f4)", parallel=False)
def scale_kernel(x, y, factor):
    """``y = factor x``."""
    run_chunks(_scale_body, (address(x), address(y), factor), y.size, CHUNK, y.size < SMALL)


@kernel("void(f4[::1], f4)", parallel=False)
def fill_kernel(y, value):
    """``y = value``."""
    for i in range(y.size):
        y[i] = value


# --- copies of rows ------------------------------------------------------------------------------


@inner
def _copy_rows(source, source_stride, target, target_stride, width, start, stop):
    for row in range(start, stop):
        x, y = source + 4 * row * source_stride, target + 4 * row * target_stride
        for c in range(0, width, 8):
            write(y + 4 * c, read(x + 4 * c, width - c), width - c)


@kernel("void(f4[:,::1], f4[:,::1], i8, i8, i8)", parallel=False)
def copy_columns_kernel(src, dst, src_start, dst_start, width):
    """Copy a block of columns, row by row."""
    source, target = address(src) + 4 * src_start, address(dst) + 4 * dst_start
    arguments = (source, src.shape[1], target, dst.shape[1], width)
    run_chunks(_copy_rows, arguments, src.shape[0], CHUNK // (width + 1) + 1, src.shape[0] * width < SMALL)


@inner
def _pad_job(x, y, sizes, outer_sizes, place, job):
    """One image into its frame of zeros; sizes are (rows, floats in a row)."""
    (rows, run), (outer_rows, outer_run), (top, left) = sizes, outer_sizes, place
    x, y = x + 4 * job * rows * run, y + 4 * job * outer_rows * outer_run
    zero_floats(y, top * outer_run)
    for row in range(rows):
        line = y + 4 * (top + row) * outer_run
        zero_floats(line, left)
        copy_floats(x + 4 * row * run, line + 4 * left, run)
        zero_floats(line + 4 * (left + run), outer_run - left - run)
    zero_floats(y + 4 * (top + rows) * outer_run, (outer_rows - top - rows) * outer_run)


@inner
def _crop_job(x, y, sizes, outer_sizes, place, job):
    """The part of one image inside the frame."""
    (rows, run), (outer_rows, outer_run), (top, left) = sizes, outer_sizes, place
    for row in range(rows):
        line = y + 4 * ((job * outer_rows + top + row) * outer_run + left)
        copy_floats(line, x + 4 * (job * rows + row) * run, run)


@kernel("void(f4[:,:,::1], f4[:,:,::1], i8, i8)", parallel=False)
def pad_kernel(x, y, top, left):
    """Images, as rows of floats, into frames of zeros; `left` counts floats."""
    arguments = (address(x), address(y), x.shape[1:], y.shape[1:], (top, left))
    run_jobs(_pad_job, arguments, len(x), y.size < SMALL)


@kernel("void(f4[:,:,::1], f4[:,:,::1], i8, i8)", parallel=False)
def crop_kernel(x, y, top, left):
    """Images out of frames; `left` counts floats."""
    arguments = (address(x), address(y), x.shape[1:], y.shape[1:], (top, left))
    run_jobs(_crop_job, arguments, len(x), x.size < SMALL)


# --- the functions -------------------------------------------------------------------------------


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
    if a.shape != b.shape:
        broadcast.add(a, b, y)
        rectifiers.activate(y, activation)
    elif activation == "none":
        add_kernel(*flatten(a, b, y))
    else:
        rectified_add_kernel(*flatten(a, b, y), _BOUNDS[activation])


def add_backward(dy: np.ndarray, da: np.ndarray | None, db: np.ndarray | None) -> None:
    """``da = dy`` and ``db = dy``, each summed over the axes along which it was repeated.

    Parameters
    ----------
    dy : ndarray
    da, db : ndarray or None
        Outputs, shaped like a and b; None where no gradient is wanted.
    """
    for output in (da, db):
        if output is None:
            continue
        if output.shape == dy.shape:
            scale_kernel(*flatten(dy, output), 1.0)
        else:
            broadcast.sum_to(dy, output)


def multiply_forward(a: np.ndarray, b: np.ndarray, y: np.ndarray) -> None:
    """``y = a b`` with broadcasting.

    Parameters
    ----------
    a, b : ndarray
        Equal rank; sizes equal or 1.
    y : ndarray
        Output, of the broadcast shape.
    """
    if a.shape == b.shape:
        multiply_kernel(*flatten(a, b, y))
    else:
        broadcast.multiply(a, b, y)


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
    for output, other in ((da, b), (db, a)):
        if output is None:
            continue
        if output.shape == dy.shape:
            multiply_forward(dy, other, output)
        else:
            broadcast.product_sum_to(dy, other, output)


def accumulate(dst: np.ndarray, src: np.ndarray) -> None:
    """``dst += src``, in place: how gradients meet where an edge fans out.

    Parameters
    ----------
    dst : ndarray
        Changed in place.
    src : ndarray, same shape
    """
    target, source = flatten(dst, src)
    add_kernel(target, source, target)


def scale_forward(x: np.ndarray, y: np.ndarray, factor: float) -> None:
    """``y = factor x``; its backward pass is the same function on the gradients.

    Parameters
    ----------
    x : ndarray
    y : ndarray, same shape
        Output; may be `x` itself.
    factor : float
    """
    scale_kernel(*flatten(x, y), factor)


def fill(y: np.ndarray, value: float) -> None:
    """Give every element this value.

    Parameters
    ----------
    y : ndarray
        Output.
    value : float
    """
    fill_kernel(*flatten(y), value)


def copy_columns(src: np.ndarray, dst: np.ndarray, src_start: int, dst_start: int, width: int) -> None:
    """Copy `width` columns; concatenating and splitting channels is made of this.

    Parameters
    ----------
    src : ndarray (M, A)
    dst : ndarray (M, B)
        Output: only the columns from `dst_start` on, `width` of them, are written.
    src_start, dst_start, width : int
        In columns.

    Raises
    ------
    ValueError
        If the columns do not exist or the arrays have different numbers of rows.
    """
    fits = min(src_start, dst_start, width) >= 0 and len(src) == len(dst)
    if not fits or src_start + width > src.shape[1] or dst_start + width > dst.shape[1]:
        places = f"{src_start} of {src.shape} to {dst_start} of {dst.shape}"
        raise ValueError(f"cannot copy {width} columns from {places}")
    copy_columns_kernel(src, dst, src_start, dst_start, width)


def _frame(image: np.ndarray, outer: np.ndarray, top: int, left: int) -> tuple:
    """Rows as runs of floats, and the place in floats, after a check that the image lies in the frame."""
    count, height, width, channels = image.shape
    fits = top >= 0 and left >= 0 and top + height <= outer.shape[1] and left + width <= outer.shape[2]
    if not fits or outer.shape[::3] != (count, channels):
        raise ValueError(f"{image.shape} at ({top}, {left}) does not lie inside {outer.shape}")
    inner_rows = image.reshape(count, height, -1)
    return inner_rows, outer.reshape(count, outer.shape[1], -1), top, left * channels


def pad2d_forward(x: np.ndarray, y: np.ndarray, top: int, left: int) -> None:
    """Put an image into a larger one of zeros.

    Parameters
    ----------
    x : ndarray (N, H, W, C)
    y : ndarray (N, top + H + bottom, left + W + right, C)
        Output; bottom and right follow from its shape.
    top, left : int
        In pixels.

    Raises
    ------
    ValueError
        If `x` does not fit into `y` there.
    """
    pad_kernel(*_frame(x, y, top, left))


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
    crop_kernel(*_frame(dx, dy, top, left))
