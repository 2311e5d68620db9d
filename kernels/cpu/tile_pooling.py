"""Pooling over 2x2 tiles, the most common pool, written out: four loads, one result.

A job is one row of the output, a vector sixteen channels. Where the channels are no multiple of that, a vector
reaches into the next pixel: that one is written later by the same job, and only the end of a row needs partial vectors.
(Backward, a tile writes two pixels at once: its channels then run downwards.)
"""

from __future__ import annotations

import numpy as np

from kernels.cpu.jit import inner, kernel, not_noted
from kernels.cpu.jobs import SMALL, run_jobs
from kernels.cpu.lanes import compiled
from kernels.cpu.microkernels import prefetch
from kernels.cpu.simd import address, float32x8, loading, splatting, storing
from kernels.cpu.tails import reading, reading_bytes, writing, writing_bytes
from kernels.cpu.wide import LANES, float32x16, mul, read, splat, write

_ZERO, _ONE, _TWO, _THREE, _NOWHERE = (np.float32(number) for number in range(5))
#: With no more channels than this, maxima use vectors of eight: of longer ones half would be for nothing.
FEW = float32x8.lanes
_QUARTER = np.float32(0.25)
#: Bytes from what is read to what will be.
_AHEAD = 2048


def applies(size: tuple, output_size: tuple, kernel: tuple, stride: tuple, padding: tuple) -> bool:
    """Whether a pool consists of 2x2 tiles that lie inside the image."""
    inside = 2 * output_size[0] <= size[0] and 2 * output_size[1] <= size[1]
    return inside and tuple(kernel) == tuple(stride) == (2, 2) and tuple(padding) == (0, 0)


# --- forward -------------------------------------------------------------------------------------


@inner
def _prefetch_tile(place, step, line):
    prefetch(place)
    prefetch(place + step)
    prefetch(place + line)
    prefetch(place + line + step)


def _best_of_four(read, vector):
    """The function that finds the maximum of a tile and its place, reading vectors with `read`."""
    splat = splatting(vector)
    better = compiled(lambda a, best, then, other: ((a > best) | a.is_nan()).where(then, other), vector)
    at_least = compiled(lambda best, least: (best < least).where(least, best), vector)
    if_above = compiled(lambda best, least, then, otherwise: (best <= least).where(otherwise, then), vector)

    @inner
    def best_of_four(place, count, step, line, least):
        best, value = read(place, count), read(place + step, count)
        winner = better(value, best, splat(_ONE), splat(_ZERO))
        best, value = better(value, best, value, best), read(place + line, count)
        winner = better(value, best, splat(_TWO), winner)
        best, value = better(value, best, value, best), read(place + line + step, count)
        winner = better(value, best, splat(_THREE), winner)
        best = better(value, best, value, best)
        return at_least(best, least), if_above(best, least, winner, splat(_NOWHERE))

    return best_of_four


def _make_max_job(vector):
    """The job with vectors of this type."""
    lanes, load, store, splat = vector.lanes, loading(vector), storing(vector), splatting(vector)
    write, write_bytes = writing(vector), writing_bytes(vector)

    @inner
    def read_whole(place, count):
        return load(place)

    whole_best, part_best = _best_of_four(read_whole, vector), _best_of_four(reading(vector), vector)

    @inner
    def max_job(x, y, index, height, width, outputs_high, outputs, channels, least, job):
        n, oh = job // outputs_high, job % outputs_high
        above = x + 4 * (n * height + 2 * oh) * width * channels
        step, line, at = 4 * channels, 4 * width * channels, job * outputs * channels
        left, least = outputs * channels, splat(least)
        for _ in range(outputs):
            for c in range(0, channels, lanes):
                if left - c >= lanes:
                    _prefetch_tile(above + 4 * c + _AHEAD, step, line)
                    best, winner = whole_best(above + 4 * c, lanes, step, line, least)
                    store(y + 4 * (at + c), best)
                    write_bytes(index + at + c, winner, lanes)
                else:
                    best, winner = part_best(above + 4 * c, channels - c, step, line, least)
                    write(y + 4 * (at + c), best, channels - c)
                    write_bytes(index + at + c, winner, channels - c)
            above, at, left = above + 2 * step, at + channels, left - channels

    return max_job


#: For any number of channels, and for few. (A row of two of its own: of an image of height 2, with one row of maxima.)
maxima, few_maxima = _make_max_job(float32x16), _make_max_job(float32x8)


