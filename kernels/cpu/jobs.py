"""Running the jobs of a kernel on several threads, with one compiled thread loop for all kernels.

A kernel splits its work into jobs by the size of the problem, never by the number of threads, and
hands a *body*, an ``@inner`` function of some arguments and the job's index, to :func:`run_jobs`.
The only ``prange`` is here, and it calls the body through a pointer: compiling a thread loop of its
own for every kernel would take about half a second each.
"""

from __future__ import annotations

from llvmlite import ir
from numba import njit, prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from kernels.cpu.jit import inner

#: Elements in one job of an elementwise kernel; a multiple of the vector length.
CHUNK = 8192
#: Elements below which a kernel that only moves memory stays on the calling thread.
SMALL = 65536
#: The same for a kernel that computes exponentials.
SMALL_TRANSCENDENTAL = 8192

_JOB_SIGNATURE = types.void(types.intp, types.intp)


@inner
def chunk_count(size):
    """How many chunks of ``CHUNK`` elements cover `size` elements."""
    return (size + CHUNK - 1) // CHUNK


@intrinsic
def _call_job(typingctx, function, block, job):
    """Call the job function at address `function`."""

    def codegen(context, builder, signature, args):
        kind = context.call_conv.get_function_type(_JOB_SIGNATURE.return_type, _JOB_SIGNATURE.args)
        result = cgutils.alloca_once(builder, kind.args[0].pointee)
        error = cgutils.alloca_once(builder, kind.args[1].pointee)
        pointer = builder.inttoptr(args[0], kind.as_pointer())
        builder.call(pointer, [result, error, args[1], args[2]])
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), codegen


@njit(parallel=True, nogil=True)
def _thread_loop(function, block, jobs):
    for job in prange(jobs):
        _call_job(function, block, job)


@njit(nogil=True)
def _run(function, block, jobs, serial):
    if serial or jobs == 1:
        for job in range(jobs):
            _call_job(function, block, job)
    else:
        _thread_loop(function, block, jobs)


def _job_function(context, builder, body, body_signature, argument_tuple):
    """Make, in this LLVM module, a function of (address of the argument tuple, job) that calls `body`."""
    convention = context.call_conv
    kind = convention.get_function_type(_JOB_SIGNATURE.return_type, _JOB_SIGNATURE.args)
    function = ir.Function(builder.module, kind, builder.module.get_unique_name("job_function"))
    function.linkage = "internal"
    inside = ir.IRBuilder(function.append_basic_block("entry"))
    block, job = function.args[2:]
    layout = context.get_value_type(argument_tuple).as_pointer()
    values = cgutils.unpack_tuple(inside, inside.load(inside.inttoptr(block, layout)))
    implementation = context.get_function(body, body_signature)
    context.add_linking_libs(implementation.libs)
    implementation(inside, (*values, job))
    convention.return_value(inside, context.get_dummy_value())
    return builder.ptrtoint(function, ir.IntType(64))


@intrinsic
def run_jobs(typingctx, body, arguments, jobs, serial):
    """Call ``body(*arguments, job)`` for every job in ``0 ... jobs - 1``, on all threads unless `serial`.

    Parameters
    ----------
    body : function made with :func:`kernels.cpu.jit.inner`
        Returns nothing; writes only what no other job writes. Cannot raise.
    arguments : tuple of scalars (addresses, sizes, factors)
    jobs : int
    serial : bool
        Whether the work is too small to pay for waking threads (2-3 microseconds).
    """
    body_signature = typingctx.resolve_function_type(body, (*arguments, types.intp), {})
    run = typingctx.resolve_value_type(_run)
    run_arguments = (types.intp, types.intp, types.intp, types.boolean)
    run_signature = typingctx.resolve_function_type(run, run_arguments, {})

    def codegen(context, builder, signature, args):
        function = _job_function(context, builder, body, body_signature, arguments)
        block = cgutils.alloca_once_value(builder, args[1])
        address = builder.ptrtoint(block, ir.IntType(64))
        implementation = context.get_function(run, run_signature)
        context.add_linking_libs(implementation.libs)
        implementation(builder, (function, address, args[2], args[3]))
        return context.get_dummy_value()

    return types.void(body, arguments, types.intp, types.boolean), codegen
