"""Arrays with guard zones, to catch kernels that read or write outside of what they were given."""

from __future__ import annotations

import numpy as np

GUARD = 64
MARK = np.float32(1e30)


class Guarded:
    """A float32 array between two guard zones of huge numbers: a stray read poisons results, a stray write shows.

    Parameters
    ----------
    values : array_like
        What the array holds at first.
    """

    def __init__(self, values):
        values = np.asarray(values, np.float32)
        self._memory = np.full(values.size + 2 * GUARD, MARK, np.float32)
        self.array = self._memory[GUARD : GUARD + values.size].reshape(values.shape)
        self.array[...] = values

    @classmethod
    def unwritten(cls, shape):
        """An output: full of NaN, so that what a kernel forgets to write is found."""
        return cls(np.full(shape, np.nan))

    def is_intact(self) -> bool:
        """Whether both guard zones are as they were."""
        return bool((self._memory[:GUARD] == MARK).all() and (self._memory[-GUARD:] == MARK).all())


def assert_matches(guarded: Guarded, expected: np.ndarray, tolerance: float = 1e-5, terms: float = 0) -> None:
    """The array equals `expected` up to `tolerance` times its largest value, and nothing around it was touched.

    Of sums of so many random terms about as large as 1, the largest value counts as a half of what such sums usually
    are, at least: a single one may happen to cancel, its rounding does not.
    """
    assert guarded.is_intact()
    scale = max(float(np.abs(expected).max(initial=0.0)), 1e-3, 0.5 * terms**0.5)
    np.testing.assert_allclose(guarded.array, expected, rtol=0, atol=tolerance * scale)
