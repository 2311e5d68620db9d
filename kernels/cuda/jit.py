"""How every GPU kernel is compiled, counted and called.

``@kernel("signature")`` makes an entry point with explicit types, compiled once and never again for another shape;
``@inner`` a function that kernels call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kernels.cuda.launch import Shape
from kernels.cuda.toolkit import cuda, explained, ptx_of

#: Every entry point by name, in the order of definition.
KERNELS: dict[str, Kernel] = {}


class Kernel:
    """An entry point with one fixed signature.

    Parameters
    ----------
    function : callable
        The Python source.
    signature : str
        Numba signature, for example ``"void(float32[::1], float32[::1], int32)"``.
    """

    def __init__(self, function: Callable, signature: str):
        self.name, self.function, self.signature = function.__name__, function, signature
        self._compiled: Any = None
        self.__doc__ = function.__doc__

    def _dispatcher(self) -> Any:
        if self._compiled is None:
            with explained(f"compile the kernel {self.name}"):
                self._compiled = cuda.jit(self.signature)(self.function)
        return self._compiled

    def __call__(self, shape: Shape, *arguments: Any) -> None:
        """Run the kernel on so many blocks and threads; returns before it is done."""
        with explained(f"run the kernel {self.name}"):
            self._dispatcher()[shape.blocks, shape.threads](*arguments)

    def ptx(self, capability: tuple[int, int]) -> str:
        """What the compiler makes of it for GPUs of this compute capability; needs none."""
        return ptx_of(self.function, self.signature, capability)


def kernel(signature: str) -> Callable[[Callable], Kernel]:
    """Decorator: make `function` an entry point with this Numba `signature`."""

    def decorate(function: Callable) -> Kernel:
        made = Kernel(function, signature)
        assert made.name not in KERNELS, f"two GPU kernels are called {made.name}"
        KERNELS[made.name] = made
        return made

    return decorate


def inner(function: Callable) -> Callable:
    """Decorator: a function that kernels call."""
    return cuda.jit(device=True)(function)
