"""Sums and products of arrays whose shapes differ, and sums over repeated axes.

Neighbouring axes along which the same arrays repeat are merged, which leaves at most four for images. Jobs are blocks
of the first axis; vectors run along the last.
"""

from __future__ import annotations

import numpy as np

from kernels.cpu import simd
from kernels.cpu.jit import inner, kernel
from kernels.cpu.jobs import CHUNK, SMALL, run_jobs
from kernels.cpu.simd import address, lane_total, load_scalar, splat, store_scalar
from kernels.cpu.tails import read, write

AXES = 4
_REDUCTION_JOBS = 16
# Rows that are summed in one go.
_TILE = 64
_ZERO, _ONE = np.float32(0), np.float32(1)


def merged_axes(shape: tuple[int, ...], *operands: np.ndarray) -> list[tuple[int, ...]]:
    """Sizes and strides of `operands` broadcast to `shape`, as few axes as possible, padded to four.

    Parameters
    ----------
    shape : tuple of int
    *operands : ndarray
        C-contiguous, of the same rank; each size equal to that of `shape`, or 1.

    Returns
    -------
    list of tuples
        Sizes, then for each operand its strides in elements, 0 where it repeats. Of fewer than four axes the first
        stays first and the others are the last ones.

    Raises
    ------
    ValueError
        If the shapes do not broadcast, or alternate in more than four groups of axes.
    """
    groups: list[list] = []
    for axis, size in enumerate(shape):
        repeats = _repeats(shape, operands, axis)
        if size == 1:
            continue
        if groups and groups[-1][1] == repeats:
            groups[-1][0] *= size
        else:
            groups.append([size, repeats])
    if len(groups) > AXES:
        raise ValueError(f"broadcasting to {shape} alternates in more than {AXES} groups of axes")
    whole = (False,) * len(operands)
    padding = [[1, whole]] * (AXES - len(groups))
    first = 1 if len(groups) > 1 else 0
    return _strides(groups[:first] + padding + groups[first:], len(operands))


def _repeats(shape: tuple[int, ...], operands: tuple[np.ndarray, ...], axis: int) -> tuple:
    for each in operands:
        if each.ndim != len(shape) or each.shape[axis] not in (1, shape[axis]):
            shapes = ", ".join(str(other.shape) for other in operands)
            raise ValueError(f"shapes {shapes} do not broadcast to {shape}")
    return tuple(each.shape[axis] == 1 for each in operands)


def _strides(groups: list, count: int) -> list[tuple[int, ...]]:
    table = [tuple(size for size, _ in groups)]
    for operand in range(count):
        stride, strides = 1, []
        for size, repeats in reversed(groups):
            strides.append(0 if repeats[operand] else stride)
            stride *= 1 if repeats[operand] else size
        table.append(tuple(reversed(strides)))
    return table


@inner
def _offset(strides, i, j):
    """Bytes from the start of an array to its part (i, j)."""
    return 4 * (i * strides[0] + j * strides[1])


@inner
def _operand(place, step, n, count):
    """Up to eight floats of a row from element n on, or its one float in all lanes."""
    if step == 0:
        return splat(load_scalar(place))
    return read(place + 4 * n, count)


