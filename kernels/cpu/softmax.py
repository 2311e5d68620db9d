"""Softmax along the last axis and across branches, and what the cross-entropy shares with it."""

from __future__ import annotations

import numpy as np

from kernels.cpu import vmath
from kernels.cpu.jit import inner, kernel
from kernels.cpu.jobs import CHUNK, SMALL, SMALL_TRANSCENDENTAL, run_chunks
from kernels.cpu.lanes import compiled
from kernels.cpu.simd import address
from kernels.cpu.wide import (
    LANES,
    add,
    div,
    float32x16,
    fma,
    lane_max,
    lane_total,
    larger,
    mul,
    read,
    read_filled,
    splat,
    sub,
    write,
)

_ZERO, _ONE, _LOWEST = np.float32(0), np.float32(1), np.float32(-np.inf)

#: ``exp(x - shift)`` where no lane of `x` is above that of `shift`.
exp_difference = compiled(lambda x, shift: vmath.exp_falling(x - shift), float32x16)


def rows_per_job(width: int) -> int:
    """How many rows of `width` floats make one job."""
    return max(1, CHUNK // max(width, 1))


@inner
def softmax_row(x, y, width):
    """Softmax of the row at address `x`; returns its maximum and the sum of the shifted exponentials."""
    lowest = splat(_LOWEST)
    if width <= LANES:
        e = read_filled(x, width, lowest)
        top = lane_max(e)
        e = exp_difference(e, splat(top))
        total = lane_total(e)
        write(y, mul(e, splat(_ONE / total)), width)
        return top, total
    best, sums = lowest, splat(_ZERO)
    for c in range(0, width, LANES):
        value = read_filled(x + 4 * c, width - c, lowest)
        best = larger(value, best)
    top = lane_max(best)
    for c in range(0, width, LANES):
        e = exp_difference(read_filled(x + 4 * c, width - c, lowest), splat(top))
        write(y + 4 * c, e, width - c)
        sums = add(sums, e)
    total = lane_total(sums)
    for c in range(0, width, LANES):
        write(y + 4 * c, mul(read(y + 4 * c, width - c), splat(_ONE / total)), width - c)
    return top, total


@inner
def _softmax_rows(x, y, width, start, stop):
    for row in range(start, stop):
        softmax_row(x + 4 * row * width, y + 4 * row * width, width)


@kernel("void(f4[:,::1], f4[:,::1], i8)", parallel=False)
def softmax_forward_kernel(x, y, step):
    """Softmax of rows, `step` rows in a job."""
    arguments = (address(x), address(y), x.shape[1])
    run_chunks(_softmax_rows, arguments, x.shape[0], step, x.size < SMALL_TRANSCENDENTAL)


@inner
def _softmax_slope_rows(y, dy, dx, width, start, stop):
    for row in range(start, stop):
        first = 4 * row * width
        total = splat(_ZERO)
        for c in range(0, width, LANES):
            place = first + 4 * c
            total = fma(read(y + place, width - c), read(dy + place, width - c), total)
        dot = splat(lane_total(total))
        for c in range(0, width, LANES):
            place = first + 4 * c
            slope = mul(read(y + place, width - c), sub(read(dy + place, width - c), dot))
            write(dx + place, slope, width - c)


@kernel("void(f4[:,::1], f4[:,::1], f4[:,::1], i8)", parallel=False)
def softmax_backward_kernel(y, dy, dx, step):
    """Gradient of the softmax of rows, `step` rows in a job."""
    arguments = (address(y), address(dy), address(dx), y.shape[1])
    run_chunks(_softmax_slope_rows, arguments, y.shape[0], step, y.size < SMALL)


# --- across branches -----------------------------------------------------------------------------


@inner
def _branch_rows(x, y, branches, width, start, stop):
    """Sixteen features of all branches at a time."""
    for row in range(start, stop):
        for c in range(0, width, LANES):
            first, count = 4 * (row * branches * width + c), width - c
            last = first + 4 * branches * width
            top, total = read(x + first, count), splat(_ZERO)
            for place in range(first, last, 4 * width):
                value = read(x + place, count)
                top = larger(value, top)
            for place in range(first, last, 4 * width):
                e = exp_difference(read(x + place, count), top)
                write(y + place, e, count)
                total = add(total, e)
            for place in range(first, last, 4 * width):
                write(y + place, div(read(y + place, count), total), count)


@kernel("void(f4[:,::1], f4[:,::1], i8, i8)", parallel=False)
def branch_softmax_forward_kernel(x, y, branches, step):
    """Softmax across the branches of each row, `step` rows in a job."""
    arguments = (address(x), address(y), branches, x.shape[1] // branches)
    run_chunks(_branch_rows, arguments, x.shape[0], step, x.size < SMALL_TRANSCENDENTAL)


@inner
def _branch_slope_rows(y, dy, dx, branches, width, start, stop):
    for row in range(start, stop):
        for c in range(0, width, LANES):
            first, count, total = 4 * (row * branches * width + c), width - c, splat(_ZERO)
            last = first + 4 * branches * width
            for place in range(first, last, 4 * width):
                total = fma(read(y + place, count), read(dy + place, count), total)
            for place in range(first, last, 4 * width):
                slope = mul(read(y + place, count), sub(read(dy + place, count), total))
                write(dx + place, slope, count)


@kernel("void(f4[:,::1], f4[:,::1], f4[:,::1], i8, i8)", parallel=False)
def branch_softmax_backward_kernel(y, dy, dx, branches, step):
    """Gradient of the softmax across the branches of each row, `step` rows in a job."""
    arguments = (address(y), address(dy), address(dx), branches, y.shape[1] // branches)
    run_chunks(_branch_slope_rows, arguments, y.shape[0], step, y.size < SMALL)


# --- the functions -------------------------------------------------------------------------------


def _as_rows(*arrays: np.ndarray) -> list[np.ndarray]:
    """Views (rows, K) of arrays (..., K) of equal shape."""
    shape = arrays[0].shape
    if any(each.shape != shape or not each.flags.c_contiguous for each in arrays):
        raise ValueError(f"softmax needs C-contiguous arrays of one shape, got {[a.shape for a in arrays]}")
    return [each.reshape(-1, shape[-1]) for each in arrays]


def softmax_forward(x: np.ndarray, y: np.ndarray) -> None:
    """``y = exp(x) / sum exp(x)`` along the last axis, the maximum subtracted first.

    Parameters
    ----------
    x : ndarray (..., K)
    y : ndarray, same shape
        Output; may be `x` itself.
    """
    softmax_forward_kernel(*_as_rows(x, y), rows_per_job(x.shape[-1]))


def softmax_backward(y: np.ndarray, dy: np.ndarray, dx: np.ndarray) -> None:
    """``dx = y (dy - sum_k dy_k y_k)`` along the last axis.

    Parameters
    ----------
    y : ndarray (..., K)
        The forward pass's output.
    dy : ndarray, same shape
    dx : ndarray, same shape
        Output; may be `dy` itself.
    """
    softmax_backward_kernel(*_as_rows(y, dy, dx), rows_per_job(y.shape[-1]))


def _branches(branches: int, *arrays: np.ndarray) -> None:
    shape = arrays[0].shape
    if branches < 1 or shape[1] % branches or any(each.shape != shape for each in arrays):
        raise ValueError(f"softmax across {branches} branches cannot work on {[a.shape for a in arrays]}")


def branch_softmax_forward(x: np.ndarray, y: np.ndarray, branches: int) -> None:
    """Softmax across branches whose features lie one branch behind the other in a row.

    Parameters
    ----------
    x : ndarray (M, branches * C)
    y : ndarray, same shape
        Output; may be `x` itself.
    branches : int
    """
    _branches(branches, x, y)
    branch_softmax_forward_kernel(x, y, branches, rows_per_job(x.shape[1]))


def branch_softmax_backward(y: np.ndarray, dy: np.ndarray, dx: np.ndarray, branches: int) -> None:
    """``dx = y (dy - sum over b of dy_b y_b)``.

    Parameters
    ----------
    y, dy : ndarray (M, branches * C)
    dx : ndarray, same shape
        Output; may be `dy` itself.
    branches : int
    """
    _branches(branches, y, dy, dx)
    branch_softmax_backward_kernel(y, dy, dx, branches, rows_per_job(y.shape[1]))
