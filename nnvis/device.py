"""Where a network computes: which kernels, and which number format."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnvis import gpu
from nnvis.errors import DeviceError
from nnvis.memory import HostMemory, Memory

#: ``progress(done, total, name)``
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Device:
    """A set of kernels, the float type they work in, and where their arrays lie. This one computes in NumPy.

    Attributes
    ----------
    name : str
        "cpu" (fast, float32), "cuda" (a GPU, float32) or "reference" (textbook, float64).
    kernels : module
    dtype : numpy.dtype
    memory : Memory
    """

    name: str
    kernels: Any
    dtype: np.dtype
    memory: Memory

    def prepare(self, work: Callable[[], None], progress: Progress | None = None) -> int:
        """Compile every kernel that `work` calls, without doing the work; return how many were not cached.

        Parameters
        ----------
        work : callable
            Code whose kernel calls are only noted.
        progress : callable, optional
            Called as ``progress(done, total, kernel_name)``.
        """
        return 0

    def preparing(self, work: Callable[[], None]) -> Iterator[tuple[int, int, str]]:
        """:meth:`prepare` as a generator of ``(done, total, kernel_name)``: before each kernel, and at the end."""
        return iter(())

    def repeated(self, work: Callable[[], None], constants: bool = False) -> Callable[[], None]:
        """`work`, which is kernel calls with arguments that never change, without the Python between them.

        With `constants` weights do not change either, and what is computed of them alone is computed once.
        """
        return work


class CpuDevice(Device):
    """Compiled kernels for this machine's processor."""

    def prepare(self, work: Callable[[], None], progress: Progress | None = None) -> int:
        return importlib.import_module("kernels.cpu.compiling").compile_kernels(self._needed(work), progress)

    def preparing(self, work: Callable[[], None]) -> Iterator[tuple[int, int, str]]:
        yield from importlib.import_module("kernels.cpu.compiling").compiling(self._needed(work))

    def _needed(self, work: Callable[[], None]) -> list:
        with importlib.import_module("kernels.cpu.jit").recording() as needed:
            work()
        return list(needed.values())

    def repeated(self, work: Callable[[], None], constants: bool = False) -> Callable[[], None]:
        return importlib.import_module("kernels.cpu.repeat").Repeated(work, constants)


class CudaDevice(Device):
    """Compiled kernels for a GPU."""

    def prepare(self, work: Callable[[], None], progress: Progress | None = None) -> int:
        total = 0
        for done, total, name in self.preparing(work):
            if progress:
                progress(done, total, name)
        return total

    def preparing(self, work: Callable[[], None]) -> Iterator[tuple[int, int, str]]:
        jit = gpu.module("jit")
        with jit.recording() as needed:
            work()
        yield from jit.compiling(list(needed.values()))

    def repeated(self, work: Callable[[], None], constants: bool = False) -> Callable[[], None]:
        return gpu.translated(gpu.module("repeat").Repeated(work, constants))


#: Names for ``device=``, with what each is.
DEVICES = {
    "cpu": "compiled float32 kernels, SIMD and threads",
    "cuda": "an NVIDIA GPU",
    "reference": "textbook float64 NumPy, slow",
}


def get_device(name: str) -> Device:
    """The device called `name`.

    Raises
    ------
    DeviceError
        Unknown name, or no such device in this machine.
    """
    if name in DEVICES:
        _check_owner()
    if name == "cpu":
        return CpuDevice(name, importlib.import_module("kernels.cpu"), np.dtype(np.float32), HostMemory())
    if name == "reference":
        return Device(name, importlib.import_module("kernels.reference"), np.dtype(np.float64), HostMemory())
    if name == "cuda":
        return CudaDevice(name, gpu.module(), np.dtype(np.float32), gpu.module("memory"))
    raise DeviceError(f"There is no device {name!r}; known are {', '.join(DEVICES)}.")


@dataclass(frozen=True)
class Place:
    """A device as this machine has it.

    Attributes
    ----------
    name : str
    usable : bool
    description : str
        What it is; or, in one sentence, why it cannot be used.
    """

    name: str
    usable: bool
    description: str


def places() -> list[Place]:
    """All devices, those that this machine lacks among them."""
    return [_place(name, what) for name, what in DEVICES.items()]


def _place(name: str, what: str) -> Place:
    try:
        get_device(name)
    except DeviceError as error:
        return Place(name, False, str(error))
    details = {"cpu": cpu_description, "cuda": gpu.description}
    return Place(name, True, f"{what} ({details[name]()})" if name in details else what)


def _check_owner() -> None:
    kernels = importlib.import_module("kernels")
    if getattr(kernels, "OWNER", None) != "nnvis":
        raise DeviceError(
            f"The package 'kernels' at {getattr(kernels, '__file__', '?')} belongs to another project; "
            "install nnvis into an environment of its own."
        )


def cpu_description() -> str:
    """One line about the CPU: name of the SIMD set and number of threads."""
    import llvmlite.binding as llvm
    import numba

    features = llvm.get_host_cpu_features()
    names = {"avx512f": "AVX-512", "avx2": "AVX2", "avx": "AVX", "neon": "NEON", "sse2": "SSE2"}
    simd = next((label for key, label in names.items() if features.get(key)), "scalar")
    threads = numba.get_num_threads()
    return f"{llvm.get_host_cpu_name()}, {simd}, {threads} thread{'s' if threads != 1 else ''}"
