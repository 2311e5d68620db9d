"""The kernels of batch normalisation: sums over the rows of an array, and a map with coefficients of the channels.

The array (M, C) is read as *wide rows* of ``lcm(C, 16)`` floats, in which the channels repeat, so that two vectors at a
time fit for every C. Coefficients of the channels stand in a table of the same width. Sums are shifted by the first
sample (or the mean), which keeps the variance exact where the mean is large.
"""

from __future__ import annotations

import math

import numpy as np

from kernels.cpu.jit import inner, kernel
from kernels.cpu.jobs import SMALL, run_chunks
from kernels.cpu.simd import add, address, fma, load, splat, store, sub
from kernels.cpu.tails import zero_floats

_ZERO = np.float32(0)
# Rows of the table of coefficients.
SHIFT, FACTOR, OFFSET, SLOPE = 0, 1, 2, 3

# --- sums over the wide rows ---------------------------------------------------------------------


@inner
def _moments_job(x, shift, partial, width, step, block, start, end):
    """``sum x - shift`` and ``sum (x - shift)^2`` of block of wide rows, `step` at a time."""
    sums = partial + 8 * width * (start // block)
    zero_floats(sums, 2 * width)
    squares = sums + 4 * width
    for first in range(start, end, step):
        count = step if first + step < end else end - first
        for c in range(0, 4 * width, 64):
            place, k0, k1 = x + 4 * first * width + c, load(shift + c), load(shift + c + 32)
            s0, s1, q0, q1 = splat(_ZERO), splat(_ZERO), splat(_ZERO), splat(_ZERO)
            for _ in range(count):
                u, v = sub(load(place), k0), sub(load(place + 32), k1)
                s0, s1, q0, q1 = add(s0, u), add(s1, v), fma(u, u, q0), fma(v, v, q1)
                place += 4 * width
            store(sums + c, add(load(sums + c), s0))
            store(sums + c + 32, add(load(sums + c + 32), s1))
            store(squares + c, add(load(squares + c), q0))
            store(squares + c + 32, add(load(squares + c + 32), q1))


@inner
def _slopes_job(x, dy, mean, partial, width, step, block, start, end):
    """``sum dy`` and ``sum dy (x - mean)`` of block of wide rows, `step` at a time."""
    sums = partial + 8 * width * (start // block)
    zero_floats(sums, 2 * width)
    products = sums + 4 * width
    for first in range(start, end, step):
        count = step if first + step < end else end - first
        for c in range(0, 4 * width, 64):
            place, m0, m1 = 4 * first * width + c, load(mean + c), load(mean + c + 32)
            s0, s1, q0, q1 = splat(_ZERO), splat(_ZERO), splat(_ZERO), splat(_ZERO)
            for _ in range(count):
                u, v = load(dy + place), load(dy + place + 32)
                s0, q0 = add(s0, u), fma(u, sub(load(x + place), m0), q0)
                s1, q1 = add(s1, v), fma(v, sub(load(x + place + 32), m1), q1)
                place += 4 * width
            store(sums + c, add(load(sums + c), s0))
            store(sums + c + 32, add(load(sums + c + 32), s1))
            store(products + c, add(load(products + c), q0))
            store(products + c + 32, add(load(products + c + 32), q1))


@inner
def _totals(partial, channel, channels):
    """Both sums of one channel, float64: over jobs and repetitions, in order."""
    first, second = 0.0, 0.0
    for job in range(partial.shape[0]):
        for i in range(channel, partial.shape[2], channels):
            first += partial[job, 0, i]
            second += partial[job, 1, i]
    return first, second


# --- maps of the wide rows -----------------------------------------------------------------------


@inner
def _normalise_job(x, y, table, width, step, start, end):
    """``y = (x - mean) factor + offset``."""
    line = 4 * width
    for first in range(start, end, step):
        count = step if first + step < end else end - first
        for c in range(table, table + line, 64):
            m0, a0, b0 = load(c), load(c + line), load(c + 2 * line)
            m1, a1, b1 = load(c + 32), load(c + line + 32), load(c + 2 * line + 32)
            place = first * line + c - table
            for _ in range(count):
                store(y + place, fma(sub(load(x + place), m0), a0, b0))
                store(y + place + 32, fma(sub(load(x + place + 32), m1), a1, b1))
                place += line


@inner
def _slope_job(x, dy, dx, table, width, step, start, end):
    """``dx = dy factor + (x - mean) slope + offset``."""
    line = 4 * width
    for first in range(start, end, step):
        count = step if first + step < end else end - first
        for c in range(table, table + line, 64):
            m0, a0, b0, k0 = load(c), load(c + line), load(c + 2 * line), load(c + 3 * line)
            d = c + 32
            m1, a1, b1, k1 = load(d), load(d + line), load(d + 2 * line), load(d + 3 * line)
            place = first * line + c - table
            for _ in range(count):
                u = fma(sub(load(x + place), m0), k0, b0)
                v = fma(sub(load(x + place + 32), m1), k1, b1)
                store(dx + place, fma(load(dy + place), a0, u))
                store(dx + place + 32, fma(load(dy + place + 32), a1, v))
                place += line


# --- the kernels ---------------------------------------------------------------------------------


@kernel(
    "void(f4[:,::1], f4[::1], f4[::1], f4[:,::1], f4[::1], f4[::1], f4[::1], f4[::1], f8, f8, "
    "f4[:,:,::1], f4[:,::1], i8, i8, i8)",
    parallel=False,
)
def batch_norm_train_kernel(
    x, gamma, beta, y, mean, inv_std, running_mean, running_var, momentum, eps, partial, table, rows, step, block
):
    """Statistics of the batch, then the normalisation. Row 0 of the table is the shift of both."""
    samples, channels, width, serial = x.shape[0], x.shape[1], table.shape[1], x.size < SMALL
    arguments = (address(x), address(table), address(partial), width, step, block)
    run_chunks(_moments_job, arguments, rows, block, serial)
    for c in range(channels):
        center, square = _totals(partial, c, channels)
        center /= samples
        variance = square / samples - center * center
        if variance < 0.0:
            variance = 0.0
        scale = 1.0 / math.sqrt(variance + eps)
        factor = gamma[c] * scale
        offset = beta[c] - center * factor
        center += table[SHIFT, c]
        mean[c], inv_std[c] = center, scale
        if momentum != 0.0:
            if samples > 1:
                variance = variance * samples / (samples - 1)
            running_mean[c] = (1.0 - momentum) * running_mean[c] + momentum * center
            running_var[c] = (1.0 - momentum) * running_var[c] + momentum * variance
        for i in range(c, width, channels):
            table[FACTOR, i], table[OFFSET, i] = factor, offset
    run_chunks(_normalise_job, (address(x), address(y), address(table), width, step), rows, block, serial)


@kernel("void(f4[:,::1], f4[:,::1], f4[:,::1], i8, i8, i8)", parallel=False)
def batch_norm_inference_kernel(x, y, table, rows, step, block):
    """The normalisation with given coefficients."""
    arguments = (address(x), address(y), address(table), table.shape[1], step)
    run_chunks(_normalise_job, arguments, rows, block, x.size < SMALL)


@kernel(
    "void(f4[:,::1], f4[::1], f4[::1], f4[::1], f4[:,::1], f4[:,::1], f4[::1], f4[::1], b1, "
    "f4[:,:,::1], f4[:,::1], i8, i8, i8)",
    parallel=False,
)
def batch_norm_backward_kernel(
    x, gamma, mean, inv_std, dy, dx, dgamma, dbeta, through_statistics, partial, table, rows, step, block
):
    """Sums of the slopes, then dx; without `through_statistics` the mean and the variance are constants."""
    samples, channels, width, serial = x.shape[0], x.shape[1], table.shape[1], x.size < SMALL
    arguments = (address(x), address(dy), address(table), address(partial), width, step, block)
    run_chunks(_slopes_job, arguments, rows, block, serial)
    for c in range(channels):
        (sum_dy, sum_product), scale = _totals(partial, c, channels), np.float64(inv_std[c])
        sum_normalised = sum_product * scale
        dgamma[c], dbeta[c] = sum_normalised, sum_dy
        factor = gamma[c] * scale
        share = factor / samples if through_statistics else 0.0
        for i in range(c, width, channels):
            table[FACTOR, i], table[OFFSET, i] = factor, -share * sum_dy
            table[SLOPE, i] = -share * scale * sum_normalised
    slopes = (address(x), address(dy), address(dx), address(table), width, step)
    run_chunks(_slope_job, slopes, rows, block, serial)
