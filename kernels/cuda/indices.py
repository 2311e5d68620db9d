"""Where an element is in its array, from its number."""

from __future__ import annotations

import numpy as np

from kernels.cuda.jit import inner


@inner
def divided(index, size):
    """Quotient and remainder of two numbers below ``2 ** 32``: a division of 64 bits takes several times as long."""
    quotient = np.int64(np.uint32(index) // np.uint32(size))
    return quotient, index - quotient * size


@inner
def smaller(a, b):
    """The smaller of two numbers. (Numba's own compiler for GPUs has no ``min`` in functions of kernels.)"""
    return a if a < b else b


@inner
def larger(a, b):
    """The larger of two numbers."""
    return a if a > b else b
