"""Attention; the formulas are in :mod:`kernels.reference.attention`.

A job is one head of one example: its keys and values are packed once, and blocks of queries run through scores, softmax
and the weighted sum while they lie in the cache.
"""

from __future__ import annotations

import numpy as np
from numba import get_thread_id

from kernels.cpu import scratch
from kernels.cpu.jit import inner, kernel
from kernels.cpu.jobs import run_jobs
from kernels.cpu.packing import copy_floats
from kernels.cpu.panels import (
    BLOCK,
    WORK,
    multiply,
    multiply_transposed,
    pack_columns,
    pack_transpose,
    padded,
    whole_panels,
)
from kernels.cpu.simd import address
from kernels.cpu.softmax import exp_difference
from kernels.cpu.wide import (
    BYTES,
    LANES,
    add,
    fma,
    lane_max,
    lane_total,
    larger,
    load,
    mul,
    read,
    read_filled,
    splat,
    store,
    sub,
)

_ZERO, _ONE, _LOWEST = np.float32(0), np.float32(1), np.float32(-np.inf)
#: Multiply-adds below which one thread does it all.
_SMALL_WORK = 200_000
_NOTHING = np.empty((0, 0, 0), np.float32)


@inner
def _place(array, strides, n, column):
    """Address of the first row of an example, from `column` on; strides are those of arrays, in bytes."""
    return array + n * strides[0] + 4 * column


@inner
def _scale(place, count, factor):
    for i in range(0, 4 * count, BYTES):
        store(place + i, mul(load(place + i), splat(factor)))


@inner
def _softmax_row(place, count, line):
    """Softmax, in place, of the first `count` floats of a row of whole vectors; 0 beyond them."""
    lowest = splat(_LOWEST)
    best, sums = lowest, splat(_ZERO)
    for c in range(0, line, LANES):
        best = larger(read_filled(place + 4 * c, count - c, lowest), best)
    top = splat(lane_max(best))
    for c in range(0, line, LANES):
        e = exp_difference(read_filled(place + 4 * c, count - c, lowest), top)
        store(place + 4 * c, e)
        sums = add(sums, e)
    _scale(place, line, _ONE / lane_total(sums))


@inner
def _copy_out(target, stride, source, source_stride, count, width):
    for r in range(count):
        copy_floats(target + 4 * r * stride, source + 4 * r * source_stride, width)


@inner
def _forward_job(q, k, v, y, weights, strides, sizes, scale, softmax, own, own_bytes, job):
    queries, keys, heads, depth, width = sizes
    n, h = job // heads, job % heads
    q, k = _place(q, strides[0], n, h * depth), _place(k, strides[1], n, h * depth)
    v, y = _place(v, strides[2], n, h * width), _place(y, strides[3], n, h * width)
    q_line, k_line, v_line, y_line = strides[0][1] // 4, strides[1][1] // 4, strides[2][1] // 4, strides[3][1] // 4
    line, wide = whole_panels(keys), whole_panels(width)
    work = own + get_thread_id() * own_bytes
    key_panels = work + 4 * WORK
    value_panels = key_panels + 4 * line * depth
    scores = value_panels + 4 * wide * keys
    sums = scores + 4 * BLOCK * line
    pack_transpose(key_panels, k, k_line, depth, keys)
    _scale(key_panels, line * depth, scale)
    pack_columns(value_panels, v, v_line, keys, width)
    for first in range(0, queries, BLOCK):
        count, shares = min(BLOCK, queries - first), weights + 4 * (job * queries + first) * keys
        multiply(q + 4 * first * q_line, q_line, count, depth, key_panels, keys, scores, line, work, 0)
        if softmax:
            for r in range(count):
                _softmax_row(scores + 4 * r * line, keys, line)
        _copy_out(shares, keys, scores, line, count, keys)
        multiply(scores, line, count, keys, value_panels, width, sums, wide, work, 0)
        _copy_out(y + 4 * first * y_line, y_line, sums, wide, count, width)


_STRIDED, _WEIGHTS = "f4[:,:,:]", "f4[:,:,:,::1]"
_OPTIONS = "i8, f4, b1, f4[:,::1]"


