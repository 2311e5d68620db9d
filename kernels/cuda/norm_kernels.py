"""The kernels of batch normalisation, with the addition and the activation that may follow it.

The formulas are in :mod:`kernels.reference.norm`, the layout of the blocks in :mod:`kernels.cuda.reduce`.

All is float32. A variance keeps its digits although the mean may be large: every thread sums the differences from its
own first value, which lies among the others, and sums of two threads, or two splits, are merged by their means and
squares around them (Chan, Golub and LeVeque, "Algorithms for computing the sample variance", 1983). Means are counted
from the first sample, for the same reason.

An activation is a pair of bounds, not-a-number where there is none: its value is ``min(max(v, low), high)``, and its
gradient passes where v lies between them.
"""

from __future__ import annotations

import math

import numpy as np
from numba import float32

from kernels.cuda.formulas import clamp
from kernels.cuda.indices import divided, larger, smaller
from kernels.cuda.jit import inner, kernel
from kernels.cuda.reduce import ROOM, place_in_table, rows_of_split, total
from kernels.cuda.toolkit import cuda

_ZERO, _ONE = np.float32(0), np.float32(1)

# --- formulas ------------------------------------------------------------------------------------


@inner
def _merged(count, mean, square, other_count, other_mean, other_square):
    """Number, mean and squares around the mean of two sets of samples together."""
    if other_count == _ZERO:
        return count, mean, square
    both, step = count + other_count, other_mean - mean
    share = other_count / both
    return both, mean + step * share, square + other_square + step * step * count * share


@inner
def _merged_lines(counts, means, squares, count, mean, square, lanes):
    """The same of all threads of a lane, to those of the first line; the first three are shared memory."""
    thread, half = cuda.threadIdx.x, cuda.blockDim.x // 2
    counts[thread], means[thread], squares[thread] = count, mean, square
    cuda.syncthreads()
    while half >= lanes:
        if thread < half:
            other = thread + half
            count, mean, square = _merged(count, mean, square, counts[other], means[other], squares[other])
            counts[thread], means[thread], squares[thread] = count, mean, square
        cuda.syncthreads()
        half //= 2
    return count, mean, square


@inner
def _inverse_deviation(var, eps):
    return _ONE / math.sqrt(var + eps)


@inner
def _argument(x, mean, factor, offset):
    """What the activation is of, without the shortcut: the same bits there and back."""
    return cuda.fma(x - mean, factor, offset)


@inner
def _passed(v, dy, low, high):
    """`dy`, but 0 where the activation cut its argument, or its output, v."""
    return _ZERO if v <= low or v >= high else dy


# --- statistics ----------------------------------------------------------------------------------


@kernel("void(float32[::1], float32[::1], int32, int32, int32, int32)")
def batch_moments_kernel(x, partial, rows, channels, splits, lanes):
    """Mean, from the first sample on, and squares around it, of each split: `partial` is (2, splits, channels)."""
    counts = cuda.shared.array(ROOM, float32)  # one in a line: the simulator tells them apart by their lines
    means = cuda.shared.array(ROOM, float32)
    squares = cuda.shared.array(ROOM, float32)
    channel, line, lines = place_in_table(lanes)
    first, last = rows_of_split(rows, splits)
    column = smaller(channel, channels - 1)
    shift = x[smaller(first + line, rows - 1) * channels + column]
    count, mean, square = _ZERO, _ZERO, _ZERO
    for row in range(first + line, last, lines):
        distance = x[row * channels + column] - shift
        count += _ONE
        mean += distance
        square += distance * distance
    if count > _ZERO:
        square -= mean * mean / count
        mean = mean / count + (shift - x[column])
    count, mean, square = _merged_lines(counts, means, squares, count, mean, square, lanes)
    if line == 0 and channel < channels:
        place = cuda.blockIdx.x * channels + channel
        partial[place], partial[splits * channels + place] = mean, square


