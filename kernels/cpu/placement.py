"""Keeping a pool's threads off the core of the thread that waits for them.

On a virtual machine Linux takes a core whose virtual processor sleeps for one that is not to be had, so it often wakes
a pool thread on the very core of its caller. The two then take turns while the other core idles, and a kernel on two
threads takes as long as on one, call after call. So a pool thread that finds itself on its caller's core moves away
and stays away from it. Callers are never bound, and neither are the threads of other pools.
"""

from __future__ import annotations

import sys

import numpy as np
from numba import types

from kernels.cpu.jit import inner
from kernels.cpu.simd import address

#: Bytes of a set of processors, as in glibc's ``cpu_set_t``.
_SET_BYTES = 128

if sys.platform == "linux":
    _current_cpu = types.ExternalFunction("sched_getcpu", types.int32())
    _current_thread = types.ExternalFunction("pthread_self", types.intp())
    _get_affinity = types.ExternalFunction("pthread_getaffinity_np", types.int32(types.intp, types.intp, types.intp))
    _set_affinity = types.ExternalFunction("pthread_setaffinity_np", types.int32(types.intp, types.intp, types.intp))

    @inner
    def caller():
        """The processor and the thread of the caller, for :func:`step_aside`."""
        return _current_cpu(), _current_thread()

    @inner
    def step_aside(cpu, thread):
        """Leave processor `cpu` of the waiting `thread`, if this thread is another and runs there."""
        if _current_cpu() == cpu and _current_thread() != thread:
            _leave(cpu, thread)

    @inner
    def _leave(cpu, thread):
        allowed = np.zeros(_SET_BYTES, np.uint8)
        if _get_affinity(thread, _SET_BYTES, address(allowed)) == 0 and 0 <= cpu < 8 * _SET_BYTES:
            allowed[cpu >> 3] &= ~np.uint8(1 << (cpu & 7))
            if allowed.any():
                _set_affinity(_current_thread(), _SET_BYTES, address(allowed))

else:

    @inner
    def caller():
        """Nothing to know where threads cannot be placed."""
        return 0, 0

    @inner
    def step_aside(cpu, thread):
        """Nothing to do where threads cannot be placed."""
