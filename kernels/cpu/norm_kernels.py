"""The kernels of batch normalisation, with the addition and the activation that may follow it.

How an array falls into wide rows, and what is done to them, is in :mod:`kernels.cpu.norm_lines`. The samples after the
last wide row are copied into a wide row of their own, at the end of the work memory, and treated like the others. Sums
are shifted by the first sample (or the mean), which keeps the variance exact where the mean is large.
"""

from __future__ import annotations

import math

import numpy as np

from kernels.cpu import norm_lines as lines
from kernels.cpu.jit import inner, kernel
from kernels.cpu.jobs import SMALL, run_chunks
from kernels.cpu.simd import address
from kernels.cpu.tails import copy_floats

# Rows of the table of coefficients.
_SHIFT, _FACTOR, _OFFSET, _SLOPE, _REST = 0, 1, 2, 3, 4
_TABLE_ROWS = 5
#: Wide rows of work memory that a kernel needs besides the sums of its jobs.
WORK_ROWS = _TABLE_ROWS + 4

_moments_job = lines.summing(lines.moments)
_slopes_job = lines.summing(lines.slopes)
_output_slopes_job = lines.summing(lines.slopes_from_output)
_normalise_job, _normalise = lines.mapping(lines.normalise), lines.normalise(1)
_adding_job, _normalise_and_add = lines.mapping(lines.normalise_and_add), lines.normalise_and_add(1)
_slope_job, _slope = lines.mapping(lines.slope), lines.slope(1)


@inner
def _totals(partial, channel, channels):
    """Both sums of one channel, float64: over jobs and repetitions, in order."""
    first, second = 0.0, 0.0
    for job in range(partial.shape[0]):
        for i in range(channel, partial.shape[2], channels):
            first += partial[job, 0, i]
            second += partial[job, 1, i]
    return first, second


@inner
def _fill(row, values):
    """Repeat the coefficients of the channels along a row of the table."""
    for start in range(0, row.size, values.size):
        row[start : start + values.size] = values


@inner
def _forward_rows(x, shortcut, y, table, spare, bounds, added, block):
    """Normalise all rows with the coefficients in the table, and add the shortcut if asked to."""
    width = table.shape[1]
    line, rows, serial = 4 * width, x.size // width, x.size < SMALL
    at, rest, own = 4 * width * rows, x.size % width, address(spare)
    places = (address(table), line, bounds)
    if added:
        arrays = (address(x), address(y), address(shortcut))
        if rest:
            copy_floats(arrays[0] + at, own, rest)
            copy_floats(arrays[2] + at, own + line, rest)
        run_chunks(_adding_job, (arrays, *places), rows, block, serial)
        if rest:
            _normalise_and_add((own, own, own + line), 0, address(table), line, bounds)
    else:
        pair = (address(x), address(y))
        if rest:
            copy_floats(pair[0] + at, own, rest)
        run_chunks(_normalise_job, (pair, *places), rows, block, serial)
        if rest:
            _normalise((own, own), 0, address(table), line, bounds)
    if rest:
        copy_floats(own, address(y) + at, rest)


@inner
def _count_moments(x, table, spare, partial, block, share):
    """Shifted sums of all rows, into `partial`; the last place is that of the samples after the last wide row."""
    width = table.shape[1]
    line, rows, rest, bounds = 4 * width, x.size // width, x.size % width, (np.float32(0), np.float32(0))
    arguments = ((address(x),), address(table), address(partial), line, bounds, rows, block, share)
    run_chunks(_moments_job, arguments, rows, block, x.size < SMALL)
    last = partial[partial.shape[0] - 1]
    last[...] = 0.0
    if rest:
        spare[0] = table[_SHIFT]
        copy_floats(address(x) + line * rows, address(spare), rest)
        lines.moments((address(spare),), 0, 1, address(table), address(last), line, bounds)


@kernel(
    "void(f4[:,::1], f4[::1], f4[::1], f4[:,::1], f4[:,::1], f4[::1], f4[::1], f4[::1], f4[::1], f4[::1], f8, f8, "
    "UniTuple(f4, 2), b1, b1, f4[:,::1], f4[:,:,::1], i8, i8)",
    parallel=False,
)
def batch_norm_train_kernel(
    x, gamma, beta, shortcut, y, mean, inv_std, offset, running_mean, running_var, momentum, eps,
    bounds, added, apply, work, partial, block, share,
):  # fmt: skip
    """Statistics of the batch, then, to `apply` them, the normalisation."""
    samples, channels, width = x.shape[0], x.shape[1], work.shape[1]
    table, spare = work[:_TABLE_ROWS], work[_TABLE_ROWS:]
    _fill(table[_SHIFT], x[0])
    _count_moments(x, table, spare, partial, block, share)
    for c in range(channels):
        center, square = _totals(partial, c, channels)
        center /= samples
        variance = square / samples - center * center
        if variance < 0.0:
            variance = 0.0
        center += table[_SHIFT, c]
        mean[c], inv_std[c] = center, 1.0 / math.sqrt(variance + eps)
        factor = gamma[c] * np.float64(inv_std[c])
        # What float32 leaves of a large mean is small, but counts.
        offset[c] = beta[c] + (np.float64(mean[c]) - center) * factor
        if momentum != 0.0:
            if samples > 1:
                variance = variance * samples / (samples - 1)
            running_mean[c] = (1.0 - momentum) * running_mean[c] + momentum * center
            running_var[c] = (1.0 - momentum) * running_var[c] + momentum * variance
        for i in range(c, width, channels):
            table[_SHIFT, i], table[_FACTOR, i], table[_OFFSET, i] = mean[c], factor, offset[c]
    if apply:
        _forward_rows(x, shortcut, y, table, spare, bounds, added, block)