@kernel(f"void({_STRIDED}, {_STRIDED}, {_STRIDED}, {_STRIDED}, {_WEIGHTS}, {_OPTIONS})", parallel=False)
def attention_forward_kernel(q, k, v, y, weights, heads, scale, softmax, rows):
    """All heads of all examples; `rows` is scratch, a row for each thread."""
    sizes = (q.shape[1], k.shape[1], heads, q.shape[2] // heads, v.shape[2] // heads)
    strides = (q.strides, k.strides, v.strides, y.strides)
    arguments = (
        address(q), address(k), address(v), address(y), address(weights), strides, sizes, scale, softmax,
        address(rows), 4 * rows.shape[1],
    )  # fmt: skip
    run_jobs(_forward_job, arguments, q.shape[0] * heads, weights.size * (sizes[3] + sizes[4]) < _SMALL_WORK)


@inner
def _slope_rows(slopes, line, shares, keys, count, scale, softmax):
    """From gradients of the weights to gradients of the unscaled scores, times `scale`, in place."""
    factor = splat(scale)
    for r in range(count):
        place, share, total = slopes + 4 * r * line, shares + 4 * r * keys, splat(_ZERO)
        if not softmax:
            _scale(place, line, scale)
            continue
        for c in range(0, keys, LANES):
            total = fma(read(place + 4 * c, keys - c), read(share + 4 * c, keys - c), total)
        mean = splat(lane_total(total))
        for c in range(0, keys, LANES):  # what is beyond the last key nobody reads
            slope = mul(sub(load(place + 4 * c), mean), factor)
            store(place + 4 * c, mul(read(share + 4 * c, keys - c), slope))


@inner
def _backward_job(arrays, strides, sizes, wanted, scale, softmax, own, own_bytes, job):
    queries, keys, heads, depth, width = sizes
    n, h = job // heads, job % heads
    q, k = _place(arrays[0], strides[0], n, h * depth), _place(arrays[1], strides[1], n, h * depth)
    v, dy = _place(arrays[2], strides[2], n, h * width), _place(arrays[3], strides[3], n, h * width)
    dq, dk = _place(arrays[4], strides[4], n, h * depth), _place(arrays[5], strides[5], n, h * depth)
    dv = _place(arrays[6], strides[6], n, h * width)
    q_line, dy_line = strides[0][1] // 4, strides[3][1] // 4
    line, deep, wide = whole_panels(keys), whole_panels(depth), whole_panels(width)
    work = own + get_thread_id() * own_bytes
    value_panels = work + 4 * WORK
    key_panels = value_panels + 4 * line * width
    block_panels = key_panels + 4 * deep * keys
    slopes = block_panels + 4 * max(deep, wide) * BLOCK
    q_sums = slopes + 4 * BLOCK * line
    k_sums = q_sums + 4 * BLOCK * deep
    v_sums = k_sums + 4 * keys * deep
    pack_transpose(value_panels, v, strides[2][1] // 4, width, keys)
    pack_columns(key_panels, k, strides[1][1] // 4, keys, depth)
    for first in range(0, queries, BLOCK):
        count, shares = min(BLOCK, queries - first), arrays[7] + 4 * (job * queries + first) * keys
        upstream = dy + 4 * first * dy_line
        multiply(upstream, dy_line, count, width, value_panels, keys, slopes, line, work, 0)
        _slope_rows(slopes, line, shares, keys, count, scale, softmax)
        if wanted[0]:
            multiply(slopes, line, count, keys, key_panels, depth, q_sums, deep, work, 0)
            _copy_out(dq + first * strides[4][1], strides[4][1] // 4, q_sums, deep, count, depth)
        if wanted[1]:
            pack_columns(block_panels, q + 4 * first * q_line, q_line, count, depth)
            multiply_transposed(slopes, line, keys, count, block_panels, depth, k_sums, deep, work, first)
        if wanted[2]:
            pack_columns(block_panels, upstream, dy_line, count, width)
            multiply_transposed(shares, keys, keys, count, block_panels, width, v_sums, wide, work, first)
    if wanted[1]:
        _copy_out(dk, strides[5][1] // 4, k_sums, deep, keys, depth)
    if wanted[2]:
        _copy_out(dv, strides[6][1] // 4, v_sums, wide, keys, width)


@kernel(
    f"void({', '.join([_STRIDED] * 4)}, {_WEIGHTS}, {', '.join([_STRIDED] * 3)}, UniTuple(b1, 3), {_OPTIONS})",
    parallel=False,
)
def attention_backward_kernel(q, k, v, dy, weights, dq, dk, dv, wanted, heads, scale, softmax, rows):
    """All heads of all examples; only the `wanted` of the three gradients."""
    sizes = (q.shape[1], k.shape[1], heads, q.shape[2] // heads, v.shape[2] // heads)
    strides = (q.strides, k.strides, v.strides, dy.strides, dq.strides, dk.strides, dv.strides)
    arrays = (
        address(q), address(k), address(v), address(dy), address(dq), address(dk), address(dv), address(weights),
    )  # fmt: skip
    arguments = (arrays, strides, sizes, wanted, scale, softmax, address(rows), 4 * rows.shape[1])
    run_jobs(_backward_job, arguments, q.shape[0] * heads, weights.size * (sizes[3] + sizes[4]) < _SMALL_WORK)


# --- the functions -------------------------------------------------------------------------------


def _check(q: np.ndarray, k: np.ndarray, v: np.ndarray, y: np.ndarray, weights: np.ndarray, heads: int) -> None:
    expected = (len(q), heads, q.shape[1], k.shape[1])
    fits = q.shape[2] == k.shape[2] and k.shape[1] == v.shape[1] and y.shape == (*q.shape[:2], v.shape[2])
    whole = heads >= 1 and q.shape[2] % heads == 0 and v.shape[2] % heads == 0
    if not fits or not whole or weights.shape != expected or len({len(each) for each in (q, k, v)}) > 1:
        shapes = ", ".join(str(each.shape) for each in (q, k, v, y, weights))
        raise ValueError(f"attention of {heads} heads cannot work on {shapes}")
    _check_rows(q, k, v, y)


def _check_rows(*arrays: np.ndarray) -> None:
    for each in arrays:
        if each.strides[2] != 4:
            raise ValueError("attention needs float32 features that lie side by side")


def _scratch(floats: int) -> np.ndarray:
    return scratch.thread_rows("attention", floats)


def attention_forward(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    y: np.ndarray,
    weights: np.ndarray,
    heads: int,
    scale: float,
    softmax: bool,
) -> None:
    """``weights = softmax(scale q k^T)`` and ``y = weights v``, head by head.

    Parameters
    ----------
    q : ndarray (N, T, D)
        This, k, v and y may be parts of the features of larger arrays.
    k : ndarray (N, S, D)
    v : ndarray (N, S, E)
    y : ndarray (N, T, E)
        Output.
    weights : ndarray (N, heads, T, S)
        Output, kept for the backward pass.
    heads : int
        Divides D and E.
    scale : float
        Usually ``1 / sqrt(D / heads)``.
    softmax : bool
        False leaves it out.
    """
    _check(q, k, v, y, weights, heads)
    keys, depth, width = k.shape[1], q.shape[2] // heads, v.shape[2] // heads
    panels = padded(keys) * depth + padded(width) * keys
    rows = _scratch(WORK + panels + BLOCK * (padded(keys) + padded(width)))
    attention_forward_kernel(q, k, v, y, weights, heads, scale, bool(softmax), rows)


def attention_backward(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    weights: np.ndarray,
    dy: np.ndarray,
    dq: np.ndarray | None,
    dk: np.ndarray | None,
    dv: np.ndarray | None,
    heads: int,
    scale: float,
    softmax: bool,
) -> None:
    """Gradients of queries, keys and values.

    Parameters
    ----------
    q : ndarray (N, T, D)
        All arrays but the weights may be parts of the features of larger ones.
    k : ndarray (N, S, D)
    v : ndarray (N, S, E)
    weights : ndarray (N, heads, T, S)
        As the forward pass wrote them.
    dy : ndarray (N, T, E)
    dq, dk, dv : ndarray or None
        Outputs, shaped like q, k and v; None where no gradient is wanted.
    heads, scale, softmax
        As in the forward pass.
    """
    _check(q, k, v, dy, weights, heads)
    gradients = tuple(_NOTHING if each is None else each for each in (dq, dk, dv))
    wanted = tuple(each is not None for each in (dq, dk, dv))
    _check_rows(*(each for each in gradients if each is not _NOTHING))
    keys, deep, wide = k.shape[1], padded(q.shape[2] // heads), padded(v.shape[2] // heads)
    panels = padded(keys) * wide + deep * keys + max(deep, wide) * BLOCK
    rows = _scratch(WORK + panels + BLOCK * (padded(keys) + deep) + keys * (deep + wide))
    attention_backward_kernel(q, k, v, dy, weights, *gradients, wanted, heads, scale, bool(softmax), rows)
