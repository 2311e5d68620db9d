"""Reusable working memory, so that kernels do not allocate."""

from __future__ import annotations

import threading

import numpy as np
from numba import config

from kernels.cpu.jit import has_constants

ALIGNMENT = 64

_local = threading.local()


def threads() -> int:
    """How many rows per-thread scratch needs: the most threads Numba may ever use here."""
    return config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]


def aligned_zeros(count: int, dtype=np.float32) -> np.ndarray:
    """A 1-D array of `count` zeros that begins on a cache line."""
    size = np.dtype(dtype).itemsize
    raw = np.zeros(count * size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + count * size].view(dtype)


def floats(purpose: str, count: int) -> np.ndarray:
    """At least `count` aligned floats with whatever was left in them.

    The same memory is handed out at every call for one `purpose` (by the same Python thread), so two buffers in use at
    the same time need two purposes.
    """
    return _reserve(purpose, count, np.float32)


def kept(purpose: str, count: int) -> np.ndarray:
    """Like :func:`floats`, but where weights are constants it is memory that nobody else gets."""
    return aligned_zeros(count) if has_constants() else floats(purpose, count)


def zeros(count: int) -> np.ndarray:
    """So many zeros, the same at every call; to be read only."""
    found = floats("zeros", count)[:count]
    found[...] = 0.0
    return found


def thread_rows(purpose: str, count: int, dtype=np.float32) -> np.ndarray:
    """Like :func:`floats`, but (threads, >= `count`): a row of its own, on its own cache lines, for every thread."""
    buffers, key = _local.__dict__, f"{purpose}, rows of {dtype.__name__}"
    found = buffers.get(key)
    if found is None or found.shape[1] < count:
        count = -(-count // ALIGNMENT) * ALIGNMENT
        found = buffers[key] = aligned_zeros(threads() * count, dtype).reshape(threads(), count)
    return found


def _reserve(purpose: str, count: int, dtype) -> np.ndarray:
    buffers = _local.__dict__
    found = buffers.get(purpose)
    if found is None or found.size < count:
        found = buffers[purpose] = aligned_zeros(count, dtype)
    return found
