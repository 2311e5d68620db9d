"""How many threads of a kernel a multiprocessor holds at a time, of those that it could.

A multiprocessor waits for memory with some warps while others compute; how many it holds depends on what they take.
Limits: NVIDIA, "CUDA C++ Programming Guide", table "Technical Specifications per Compute Capability"; in which portions
registers and shared memory are given out: "Occupancy Calculator" (``cuda_occupancy.h``).
"""

from __future__ import annotations

from dataclasses import dataclass

from kernels.cuda.assembly import Capability, Resources
from kernels.cuda.launch import THREADS

_WARP = 32
#: Registers are given to a warp in portions, and come from one of four partitions.
_PORTION, _PARTITIONS = 256, 4


@dataclass(frozen=True)
class Multiprocessor:
    """Limits: warps, blocks, registers, bytes of shared memory, its portions, and what the system adds to a block's."""

    warps: int
    blocks: int
    registers: int
    shared: int
    portion: int
    reserved: int


#: By compute capability.
MULTIPROCESSORS: dict[Capability, Multiprocessor] = {
    (7, 5): Multiprocessor(32, 16, 65536, 64 * 1024, 256, 0),
    (8, 0): Multiprocessor(64, 32, 65536, 164 * 1024, 128, 1024),
    (9, 0): Multiprocessor(64, 32, 65536, 228 * 1024, 128, 1024),
}


def _rounded_up(number: int, portion: int) -> int:
    return -(-number // portion) * portion


def blocks_at_a_time(used: Resources, capability: Capability, threads: int = THREADS) -> int:
    """Blocks of so many threads that a multiprocessor holds."""
    limit = MULTIPROCESSORS[capability]
    warps = -(-threads // _WARP)
    of_warp = _rounded_up(max(1, used.registers) * _WARP, _PORTION)
    by_registers = limit.registers // _PARTITIONS // of_warp * _PARTITIONS // _rounded_up(warps, _PARTITIONS)
    by_shared = limit.shared // max(1, _rounded_up(used.shared + limit.reserved, limit.portion))
    return min(limit.blocks, limit.warps // warps, by_registers, by_shared)


def occupancy(used: Resources, capability: Capability, threads: int = THREADS) -> float:
    """Warps that a multiprocessor holds, of those that it could: between 0 and 1."""
    warps = -(-threads // _WARP) * blocks_at_a_time(used, capability, threads)
    return warps / MULTIPROCESSORS[capability].warps
