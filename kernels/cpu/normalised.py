"""Batch normalisation and activation of the pixels that a convolution is about to read.

Each job of the convolution normalises its own pixels into scratch memory, where they stay in the second-level cache:
the whole array is never written. The coefficients are those of :mod:`kernels.cpu.norm_kernels`, and so are the bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kernels.cpu.jit import inner, kernel
from kernels.cpu.microkernels import prefetch
from kernels.cpu.norm import BOUNDS
from kernels.cpu.norm_lines import bounded
from kernels.cpu.simd import load_scalar
from kernels.cpu.wide import LANES, fma, load, read, splat, store, sub, write

#: Pixels side by side, and bytes from what is read to what will be.
_GROUP, _AHEAD = 4, 4096
_NO_BIAS = np.zeros(0, np.float32)


@dataclass(frozen=True)
class Norm:
    """What normalises the input (..., C) of a convolution: arrays (C,) as a training pass wrote them."""

    gamma: np.ndarray
    mean: np.ndarray
    inv_std: np.ndarray
    offset: np.ndarray
    activation: str

    @property
    def floats(self) -> int:
        """Size of the table of coefficients."""
        return 2 + 3 * self.gamma.size

    def tabulate(self, place: np.ndarray, bias: np.ndarray | None = None) -> None:
        """Write the table to the end of `place`, a flat array, and the bias, if there is one, to its beginning."""
        first = _NO_BIAS if bias is None else bias
        arrays = self.gamma, self.mean, self.inv_std, self.offset
        tabulate_kernel(first, *arrays, BOUNDS[self.activation], place, place.size - self.floats)


@kernel(
    "void(f4[::1], f4[::1], f4[::1], f4[::1], f4[::1], UniTuple(f4, 2), f4[::1], i8)",
    parallel=False,
)
def tabulate_kernel(bias, gamma, mean, inv_std, offset, bounds, place, start):
    """The bias; from `start` on the bounds of the activation, then mean, factor and offset of each channel."""
    channels = gamma.size
    place[: bias.size] = bias
    place[start], place[start + 1] = bounds[0], bounds[1]
    table = place[start + 2 :]
    for c in range(channels):
        table[c], table[channels + c] = mean[c], gamma[c] * np.float64(inv_std[c])
        table[2 * channels + c] = offset[c]


def _pixels(count):
    """The function that normalises so many neighbours: each coefficient is read once for all."""

    @inner
    def pixels(source, target, step, first, last, table, channels):
        low, high = splat(load_scalar(table)), splat(load_scalar(table + 4))
        mean, line = table + 8 + 4 * first, 4 * channels
        for c in range(0, last - first, LANES):
            # the last vector overlaps its neighbour, and writes the same again
            at = 4 * min(c, last - first - LANES)
            center, factor, offset = load(mean + at), load(mean + line + at), load(mean + 2 * line + at)
            for _ in range(count):
                prefetch(source + at + _AHEAD)
                v = fma(sub(load(source + at), center), factor, offset)
                store(target + at, bounded(v, low, high))
                at += step

    return pixels


_one, _several = _pixels(1), _pixels(_GROUP)


@inner
def _narrow(source, target, width, first, table, channels):
    """Fewer channels of one pixel than a vector holds."""
    low, high = splat(load_scalar(table)), splat(load_scalar(table + 4))
    mean, line = table + 8 + 4 * first, 4 * channels
    center, factor, offset = read(mean, width), read(mean + line, width), read(mean + 2 * line, width)
    v = fma(sub(read(source, width), center), factor, offset)
    write(target, bounded(v, low, high), width)


@inner
def normalise_pixels(source, target, count, stride, first, last, table, channels):
    """``target = activation((source - mean) factor + offset)`` for the channels `first` to `last` of `count` pixels.

    `source` and `target` are addresses of the first of these channels, `stride` the floats from pixel to pixel, and
    `table` that of the coefficients of all `channels`.
    """
    if last - first < LANES:
        for p in range(count):
            _narrow(source + 4 * p * stride, target + 4 * p * stride, last - first, first, table, channels)
        return
    whole = count - count % _GROUP
    for p in range(0, whole, _GROUP):
        _several(source + 4 * p * stride, target + 4 * p * stride, 4 * stride, first, last, table, channels)
    for p in range(whole, count):
        _one(source + 4 * p * stride, target + 4 * p * stride, 4 * stride, first, last, table, channels)
