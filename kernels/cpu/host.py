"""What the machine that Numba compiles for can do: how many floats one of its registers holds.

The compiler is asked, not the processor: ``NUMBA_CPU_NAME`` and ``NUMBA_CPU_FEATURES`` choose another target.
"""

from __future__ import annotations

import functools

import llvmlite.binding as llvm
from numba.core.registry import cpu_target

_SUM = """
define <16 x float> @sum(<16 x float> %a, <16 x float> %b) {
  %c = fadd <16 x float> %a, %b
  ret <16 x float> %c
}
"""


@functools.cache
def widest_lanes() -> int:
    """Sixteen where the target adds sixteen floats with one instruction (AVX-512), else eight.

    Eight stand for two registers on machines with SSE or NEON, which LLVM splits by itself.
    """
    codegen = cpu_target.target_context.codegen()
    module = llvm.parse_assembly(_SUM)
    module.triple = codegen._tm.triple
    return 16 if "zmm" in codegen._tm.emit_assembly(module) else 8
