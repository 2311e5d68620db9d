"""Deformable convolution: every tap of every window reads the image at a learned distance from its place.

Tap (i, j) of output pixel (oh, ow) reads at ``(oh sh - ph + i dh + offset_row, ow sw - pw + j dw + offset_column)``, as
a bilinear mean of the four pixels around that point; pixels outside the image are zero. With a mask (version 2) what
was read is multiplied by it. The offsets' groups cut the channels into equal parts that move together.

Sources: Dai et al., "Deformable convolutional networks" (2017), section 2.1 and appendix A; Zhu et al., "Deformable
ConvNets v2" (2019), section 3.2.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

Pair = tuple[int, int]
#: Kernel, stride, padding and dilation, each vertical and horizontal.
Window = tuple[Pair, Pair, Pair, Pair]


def _points(offset: np.ndarray, window: Window, size: Pair) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns (N, OH, OW, G, K) at which the taps read; those that an image of `size` does not reach are -2.

    At exactly -1 the image has faded out. A tap in the padding whose offset is 0 sits there, and is still.
    """
    kernel, stride, padding, dilation = window
    moved = offset.astype(np.float64).reshape(*offset.shape[:3], -1, kernel[0] * kernel[1], 2)
    points = []
    for axis in range(2):
        start = np.arange(offset.shape[1 + axis]) * stride[axis] - padding[axis]
        tap = np.indices(kernel)[axis].ravel() * dilation[axis]
        places = start.reshape(-1, 1, 1, 1) if axis == 0 else start.reshape(-1, 1, 1)
        point = places + tap + moved[..., axis]
        points.append(np.where((point <= -1) | (point >= size[axis]), -2.0, point))
    return points[0], points[1]


