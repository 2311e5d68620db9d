"""Batches of images from a set that lies in the GPU's memory: gather, crop, flip and normalise in one pass.

A set of small images fits there as bytes (CIFAR-10 takes 180 MB); then a batch costs its index to send, not its floats.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kernels.cuda import launch, toolkit
from kernels.cuda.indices import divided
from kernels.cuda.jit import Kernel, kernel
from kernels.cuda.maps import flat
from kernels.cuda.scratch import room
from kernels.cuda.toolkit import cuda

_ZERO = np.float32(0)
#: One over the largest byte.
_UNIT = np.float32(1 / 255)


@kernel("void(int64[::1], int32[::1], int64)")
def wrong_images_kernel(index, wrong, images):
    """Whether an index is not an image; one block."""
    found = 0
    for i in range(cuda.threadIdx.x, index.size, cuda.blockDim.x):
        if index[i] < 0 or index[i] >= images:
            found = 1
    found = cuda.syncthreads_or(found)
    if cuda.threadIdx.x == 0:
        wrong[0] = found


def _gather_from(dtype: str) -> Kernel:
    def body(images, index, y, mean, inv_std, shift, flip, height, width, channels):
        """A thread for each float of the batch: neighbours read neighbours, in reverse order where mirrored."""
        i = cuda.grid(1)
        if i < y.size:
            pixel, channel = divided(i, channels)
            line, column = divided(pixel, width)
            n, row = divided(line, height)
            x = (width - 1 - column if flip[n] else column) + shift[2 * n + 1]
            row += shift[2 * n]
            value = _ZERO
            if row >= 0 and row < height and x >= 0 and x < width:
                value = np.float32(images[((index[n] * height + row) * width + x) * channels + channel])
            y[i] = (value * _UNIT - mean[channel]) * inv_std[channel]

    vectors = "float32[::1], float32[::1], float32[::1], int64[::1], boolean[::1]"
    signature = f"void({dtype}[::1], int64[::1], {vectors}, int32, int32, int32)"
    return _named(f"gather_images_{dtype}_kernel", signature, body)


def _named(name: str, signature: str, body: Callable) -> Kernel:
    body.__name__ = name
    return kernel(signature)(body)


_GATHER = {dtype: _gather_from(dtype) for dtype in ("uint8", "float32")}


def gather_images(images: Any, index: Any, y: Any, mean: Any, inv_std: Any, shift: Any, flip: Any) -> None:
    """``y[n] = (crop / 255 - mean) inv_std`` of image ``index[n]``, mirrored after it is cut.

    Parameters
    ----------
    images : device array (M, H, W, C), uint8 or float32
        Intensities in 0 ... 255.
    index : device array (N,), int64
        Which images, in 0 ... M - 1.
    y : device array (N, H, W, C)
        Output.
    mean, inv_std : device array (C,)
        Of intensities in [0, 1].
    shift : device array (N, 2), int64
        Corner of the crop, (row, column) in pixels, of either sign; what lies outside the image is black before it
        is normalised.
    flip : device array (N,), bool
        Which crops to mirror horizontally.

    Raises
    ------
    ValueError
        If an index is not an image, or the arrays do not fit each other.
    """
    _check(images, index, y, shift, flip)
    if y.size:
        _check_index(index, images.shape[0])
        arrays = flat(images), index, flat(y), mean, inv_std, flat(shift), flip
        _GATHER[str(images.dtype)](launch.over(y.size), *arrays, *y.shape[1:])


def _check(images: Any, index: Any, y: Any, shift: Any, flip: Any) -> None:
    size = index.shape[0]
    found = y.shape[0], tuple(shift.shape), tuple(flip.shape)
    if tuple(images.shape[1:]) != tuple(y.shape[1:]) or found != (size, (size, 2), (size,)):
        shapes = ", ".join(str(tuple(each.shape)) for each in (images, index, y, shift, flip))
        raise ValueError(f"images, index, y, shift and flip do not fit each other: {shapes}")
    if str(images.dtype) not in _GATHER:
        raise ValueError(f"images must be {' or '.join(_GATHER)} here, are {images.dtype}")


def _check_index(index: Any, images: int) -> None:
    """Refuse an index that is not an image; waits for the GPU."""
    wrong = room("wrong images", 1, np.int32)
    wrong_images_kernel(launch.blocks(1, threads=launch.THREADS), index, wrong, images)
    if toolkit.to_host(wrong)[0]:
        found = toolkit.to_host(index)
        bad = found[(found < 0) | (found >= images)][0]
        raise ValueError(f"image {bad} does not lie in 0 ... {images - 1}")
