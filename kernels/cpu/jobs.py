"""Running the jobs of a kernel on several threads, with one compiled thread loop for all kernels.

A kernel splits its work into jobs by the size of the problem, never by the number of threads, and
hands a *body*, an ``@inner`` function of some arguments and the job's index, to :func:`run_jobs`.
The only ``prange`` is here, and it calls the body through a pointer: compiling a thread loop of its
own for every kernel would take about half a second each.
"""

from __future__ import annotations

from llvmlite import ir
from numba import prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from kernels.cpu.jit import export, inner, kernel
from kernels.cpu.placement import caller, step_aside
from kernels.cpu.simd import INT64

#: Elements in one job of an elementwise kernel; a multiple of the vector length.
CHUNK = 8192
#: Elements below which a kernel that only moves memory stays on the calling thread.
SMALL = 49152
#: The same for a kernel that computes exponentials.
SMALL_TRANSCENDENTAL = 8192

_JOB_SIGNATURE = types.void(types.intp, types.intp)


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


@kernel("void(i8, i8, i8)")
def thread_loop(function, block, jobs):
    """Call the job function at address `function` for every job, on all threads."""
    cpu, thread = caller()
    for job in prange(jobs):
        step_aside(cpu, thread)
        _call_job(function, block, job)


_THREAD_LOOP = export(thread_loop)


@intrinsic
def _on_all_threads(typingctx, function, block, jobs):
    """Call :func:`thread_loop`."""

    def codegen(context, builder, signature, args):
        kind = ir.FunctionType(ir.VoidType(), [INT64] * 3)
        builder.call(cgutils.get_or_insert_function(builder.module, kind, _THREAD_LOOP), args)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), codegen


@inner
def _run(function, block, jobs, serial):
    if serial or jobs == 1:
        for job in range(jobs):
            _call_job(function, block, job)
    else:
        _on_all_threads(function, block, jobs)


def _job_function(context, builder, body, arguments, extras, tail):
    """Make, in this LLVM module, a function of (address of the arguments, job); return its address.

    The arguments in memory are those of `body`, of types `arguments`, and `extras` integers. The function calls
    ``body(*arguments, *tail(llvm_builder, job, *extras))``.
    """
    convention = context.call_conv
    kind = convention.get_function_type(_JOB_SIGNATURE.return_type, _JOB_SIGNATURE.args)
    function = ir.Function(builder.module, kind, builder.module.get_unique_name("job_function"))
    function.linkage = "internal"
    function.attributes.add("noinline")  # else the serial loop gets a copy of it, to be compiled as well
    inside = ir.IRBuilder(function.append_basic_block("entry"))
    block, job = function.args[2:]
    layout = context.get_value_type(types.Tuple((*arguments, *[types.intp] * extras)))
    values = cgutils.unpack_tuple(inside, inside.load(inside.inttoptr(block, layout.as_pointer())))
    own = len(arguments)
    last = tail(inside, job, *values[own:])
    signature = context.typing_context.resolve_function_type(body, (*arguments, *[types.intp] * len(last)), {})
    implementation = context.get_function(body, signature)
    context.add_linking_libs(implementation.libs)
    implementation(inside, (*values[:own], *last))
    convention.return_value(inside, context.get_dummy_value())
    return builder.ptrtoint(function, INT64)


def _launch(context, builder, body, arguments, values, extras, tail, jobs, serial):
    """Store the arguments in memory and run the jobs."""
    function = _job_function(context, builder, body, arguments, len(extras), tail)
    layout = types.Tuple((*arguments, *[types.intp] * len(extras)))
    packed = context.make_tuple(builder, layout, [*cgutils.unpack_tuple(builder, values), *extras])
    block = builder.ptrtoint(cgutils.alloca_once_value(builder, packed), INT64)
    run = context.typing_context.resolve_value_type(_run)
    kinds = (types.intp, types.intp, types.intp, types.boolean)
    implementation = context.get_function(run, context.typing_context.resolve_function_type(run, kinds, {}))
    context.add_linking_libs(implementation.libs)
    implementation(builder, (function, block, jobs, serial))
    return context.get_dummy_value()


@intrinsic
def run_jobs(typingctx, body, arguments, jobs, serial):
    """Call ``body(*arguments, job)`` for every job in ``0 ... jobs - 1``, on all threads unless `serial`.

    Parameters
    ----------
    body : function made with :func:`kernels.cpu.jit.inner`
        Returns nothing; writes only what no other job writes. Cannot raise.
    arguments : tuple of addresses, sizes, factors or arrays
    jobs : int
    serial : bool
        Whether the work is too small to pay for waking threads (2-3 microseconds).
    """

    def tail(builder, job):
        return (job,)

    def codegen(context, builder, signature, args):
        _, values, jobs, serial = args
        return _launch(context, builder, body, arguments, values, [], tail, jobs, serial)

    return types.void(body, arguments, types.intp, types.boolean), codegen


@intrinsic
def run_chunks(typingctx, body, arguments, size, chunk, serial):
    """Call ``body(*arguments, start, stop)`` for every chunk of ``0 ... size - 1``, on all threads unless `serial`.

    Parameters
    ----------
    body, arguments, serial
        As in :func:`run_jobs`.
    size, chunk : int
        Every chunk but the last has `chunk` elements: a function of the problem, never of the threads.
    """

    def tail(builder, job, size, chunk):
        start = builder.mul(job, chunk)
        stop = builder.add(start, chunk)
        return start, builder.select(builder.icmp_signed("<", stop, size), stop, size)

    def codegen(context, builder, signature, args):
        _, values, size, chunk, serial = args
        jobs = builder.sdiv(builder.add(size, builder.sub(chunk, INT64(1))), chunk)
        return _launch(context, builder, body, arguments, values, [size, chunk], tail, jobs, serial)

    return types.void(body, arguments, types.intp, types.intp, types.boolean), codegen
