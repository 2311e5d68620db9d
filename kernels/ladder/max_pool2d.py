"""Max pooling of 2x2 pixels with stride 2: from the formula to the engine.

``x`` (N, H, W, C) with even H and W, ``y`` (N, H / 2, W / 2, C), ``argmax`` of the same shape: which pixel won, 0 to 3.
"""

from __future__ import annotations

import numpy as np

from kernels import reference
from kernels.cpu.jit import kernel
from kernels.cpu.pooling import max_pool2d_forward as engine

_ARGUMENTS = "void(f4[:,:,:,::1], f4[:,:,:,::1], u1[:,:,:,::1])"
_GEOMETRY = (2, 2), (2, 2), (0, 0)

#: From the slowest idea to the fastest.
RUNGS = ("textbook", "loops", "reordered", "simd")


def max_pool2d_textbook(x: np.ndarray, y: np.ndarray, argmax: np.ndarray) -> None:
    """The formula: NumPy in float64."""
    reference.max_pool2d_forward(x, y, argmax, *_GEOMETRY)


@kernel(_ARGUMENTS, parallel=False)
def max_pool2d_loops(x, y, argmax):
    """Loops over channels first: each reads the image with gaps as wide as a pixel has channels."""
    for n in range(y.shape[0]):
        for c in range(y.shape[3]):
            for row in range(y.shape[1]):
                for column in range(y.shape[2]):
                    best, where = x[n, 2 * row, 2 * column, c], 0
                    for tap in range(1, 4):
                        value = x[n, 2 * row + tap // 2, 2 * column + tap % 2, c]
                        if value > best:
                            best, where = value, tap
                    y[n, row, column, c], argmax[n, row, column, c] = best, where


@kernel(_ARGUMENTS, parallel=False)
def max_pool2d_reordered(x, y, argmax):
    """The loops in another order: channels innermost, so that memory is read as it lies."""
    for n in range(y.shape[0]):
        for row in range(y.shape[1]):
            for column in range(y.shape[2]):
                for c in range(y.shape[3]):
                    best, where = x[n, 2 * row, 2 * column, c], 0
                    for tap in range(1, 4):
                        value = x[n, 2 * row + tap // 2, 2 * column + tap % 2, c]
                        if value > best:
                            best, where = value, tap
                    y[n, row, column, c], argmax[n, row, column, c] = best, where


def max_pool2d_simd(x: np.ndarray, y: np.ndarray, argmax: np.ndarray) -> None:
    """Vectors by hand: comparisons select lanes instead of branching."""
    engine(x, y, argmax, *_GEOMETRY)
