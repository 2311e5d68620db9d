"""Finding accesses outside of arrays: a mode in which the first of them ends the process.

Kernels work with bare addresses, so nothing notices when one reads a float too many. With ``NNVIS_CHECK_BOUNDS=end`` in
the environment every array that a kernel is given is copied to memory that ends at a page nobody may touch
(``=begin``: begins behind one), and what was written is copied back. A single float outside is a segmentation fault
there and then; ``python -X faulthandler`` (pytest does so by itself) prints which kernel was called. Working memory of
the kernels lies between such pages as well. One thread (``NUMBA_NUM_THREADS=1``) leaves no slack between its rows.
"""

from __future__ import annotations

import ctypes
import functools
import inspect
import mmap
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from kernels.cpu import scratch

VARIABLE = "NNVIS_CHECK_BOUNDS"
_PAGE = mmap.PAGESIZE


def asked_for() -> bool:
    """Whether the environment asks for the mode."""
    return bool(os.environ.get(VARIABLE))


def check(functions: dict[str, Any], names: list[str]) -> None:
    """From now on `functions` by these `names`, and all scratch, work between guard pages."""
    for name in names:
        if inspect.isfunction(functions[name]):
            functions[name] = _checked(functions[name])
    scratch.floats = lambda purpose, count: unwritten((count,), np.float32)
    scratch.thread_rows = _thread_rows


def _thread_rows(purpose: str, count: int, dtype: Any = np.float32) -> np.ndarray:
    rows = scratch.threads()
    whole = -(-count // scratch.ALIGNMENT) * scratch.ALIGNMENT
    return unwritten((rows, count if rows == 1 else whole), dtype)


def unwritten(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array of garbage (NaN) beside a guard page: its end lies there, or its beginning."""
    made = _guarded(shape, dtype)
    made.view(np.uint8 if shape else made.dtype).fill(0xFF)
    return made


def _guarded(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    kind, size = np.dtype(dtype), int(np.prod(shape))
    nbytes = size * kind.itemsize
    pages = -(-nbytes // _PAGE)
    memory = mmap.mmap(-1, (pages + 2) * _PAGE)
    start = np.frombuffer(memory, np.uint8).ctypes.data
    _forbid(start)
    _forbid(start + (pages + 1) * _PAGE)
    offset = _PAGE if os.environ.get(VARIABLE) == "begin" else (pages + 1) * _PAGE - nbytes
    return np.frombuffer(memory, kind, size, offset).reshape(shape)


@functools.cache
def _c_library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _forbid(page: int) -> None:
    """Nobody may read or write the page at this address any more."""
    if _c_library().mprotect(ctypes.c_void_p(page), ctypes.c_size_t(_PAGE), 0):
        raise OSError(ctypes.get_errno(), "mprotect")


def _checked(function: Callable) -> Callable:
    """`function` on copies of its arrays beside guard pages."""

    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        copies: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}
        named = {name: _copied(each, copies) for name, each in options.items()}
        found = function(*(_copied(each, copies) for each in args), **named)
        for original, copy in copies.values():
            if original.flags.writeable and original.tobytes() != copy.tobytes():
                original[...] = copy
        return found

    return call


def _copied(value: Any, copies: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]]) -> Any:
    """A copy of an array, the same one if it comes twice; anything else as it is."""
    if not isinstance(value, np.ndarray) or not value.flags.c_contiguous:
        return value
    place = value.ctypes.data, value.nbytes
    if place not in copies:
        copy = _guarded(value.shape, value.dtype)
        copy[...] = value
        copies[place] = value, copy
    return copies[place][1].reshape(value.shape)