def _corners(x: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> Iterator[tuple]:
    """For each of the four pixels around every point: its index, its values, its weight, and the weight's slopes."""
    images, height, width, channels = x.shape
    groups = rows.shape[3]
    parts = x.astype(np.float64).reshape(images, height, width, groups, channels // groups)
    image, _, _, group, _ = np.indices(rows.shape)
    low_row, low_column = np.floor(np.nan_to_num(rows)), np.floor(np.nan_to_num(columns))
    for i, j in np.ndindex(2, 2):
        h, w = (low_row + i).astype(int), (low_column + j).astype(int)
        inside = (h >= 0) & (h < height) & (w >= 0) & (w < width)
        index = image, h.clip(0, height - 1), w.clip(0, width - 1), group
        down, across = 1 - abs(rows - h), 1 - abs(columns - w)
        slopes = (2 * i - 1) * across * inside, (2 * j - 1) * down * inside
        yield index, parts[index], down * across * inside, slopes


def _sample(x: np.ndarray, offset: np.ndarray, mask: np.ndarray | None, window: Window) -> np.ndarray:
    """What the taps read, times the mask: (N, OH, OW, K, C)."""
    rows, columns = _points(offset, window, x.shape[1:3])
    read = sum(weight[..., None] * values for _, values, weight, _ in _corners(x, rows, columns))
    read = read if mask is None else read * mask.astype(np.float64).reshape(*rows.shape, 1)
    return read.swapaxes(3, 4).reshape(*rows.shape[:3], rows.shape[4], x.shape[3])


def _grouped(samples: np.ndarray, groups: int) -> np.ndarray:
    """(N, OH, OW, K, C) -> (N, OH, OW, K, groups, C / groups)."""
    return samples.reshape(*samples.shape[:4], groups, -1)


def _weights(w: np.ndarray, groups: int) -> np.ndarray:
    """(KH, KW, C_in / groups, C_out) -> (K, C_in / groups, groups, C_out / groups)."""
    return w.astype(np.float64).reshape(-1, w.shape[2], groups, w.shape[3] // groups)


def deform_conv2d_forward(
    x: np.ndarray,
    offset: np.ndarray,
    mask: np.ndarray | None,
    w: np.ndarray,
    b: np.ndarray | None,
    y: np.ndarray,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> None:
    """``y = b + sum over taps of sample @ w``.

    Parameters
    ----------
    x : ndarray (N, H, W, C_in)
    offset : ndarray (N, OH, OW, G K 2)
        For each of G offset groups and K = KH KW taps: rows down, columns to the right.
    mask : ndarray (N, OH, OW, G K) or None
    w : ndarray (KH, KW, C_in / groups, C_out)
    b : ndarray (C_out,) or None
    y : ndarray (N, OH, OW, C_out)
        Output.
    stride, padding, dilation : (int, int)
        Vertical and horizontal, in pixels.
    groups : int
        Divides C_in and C_out.
    """
    samples = _sample(x, offset, mask, (w.shape[:2], stride, padding, dilation))
    total = np.einsum("nhwkgc,kcgo->nhwgo", _grouped(samples, groups), _weights(w, groups), optimize=True)
    y[...] = total.reshape(y.shape) + (0.0 if b is None else b.astype(np.float64))


def deform_conv2d_backward_data(
    x: np.ndarray,
    offset: np.ndarray,
    mask: np.ndarray | None,
    w: np.ndarray,
    dy: np.ndarray,
    dx: np.ndarray | None,
    doffset: np.ndarray | None,
    dmask: np.ndarray | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> None:
    """Gradients of the image, of the offsets (through the bilinear weights) and of the mask.

    Parameters
    ----------
    x : ndarray (N, H, W, C_in)
    offset : ndarray (N, OH, OW, G K 2)
    mask : ndarray (N, OH, OW, G K) or None
    w : ndarray (KH, KW, C_in / groups, C_out)
    dy : ndarray (N, OH, OW, C_out)
    dx, doffset, dmask : ndarray or None
        Outputs, shaped like x, offset and mask; None where no gradient is wanted.
    stride, padding, dilation : (int, int)
    groups : int
    """
    rows, columns = _points(offset, (w.shape[:2], stride, padding, dilation), x.shape[1:3])
    upstream = dy.astype(np.float64).reshape(*dy.shape[:3], groups, -1)
    slope = np.einsum("nhwgo,kcgo->nhwkgc", upstream, _weights(w, groups), optimize=True)
    slope = slope.reshape(*rows.shape[:3], rows.shape[4], rows.shape[3], -1).swapaxes(3, 4)  # (N, OH, OW, G, K, C / G)
    factor = 1.0 if mask is None else mask.astype(np.float64).reshape(rows.shape)
    image = np.zeros((*x.shape[:3], rows.shape[3], x.shape[3] // rows.shape[3]))
    read, down, across = np.zeros((3, *rows.shape))
    for index, values, weight, slopes in _corners(x, rows, columns):
        product = (slope * values).sum(axis=-1)
        read, down, across = read + weight * product, down + slopes[0] * product, across + slopes[1] * product
        np.add.at(image, index, (weight * factor)[..., None] * slope)
    if dx is not None:
        dx[...] = image.reshape(x.shape)
    if doffset is not None:
        doffset[...] = (np.stack([down, across], axis=-1) * np.expand_dims(factor, -1)).reshape(offset.shape)
    if dmask is not None:
        dmask[...] = read.reshape(dmask.shape)


def deform_conv2d_backward_weights(
    x: np.ndarray,
    offset: np.ndarray,
    mask: np.ndarray | None,
    dy: np.ndarray,
    dw: np.ndarray,
    db: np.ndarray | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> None:
    """Gradients of the parameters: ``dw = sample^T dy`` for each tap, and ``db = sum dy``.

    Parameters
    ----------
    x : ndarray (N, H, W, C_in)
    offset : ndarray (N, OH, OW, G K 2)
    mask : ndarray (N, OH, OW, G K) or None
    dy : ndarray (N, OH, OW, C_out)
    dw : ndarray (KH, KW, C_in / groups, C_out)
        Output.
    db : ndarray (C_out,) or None
        Output; None for a layer without bias.
    stride, padding, dilation : (int, int)
    groups : int
    """
    samples = _sample(x, offset, mask, (dw.shape[:2], stride, padding, dilation))
    upstream = dy.astype(np.float64).reshape(*dy.shape[:3], groups, -1)
    dw[...] = np.einsum("nhwkgc,nhwgo->kcgo", _grouped(samples, groups), upstream, optimize=True).reshape(dw.shape)
    if db is not None:
        db[...] = dy.astype(np.float64).sum(axis=(0, 1, 2))
