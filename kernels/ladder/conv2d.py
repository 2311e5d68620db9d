"""Convolutions that keep the size of the image: from the formula to the engine.

``x`` (N, H, W, C), ``w`` (K, K, C, O) with odd K, ``y`` (N, H, W, O); stride 1, and K // 2 zeros around the image.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from kernels import reference
from kernels.cpu.conv import conv2d_forward
from kernels.cpu.jit import inner, kernel

_ARGUMENTS = "void(f4[:,:,:,::1], f4[:,:,:,::1], f4[:,:,:,::1])"
engine: Any = conv2d_forward
#: The engine's algorithms, where it can be told which to take.
_CHOOSES = "algorithm" in inspect.signature(engine).parameters
#: From the slowest idea to the fastest.
RUNGS = ("textbook", "loops", "reordered", "tiled", "simd", *["winograd"] * _CHOOSES)


def _geometry(w: np.ndarray):
    """Stride, padding, dilation and groups."""
    return (1, 1), (w.shape[0] // 2, w.shape[1] // 2), (1, 1), 1


def conv2d_textbook(x: np.ndarray, w: np.ndarray, y: np.ndarray) -> None:
    """The formula: NumPy in float64, one matrix product for each tap of the window."""
    reference.conv2d_forward(x, w, None, y, *_geometry(w))


@inner
def _at(x, w, n, row, column, channel):
    """One number of the output: all taps of the window that lie within the image."""
    total = np.float32(0)
    for i in range(w.shape[0]):
        for j in range(w.shape[1]):
            h, v = row + i - w.shape[0] // 2, column + j - w.shape[1] // 2
            if 0 <= h < x.shape[1] and 0 <= v < x.shape[2]:
                for c in range(x.shape[3]):
                    total += x[n, h, v, c] * w[i, j, c, channel]
    return total


@kernel(_ARGUMENTS, parallel=False)
def conv2d_loops(x, w, y):
    """Seven loops, as the formula reads: each number of the output is a sum over window and channels."""
    for n in range(x.shape[0]):
        for row in range(x.shape[1]):
            for column in range(x.shape[2]):
                for channel in range(w.shape[3]):
                    y[n, row, column, channel] = _at(x, w, n, row, column, channel)


@inner
def _add_tap(x, weights, sums):
    """Add to all output channels what one pixel (C,) gives through one tap (C, O)."""
    for c in range(weights.shape[0]):
        value = x[c]
        for channel in range(weights.shape[1]):
            sums[channel] += value * weights[c, channel]


@kernel(_ARGUMENTS, parallel=False)
def conv2d_reordered(x, w, y):
    """The loops in another order: the innermost runs along output channels, so that the compiler finds vectors."""
    height, width, reach_h, reach_w = x.shape[1], x.shape[2], w.shape[0] // 2, w.shape[1] // 2
    y[...] = 0
    for n in range(x.shape[0]):
        for row in range(height):
            for column in range(width):
                for i in range(max(0, reach_h - row), min(w.shape[0], height + reach_h - row)):
                    for j in range(max(0, reach_w - column), min(w.shape[1], width + reach_w - column)):
                        _add_tap(x[n, row + i - reach_h, column + j - reach_w], w[i, j], y[n, row, column])


@inner
def _add_pixel(pixel, weights, sums):
    """Add to all output channels what one pixel (C,) gives through one tap (C, O), four input channels at a time."""
    whole = pixel.size // 4 * 4
    for c in range(0, whole, 4):
        p, q, r, s = pixel[c], pixel[c + 1], pixel[c + 2], pixel[c + 3]
        w0, w1, w2, w3 = weights[c], weights[c + 1], weights[c + 2], weights[c + 3]
        for o in range(sums.size):
            sums[o] += p * w0[o] + q * w1[o] + r * w2[o] + s * w3[o]
    for c in range(whole, pixel.size):
        for o in range(sums.size):
            sums[o] += pixel[c] * weights[c, o]


@kernel(_ARGUMENTS, parallel=False)
def conv2d_tiled(x, w, y):
    """Blocks: each tap meets a whole row of pixels with its weights in the cache, four input channels at a time."""
    height, width, reach_h, reach_w = x.shape[1], x.shape[2], w.shape[0] // 2, w.shape[1] // 2
    y[...] = 0
    for n in range(x.shape[0]):
        for row in range(height):
            for i in range(max(0, reach_h - row), min(w.shape[0], height + reach_h - row)):
                for j in range(w.shape[1]):
                    shift = j - reach_w
                    for column in range(max(0, -shift), min(width, width - shift)):
                        _add_pixel(x[n, row + i - reach_h, column + shift], w[i, j], y[n, row, column])


def conv2d_simd(x: np.ndarray, w: np.ndarray, y: np.ndarray) -> None:
    """Vectors by hand: tiles of the output stay in registers; a table of offsets says where each tap reads."""
    engine(x, w, None, y, *_geometry(w), **({"algorithm": "direct"} if _CHOOSES else {}))


def conv2d_winograd(x: np.ndarray, w: np.ndarray, y: np.ndarray) -> None:
    """Fewer multiplications: 36 make 16 outputs of a 3x3 window, not 144 (Lavin and Gray, 2016)."""
    engine(x, w, None, y, *_geometry(w), algorithm="winograd4")
