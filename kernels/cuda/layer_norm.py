"""Layer and group normalisation; the formulas are in :mod:`kernels.reference.layer_norm`.

A *unit* is what is normalised together: the channels of one group over the pixels of one image. Layer normalisation has
units of one row. A block of threads does a unit: it reads it for the mean, again for the variance around that, and once
more to normalise; small units lie in the cache by then.

The slopes of the parameters are sums over the rows of all images: tables, as in :mod:`kernels.cuda.reduce`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import float32

from kernels.cuda.indices import divided, smaller
from kernels.cuda.jit import inner, kernel
from kernels.cuda.maps import flat
from kernels.cuda.reduce import ROOM, add_pairs, place_in_table, row_blocks, rows_of_split, table_of, total
from kernels.cuda.scratch import room
from kernels.cuda.toolkit import cuda

_ZERO, _ONE = np.float32(0), np.float32(1)


@inner
def _unit(pixels, channels, groups):
    """First float and first channel of the block's unit, its channels, and its size."""
    image, group = divided(cuda.blockIdx.x, groups)
    width = channels // groups
    return image * pixels * channels + group * width, group * width, width, pixels * width


@inner
def _place(i, width, channels):
    """Where float number i of a unit is, from the first one on, and its channel in the group."""
    pixel, channel = divided(i, width)
    return pixel * channels + channel, channel


# --- the kernels ---------------------------------------------------------------------------------


@kernel(
    "void(float32[::1], float32[::1], float32[::1], float32[::1], float32[::1], float32[::1], "
    "int32, int32, int32, int32, int32, float32)"
)
def group_norm_forward_kernel(
    x, gamma, beta, y, mean, inv_std, pixels, channels, groups, has_factor, has_offset, eps
):  # fmt: skip
    """Statistics and normalisation of a unit."""
    shared = cuda.shared.array(ROOM, float32)
    first, first_channel, width, size = _unit(pixels, channels, groups)
    thread, threads, share = cuda.threadIdx.x, cuda.blockDim.x, _ONE / np.float32(size)
    plain = _ZERO
    for i in range(thread, size, threads):
        place, _ = _place(i, width, channels)
        plain += x[first + place]
    middle = total(shared, plain, 1) * share
    # Again, around the mean: squares of the values themselves would drown a small variance.
    rest, square = _ZERO, _ZERO
    for i in range(thread, size, threads):
        place, _ = _place(i, width, channels)
        distance = x[first + place] - middle
        rest += distance
        square += distance * distance
    rest, square = total(shared, rest, 1), total(shared, square, 1)
    center, variance = middle + rest * share, (square - rest * rest * share) * share
    if variance < _ZERO:
        variance = _ZERO
    scale = _ONE / math.sqrt(variance + eps)
    for i in range(thread, size, threads):
        place, channel = _place(i, width, channels)
        value = (x[first + place] - center) * scale
        if has_factor:
            value *= gamma[first_channel + channel]
        if has_offset:
            value += beta[first_channel + channel]
        y[first + place] = value
    if thread == 0:
        mean[cuda.blockIdx.x], inv_std[cuda.blockIdx.x] = center, scale


@kernel(
    "void(float32[::1], float32[::1], float32[::1], float32[::1], float32[::1], float32[::1], "
    "int32, int32, int32, int32)"
)
def group_norm_backward_kernel(x, gamma, mean, inv_std, dy, dx, pixels, channels, groups, has_factor):
    """Slopes of a unit: ``dx = inv_std (g - mean(g) - xhat mean(g xhat))`` with ``g = gamma dy``."""
    shared = cuda.shared.array(ROOM, float32)
    first, first_channel, width, size = _unit(pixels, channels, groups)
    thread, threads, share = cuda.threadIdx.x, cuda.blockDim.x, _ONE / np.float32(size)
    center, scale = mean[cuda.blockIdx.x], inv_std[cuda.blockIdx.x]
    plain, product = _ZERO, _ZERO
    for i in range(thread, size, threads):
        place, channel = _place(i, width, channels)
        g = dy[first + place]
        if has_factor:
            g *= gamma[first_channel + channel]
        plain += g
        product += g * ((x[first + place] - center) * scale)
    plain, product = total(shared, plain, 1) * share, total(shared, product, 1) * share
    for i in range(thread, size, threads):
        place, channel = _place(i, width, channels)
        g = dy[first + place]
        if has_factor:
            g *= gamma[first_channel + channel]
        dx[first + place] = scale * (g - plain - (x[first + place] - center) * scale * product)


@kernel(
    "void(float32[::1], float32[::1], float32[::1], float32[::1], float32[::1], "
    "int32, int32, int32, int32, int32, int32)"
)
def parameter_slopes_kernel(x, mean, inv_std, dy, partial, pixels, rows, channels, groups, splits, lanes):
    """``sum dy`` and ``sum dy xhat`` of each channel over each split of the rows: `partial` (2, splits, channels)."""
    shared = cuda.shared.array(ROOM, float32)
    channel, line, lines = place_in_table(lanes)
    first, last = rows_of_split(rows, splits)
    column = smaller(channel, channels - 1)
    group = column // (channels // groups)
    plain, product = _ZERO, _ZERO
    for row in range(first + line, last, lines):
        image, _ = divided(row, pixels)
        i, unit = row * channels + column, image * groups + group
        plain += dy[i]
        product += dy[i] * ((x[i] - mean[unit]) * inv_std[unit])
    plain, product = total(shared, plain, lanes), total(shared, product, lanes)
    if line == 0 and channel < channels:
        place = cuda.blockIdx.x * channels + channel
        partial[place], partial[splits * channels + place] = plain, product


