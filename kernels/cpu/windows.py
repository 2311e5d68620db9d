"""Where the windows of a pool lie, as tables that the kernels read.

Windows of both axes are independent, so there is one table for each axis: an int64 array (3, outputs) of the first
pixel, the last pixel plus one (both inside the image), and the origin from which a tap is counted. Starts and stops
never decrease.
"""

from __future__ import annotations

import functools

import numpy as np

Pair = tuple[int, int]


@functools.lru_cache(maxsize=512)
def fixed(size: int, outputs: int, kernel: int, stride: int, padding: int) -> np.ndarray:
    """Windows of `kernel` pixels, `stride` apart, the first one `padding` pixels outside the image."""
    origin = np.arange(outputs, dtype=np.int64) * stride - padding
    start = np.clip(origin, 0, size)
    stop = np.maximum(np.minimum(origin + kernel, size), start)
    return np.stack([start, stop, origin])


@functools.lru_cache(maxsize=512)
def adaptive(size: int, outputs: int) -> np.ndarray:
    """Windows from ``floor(i size / outputs)`` to ``ceil((i + 1) size / outputs)``; taps are counted from 0."""
    i = np.arange(outputs, dtype=np.int64)
    return np.stack([i * size // outputs, -((i + 1) * size // -outputs), np.zeros_like(i)])


@functools.lru_cache(maxsize=512)
def fixed_shares(
    size: int, outputs: int, kernel: int, stride: int, padding: int, count_include_pad: bool
) -> np.ndarray:
    """One over the number of pixels of each window of an axis, float32.

    Pixels of the padding count if `count_include_pad`, those beyond it (which only ``ceil_mode`` reaches) never.
    """
    border = padding if count_include_pad else 0
    origin = np.arange(outputs) * stride - padding
    covered = np.minimum(origin + kernel, size + border) - np.maximum(origin, -border)
    return (1.0 / np.maximum(covered, 1)).astype(np.float32)


@functools.lru_cache(maxsize=512)
def adaptive_shares(size: int, outputs: int) -> np.ndarray:
    """One over the number of pixels of each adaptive window of an axis, float32."""
    start, stop, _ = adaptive(size, outputs)
    return (1.0 / (stop - start)).astype(np.float32)


@functools.lru_cache(maxsize=512)
def fixed_places(
    size: Pair, output_size: Pair, channels: int, kernel: Pair, stride: Pair, padding: Pair
) -> tuple[np.ndarray, np.ndarray]:
    """Where pixels lie in an image of float32, in bytes: each tap in its window, and the origin of each window.

    An origin in the padding may be negative, but the winner of a window lies in the image.

    Raises
    ------
    ValueError
        If a window has no pixel of the image, and thus no winner.
    """
    tables = [fixed(*axis) for axis in zip(size, output_size, kernel, stride, padding, strict=True)]
    if any((start >= stop).any() for start, stop, _ in tables):
        raise ValueError(f"a window of the pool lies outside the image: {size} to {output_size}, padding {padding}")
    rows, columns = (origin for _, _, origin in tables)
    taps = np.arange(kernel[0])[:, None] * size[1] + np.arange(kernel[1])
    return 4 * channels * taps.ravel(), 4 * channels * (rows[:, None] * size[1] + columns).ravel()


@functools.lru_cache(maxsize=64)
def adaptive_places(size: Pair, output_size: Pair, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """The same for adaptive windows, whose taps are counted from the image's first pixel."""
    return 4 * channels * np.arange(size[0] * size[1]), np.zeros(output_size[0] * output_size[1], np.int64)
