"""Random numbers as a function of (seed, purpose, position): no hidden state, so a run can resume anywhere.

Philox is a counter-based generator (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011). Its raw
64-bit words never change between NumPy releases, whereas the methods of ``np.random.Generator`` may.
"""

from __future__ import annotations

import numpy as np

#: What a stream is for: streams of one seed with different purposes are independent.
ORDER, AUGMENT, SPLIT, TOY, SHAPES, LIMIT = range(1, 7)


def stream(seed: int, purpose: int, position: int = 0) -> np.random.Philox:
    """A bit generator for `purpose` at `position`, for example at an epoch."""
    return np.random.Philox(key=np.array([seed % 2**64, (purpose << 48) | position], np.uint64))


def generator(seed: int, purpose: int, position: int = 0) -> np.random.Generator:
    """A NumPy generator on top of :func:`stream`."""
    return np.random.Generator(stream(seed, purpose, position))


def permutation(bits: np.random.Philox, count: int) -> np.ndarray:
    """Return 0 .. count-1 in random order, int64 (count,)."""
    return np.argsort(bits.random_raw(count), kind="stable")
