"""Calling a kernel of the GPU, or of its simulation, with arrays of the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kernels.cuda import toolkit


class Output:
    """An array that a kernel writes: not-a-number before, of this shape."""

    def __init__(self, *shape: int, dtype: Any = np.float32):
        self.shape, self.dtype = shape, np.dtype(dtype)

    def fresh(self, dtype: Any = None) -> np.ndarray:
        made = np.empty(self.shape, self.dtype if dtype is None or self.dtype != np.float32 else dtype)
        made.fill(np.nan if made.dtype.kind == "f" else 0)
        return made


def on_gpu(kernel: Callable, *arguments: Any) -> list[np.ndarray]:
    """Call `kernel` with copies of the arrays on the GPU; return what became of each :class:`Output`.

    An ndarray that the kernel changes in place can be given as it is: use :func:`changed_on_gpu`.
    """
    return _call(kernel, arguments, Output)


def changed_on_gpu(kernel: Callable, *arguments: Any) -> list[np.ndarray]:
    """The same, but what became of all arrays, in order."""
    return _call(kernel, arguments, (Output, np.ndarray))


def _call(kernel: Callable, arguments: tuple, wanted: Any) -> list[np.ndarray]:
    sent = [_sent(each) for each in arguments]
    kernel(*sent)
    found = [there.copy_to_host() for each, there in zip(arguments, sent, strict=True) if isinstance(each, wanted)]
    return found


def _sent(argument: Any) -> Any:
    if isinstance(argument, Output):
        argument = argument.fresh()
    return toolkit.to_device(argument) if isinstance(argument, np.ndarray) else argument


def in_textbook(kernel: Callable, *arguments: Any) -> list[np.ndarray]:
    """Call the float64 form with the same arguments; return what became of each :class:`Output`."""
    sent = [each.fresh(np.float64) if isinstance(each, Output) else each for each in arguments]
    kernel(*sent)
    return [there for each, there in zip(arguments, sent, strict=True) if isinstance(each, Output)]


def assert_agree(name: str, gpu: Any, textbook: Any, *arguments: Any, tolerance: float = 2e-5) -> None:
    """Both modules' function of this name gives the same, up to float32's rounding of the largest value."""
    ours, theirs = on_gpu(getattr(gpu, name), *arguments), in_textbook(getattr(textbook, name), *arguments)
    assert len(ours) == len(theirs) > 0
    for mine, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, expected, rtol=0, atol=tolerance * max(1e-30, float(np.abs(expected).max())))