@inner
def _row_jobs(sizes, most):
    """How many blocks of the first axis there are."""
    work = sizes[0] * sizes[1] * sizes[2] * sizes[3]
    return max(1, min(sizes[0], most, work // CHUNK))


def _binary_job(function):
    """Job body of ``y = function(a, b)`` on one block of the first axis."""

    @inner
    def body(a, b, y, sizes, a_strides, b_strides, jobs, job):
        width = sizes[3]
        y += 4 * (sizes[0] * job // jobs) * sizes[1] * sizes[2] * width
        for i in range(sizes[0] * job // jobs, sizes[0] * (job + 1) // jobs):
            for j in range(sizes[1]):
                first, second = a + _offset(a_strides, i, j), b + _offset(b_strides, i, j)
                for _ in range(sizes[2]):
                    for n in range(0, width, 8):
                        u = _operand(first, a_strides[3], n, width - n)
                        v = _operand(second, b_strides[3], n, width - n)
                        write(y + 4 * n, function(u, v), width - n)
                    first, second, y = first + 4 * a_strides[2], second + 4 * b_strides[2], y + 4 * width

    return body


_add_job, _multiply_job = _binary_job(simd.add), _binary_job(simd.mul)


@kernel(
    "void(f4[::1], f4[::1], f4[::1], UniTuple(i8, 4), UniTuple(i8, 4), UniTuple(i8, 4))",
    parallel=False,
)
def broadcast_add_kernel(a, b, y, sizes, a_strides, b_strides):
    """``a + b``, rows of the last axis at a time."""
    jobs = _row_jobs(sizes, 64)
    arguments = (address(a), address(b), address(y), sizes, a_strides, b_strides, jobs)
    run_jobs(_add_job, arguments, jobs, y.size < SMALL)


@kernel(
    "void(f4[::1], f4[::1], f4[::1], UniTuple(i8, 4), UniTuple(i8, 4), UniTuple(i8, 4))",
    parallel=False,
)
def broadcast_multiply_kernel(a, b, y, sizes, a_strides, b_strides):
    """``a * b``, rows of the last axis at a time."""
    jobs = _row_jobs(sizes, 64)
    arguments = (address(a), address(b), address(y), sizes, a_strides, b_strides, jobs)
    run_jobs(_multiply_job, arguments, jobs, y.size < SMALL)


# --- sums over the axes along which an operand was repeated --------------------------------------


@inner
def _add_rows(dy, other, out, rows, width, stride, step, out_step):
    """Add ``dy * other`` of some rows to one row of `out`, or to one element of it."""
    for start in range(0, width, CHUNK):
        whole = splat(_ZERO)
        for n in range(start, min(width, start + CHUNK), 8):
            total, place, factor = splat(_ZERO), dy + 4 * n, other
            for _ in range(rows):
                total = simd.fma(read(place, width - n), _operand(factor, step, n, width - n), total)
                place, factor = place + 4 * width, factor + 4 * stride
            if out_step == 0:
                whole = simd.add(whole, total)
            else:
                write(out + 4 * n, simd.add(read(out + 4 * n, width - n), total), width - n)
        if out_step == 0:
            store_scalar(out, load_scalar(out) + lane_total(whole))


@inner
def _sum_job(dy, other, out, partial_size, sizes, strides, out_strides, jobs, job):
    """One block of the first axis, added to the job's own partial sums (or own part of the output)."""
    first, last = sizes[0] * job // jobs, sizes[0] * (job + 1) // jobs
    axis, rows = 2, sizes[2]
    if sizes[1] == 1 and sizes[2] == 1:  # only two axes: the rows of a block follow each other
        axis, rows, last = 0, last - first, first + 1
    width, stride, out_stride = sizes[3], strides[axis], out_strides[axis]
    tile = _TILE if out_stride == 0 else 1
    dy += 4 * first * sizes[1] * sizes[2] * width
    for i in range(first, last):
        for j in range(sizes[1]):
            place, into = other + _offset(strides, i, j), out + 4 * job * partial_size + _offset(out_strides, i, j)
            for k in range(0, rows, tile):
                factor, target, count = place + 4 * k * stride, into + 4 * k * out_stride, min(tile, rows - k)
                _add_rows(dy, factor, target, count, width, stride, strides[3], out_strides[3])
                dy += 4 * count * width


@kernel(
    "void(f4[::1], f4[::1], f4[::1], UniTuple(i8, 4), UniTuple(i8, 4), UniTuple(i8, 4))",
    parallel=False,
)
def broadcast_sum_kernel(dy, other, out, sizes, strides, out_strides):
    """``out = sum of dy * other`` over the axes where `out` has stride 0."""
    jobs, partial_size = _row_jobs(sizes, _REDUCTION_JOBS), out.size
    if out_strides[0] != 0:  # every job has its own part of the output
        partial_size = 0
    partials = np.zeros(out.size if partial_size == 0 else jobs * out.size, np.float32)
    arguments = (
        address(dy), address(other), address(partials), partial_size, sizes, strides, out_strides, jobs,
    )  # fmt: skip
    run_jobs(_sum_job, arguments, jobs, dy.size < SMALL)
    for i in range(out.size):
        total = partials[i]
        for job in range(1, partials.size // out.size):
            total += partials[job * out.size + i]
        out[i] = total


# --- the functions -------------------------------------------------------------------------------

_ONE_ARRAY = np.ones((), np.float32)


def _flat(*arrays: np.ndarray) -> list[np.ndarray]:
    if not all(each.flags.c_contiguous for each in arrays):
        raise ValueError("broadcasting needs C-contiguous arrays")
    return [each.reshape(-1) for each in arrays]


def add(a: np.ndarray, b: np.ndarray, y: np.ndarray) -> None:
    """``y = a + b``; shapes of equal rank, sizes equal or 1, `y` of the broadcast shape."""
    broadcast_add_kernel(*_flat(a, b, y), *merged_axes(y.shape, a, b))


def multiply(a: np.ndarray, b: np.ndarray, y: np.ndarray) -> None:
    """``y = a b``; shapes of equal rank, sizes equal or 1, `y` of the broadcast shape."""
    broadcast_multiply_kernel(*_flat(a, b, y), *merged_axes(y.shape, a, b))


def product_sum_to(dy: np.ndarray, other: np.ndarray, output: np.ndarray) -> None:
    """``output = sum of dy * other`` over the axes where `output` has size 1; `other` may broadcast."""
    broadcast_sum_kernel(*_flat(dy, other, output), *merged_axes(dy.shape, other, output))


def sum_to(dy: np.ndarray, output: np.ndarray) -> None:
    """``output = sum of dy`` over the axes where `output` has size 1."""
    product_sum_to(dy, _ONE_ARRAY.reshape((1,) * dy.ndim), output)
