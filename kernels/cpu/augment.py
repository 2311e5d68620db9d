"""Batches of images from a set of bytes: gather, crop, flip and normalise in one pass.

Serial and without the interpreter lock, since it runs in a loader thread beside training.
"""

from __future__ import annotations

import math

import numpy as np

from kernels.cpu import simd
from kernels.cpu.jit import inner, kernel
from kernels.cpu.simd import address, fma, load, store

# The bytes may be read-only, as those of a memory-mapped file are.
_BYTES = "Array(uint8, {}, 'C', readonly=True)"


@inner
def _forward_run(source, target, scale, offset):
    """``target = source scale + offset`` for a run of pixels; the coefficients repeat with their length."""
    period, size = scale.size, source.size
    x, y, k = address(source), address(target), 0
    whole = size - size % 8
    for i in range(0, whole, 8):
        v = fma(simd.load_bytes(x + i), load(address(scale) + 4 * k), load(address(offset) + 4 * k))
        store(y + 4 * i, v)
        k = k + 8 if k + 8 < period else 0
    for i in range(whole, size):
        target[i] = np.float32(source[i]) * scale[k + i - whole] + offset[k + i - whole]


@inner
def _mirrored_run(source, target, scale, offset, channels):
    """The same with the pixels in reverse order."""
    last = target.size - channels
    for i in range(0, source.size, channels):
        for c in range(channels):
            target[last - i + c] = np.float32(source[i + c]) * scale[c] + offset[c]


@inner
def _black_run(target, offset, channels):
    for i in range(0, target.size, channels):
        for c in range(channels):
            target[i + c] = offset[c]


@inner
def _crop_row(source, target, scale, offset, shift, mirrored, channels):
    """One row of pixels: those of `source` from `shift` floats on, black where there are none."""
    first, stop = max(0, -shift), min(target.size, target.size - shift)
    if first >= stop:
        _black_run(target, offset, channels)
        return
    seen = source[first + shift : stop + shift]
    if mirrored:
        first, stop = target.size - stop, target.size - first
        _mirrored_run(seen, target[first:stop], scale, offset, channels)
    else:
        _forward_run(seen, target[first:stop], scale, offset)
    _black_run(target[:first], offset, channels)
    _black_run(target[stop:], offset, channels)


@kernel(
    f"i8({_BYTES.format(3)}, i8[::1], f4[:,:,::1], f4[::1], f4[::1], i8[:,::1], b1[::1], i8)",
    parallel=False,
)
def gather_images_kernel(images, index, y, scale, offset, shift, flip, channels):
    """Rows are runs of W * C numbers. Does nothing if an image does not exist, but tells which, counted from 1."""
    for n in range(index.size):
        if index[n] < 0 or index[n] >= images.shape[0]:
            return n + 1
    height = y.shape[1]
    for n in range(index.size):
        for h in range(height):
            row = h + shift[n, 0]
            if 0 <= row < height:
                source, columns = images[index[n], row], shift[n, 1] * channels
                _crop_row(source, y[n, h], scale, offset, columns, flip[n], channels)
            else:
                _black_run(y[n, h], offset, channels)
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
    size, channels = y.shape[0], y.shape[3]
    repeat = math.lcm(channels, simd.LANES) // channels
    scale = np.tile((inv_std / 255.0).astype(np.float32), repeat)
    offset = np.tile((-mean.astype(np.float64) * inv_std).astype(np.float32), repeat)
    rows = images.reshape(*images.shape[:2], -1), y.reshape(size, y.shape[1], -1)
    wrong = gather_images_kernel(rows[0], index, rows[1], scale, offset, shift, flip, channels)
    if wrong:
        raise ValueError(f"image {index[int(wrong) - 1]} does not lie in 0 ... {len(images) - 1}")


def _check(images: np.ndarray, index: np.ndarray, y: np.ndarray, shift: np.ndarray, flip: np.ndarray) -> None:
    size = len(index)
    if images.shape[1:] != y.shape[1:] or (len(y), shift.shape, flip.shape) != (size, (size, 2), (size,)):
        shapes = ", ".join(str(each.shape) for each in (images, index, y, shift, flip))
        raise ValueError(f"images, index, y, shift and flip do not fit each other: {shapes}")
    if not (images.flags.c_contiguous and y.flags.c_contiguous):
        raise ValueError("images and y must be C-contiguous")
