"""Batch normalisation of the channels (last axis), with what may follow it, and its folding into the layer before it.

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
from typing import Any

import numpy as np
from numba import float32

from kernels.cuda import launch
from kernels.cuda.formulas import clamp
from kernels.cuda.indices import divided, larger, smaller
from kernels.cuda.jit import inner, kernel
from kernels.cuda.maps import flat
from kernels.cuda.reduce import ROOM, Table, add_pairs, place_in_table, rows_of_split, table_of, total
from kernels.cuda.scratch import room
from kernels.cuda.toolkit import cuda

_ZERO, _ONE = np.float32(0), np.float32(1)
_NONE = math.nan
#: Lower and upper bound of each activation.
BOUNDS = {"none": (_NONE, _NONE), "relu": (0.0, _NONE), "relu6": (0.0, 6.0)}

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


# --- the functions -------------------------------------------------------------------------------


def _check(x: Any, *others: Any) -> None:
    for each in others:
        fits = each is None or tuple(each.shape) in (tuple(x.shape), tuple(x.shape[1:]))
        if len(x.shape) != 2 or not x.shape[0] or not fits:
            shapes = ", ".join(str(tuple(other.shape)) for other in (x, *others) if other is not None)
            raise ValueError(f"batch normalisation needs arrays (M, C) and (C,), M >= 1, got {shapes}")


def _partial(table: Table) -> Any:
    """Memory for two numbers of every channel of every split."""
    return room("batch norm", 2 * table.splits * table.channels)


def _inverse(var: Any, eps: float) -> Any:
    """``1 / sqrt(var + eps)``, in memory that the next call uses again."""
    inv_std = room("inverse deviation", var.size)
    inverse_deviation_kernel(launch.over(var.size), var, inv_std, eps)
    return inv_std


def _normalise(x: Any, gamma: Any, mean: Any, inv_std: Any, offset: Any, shortcut: Any, y: Any, name: str) -> None:
    table, added = table_of(*x.shape), shortcut is not None
    arrays = flat(x), gamma, mean, inv_std, offset, flat(shortcut if added else x), flat(y)
    batch_norm_kernel(table.map(), *arrays, *x.shape, table.lanes, int(added), *BOUNDS[name])


def batch_norm_forward_train(
    x: Any,
    gamma: Any,
    beta: Any,
    y: Any,
    mean: Any,
    inv_std: Any,
    running_mean: Any,
    running_var: Any,
    momentum: float,
    eps: float,
) -> None:
    """Normalise with the batch's statistics: ``y = gamma (x - mean) / sqrt(var + eps) + beta``.

    Parameters
    ----------
    x : device array (M, C)
        M counts every image and pixel.
    gamma, beta : device array (C,)
    y : device array (M, C)
        Output.
    mean, inv_std : device array (C,)
        Outputs, kept for the backward pass: mean and ``1 / sqrt(var + eps)`` with the biased variance (over M).
    running_mean, running_var : device array (C,)
        Updated in place, ``r = (1 - momentum) r + momentum statistic``, with the unbiased variance (over M - 1; over M
        where M is 1).
    momentum : float
        0 leaves the running statistics untouched.
    eps : float
    """
    offset = room("batch norm offset", beta.size)
    running = running_mean, running_var, momentum, eps
    batch_norm_activation_forward_train(x, gamma, beta, None, y, mean, inv_std, offset, *running, "none")


def batch_norm_activation_forward_train(
    x: Any,
    gamma: Any,
    beta: Any,
    shortcut: Any,
    y: Any,
    mean: Any,
    inv_std: Any,
    offset: Any,
    running_mean: Any,
    running_var: Any,
    momentum: float,
    eps: float,
    activation: str,
) -> None:
    """Normalise with the batch's statistics, add a shortcut, and apply an activation, in one pass.

    Parameters
    ----------
    x : device array (M, C)
    gamma, beta : device array (C,)
    shortcut : device array (M, C) or None
        What is added between normalisation and activation.
    y : device array (M, C)
        Output; may be `shortcut` itself.
    mean, inv_std : device array (C,)
        Outputs, as of :func:`batch_norm_forward_train`.
    offset : device array (C,)
        Output: `beta`, and what rounding took from the mean, times the factor of the channel. With it the backward
        pass finds the activation's argument again, to the last bit.
    running_mean, running_var : device array (C,)
        Updated in place.
    momentum, eps : float
    activation : {"none", "relu", "relu6"}
    """
    _check(x, y, shortcut)
    batch_norm_statistics(x, gamma, beta, mean, inv_std, offset, running_mean, running_var, momentum, eps)
    if x.size:
        _normalise(x, gamma, mean, inv_std, offset, shortcut, y, activation)


def batch_norm_statistics(
    x: Any,
    gamma: Any,
    beta: Any,
    mean: Any,
    inv_std: Any,
    offset: Any,
    running_mean: Any,
    running_var: Any,
    momentum: float,
    eps: float,
) -> None:
    """What :func:`batch_norm_activation_forward_train` finds out about a batch, without the normalisation.

    Parameters
    ----------
    x : device array (M, C)
    gamma, beta : device array (C,)
    mean, inv_std, offset : device array (C,)
        Outputs.
    running_mean, running_var : device array (C,)
        Updated in place.
    momentum, eps : float
    """
    _check(x, gamma, beta, mean, inv_std, offset, running_mean, running_var)
    if not x.size:
        return
    table = table_of(*x.shape)
    values, partial, sizes = flat(x), _partial(table), (*x.shape, table.splits, table.lanes)
    batch_moments_kernel(table.sums(), values, partial, *sizes)
    arrays = gamma, beta, mean, inv_std, offset, running_mean, running_var
    batch_statistics_kernel(table.totals(), values, partial, *arrays, *sizes, momentum, eps)


def batch_norm_forward_inference(
    x: Any, gamma: Any, beta: Any, running_mean: Any, running_var: Any, y: Any, eps: float
) -> None:
    """Normalise with the running statistics.

    Parameters
    ----------
    x : device array (M, C)
    gamma, beta, running_mean, running_var : device array (C,)
    y : device array (M, C)
        Output; may be `x` itself.
    eps : float
    """
    batch_norm_activation_forward_inference(x, gamma, beta, running_mean, running_var, None, y, eps, "none")


def batch_norm_activation_forward_inference(
    x: Any,
    gamma: Any,
    beta: Any,
    running_mean: Any,
    running_var: Any,
    shortcut: Any,
    y: Any,
    eps: float,
    activation: str,
) -> None:
    """Normalise with the running statistics, add a shortcut, and apply an activation, in one pass.

    Parameters
    ----------
    x : device array (M, C)
    gamma, beta, running_mean, running_var : device array (C,)
    shortcut : device array (M, C) or None
        What is added between normalisation and activation.
    y : device array (M, C)
        Output; may be `x` or `shortcut` itself.
    eps : float
    activation : {"none", "relu", "relu6"}
    """
    _check(x, gamma, beta, running_mean, running_var, shortcut, y)
    if x.size:
        _normalise(x, gamma, running_mean, _inverse(running_var, eps), beta, shortcut, y, activation)


def batch_norm_backward_train(
    x: Any, gamma: Any, mean: Any, inv_std: Any, dy: Any, dx: Any, dgamma: Any, dbeta: Any
) -> None:
    """Gradient through the normalisation, the mean and the variance.

    Parameters
    ----------
    x : device array (M, C)
    gamma : device array (C,)
    mean, inv_std : device array (C,)
        As the forward pass wrote them.
    dy : device array (M, C)
    dx : device array (M, C)
        Output; may be `dy` itself.
    dgamma, dbeta : device array (C,)
        Outputs.
    """
    batch_norm_activation_backward_train(x, gamma, mean, inv_std, gamma, None, dy, dx, None, dgamma, dbeta, "none")


def batch_norm_activation_backward_train(
    x: Any,
    gamma: Any,
    mean: Any,
    inv_std: Any,
    offset: Any,
    y: Any,
    dy: Any,
    dx: Any,
    dshortcut: Any,
    dgamma: Any,
    dbeta: Any,
    activation: str,
) -> None:
    """Gradient of :func:`batch_norm_activation_forward_train`.

    Parameters
    ----------
    x : device array (M, C)
    gamma : device array (C,)
    mean, inv_std, offset : device array (C,)
        As the forward pass wrote them.
    y : device array (M, C) or None
        The forward pass's output; read only where there was a shortcut.
    dy : device array (M, C)
    dx : device array (M, C)
        Output; may be `dy` itself.
    dshortcut : device array (M, C) or None
        Output: `dy` where the activation lets it pass. May be `dy` itself, unless `dx` is. None without a shortcut.
    dgamma, dbeta : device array (C,)
        Outputs.
    activation : {"none", "relu", "relu6"}
    """
    _check(x, gamma, mean, inv_std, offset, y, dy, dx, dshortcut, dgamma, dbeta)
    if not x.size:
        return
    saved = flat(x), gamma, mean, inv_std, offset
    _sum_slopes(saved, x.shape, y, dy, dshortcut, dgamma, dbeta, activation)
    if dshortcut is not None:  # g lies there, without what the activation cut off
        dy, activation = dshortcut, "none"
    _map_slopes(saved, x.shape, dy, dx, dgamma, dbeta, True, activation)


def _sum_slopes(
    saved: tuple, shape: tuple, y: Any, dy: Any, dshortcut: Any, dgamma: Any, dbeta: Any, activation: str
) -> None:
    """Write `dgamma`, `dbeta` and `dshortcut`; `saved` is x (flat), gamma, mean, inv_std, offset."""
    table, added = table_of(*shape), dshortcut is not None
    partial, sizes = _partial(table), (*shape, table.splits, table.lanes)
    arrays = (flat(y), flat(dy), flat(dshortcut)) if added else (saved[0], flat(dy), saved[0])
    batch_slope_sums_kernel(table.sums(), *saved, *arrays, partial, *sizes, int(added), *BOUNDS[activation])
    add_pairs(partial, dbeta, dgamma, table)


def _map_slopes(
    saved: tuple, shape: tuple, dy: Any, dx: Any, dgamma: Any, dbeta: Any, through_statistics: bool, activation: str
) -> None:
    table = table_of(*shape)
    arrays, sizes = (flat(dy), flat(dx), dgamma, dbeta), (*shape, table.lanes)
    batch_slope_kernel(table.map(), *saved, *arrays, *sizes, int(through_statistics), *BOUNDS[activation])


def batch_norm_backward_inference(
    x: Any,
    gamma: Any,
    running_mean: Any,
    running_var: Any,
    dy: Any,
    dx: Any,
    dgamma: Any,
    dbeta: Any,
    eps: float,
) -> None:
    """Gradient where the statistics are constants: ``dx = dy gamma inv_std``.

    Parameters
    ----------
    x : device array (M, C)
    gamma, running_mean, running_var : device array (C,)
    dy : device array (M, C)
    dx : device array (M, C)
        Output; may be `dy` itself.
    dgamma, dbeta : device array (C,)
        Outputs: ``sum dy (x - running_mean) inv_std`` and ``sum dy``.
    eps : float
    """
    _check(x, gamma, running_mean, running_var, dy, dx, dgamma, dbeta)
    if not x.size:
        return
    saved = flat(x), gamma, running_mean, _inverse(running_var, eps), gamma
    _sum_slopes(saved, x.shape, None, dy, None, dgamma, dbeta, "none")
    _map_slopes(saved, x.shape, dy, dx, dgamma, dbeta, False, "none")


def fold_batch_norm(
    w: Any, b: Any, gamma: Any, beta: Any, mean: Any, var: Any, eps: float, w_folded: Any, b_folded: Any
) -> None:
    """Parameters of the one layer that does what a layer and the inference batch norm after it do.

    Parameters
    ----------
    w : device array (..., C_out)
        Weights of a convolution or of a linear layer.
    b : device array (C_out,)
        Its bias; zeros if it has none.
    gamma, beta, mean, var : device array (C_out,)
        Parameters and running statistics of the batch norm.
    eps : float
    w_folded : device array (..., C_out)
        Output.
    b_folded : device array (C_out,)
        Output.

    Raises
    ------
    ValueError
        If the shapes do not fit each other.
    """
    channels = tuple(w.shape)[-1]
    vectors = b, gamma, beta, mean, var, b_folded
    if w_folded.shape != w.shape or any(tuple(each.shape) != (channels,) for each in vectors):
        shapes = ", ".join(str(tuple(each.shape)) for each in (w, w_folded, *vectors))
        raise ValueError(f"folding a batch norm needs arrays (..., C) and (C,), got {shapes}")
    if channels:
        arrays = flat(w), b, gamma, beta, mean, var, flat(w_folded), b_folded
        fold_batch_norm_kernel(launch.over(max(w.size, channels)), *arrays, channels, eps)
