"""One parallel region for many kernels.

The bodies of the convolution kernels are long, and a ``prange`` around each would compile every one of them three
times over. Instead a body is a serial kernel that does one numbered job, and one small parallel kernel calls it.

A body is ``@body def name(job, a, b, c, d, e, plan, scratch)``, where all arguments are integers: the number of the
job, the addresses of five float arrays (0 for an empty one), of an int32 table and of scratch of the thread's own.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from llvmlite import ir
from numba import get_thread_id, types
from numba.core import cgutils
from numba.extending import intrinsic

from kernels.cpu.jit import Kernel, inner, kernel
from kernels.cpu.jobs import run_jobs
from kernels.cpu.simd import INT32, INT64, address

_BODY_ARGUMENTS = 8
_EMPTY = np.zeros(0, np.float32)


def body(function: Callable) -> Kernel:
    """Decorator: make `function` the body of :func:`launch`."""
    return kernel(f"void({', '.join(['i8'] * _BODY_ARGUMENTS)})", parallel=False)(function)


@intrinsic
def entry(typingctx, table, index):
    """Element `index` of the int32 table at address `table`."""

    def codegen(context, builder, signature, args):
        place = builder.gep(builder.inttoptr(args[0], INT32.as_pointer()), [args[1]])
        return builder.sext(builder.load(place), INT64)

    return types.intp(types.intp, types.intp), codegen


def boxed(array: np.ndarray | None) -> np.ndarray | None:
    """Floats that hold the address of an array of another type, for :func:`launch` to pass on; None for None."""
    return None if array is None else np.array([array.ctypes.data], np.int64).view(np.float32)


@intrinsic
def unboxed(typingctx, box):
    """The address that is in the box at address `box`; 0 if there is none."""

    def codegen(context, builder, signature, args):
        (box,) = args
        found = cgutils.alloca_once_value(builder, INT64(0))
        with builder.if_then(builder.icmp_signed("!=", box, INT64(0))):
            place = builder.inttoptr(box, INT64.as_pointer())
            builder.store(builder.load(place, align=4), found)
        return builder.load(found)

    return types.intp(types.intp), codegen


@intrinsic
def set_entry(typingctx, table, index, value):
    """Write element `index` of the int32 table at address `table`."""

    def codegen(context, builder, signature, args):
        place = builder.gep(builder.inttoptr(args[0], INT32.as_pointer()), [args[1]])
        builder.store(builder.trunc(args[2], INT32), place)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), codegen


@intrinsic
def _call(typingctx, function, job, a, b, c, d, e, plan, scratch):
    """Call the body at address `function`."""

    def codegen(context, builder, signature, args):
        kind = ir.FunctionType(ir.VoidType(), [INT64] * _BODY_ARGUMENTS)
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])
        return context.get_dummy_value()

    return types.void(*[types.intp] * (1 + _BODY_ARGUMENTS)), codegen


@inner
def _job(function, first, a, b, c, d, e, table, rows, row_bytes, job):
    _call(function, first + job, a, b, c, d, e, table, rows + get_thread_id() * row_bytes)


@kernel(
    "void(i8, i8, i8, b1, f4[::1], f4[::1], f4[::1], f4[::1], f4[::1], i4[::1], f4[:,::1])",
    parallel=False,
)
def launch_jobs(function, first, count, serial, a, b, c, d, e, plan, scratch):
    """Jobs `first` to ``first + count`` of the body at address `function`, on all threads unless `serial`."""
    at_a = address(a) if a.size else 0
    at_b = address(b) if b.size else 0
    at_c = address(c) if c.size else 0
    at_d = address(d) if d.size else 0
    at_e = address(e) if e.size else 0
    arguments = function, first, at_a, at_b, at_c, at_d, at_e, address(plan), address(scratch), 4 * scratch.shape[1]
    run_jobs(_job, arguments, count, serial)


def launch(
    work: Kernel,
    first: int,
    count: int,
    serial: bool,
    arrays: tuple[np.ndarray | None, ...],
    plan: np.ndarray,
    scratch: np.ndarray,
) -> None:
    """Run `count` jobs of `work`, from job `first` on.

    Parameters
    ----------
    work : Kernel
        Made with :func:`body`.
    first, count : int
    serial : bool
        For work too small to share among threads.
    arrays : tuple of five ndarrays or None
        float32, C-contiguous, of any shape.
    plan : ndarray of int32
    scratch : ndarray (threads, floats)
    """
    flat = [_EMPTY if array is None else array.reshape(-1) for array in arrays]
    launch_jobs(work.pointer(), first, count, serial, *flat, plan, scratch)
