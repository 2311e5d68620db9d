"""Where a network computes: which kernels, and which number format."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from nnvis.errors import DeviceError

#: ``progress(done, total, name)``
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Device:
    """A set of kernels and the float type they work in.

    Attributes
    ----------
    name : str
        "cpu" (fast, float32) or "reference" (textbook, float64).
    kernels : module
    dtype : numpy.dtype
    """

    name: str
    kernels: ModuleType
    dtype: np.dtype

    def prepare(self, work: Callable[[], None], progress: Progress | None = None) -> int:
        """Compile every kernel that `work` calls, without doing the work; return how many were not cached.

        Parameters
        ----------
        work : callable
            Code whose kernel calls are only noted.
        progress : callable, optional
            Called as ``progress(done, total, kernel_name)``.
        """
        if self.name != "cpu":
            return 0
        jit = importlib.import_module("kernels.cpu.jit")
        with jit.recording() as needed:
            work()
        return importlib.import_module("kernels.cpu.compiling").compile_kernels(list(needed.values()), progress)

    def preparing(self, work: Callable[[], None]) -> Iterator[tuple[int, int, str]]:
        """:meth:`prepare` as a generator of ``(done, total, kernel_name)``: before each kernel, and at the end."""
        if self.name != "cpu":
            return
        jit = importlib.import_module("kernels.cpu.jit")
        with jit.recording() as needed:
            work()
        yield from importlib.import_module("kernels.cpu.compiling").compiling(list(needed.values()))

    def repeated(self, work: Callable[[], None], constants: bool = False) -> Callable[[], None]:
        """`work`, which is kernel calls with arguments that never change, without the Python between them.

        With `constants` weights do not change either, and what is computed of them alone is computed once.
        """
        if self.name != "cpu":
            return work
        return importlib.import_module("kernels.cpu.repeat").Repeated(work, constants)


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
    if name == "cpu":
        _check_owner()
        return Device(name, importlib.import_module("kernels.cpu"), np.dtype(np.float32))
    if name == "reference":
        _check_owner()
        return Device(name, importlib.import_module("kernels.reference"), np.dtype(np.float64))
    if name == "cuda":
        raise DeviceError("Device 'cuda' cannot be used: this version does not compute on GPUs yet; use --device cpu.")
    raise DeviceError(f"There is no device {name!r}; known are {', '.join(DEVICES)}.")


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
