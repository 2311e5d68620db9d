"""Softmax along the last axis, and what the cross-entropy shares with it."""

from __future__ import annotations

import numpy as np

from kernels.cpu import vmath
from kernels.cpu.jit import inner, kernel
from kernels.cpu.jobs import CHUNK, SMALL_TRANSCENDENTAL, run_jobs
from kernels.cpu.simd import add, address, fma, lane_max, lane_sum, load, mul, select_gt, splat, store, sub
from kernels.cpu.tails import first_lanes, load_first, store_first

_ZERO, _ONE, _LOWEST = np.float32(0), np.float32(1), np.float32(-np.inf)


@inner
def rows_per_job(width):
    """How many rows of `width` floats make one job."""
    return max(1, CHUNK // max(width, 1))


@inner
def row_jobs(rows, width):
    """How many jobs `rows` rows of `width` floats make."""
    step = rows_per_job(width)
    return (rows + step - 1) // step


@inner
def row_max(x, width):
    """Largest of `width` floats at address `x`; NaN may be passed over."""
    best = splat(_LOWEST)
    whole = width - width % 8
    for k in range(0, 4 * whole, 32):
        v = load(x + k)
        best = select_gt(v, best, v, best)
    if whole < width:
        v = load_first(x + 4 * whole, width - whole, best)
        best = select_gt(v, best, v, best)
    return lane_max(best)


@inner
def exp_row(x, y, width, shift):
    """``y = exp(x - shift)`` for one row; returns the sum."""
    minus, total = splat(-shift), splat(_ZERO)
    whole = width - width % 8
    for k in range(0, 4 * whole, 32):
        e = vmath.exp(add(load(x + k), minus))
        store(y + k, e)
        total = add(total, e)
    if whole < width:
        e = vmath.exp(add(load_first(x + 4 * whole, width - whole, total), minus))
        store_first(y + 4 * whole, e, width - whole)
        total = add(total, first_lanes(e, width - whole, splat(_ZERO)))
    return lane_sum(total)


@inner
def scale_row(y, width, factor):
    """Multiply a row by `factor` in place."""
    whole = width - width % 8
    for k in range(0, 4 * whole, 32):
        store(y + k, mul(load(y + k), splat(factor)))
    if whole < width:
        v = load_first(y + 4 * whole, width - whole, splat(_ZERO))
        store_first(y + 4 * whole, mul(v, splat(factor)), width - whole)


@inner
def _softmax_job(x, y, rows, width, job):
    step = rows_per_job(width)
    for row in range(job * step, min(rows, (job + 1) * step)):
        place = 4 * row * width
        total = exp_row(x + place, y + place, width, row_max(x + place, width))
        scale_row(y + place, width, _ONE / total)


@kernel("void(f4[:,::1], f4[:,::1])", parallel=False)
def softmax_forward_kernel(x, y):
    rows, width = x.shape
    arguments = (address(x), address(y), rows, width)
    run_jobs(_softmax_job, arguments, row_jobs(rows, width), x.size < SMALL_TRANSCENDENTAL)


@inner
def _dot_row(a, b, width):
    total = splat(_ZERO)
    whole = width - width % 8
    for k in range(0, 4 * whole, 32):
        total = fma(load(a + k), load(b + k), total)
    if whole < width:
        zero = splat(_ZERO)
        u = load_first(a + 4 * whole, width - whole, zero)
        total = fma(u, load_first(b + 4 * whole, width - whole, zero), total)
    return lane_sum(total)


@inner
def _softmax_slope_job(y, dy, dx, rows, width, job):
    step = rows_per_job(width)
    whole = width - width % 8
    for row in range(job * step, min(rows, (job + 1) * step)):
        place = 4 * row * width
        dot = splat(_dot_row(y + place, dy + place, width))
        for k in range(place, place + 4 * whole, 32):
            store(dx + k, mul(load(y + k), sub(load(dy + k), dot)))
        if whole < width:
            k = place + 4 * whole
            v = mul(load_first(y + k, width - whole, dot), sub(load_first(dy + k, width - whole, dot), dot))
            store_first(dx + k, v, width - whole)


@kernel("void(f4[:,::1], f4[:,::1], f4[:,::1])", parallel=False)
def softmax_backward_kernel(y, dy, dx):
    rows, width = y.shape
    arguments = (address(y), address(dy), address(dx), rows, width)
    run_jobs(_softmax_slope_job, arguments, row_jobs(rows, width), y.size < 2 * SMALL_TRANSCENDENTAL)


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
    softmax_forward_kernel(*_as_rows(x, y))


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
    softmax_backward_kernel(*_as_rows(y, dy, dx))
