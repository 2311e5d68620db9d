"""The one place where the CUDA package is imported.

`numba-cuda` takes the place of ``numba.cuda`` wherever it is installed; without it Numba's own is used. Whatever is
wrong (no package, no driver, an old one, no device, no memory) becomes one sentence.

With ``NUMBA_ENABLE_CUDASIM=1`` in the environment kernels run as Python, thread by thread: slow, but without a GPU.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Numba's own announces that numba-cuda takes over
    from numba import cuda as _cuda

#: The package, of which type checkers know too little.
cuda: Any = _cuda

numba.config.CUDA_LOW_OCCUPANCY_WARNINGS = 0  # type: ignore[attr-defined]  # of every small array

#: Whether kernels run in Python.
SIMULATED = bool(numba.config.ENABLE_CUDASIM)  # type: ignore[attr-defined]

if SIMULATED:
    from numba.cuda.simulator import kernel as _simulator

    class _Running:
        """The CUDA package as the kernel that runs sees it, in whichever file a function of that kernel stands.

        The simulator itself puts its package into a file and takes it out again, for every call: threads that call a
        function of another file at the same time would lose it.
        """

        def __init__(self, package: Any):
            self._package = package

        def __getattr__(self, name: str) -> Any:
            return getattr(_simulator._get_kernel_context() or self._package, name)

    cuda = _Running(cuda)  # type: ignore[assignment]
    # Outside of kernels a shape is a tuple, which can be read from its end.
    from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray as _Array

    _Array.shape = property(lambda array: array._ary.shape)  # type: ignore[method-assign,assignment]


class CudaError(RuntimeError):
    """The GPU cannot be used; the message is one sentence that says why.

    Parameters
    ----------
    doing : str
        What the GPU could not do.
    reason : str
        Why, in a few words.
    full : bool
        Whether that is for lack of memory.
    """

    def __init__(self, doing: str, reason: str, full: bool = False):
        super().__init__(f"The GPU could not {doing}: {reason}.")
        self.reason, self.full = reason, full


@dataclass(frozen=True)
class Gpu:
    """A graphics processor.

    Attributes
    ----------
    number : int
    name : str
    memory : int
        Bytes, in all.
    compute_capability : (int, int)
    """

    number: int
    name: str
    memory: int
    compute_capability: tuple[int, int]


@contextlib.contextmanager
def explained(doing: str) -> Iterator[None]:
    """Turn what the CUDA package raises into one sentence: ``The GPU could not {doing}: ...``."""
    try:
        yield
    except CudaError:
        raise
    except Exception as error:
        raise CudaError(doing, _reason(error), _FULL in str(error)) from error


def _reason(error: Exception) -> str:
    """What an error of the driver means, in a few words."""
    text = " ".join(str(error).split())
    for code, meaning in _MEANINGS.items():
        if code in text:
            return meaning
    return (text or type(error).__name__).rstrip(".")


_FULL = "CUDA_ERROR_OUT_OF_MEMORY"
#: What errors of the driver say, and mean.
_MEANINGS = {
    _FULL: "its memory is full; use a smaller batch, smaller images or a smaller network",
    "CUDA_ERROR_NO_DEVICE": "there is no NVIDIA GPU in this machine",
    "CUDA_ERROR_INSUFFICIENT_DRIVER": "the NVIDIA driver is older than the CUDA package; update the driver",
    "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH": "the NVIDIA driver was updated and not loaded yet; restart the machine",
    "CUDA_ERROR_UNSUPPORTED_PTX_VERSION": "the NVIDIA driver is older than the compiler; update the driver",
    "CUDA_ERROR_LAUNCH_TIMEOUT": "a kernel ran longer than the display driver allows",
    "CUDA_ERROR_ILLEGAL_ADDRESS": "a kernel read or wrote outside its arrays, which is a fault of nnvis",
    "CUDA driver library cannot be found": "there is no NVIDIA driver in this machine",
    "libcuda.so": "there is no NVIDIA driver in this machine",
}


def require() -> None:
    """Raise CudaError, in one sentence, if there is no GPU that can be used."""
    if SIMULATED:
        return
    with explained("be used"):
        cuda.current_context()
        stream()


@functools.cache
def stream() -> Any:
    """The one stream that all kernels run on, in the order of their calls.

    It is not the default one: that would wait for copies on other streams, and they for it.
    """
    return 0 if SIMULATED else cuda.stream()


def wait() -> None:
    """Wait for what was asked for on that stream; errors of kernels come to light here."""
    if not SIMULATED:
        stream().synchronize()


def gpus() -> list[Gpu]:
    """All GPUs; none where there is no driver."""
    try:
        devices = list(cuda.gpus)
    except Exception:  # no driver, or one that does not start: nothing to list
        return []
    return [_described(device) for device in devices]


def _described(device) -> Gpu:
    if SIMULATED:
        return Gpu(0, "simulator", 0, (8, 0))
    name = device.name.decode() if isinstance(device.name, bytes) else str(device.name)
    with device:
        memory = int(cuda.current_context().get_memory_info().total)
    return Gpu(int(device.id), name, memory, tuple(device.compute_capability))


def ptx_of(function: Callable, signature: str, capability: tuple[int, int]) -> str:
    """Assembly for GPUs of a compute capability: what the compiler makes of a kernel, without any GPU."""
    from numba.core import sigutils
    from numba.cuda import dispatcher

    # Functions that the kernel calls are compiled for "the current device", of which only this is asked.
    current, dispatcher.get_current_device = dispatcher.get_current_device, lambda: Gpu(0, "", 0, capability)
    try:
        arguments, _ = sigutils.normalize_signature(signature)
        return cuda.compile_ptx(function, arguments, cc=capability)[0]
    finally:
        dispatcher.get_current_device = current


def to_device(array: np.ndarray):
    """A copy of an array in the GPU's memory."""
    with explained("take an array"):
        made = cuda.to_device(np.ascontiguousarray(array), stream=stream())
        wait()
    return made


def to_host(array) -> np.ndarray:
    """A copy of an array of the GPU; waits for the kernels that write it."""
    with explained("give back an array"):
        found = array.copy_to_host(stream=stream())
        wait()
    return found


def empty(count: int, dtype=np.float32):
    """An array of so many numbers in the GPU's memory, with whatever was left there."""
    with explained("make room for an array"):
        return cuda.device_array(count, dtype)


def line(view):
    """The memory of a view from its first number on, as a flat array that shares it.

    A kernel that is told how far the view's rows lie apart needs no copy of it. The numbers between the rows are in
    reach too: they belong to somebody else.
    """
    if view.size == 0:
        return view.reshape(0)
    step = view.dtype.itemsize
    count = 1 + sum((size - 1) * stride // step for size, stride in zip(view.shape, view.strides, strict=True))
    if SIMULATED:
        return type(view)(np.lib.stride_tricks.as_strided(view._ary, (count,), (step,)))
    return type(view)((count,), (step,), view.dtype, gpu_data=view.gpu_data)


def address(array) -> int:
    """Where an array of the device begins."""
    interface = array.__array_interface__ if SIMULATED else array.__cuda_array_interface__
    return interface["data"][0]
