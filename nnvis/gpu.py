"""The GPU as a device: its kernels and its memory, with the errors that nnvis's users know."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

from nnvis.errors import DeviceError, OutOfMemoryError


class Translated:
    """A module of the GPU's kernels, whose functions raise nnvis's errors.

    Parameters
    ----------
    module : module
    """

    def __init__(self, module: ModuleType):
        self._module = module

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._module, name)
        made = translated(found) if callable(found) else found
        setattr(self, name, made)
        return made


def translated(function: Callable) -> Callable:
    """`function`, raising OutOfMemoryError or DeviceError where the GPU fails."""
    failure = importlib.import_module("kernels.cuda.toolkit").CudaError

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except failure as error:
            raise (OutOfMemoryError if error.full else DeviceError)(str(error)) from error

    return call


def module(name: str = "") -> Any:
    """The module of this name in ``kernels.cuda``, or that package itself.

    Raises
    ------
    DeviceError
        There is no GPU that can be used.
    """
    _require()
    return Translated(importlib.import_module(f"kernels.cuda.{name}" if name else "kernels.cuda"))


def description() -> str:
    """The GPUs of this machine: name, memory and compute capability of each; the first one is used."""
    listed = importlib.import_module("kernels.cuda.toolkit").gpus()
    return "; ".join(
        f"{each.name}, {each.memory / 1e9:.1f} GB, compute capability {'.'.join(map(str, each.compute_capability))}"
        for each in listed
    )


def _require() -> None:
    try:
        toolkit = importlib.import_module("kernels.cuda.toolkit")
    except ImportError as error:
        raise _unusable(f"a part of the CUDA package is missing ({error})") from error
    try:
        toolkit.require()
    except toolkit.CudaError as error:
        raise _unusable(error.reason) from error


def _unusable(reason: str) -> DeviceError:
    return DeviceError(f"Device 'cuda' cannot be used: {reason}; use device 'cpu'.")
