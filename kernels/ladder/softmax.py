"""Softmax over the last axis of x (N, C): from the formula to the engine."""

from __future__ import annotations

import math

import numpy as np

from kernels import reference
from kernels.cpu.activations import softmax_forward as engine
from kernels.cpu.jit import kernel

#: From the slowest idea to the fastest.
RUNGS = ("textbook", "loops", "simd")


def softmax_textbook(x: np.ndarray, y: np.ndarray) -> None:
    """The formula: NumPy in float64, a new array for each of its parts."""
    reference.softmax_forward(x, y)


@kernel("void(f4[:,::1], f4[:,::1])", parallel=False)
def softmax_loops(x, y):
    """Three loops over each row (largest, exponentials and their sum, division): nothing is stored in between."""
    for n in range(x.shape[0]):
        largest = np.float32(-np.inf)
        for c in range(x.shape[1]):
            largest = max(largest, x[n, c])
        total = np.float32(0)
        for c in range(x.shape[1]):
            y[n, c] = math.exp(x[n, c] - largest)
            total += y[n, c]
        for c in range(x.shape[1]):
            y[n, c] /= total


def softmax_simd(x: np.ndarray, y: np.ndarray) -> None:
    """Vectors by hand: eight exponentials at once, each a polynomial and a shift of the exponent."""
    engine(x, y)
