"""Where the windows of a pool lie, as tables in the GPU's memory, and which windows see a pixel.

There are tables for each axis, since windows of both axes are independent. Forward, a window has a first pixel, a last
one plus one, and an origin from which its taps are counted. Backward, a pixel has a first window that sees it and a
last one plus one: those in between see it, too, since starts and stops of windows never decrease.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from kernels.cpu import windows
from kernels.cuda.toolkit import to_device

Pair = tuple[int, int]
#: How the windows of one axis are made: size of the image, outputs, and kernel, stride, padding, or none of these.
Axis = tuple[int, ...]


def table(axis: Axis) -> np.ndarray:
    """Windows of one axis on the host, (3, outputs): starts, stops and origins."""
    return windows.adaptive(*axis) if len(axis) == 2 else windows.fixed(*axis)


@functools.lru_cache(maxsize=512)
def forward(axis: Axis) -> Any:
    """Starts, stops and origins of windows, int32, flat."""
    return to_device(table(axis).astype(np.int32).ravel())


@functools.lru_cache(maxsize=512)
def backward(axis: Axis) -> Any:
    """First window and last one plus one of each pixel, and origins of the windows, int32, flat."""
    starts, stops, origins = table(axis)
    pixels = np.arange(axis[0])
    first, last = np.searchsorted(stops, pixels, side="right"), np.searchsorted(starts, pixels, side="right")
    return to_device(np.concatenate([first, np.maximum(first, last), origins]).astype(np.int32))


@functools.lru_cache(maxsize=512)
def shares(axis: Axis, count_include_pad: bool) -> Any:
    """One over the number of pixels of each window, float32."""
    made = windows.adaptive_shares(*axis) if len(axis) == 2 else windows.fixed_shares(*axis, count_include_pad)
    return to_device(made)


def axes_of(size: Pair, output_size: Pair, *geometry: Pair) -> list[Axis]:
    """Both axes; `geometry` is kernel, stride and padding, or nothing for adaptive windows."""
    pairs = (size, output_size, *geometry)
    return [tuple(int(pair[axis]) for pair in pairs) for axis in (0, 1)]
