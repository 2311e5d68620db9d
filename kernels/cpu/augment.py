"""Batches of images from a set of bytes: gather, crop, flip and normalise in one pass.

Serial and without the interpreter lock, since it runs in a loader thread beside training.
"""

from __future__ import annotations

import math

import numpy as np

from kernels.cpu import simd
from kernels.cpu.jit import inner, kernel
from kernels.cpu.simd import address, fma, load
from kernels.cpu.tails import read_bytes, write

# The bytes may be read-only, as those of a memory-mapped file are.
_BYTES = "Array(uint8, 4, 'C', readonly=True)"


@inner
def _forward_run(source, target, size, scale, offset):
    """``target = source scale + offset`` for a run of pixels; the coefficients repeat with their length."""
    k, end = 0, 4 * scale.size
    for i in range(0, size, 8):
        value = read_bytes(source + i, size - i)
        write(target + 4 * i, fma(value, load(address(scale) + k), load(address(offset) + k)), size - i)
        k = k + 32 if k + 32 < end else 0


@inner
def _mirrored_run(source, target, size, scale, offset, channels):
    """The same with the pixels in reverse order. A vector that reaches into the next pixel is mended there."""
    source += size - channels
    for i in range(0, size, channels):
        for c in range(0, channels, 8):
            value = read_bytes(source - i + c, channels - c)
            value = fma(value, load(address(scale) + 4 * c), load(address(offset) + 4 * c))
            write(target + 4 * (i + c), value, 8 if size - i - c >= 8 else channels - c)


@inner
def _black_run(target, size, offset):
    k, end = 0, 4 * offset.size
    for i in range(0, size, 8):
        write(target + 4 * i, load(address(offset) + k), size - i)
        k = k + 32 if k + 32 < end else 0


@inner
def _crop_row(source, target, size, scale, offset, shift, mirrored, channels):
    """One row of `size` bytes: those of `source` from `shift` bytes on, black where there are none."""
    first, stop = max(0, -shift), max(0, min(size, size - shift))
    if first >= stop:
        first, stop = 0, 0
    seen = source + first + shift
    if mirrored:
        first, stop = size - stop, size - first
        _mirrored_run(seen, target + 4 * first, stop - first, scale, offset, channels)
    else:
        _forward_run(seen, target + 4 * first, stop - first, scale, offset)
    _black_run(target, first, offset)
    _black_run(target + 4 * stop, size - stop, offset)


@kernel(
    f"i8({_BYTES}, i8[::1], f4[:,:,:,::1], f4[::1], f4[::1], i8[:,::1], b1[::1])",
    parallel=False,
)
def gather_images_kernel(images, index, y, scale, offset, shift, flip):
    """Does nothing if an image does not exist, but tells which, counted from 1."""
    for n in range(index.size):
        if index[n] < 0 or index[n] >= images.shape[0]:
            return n + 1
    height, run, channels = y.shape[1], y.shape[2] * y.shape[3], y.shape[3]
    for n in range(index.size):
        source, target = address(images) + index[n] * height * run, address(y) + 4 * n * height * run
        if shift[n, 0] == 0 and shift[n, 1] == 0 and not flip[n]:
            _forward_run(source, target, height * run, scale, offset)
            continue
        for h in range(height):
            row, place = h + shift[n, 0], target + 4 * h * run
            if 0 <= row < height:
                _crop_row(source + row * run, place, run, scale, offset, shift[n, 1] * channels, flip[n], channels)
            else:
                _black_run(place, run, offset)
    return 0


def gather_images(
    images: np.ndarray,
    index: np.ndarray,
    y: np.ndarray,
    mean: np.ndarray,
    inv_std: np.ndarray,
    shift: np.ndarray,
    flip: np.ndarray,
) -> None:
    """``y[n] = (crop / 255 - mean) inv_std`` of image ``index[n]``, mirrored after it is cut.

    Parameters
    ----------
    images : ndarray (M, H, W, C), uint8
        May be read-only.
    index : ndarray (N,), int64
        Which images, in 0 ... M - 1.
    y : ndarray (N, H, W, C)
        Output.
    mean, inv_std : ndarray (C,)
        Of intensities in [0, 1].
    shift : ndarray (N, 2), int64
        Corner of the crop, (row, column) in pixels, of either sign; what lies outside the image is black before it
        is normalised.
    flip : ndarray (N,), bool
        Which crops to mirror horizontally.

    Raises
    ------
    ValueError
        If an index is not an image, or the arrays do not fit each other.
    """
    _check(images, index, y, shift, flip)
    repeat = math.lcm(y.shape[3], simd.LANES) // y.shape[3]
    scale = np.tile((inv_std / 255.0).astype(np.float32), repeat)
    offset = np.tile((-mean.astype(np.float64) * inv_std).astype(np.float32), repeat)
    wrong = gather_images_kernel(images, index, y, scale, offset, shift, flip)
    if wrong:
        raise ValueError(f"image {index[int(wrong) - 1]} does not lie in 0 ... {len(images) - 1}")


def _check(images: np.ndarray, index: np.ndarray, y: np.ndarray, shift: np.ndarray, flip: np.ndarray) -> None:
    size = len(index)
    if images.shape[1:] != y.shape[1:] or (len(y), shift.shape, flip.shape) != (size, (size, 2), (size,)):
        shapes = ", ".join(str(each.shape) for each in (images, index, y, shift, flip))
        raise ValueError(f"images, index, y, shift and flip do not fit each other: {shapes}")
    if not (images.flags.c_contiguous and y.flags.c_contiguous):
        raise ValueError("images and y must be C-contiguous")
