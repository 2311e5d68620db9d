"""Enlarging images: a thread does one float of the output, or, backward, gathers one of the image.

The input pixels of an output pixel, and their weights, are found as in :mod:`kernels.reference.resample`: for each axis
a lower one, the one behind it, and the weight of that. Nearest has only the first. They stand in tables, made on the
host in float64. Backward, an input pixel has a first output that may have it as one of its two, and a last one.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from kernels.cuda import launch
from kernels.cuda.indices import divided, smaller
from kernels.cuda.jit import inner, kernel
from kernels.cuda.maps import flat
from kernels.cuda.toolkit import cuda, to_device

_ZERO, _ONE = np.float32(0), np.float32(1)

# --- tables --------------------------------------------------------------------------------------


def _sources(size: int, outputs: int, bilinear: bool, align_corners: bool, scale: float) -> tuple[np.ndarray, ...]:
    """Lower source of every output pixel of an axis, int32, and the weight of the one behind it, float32."""
    i = np.arange(outputs)
    if not bilinear:
        source = (i / scale).astype(np.int64) if scale else i * size // outputs
        return np.minimum(source, size - 1).astype(np.int32), np.zeros(outputs, np.float32)
    if align_corners:
        place = i * ((size - 1) / max(outputs - 1, 1))
    else:
        place = (i + 0.5) / scale - 0.5 if scale else (i + 0.5) * size / outputs - 0.5
    place = np.clip(place, 0.0, size - 1.0)
    low = place.astype(np.int32)
    return low, (place - low).astype(np.float32)


@functools.lru_cache(maxsize=128)
def _table(size: int, outputs: int, bilinear: bool, align_corners: bool, scale: float) -> tuple[Any, Any, Any]:
    """Sources and weights, and for each pixel the first output that may have it and the last one plus one."""
    low, weight = _sources(size, outputs, bilinear, align_corners, scale)
    pixels = np.arange(size)
    first, last = np.searchsorted(low, pixels - 1, side="left"), np.searchsorted(low, pixels, side="right")
    return to_device(low), to_device(weight), to_device(np.concatenate([first, last]).astype(np.int32))


# --- the kernels ---------------------------------------------------------------------------------


@inner
def _share(pixel, low, weight):
    """Weight of a pixel in an output that has the pixel `low`, and the one behind it by this weight."""
    if pixel == low:
        return _ONE - weight
    return weight if pixel == low + 1 else _ZERO


@kernel(
    "void(float32[::1], float32[::1], int32[::1], float32[::1], int32[::1], float32[::1], "
    "int32, int32, int32, int32, int32)"
)
def upsample_forward_kernel(x, y, rows, down, columns, across, height, width, out_height, out_width, channels):
    """``y[i, j] = sum of x[rows, columns]`` by the weights of row i and of column j."""
    i = cuda.grid(1)
    if i < y.size:
        pixel, channel = divided(i, channels)
        line, ow = divided(pixel, out_width)
        image, oh = divided(line, out_height)
        value = _ZERO
        for h in range(rows[oh], smaller(rows[oh] + 2, height)):
            row_share = _share(h, rows[oh], down[oh])
            for w in range(columns[ow], smaller(columns[ow] + 2, width)):
                share = row_share * _share(w, columns[ow], across[ow])
                if share != _ZERO:  # what has no weight may be infinite
                    value += share * x[((image * height + h) * width + w) * channels + channel]
        y[i] = value


@kernel(
    "void(float32[::1], float32[::1], int32[::1], float32[::1], int32[::1], int32[::1], float32[::1], int32[::1], "
    "int32, int32, int32, int32, int32)"
)
def upsample_backward_kernel(
    dy, dx, rows, down, row_range, columns, across, column_range, height, width, out_height, out_width, channels
):
    """The sum of the gradients of all outputs that have a pixel, by its weight in them."""
    i = cuda.grid(1)
    if i < dx.size:
        pixel, channel = divided(i, channels)
        line, w = divided(pixel, width)
        image, h = divided(line, height)
        slope = _ZERO
        for oh in range(row_range[h], row_range[height + h]):
            row_share = _share(h, rows[oh], down[oh])
            for ow in range(column_range[w], column_range[width + w]):
                share = row_share * _share(w, columns[ow], across[ow])
                if share != _ZERO:
                    slope += share * dy[((image * out_height + oh) * out_width + ow) * channels + channel]
        dx[i] = slope


# --- the functions -------------------------------------------------------------------------------


def _axes(image: Any, output: Any, bilinear: bool, align_corners: bool, scale: tuple[float, float]) -> tuple:
    """Tables of both axes, and the sizes."""
    if tuple(image.shape)[::3] != tuple(output.shape)[::3]:
        raise ValueError(f"an image of shape {tuple(image.shape)} cannot be enlarged to {tuple(output.shape)}")
    if not image.size or not output.size:
        return (), (), ()
    how = bool(bilinear), bool(align_corners)
    down, across = (_table(image.shape[a], output.shape[a], *how, float(scale[a - 1])) for a in (1, 2))
    return down, across, (*image.shape[1:3], *output.shape[1:3], image.shape[3])


def upsample2d_forward(
    x: Any, y: Any, bilinear: bool, align_corners: bool = False, scale: tuple[float, float] = (0.0, 0.0)
) -> None:
    """Enlarge images to the size of `y`.

    Parameters
    ----------
    x : device array (N, H, W, C)
    y : device array (N, OH, OW, C)
        Output.
    bilinear : bool
        Interpolate between the four nearest pixels; else take the nearest one.
    align_corners : bool
        Bilinear only: pixels are points, and those in the corners keep their places.
    scale : (float, float)
        Output pixels to one input pixel, down and across; 0 for the ratio of the sizes.
    """
    down, across, sizes = _axes(x, y, bilinear, align_corners, scale)
    if sizes:
        upsample_forward_kernel(launch.over(y.size), flat(x), flat(y), *down[:2], *across[:2], *sizes)


def upsample2d_backward(
    dy: Any, dx: Any, bilinear: bool, align_corners: bool = False, scale: tuple[float, float] = (0.0, 0.0)
) -> None:
    """Every output pixel hands its gradient back to the pixels that it was made of, by the same weights.

    Parameters
    ----------
    dy : device array (N, OH, OW, C)
    dx : device array (N, H, W, C)
        Output.
    bilinear, align_corners : bool
    scale : (float, float)
    """
    down, across, sizes = _axes(dx, dy, bilinear, align_corners, scale)
    if sizes:
        upsample_backward_kernel(launch.over(dx.size), flat(dy), flat(dx), *down, *across, *sizes)