@kernel(
    "void(float32[::1], float32[::1], float32[::1], float32[::1], float32[::1], float32[::1], float32[::1], "
    "float32[::1], float32[::1], int32, int32, int32, int32, float32, float32)"
)
def batch_statistics_kernel(
    x, partial, gamma, beta, mean, inv_std, offset, running_mean, running_var,
    rows, channels, splits, lanes, momentum, eps,
):  # fmt: skip
    """Statistics of the batch from those of the splits."""
    counts = cuda.shared.array(ROOM, float32)  # one in a line: the simulator tells them apart by their lines
    means = cuda.shared.array(ROOM, float32)
    squares = cuda.shared.array(ROOM, float32)
    channel, line, lines = place_in_table(lanes)
    column = smaller(channel, channels - 1)
    count, rest, square = _ZERO, _ZERO, _ZERO
    for split in range(line, splits, lines):
        samples = np.float32((split + 1) * rows // splits - split * rows // splits)
        place = split * channels + column
        count, rest, square = _merged(count, rest, square, samples, partial[place], partial[splits * channels + place])
    count, rest, square = _merged_lines(counts, means, squares, count, rest, square, lanes)
    if line == 0 and channel < channels:
        square = _ZERO if square < _ZERO else square
        center = x[channel] + rest
        scale = _inverse_deviation(square / count, eps)
        mean[channel], inv_std[channel] = center, scale
        # What float32 leaves of a large mean is small, but counts.
        offset[channel] = beta[channel] + (center - x[channel] - rest) * (gamma[channel] * scale)
        if momentum != _ZERO:
            old = _ONE - momentum
            running_mean[channel] = old * running_mean[channel] + momentum * center
            running_var[channel] = old * running_var[channel] + momentum * (square / larger(count - _ONE, _ONE))


@kernel("void(float32[::1], float32[::1], float32)")
def inverse_deviation_kernel(var, inv_std, eps):
    """``1 / sqrt(var + eps)``, a thread for each channel."""
    channel = cuda.grid(1)
    if channel < var.size:
        inv_std[channel] = _inverse_deviation(var[channel], eps)


# --- maps ----------------------------------------------------------------------------------------


@kernel(
    "void(float32[::1], float32[::1], float32[::1], float32[::1], float32[::1], float32[::1], float32[::1], "
    "int32, int32, int32, int32, float32, float32)"
)
def batch_norm_kernel(x, gamma, mean, inv_std, offset, shortcut, y, rows, channels, lanes, added, low, high):
    """``y = activation((x - mean) gamma inv_std + offset + shortcut)``."""
    channel, line, lines = place_in_table(lanes)
    first, last = rows_of_split(rows, cuda.gridDim.x)
    if channel < channels:
        center, factor, rest = mean[channel], gamma[channel] * inv_std[channel], offset[channel]
        for row in range(first + line, last, lines):
            i = row * channels + channel
            v = _argument(x[i], center, factor, rest)
            if added:
                v += shortcut[i]
            y[i] = clamp(v, low, high)


@kernel(
    "void(float32[::1], float32[::1], float32[::1], float32[::1], float32[::1], float32[::1], float32[::1], "
    "float32[::1], float32[::1], int32, int32, int32, int32, int32, float32, float32)"
)
def batch_slope_sums_kernel(
    x, gamma, mean, inv_std, offset, y, dy, ds, partial, rows, channels, splits, lanes, added, low, high
):
    """``sum g`` and ``sum g (x - mean) inv_std``, where g is dy behind the activation: `partial` (2, splits, channels).

    With a shortcut, `added`, the activation is known by its output y, and g is written into `ds`.
    """
    shared = cuda.shared.array(ROOM, float32)
    channel, line, lines = place_in_table(lanes)
    first, last = rows_of_split(rows, splits)
    column = smaller(channel, channels - 1)
    center, scale, rest = mean[column], inv_std[column], offset[column]
    factor = gamma[column] * scale
    plain, product = _ZERO, _ZERO
    if channel < channels:
        for row in range(first + line, last, lines):
            i = row * channels + channel
            v = y[i] if added else _argument(x[i], center, factor, rest)
            g = _passed(v, dy[i], low, high)
            if added:
                ds[i] = g
            plain += g
            product += g * (x[i] - center)
    plain, product = total(shared, plain, lanes), total(shared, product, lanes)
    if line == 0 and channel < channels:
        place = cuda.blockIdx.x * channels + channel
        partial[place], partial[splits * channels + place] = plain, product * scale


@kernel(
    "void(float32[::1], float32[::1], float32[::1], float32[::1], float32[::1], float32[::1], float32[::1], "
    "float32[::1], float32[::1], int32, int32, int32, int32, float32, float32)"
)
def batch_slope_kernel(
    x, gamma, mean, inv_std, offset, dy, dx, dgamma, dbeta, rows, channels, lanes, through_statistics, low, high
):
    """``dx = gamma inv_std (g - (dbeta + xhat dgamma) / M)``; the last term only `through_statistics`."""
    channel, line, lines = place_in_table(lanes)
    first, last = rows_of_split(rows, cuda.gridDim.x)
    if channel < channels:
        center, scale, rest = mean[channel], inv_std[channel], offset[channel]
        factor, slope, level = gamma[channel] * scale, _ZERO, _ZERO
        if through_statistics:
            share = factor / np.float32(rows)
            slope, level = -share * scale * dgamma[channel], -share * dbeta[channel]
        for row in range(first + line, last, lines):
            i = row * channels + channel
            g = _passed(_argument(x[i], center, factor, rest), dy[i], low, high)
            dx[i] = g * factor + ((x[i] - center) * slope + level)


@kernel(
    "void(float32[::1], float32[::1], float32[::1], float32[::1], float32[::1], float32[::1], float32[::1], "
    "float32[::1], int32, float32)"
)
def fold_batch_norm_kernel(w, b, gamma, beta, mean, var, w_folded, b_folded, channels, eps):
    """A thread for each weight; the first ones do the bias, too."""
    i = cuda.grid(1)
    if i < w.size:
        _, channel = divided(i, channels)
        w_folded[i] = w[i] * (gamma[channel] * _inverse_deviation(var[channel], eps))
    if i < channels:
        b_folded[i] = (b[i] - mean[i]) * (gamma[i] * _inverse_deviation(var[i], eps)) + beta[i]
