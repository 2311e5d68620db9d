"""Where an element is in its array, from its number."""

from __future__ import annotations

import numpy as np

from kernels.cuda.jit import inner


@inner
def divided(index, size):
    """Quotient and remainder of two numbers below ``2 ** 32``: a division of 64 bits takes several times as long."""
    quotient = np.int64(np.uint32(index) // np.uint32(size))
    return quotient, index - quotient * size
