"""Reusable memory of the GPU, so that kernels do not allocate.

Kernels run one after the other, in the order of their calls, so the memory may be handed out again before they ran.
"""

from __future__ import annotations

import functools
import threading
from typing import Any

import numpy as np

from kernels.cuda import toolkit

_local = threading.local()


def room(purpose: str, count: int, dtype: Any = np.float32) -> Any:
    """Exactly `count` numbers, with whatever was left in them.

    The same memory is handed out at every call for one `purpose` (by the same Python thread), so two arrays in use at
    the same time need two purposes.
    """
    kept = _local.__dict__.setdefault("kept", {})
    found = kept.get(purpose)
    if found is None or found.size < count or found.dtype != np.dtype(dtype):
        found = kept[purpose] = toolkit.empty(count, dtype)
    return found if found.size == count else found[:count]


@functools.cache
def one() -> Any:
    """An array of a single one: the factor of sums without a factor."""
    return toolkit.to_device(np.ones(1, np.float32))


@functools.lru_cache(maxsize=64)
def zeros(count: int) -> Any:
    """So many zeros, for reading: the bias of a layer that has none."""
    return toolkit.to_device(np.zeros(count, np.float32))