@kernel("void(f4[:,:,:,::1], f4[:,:,:,::1], u1[:,:,:,::1], f4)", parallel=False)
def max_pool_tiles_forward(x, y, index, least):
    """2x2 maximum and its place in the tile; where it is not above `least`, that and no place; NaN bounds nothing."""
    arguments = (
        address(x), address(y), address(index), x.shape[1], x.shape[2], y.shape[1], y.shape[2], y.shape[3], least,
    )  # fmt: skip
    if y.shape[3] <= FEW:
        run_jobs(few_maxima, arguments, y.shape[0] * y.shape[1], x.size < SMALL)
    else:
        run_jobs(maxima, arguments, y.shape[0] * y.shape[1], x.size < SMALL)


_mean_of_four = compiled(lambda a, b, c, d: ((a + b) + (c + d)) * 0.25, float32x16)


@inner
def _mean_job(x, y, height, width, outputs_high, outputs, channels, job):
    n, oh = job // outputs_high, job % outputs_high
    above = x + 4 * (n * height + 2 * oh) * width * channels
    step, line, at = 4 * channels, 4 * width * channels, job * outputs * channels
    left = outputs * channels
    for _ in range(outputs):
        for c in range(0, channels, LANES):
            count = LANES if left - c >= LANES else channels - c
            place = above + 4 * c
            _prefetch_tile(place + _AHEAD, step, line)
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
    if dx.shape[1:3] == (2 * output_size[0], 2 * output_size[1]):
        return
    not_noted()
    dx[:, 2 * output_size[0] :] = 0.0
    dx[:, :, 2 * output_size[1] :] = 0.0


def _make_max_slope_job(vector):
    """The job with vectors of this type."""
    lanes, splat, read, write, read_bytes = (
        vector.lanes, splatting(vector), reading(vector), writing(vector), reading_bytes(vector),
    )  # fmt: skip
    slope_of = compiled(lambda winner, tap, dy: winner.equals(tap).where(dy, 0.0), vector)

    @inner
    def max_slope_job(dy, index, dx, height, width, outputs_high, outputs, channels, job):
        n, oh = job // outputs_high, job % outputs_high
        first = (n * height + 2 * oh) * width * channels
        above, at, left = dx + 4 * first, job * outputs * channels, outputs * channels
        step, line = 4 * channels, 4 * width * channels
        for _ in range(outputs):
            for c in range(channels - 1 - (channels - 1) % lanes, -1, -lanes):
                count = lanes if left - c >= lanes else channels - c
                place, below = above + 4 * c, above + line + 4 * c
                slope, winner = read(dy + 4 * (at + c), count), read_bytes(index + at + c, count)
                write(place, slope_of(winner, splat(_ZERO), slope), count)
                write(place + step, slope_of(winner, splat(_ONE), slope), count)
                write(below, slope_of(winner, splat(_TWO), slope), count)
                write(below + step, slope_of(winner, splat(_THREE), slope), count)
            above, at, left = above + 2 * step, at + channels, left - channels

    return max_slope_job


_max_slope_job, _few_max_slope_job = _make_max_slope_job(float32x16), _make_max_slope_job(float32x8)


@kernel("void(f4[:,:,:,::1], u1[:,:,:,::1], f4[:,:,:,::1])", parallel=False)
def max_pool_tiles_backward(dy, index, dx):
    """Gradient of the 2x2 maximum; leaves what no tile covers."""
    arguments = (
        address(dy), address(index), address(dx),
        dx.shape[1], dx.shape[2], dy.shape[1], dy.shape[2], dy.shape[3],
    )  # fmt: skip
    if dy.shape[3] <= FEW:
        run_jobs(_few_max_slope_job, arguments, dy.shape[0] * dy.shape[1], dx.size < SMALL)
    else:
        run_jobs(_max_slope_job, arguments, dy.shape[0] * dy.shape[1], dx.size < SMALL)


@inner
def _mean_slope_job(dy, dx, height, width, outputs_high, outputs, channels, job):
    n, oh = job // outputs_high, job % outputs_high
    first = (n * height + 2 * oh) * width * channels
    above, at, left = dx + 4 * first, job * outputs * channels, outputs * channels
    step, line = 4 * channels, 4 * width * channels
    for _ in range(outputs):
        for c in range(channels - 1 - (channels - 1) % LANES, -1, -LANES):
            count = LANES if left - c >= LANES else channels - c
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