# --- the functions -------------------------------------------------------------------------------


def _check(x_shape: tuple, mean: Any, *others: Any) -> None:
    """Refuse what does not fit an array (N, P, C) and statistics (N, G)."""
    _, _, channels = x_shape
    groups = mean.size // max(1, x_shape[0])
    fits = mean.shape[0] == x_shape[0] and groups >= 1 and channels % groups == 0
    sizes = (math.prod(x_shape), channels, mean.size)
    if not fits or not sizes[0] or any(each is not None and each.size not in sizes for each in others):
        shapes = ", ".join(str(tuple(each.shape)) for each in (mean, *others) if each is not None)
        raise ValueError(
            f"group normalisation needs arrays (N, P, C), (C,) and (N, G), G dividing C, got {x_shape}, {shapes}"
        )


def _forward(shape: tuple, x: Any, gamma: Any, beta: Any, y: Any, mean: Any, inv_std: Any, eps: float) -> None:
    """Normalise x of this shape (N, P, C), whichever shape its array has."""
    _check(shape, mean, x, gamma, beta, y, inv_std)
    _, pixels, channels = shape
    groups = mean.size // shape[0]
    values = flat(x)
    parameters = values if gamma is None else gamma, values if beta is None else beta
    arrays = values, *parameters, flat(y), flat(mean), flat(inv_std)
    blocks = row_blocks(mean.size, pixels * channels // groups)
    has = int(gamma is not None), int(beta is not None)
    group_norm_forward_kernel(blocks, *arrays, pixels, channels, groups, *has, eps)


def _backward(
    shape: tuple, x: Any, gamma: Any, mean: Any, inv_std: Any, dy: Any, dx: Any, dgamma: Any, dbeta: Any
) -> None:
    """Gradient of :func:`_forward`; that of the parameters comes first, since `dx` may lie over `dy`."""
    _check(shape, mean, x, gamma, inv_std, dy, dx, dgamma, dbeta)
    images, pixels, channels = shape
    groups = mean.size // images
    values, slopes, statistics = flat(x), flat(dy), (flat(mean), flat(inv_std))
    if dgamma is not None and dbeta is not None:
        table = table_of(images * pixels, channels)
        partial = room("slopes of parameters", 2 * table.splits * channels)
        sizes = pixels, table.rows, channels, groups, table.splits, table.lanes
        parameter_slopes_kernel(table.sums(), values, *statistics, slopes, partial, *sizes)
        add_pairs(partial, dbeta, dgamma, table)
    arrays = values, values if gamma is None else gamma, *statistics, slopes, flat(dx)
    blocks = row_blocks(mean.size, pixels * channels // groups)
    group_norm_backward_kernel(blocks, *arrays, pixels, channels, groups, int(gamma is not None))


def _row_shape(x: Any) -> tuple[int, int, int]:
    """Rows as images of one pixel."""
    return x.shape[0], 1, x.shape[1]


def group_norm_forward(x: Any, gamma: Any, beta: Any, y: Any, mean: Any, inv_std: Any, eps: float) -> None:
    """Normalise each group of channels over all pixels of its image.

    Parameters
    ----------
    x : device array (N, P, C)
        P counts the pixels.
    gamma, beta : device array (C,) or None
        None for a factor of one, an offset of zero.
    y : device array (N, P, C)
        Output; may be `x` itself.
    mean, inv_std : device array (N, G)
        Outputs, kept for the backward pass; G groups of C / G channels.
    eps : float
    """
    _forward(tuple(x.shape), x, gamma, beta, y, mean, inv_std, eps)


def group_norm_backward(x: Any, gamma: Any, mean: Any, inv_std: Any, dy: Any, dx: Any, dgamma: Any, dbeta: Any) -> None:
    """Gradient through the normalisation, the mean and the variance.

    Parameters
    ----------
    x : device array (N, P, C)
    gamma : device array (C,) or None
    mean, inv_std : device array (N, G)
        As the forward pass wrote them.
    dy : device array (N, P, C)
    dx : device array (N, P, C)
        Output; may be `dy` itself.
    dgamma, dbeta : device array (C,) or None
        Outputs; None where there is no factor and no offset.
    """
    _backward(tuple(x.shape), x, gamma, mean, inv_std, dy, dx, dgamma, dbeta)


def layer_norm_forward(x: Any, gamma: Any, beta: Any, y: Any, mean: Any, inv_std: Any, eps: float) -> None:
    """Normalise each row.

    Parameters
    ----------
    x : device array (M, C)
    gamma, beta : device array (C,) or None
        None for a factor of one, an offset of zero.
    y : device array (M, C)
        Output; may be `x` itself.
    mean, inv_std : device array (M,)
        Outputs, kept for the backward pass.
    eps : float
    """
    _forward(_row_shape(x), x, gamma, beta, y, mean, inv_std, eps)


def layer_norm_backward(x: Any, gamma: Any, mean: Any, inv_std: Any, dy: Any, dx: Any, dgamma: Any, dbeta: Any) -> None:
    """Gradient through the normalisation, the mean and the variance of each row.

    Parameters
    ----------
    x : device array (M, C)
    gamma : device array (C,) or None
    mean, inv_std : device array (M,)
        As the forward pass wrote them.
    dy : device array (M, C)
    dx : device array (M, C)
        Output; may be `dy` itself.
    dgamma, dbeta : device array (C,) or None
        Outputs; None where there is no factor and no offset.
    """
    _backward(_row_shape(x), x, gamma, mean, inv_std, dy, dx, dgamma, dbeta)
