"""What a case of the benchmark is, and what all of them are made with."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from nnvis.memory import aligned_bytes

Work = Callable[[], object]


@dataclass(frozen=True)
class Case:
    """One line of the benchmark.

    Attributes
    ----------
    name : str
    make : callable
        Returns our function and the rivals' by name: "BLAS", "contiguous", "channels-last".
    flops : float
        Floating-point operations of one call; 0 where a rate would mean nothing.
    """

    name: str
    make: Callable[[], tuple[Work, dict[str, Work]]]
    flops: float = 0.0


def torch_module() -> Any:
    """PyTorch, if it is installed."""
    if importlib.util.find_spec("torch") is None:
        return None
    return importlib.import_module("torch")


def cpu() -> ModuleType:
    """Our kernels."""
    return importlib.import_module("kernels.cpu")


def random_array(*shape: int) -> np.ndarray:
    """Normal numbers in memory that starts on a cache line, as a network's arrays (and PyTorch's own) do."""
    made = aligned_bytes(4 * math.prod(shape)).view(np.float32).reshape(shape)
    made[...] = np.random.default_rng(0).normal(size=shape)
    return made


def layouts(*images: np.ndarray) -> Iterator[tuple[str, list[Any]]]:
    """Our channels-last arrays as PyTorch tensors, in both of its memory formats."""
    torch = torch_module()
    if torch is None:
        return
    tensors = [torch.from_numpy(image.transpose(0, 3, 1, 2)).contiguous().clone() for image in images]
    yield "contiguous", tensors
    yield "channels-last", [t.contiguous(memory_format=torch.channels_last) for t in tensors]
