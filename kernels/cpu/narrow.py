"""The names of :mod:`kernels.cpu.wide` for vectors of eight lanes: for runs that are too short for sixteen."""

from __future__ import annotations

from kernels.cpu.simd import BYTES, LANES, add, fma, lane_total, load, mul, splat, store, sub
from kernels.cpu.tails import read, read_filled, write

__all__ = [
    "BYTES", "LANES", "add", "fma", "lane_total", "load", "mul", "read", "read_filled", "splat",
    "store", "sub", "write",
]  # fmt: skip
