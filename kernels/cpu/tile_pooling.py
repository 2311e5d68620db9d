"""Pooling over 2x2 tiles, the most common pool, written out: four loads, one result.

A job is one row of the output, a vector eight channels. Where the channels are no multiple of eight, a vector
reaches into the next pixel: that one is written later by the same job, and only the end of a row needs partial vectors.
(Backward, a tile writes two pixels at once: its channels then run downwards.)
"""

from __future__ import annotations

import numpy as np

from kernels.cpu.jit import inner, kernel
from kernels.cpu.jobs import SMALL, run_jobs
from kernels.cpu.lanes import compiled
from kernels.cpu.simd import address, mul, select_better, select_eq, select_le, select_lt, splat
from kernels.cpu.tails import read, read_bytes, write, write_bytes

_ZERO, _ONE, _TWO, _THREE, _NOWHERE = (np.float32(number) for number in range(5))
_QUARTER = np.float32(0.25)


def applies(size: tuple, output_size: tuple, kernel: tuple, stride: tuple, padding: tuple) -> bool:
    """Whether a pool consists of 2x2 tiles that lie inside the image."""
    inside = 2 * output_size[0] <= size[0] and 2 * output_size[1] <= size[1]
    return inside and tuple(kernel) == tuple(stride) == (2, 2) and tuple(padding) == (0, 0)


# --- forward -------------------------------------------------------------------------------------


@inner
def _max_job(x, y, index, height, width, outputs_high, outputs, channels, least, job):
    n, oh = job // outputs_high, job % outputs_high
    above = x + 4 * (n * height + 2 * oh) * width * channels
    step, line, at = 4 * channels, 4 * width * channels, job * outputs * channels
    left, least = outputs * channels, splat(least)
    for _ in range(outputs):
        for c in range(0, channels, 8):
            count = 8 if left - c >= 8 else channels - c
            place = above + 4 * c
            best, value = read(place, count), read(place + step, count)
            winner = select_better(value, best, splat(_ONE), splat(_ZERO))
            best, value = select_better(value, best, value, best), read(place + line, count)
            winner = select_better(value, best, splat(_TWO), winner)
            best, value = select_better(value, best, value, best), read(place + line + step, count)
            winner = select_better(value, best, splat(_THREE), winner)
            best = select_better(value, best, value, best)
            write(y + 4 * (at + c), select_lt(best, least, least, best), count)
            write_bytes(index + at + c, select_le(best, least, splat(_NOWHERE), winner), count)
        above, at, left = above + 2 * step, at + channels, left - channels


@kernel("void(f4[:,:,:,::1], f4[:,:,:,::1], u1[:,:,:,::1], f4)", parallel=False)
def max_pool_tiles_forward(x, y, index, least):
    """2x2 maximum and its place in the tile; where it is not above `least`, that and no place; NaN bounds nothing."""
    arguments = (
        address(x), address(y), address(index), x.shape[1], x.shape[2], y.shape[1], y.shape[2], y.shape[3], least,
    )  # fmt: skip
    run_jobs(_max_job, arguments, y.shape[0] * y.shape[1], x.size < SMALL)


_mean_of_four = compiled(lambda a, b, c, d: ((a + b) + (c + d)) * 0.25)


@inner
def _mean_job(x, y, height, width, outputs_high, outputs, channels, job):
    n, oh = job // outputs_high, job % outputs_high
    above = x + 4 * (n * height + 2 * oh) * width * channels
    step, line, at = 4 * channels, 4 * width * channels, job * outputs * channels
    left = outputs * channels
    for _ in range(outputs):
        for c in range(0, channels, 8):
            count = 8 if left - c >= 8 else channels - c
            place = above + 4 * c
            below = place + line
            mean = _mean_of_four(
                read(place, count), read(place + step, count), read(below, count), read(below + step, count)
            )
            write(y + 4 * (at + c), mean, count)
        above, at, left = above + 2 * step, at + channels, left - channels


@kernel("void(f4[:,:,:,::1], f4[:,:,:,::1])", parallel=False)
def avg_pool_tiles_forward(x, y):
    """2x2 mean."""
    arguments = (address(x), address(y), x.shape[1], x.shape[2], y.shape[1], y.shape[2], y.shape[3])
    run_jobs(_mean_job, arguments, y.shape[0] * y.shape[1], x.size < SMALL)


# --- backward ------------------------------------------------------------------------------------


def clear_rest(dx: np.ndarray, output_size: tuple) -> None:
    """Zero what no tile covers: an odd last row and an odd last column."""
    dx[:, 2 * output_size[0] :] = 0.0
    dx[:, :, 2 * output_size[1] :] = 0.0


@inner
def _max_slope_job(dy, index, dx, height, width, outputs_high, outputs, channels, job):
    n, oh = job // outputs_high, job % outputs_high
    first = (n * height + 2 * oh) * width * channels
    above, at, left = dx + 4 * first, job * outputs * channels, outputs * channels
    step, line, zero = 4 * channels, 4 * width * channels, splat(_ZERO)
    for _ in range(outputs):
        for c in range(channels - 1 - (channels - 1) % 8, -1, -8):
            count = 8 if left - c >= 8 else channels - c
            place, below = above + 4 * c, above + line + 4 * c
            slope, winner = read(dy + 4 * (at + c), count), read_bytes(index + at + c, count)
            write(place, select_eq(winner, zero, slope, zero), count)
            write(place + step, select_eq(winner, splat(_ONE), slope, zero), count)
            write(below, select_eq(winner, splat(_TWO), slope, zero), count)
            write(below + step, select_eq(winner, splat(_THREE), slope, zero), count)
        above, at, left = above + 2 * step, at + channels, left - channels


@kernel("void(f4[:,:,:,::1], u1[:,:,:,::1], f4[:,:,:,::1])", parallel=False)
def max_pool_tiles_backward(dy, index, dx):
    """Gradient of the 2x2 maximum; leaves what no tile covers."""
    arguments = (
        address(dy), address(index), address(dx),
        dx.shape[1], dx.shape[2], dy.shape[1], dy.shape[2], dy.shape[3],
    )  # fmt: skip
    run_jobs(_max_slope_job, arguments, dy.shape[0] * dy.shape[1], dx.size < SMALL)


@inner
def _mean_slope_job(dy, dx, height, width, outputs_high, outputs, channels, job):
    n, oh = job // outputs_high, job % outputs_high
    first = (n * height + 2 * oh) * width * channels
    above, at, left = dx + 4 * first, job * outputs * channels, outputs * channels
    step, line = 4 * channels, 4 * width * channels
    for _ in range(outputs):
        for c in range(channels - 1 - (channels - 1) % 8, -1, -8):
            count = 8 if left - c >= 8 else channels - c
            place, below = above + 4 * c, above + line + 4 * c
            share = mul(read(dy + 4 * (at + c), count), splat(_QUARTER))
            write(place, share, count)
            write(place + step, share, count)
            write(below, share, count)
            write(below + step, share, count)
        above, at, left = above + 2 * step, at + channels, left - channels


@kernel("void(f4[:,:,:,::1], f4[:,:,:,::1])", parallel=False)
def avg_pool_tiles_backward(dy, dx):
    """Gradient of the 2x2 mean; leaves what no tile covers."""
    arguments = (address(dy), address(dx), dx.shape[1], dx.shape[2], dy.shape[1], dy.shape[2], dy.shape[3])
    run_jobs(_mean_slope_job, arguments, dy.shape[0] * dy.shape[1], dx.size < SMALL)