@kernel(
    "void(f4[:,::1], f4[::1], f4[::1], f4[::1], f4[::1], f4[:,::1], f4[:,::1], f8, UniTuple(f4, 2), b1, f4[:,::1], i8)",
    parallel=False,
)
def batch_norm_inference_kernel(
    x, gamma, beta, running_mean, running_var, shortcut, y, eps, bounds, added, work, block
):
    """The normalisation with the running statistics."""
    table, channels = work[:_TABLE_ROWS], x.shape[1]
    for c in range(channels):
        factor = gamma[c] / math.sqrt(running_var[c] + eps)
        for i in range(c, work.shape[1], channels):
            table[_SHIFT, i], table[_FACTOR, i], table[_OFFSET, i] = running_mean[c], factor, beta[c]
    _forward_rows(x, shortcut, y, table, work[_TABLE_ROWS:], bounds, added, block)


@inner
def _sum_slopes(x, y, dy, ds, table, spare, partial, bounds, added, block, share):
    """``sum g`` and ``sum g (x - mean)`` into `partial`; with a shortcut also g into `ds`, by the output y."""
    width, serial, last = table.shape[1], x.size < SMALL, partial[partial.shape[0] - 1]
    line, rows, rest, own = 4 * width, x.size // width, x.size % width, address(spare)
    at, places = 4 * width * rows, (address(table), address(partial), line, bounds, rows, block, share)
    last[...] = 0.0
    spare[:2] = 0.0  # where dy is 0, nothing is added to the sums
    if added:
        arrays = (address(x), address(y), address(dy), address(ds))
        if rest:
            copy_floats(arrays[2] + at, own, rest)
            copy_floats(arrays[0] + at, own + line, rest)
            copy_floats(arrays[1] + at, own + 2 * line, rest)
        run_chunks(_output_slopes_job, (arrays, *places), rows, block, serial)
        if rest:
            own_arrays = (own + line, own + 2 * line, own, own)
            lines.slopes_from_output(own_arrays, 0, 1, address(table), address(last), line, bounds)
            copy_floats(own, arrays[3] + at, rest)
    else:
        pair = (address(x), address(dy))
        run_chunks(_slopes_job, (pair, *places), rows, block, serial)
        if rest:
            copy_floats(pair[1] + at, own, rest)
            copy_floats(pair[0] + at, own + line, rest)
            lines.slopes((own + line, own), 0, 1, address(table), address(last), line, bounds)


@inner
def _backward_rows(x, dy, dx, table, spare, bounds, block):
    """dx of all rows."""
    width = table.shape[1]
    line, rows, rest, own = 4 * width, x.size // width, x.size % width, address(spare)
    arrays, at = (address(x), address(dy), address(dx)), 4 * width * rows
    run_chunks(_slope_job, (arrays, address(table), line, bounds), rows, block, x.size < SMALL)
    if rest:
        copy_floats(arrays[0] + at, own, rest)
        copy_floats(arrays[1] + at, own + line, rest)
        _slope((own, own + line, own), 0, address(table), line, bounds)
        copy_floats(own, arrays[2] + at, rest)


@kernel(
    "void(f4[:,::1], f4[::1], f4[::1], f4[::1], f4[::1], f4[:,::1], f4[:,::1], f4[:,::1], f4[:,::1], f4[::1], "
    "f4[::1], UniTuple(f4, 2), b1, b1, f4[:,::1], f4[:,:,::1], i8, i8)",
    parallel=False,
)
def batch_norm_backward_kernel(
    x, gamma, mean, inv_std, offset, y, dy, dx, ds, dgamma, dbeta,
    bounds, added, through_statistics, work, partial, block, share,
):  # fmt: skip
    """Sums of the slopes, then dx; without `through_statistics` the mean and the variance are constants."""
    samples, channels, width = x.shape[0], x.shape[1], work.shape[1]
    table, spare = work[:_TABLE_ROWS], work[_TABLE_ROWS:]
    for c in range(channels):
        for i in range(c, width, channels):
            table[_SHIFT, i], table[_OFFSET, i] = mean[c], offset[c]
            table[_FACTOR, i] = gamma[c] * np.float64(inv_std[c])
    _sum_slopes(x, y, dy, ds, table, spare, partial, bounds, added, block, share)
    for c in range(channels):
        (sum_g, sum_product), scale = _totals(partial, c, channels), np.float64(inv_std[c])
        sum_normalised = sum_product * scale
        dgamma[c], dbeta[c] = sum_normalised, sum_g
        share = gamma[c] * scale / samples if through_statistics else 0.0
        for i in range(c, width, channels):
            table[_SLOPE, i], table[_REST, i] = -share * scale * sum_normalised, -share * sum_g
    if added:  # g lies in ds, without what the activation cut off
        none = np.float32(np.nan)
        _backward_rows(x, ds, dx, table, spare, (none, none), block)
    else:
        _backward_rows(x, dy, dx, table, spare, bounds, block)
