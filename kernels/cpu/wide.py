"""A 16-lane vector type: a whole cache line, for kernels that stream through memory.

One register with AVX-512; LLVM makes two or four of it elsewhere. As in :mod:`kernels.cpu.simd`, addresses are integers
in bytes, and nothing checks bounds.
"""

from __future__ import annotations

from kernels.cpu.lanes import compiled
from kernels.cpu.simd import VectorType, loading, splatting, storing

LANES = 16
#: Bytes in one vector.
BYTES = 4 * LANES

float32x16 = VectorType(LANES)
load, store, splat = loading(float32x16), storing(float32x16), splatting(float32x16)

add = compiled(lambda a, b: a + b, float32x16)
sub = compiled(lambda a, b: a - b, float32x16)
fma = compiled(lambda a, b, c: a.times_plus(b, c), float32x16)
