"""Pooling: maximum and average, over fixed windows and over adaptive ones.

A window of a fixed pool starts at ``(oh * stride - padding)`` and may hang over the border: what
lies outside the image never wins a maximum and adds nothing to an average. The output size is read
off the output array, so that rounding it up (``ceil_mode``) needs no extra argument.

Source: LeCun et al., "Gradient-based learning applied to document recognition" (1998), section II.B
(average); Goodfellow et al., "Deep Learning" (2016), section 9.3 (maximum); divisors and tie rules
as in PyTorch.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

Pair = tuple[int, int]


def _extend(x: np.ndarray, output_size: Pair, kernel: Pair, stride: Pair, padding: Pair, fill: float) -> np.ndarray:
    """Float64 copy of `x` with `fill` around it, so large that every window lies inside."""
    margins = [(0, 0)] * 4
    for axis, (size, k, s, p) in enumerate(zip(output_size, kernel, stride, padding, strict=True), start=1):
        reach = (size - 1) * s + k
        margins[axis] = (p, max(0, reach - x.shape[axis] - p))
    return np.pad(x.astype(np.float64), margins, constant_values=fill)


def _taps(output_size: Pair, kernel: Pair, stride: Pair) -> Iterator[tuple[int, tuple[slice, ...]]]:
    """Each tap of the window in reading order: its flat index, and the extended pixels it sees."""
    for tap, starts in enumerate(np.ndindex(*kernel)):
        rows, columns = (
            slice(start, start + (size - 1) * step + 1, step)
            for start, size, step in zip(starts, output_size, stride, strict=True)
        )
        yield tap, (slice(None), rows, columns)


def _crop(extended: np.ndarray, shape: tuple[int, ...], padding: Pair) -> np.ndarray:
    """The image of `shape` (N, H, W, C) inside its extended copy."""
    (top, left), (_, height, width, _) = padding, shape
    return extended[:, top : top + height, left : left + width]


def max_pool2d_forward(
    x: np.ndarray,
    y: np.ndarray,
    argmax: np.ndarray,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    rectified: bool = False,
) -> None:
    """Largest value of each window and where in the window it was.

    Of equal values the first in reading order wins. A window that holds NaN gives NaN, and its
    last NaN is the winner.

    Parameters
    ----------
    x : ndarray (N, H, W, C)
    y : ndarray (N, OH, OW, C)
        Output.
    argmax : ndarray (N, OH, OW, C), uint8 or int32
        Output: ``kh * KW + kw`` of the winner; uint8 while ``KH * KW <= 256``.
    kernel, stride, padding : (int, int)
        Vertical and horizontal, in pixels.
    rectified : bool
        Whether what is pooled is ``max(x, 0)``, for windows that are 2x2 tiles. A maximum that is not
        above 0 has no winner: its `argmax` is ``KH * KW``.
    """
    values = _extend(x, y.shape[1:3], kernel, stride, padding, fill=-np.inf)
    inside = _extend(np.ones(x.shape), y.shape[1:3], kernel, stride, padding, fill=0) > 0
    best = np.full(y.shape, -np.inf)
    winner = np.full(y.shape, -1)
    for tap, pixels in _taps(y.shape[1:3], kernel, stride):
        value = values[pixels]
        better = inside[pixels] & ((value > best) | np.isnan(value) | (winner < 0))
        best = np.where(better, value, best)
        winner = np.where(better, tap, winner)
    if rectified:
        winner = np.where(best <= 0, kernel[0] * kernel[1], winner)
        best = np.where(best < 0, 0.0, best)
    y[...] = best
    argmax[...] = np.maximum(winner, 0)


def max_pool2d_backward(
    dy: np.ndarray, argmax: np.ndarray, dx: np.ndarray, kernel: Pair, stride: Pair, padding: Pair
) -> None:
    """Gradient of the maximum: all of `dy` goes to the winner, and overlapping windows add up.

    Parameters
    ----------
    dy : ndarray (N, OH, OW, C)
    argmax : ndarray (N, OH, OW, C)
        As :func:`max_pool2d_forward` wrote it.
    dx : ndarray (N, H, W, C)
        Output.
    kernel, stride, padding : (int, int)
        Vertical and horizontal, in pixels.
    """
    total = _extend(np.zeros(dx.shape), dy.shape[1:3], kernel, stride, padding, fill=0)
    for tap, pixels in _taps(dy.shape[1:3], kernel, stride):
        total[pixels] += np.where(argmax == tap, dy.astype(np.float64), 0.0)
    dx[...] = _crop(total, dx.shape, padding)


def _overlap(size: int, outputs: int, kernel: int, stride: int, padding: int, border: int) -> np.ndarray:
    """How many pixels between -border and size + border each window of one axis covers."""
    start = np.arange(outputs) * stride - padding
    covered = np.minimum(start + kernel, size + border) - np.maximum(start, -border)
    return np.maximum(covered, 0)


def _divisors(
    size: Pair,
    output_size: Pair,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    count_include_pad: bool,
) -> np.ndarray:
    """What each window's sum is divided by, (OH, OW, 1).

    Pixels in the padding count if `count_include_pad`; those beyond it, which only ``ceil_mode``
    reaches, never do. An empty window has a sum of 0 and the divisor 1.
    """
    borders = padding if count_include_pad else (0, 0)
    rows, columns = map(_overlap, size, output_size, kernel, stride, padding, borders)
    return np.maximum(np.outer(rows, columns), 1)[..., None].astype(np.float64)


def avg_pool2d_forward(
    x: np.ndarray, y: np.ndarray, kernel: Pair, stride: Pair, padding: Pair, count_include_pad: bool
) -> None:
    """Mean of each window.

    Parameters
    ----------
    x : ndarray (N, H, W, C)
    y : ndarray (N, OH, OW, C)
        Output.
    kernel, stride, padding : (int, int)
        Vertical and horizontal, in pixels.
    count_include_pad : bool
        Whether the zeros of the padding count in the mean.
    """
    output_size = y.shape[1:3]
    values = _extend(x, output_size, kernel, stride, padding, fill=0)
    total = sum(values[pixels] for _, pixels in _taps(output_size, kernel, stride))
    y[...] = total / _divisors(x.shape[1:3], output_size, kernel, stride, padding, count_include_pad)


def avg_pool2d_backward(
    dy: np.ndarray,
    dx: np.ndarray,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    count_include_pad: bool,
) -> None:
    """Gradient of the mean: every pixel of a window gets the window's `dy` over its divisor.

    Parameters
    ----------
    dy : ndarray (N, OH, OW, C)
    dx : ndarray (N, H, W, C)
        Output.
    kernel, stride, padding : (int, int)
        Vertical and horizontal, in pixels.
    count_include_pad : bool
        As in the forward pass.
    """
    output_size = dy.shape[1:3]
    share = dy / _divisors(dx.shape[1:3], output_size, kernel, stride, padding, count_include_pad)
    total = _extend(np.zeros(dx.shape), output_size, kernel, stride, padding, fill=0)
    for _, pixels in _taps(output_size, kernel, stride):
        total[pixels] += share
    dx[...] = _crop(total, dx.shape, padding)


def _adaptive_windows(size: Pair, output_size: Pair) -> Iterator[tuple[int, int, slice, slice]]:
    """Each output pixel (i, j) with the rows and columns that it sees."""
    for cell in np.ndindex(*output_size):
        rows, columns = (
            slice(i * full // parts, -((i + 1) * full // -parts))  # floor of the start, ceiling of the end
            for i, full, parts in zip(cell, size, output_size, strict=True)
        )
        yield *cell, rows, columns


def adaptive_avg_pool2d_forward(x: np.ndarray, y: np.ndarray) -> None:
    """Mean over OH x OW windows that cover the image.

    Window (i, j) has the rows from ``floor(i H / OH)`` up to, without, ``ceil((i + 1) H / OH)``,
    and columns alike.

    Parameters
    ----------
    x : ndarray (N, H, W, C)
    y : ndarray (N, OH, OW, C)
        Output; OH = OW = 1 is the global average.
    """
    values = x.astype(np.float64)
    for i, j, rows, columns in _adaptive_windows(x.shape[1:3], y.shape[1:3]):
        y[:, i, j] = values[:, rows, columns].mean(axis=(1, 2))


def adaptive_avg_pool2d_backward(dy: np.ndarray, dx: np.ndarray) -> None:
    """Gradient of the adaptive mean: a window spreads its `dy` evenly; windows may share pixels.

    Parameters
    ----------
    dy : ndarray (N, OH, OW, C)
    dx : ndarray (N, H, W, C)
        Output.
    """
    total = np.zeros(dx.shape)
    for i, j, rows, columns in _adaptive_windows(dx.shape[1:3], dy.shape[1:3]):
        area = (rows.stop - rows.start) * (columns.stop - columns.start)
        total[:, rows, columns] += dy[:, i : i + 1, j : j + 1].astype(np.float64) / area
    dx[...] = total


def adaptive_max_pool2d_forward(x: np.ndarray, y: np.ndarray, argmax: np.ndarray) -> None:
    """Maximum over the windows of :func:`adaptive_avg_pool2d_forward`.

    Ties and NaN are settled as in :func:`max_pool2d_forward`.

    Parameters
    ----------
    x : ndarray (N, H, W, C)
    y : ndarray (N, OH, OW, C)
        Output.
    argmax : ndarray (N, OH, OW, C), int32
        Output: ``h * W + w`` of the winner in the image.
    """
    values = x.astype(np.float64)
    for i, j, rows, columns in _adaptive_windows(x.shape[1:3], y.shape[1:3]):
        window = values[:, rows, columns]
        pool = np.empty((len(x), 1, 1, x.shape[3]))
        tap = np.empty(pool.shape, np.int64)
        max_pool2d_forward(window, pool, tap, window.shape[1:3], (1, 1), (0, 0))
        row, column = np.divmod(tap, window.shape[2])
        y[:, i, j] = pool[:, 0, 0]
        argmax[:, i, j] = ((row + rows.start) * x.shape[2] + column + columns.start)[:, 0, 0]


def adaptive_max_pool2d_backward(dy: np.ndarray, argmax: np.ndarray, dx: np.ndarray) -> None:
    """Gradient of the adaptive maximum: ``dx[n, argmax, c] += dy[n, i, j, c]``.

    Parameters
    ----------
    dy : ndarray (N, OH, OW, C)
    argmax : ndarray (N, OH, OW, C), int32
        As :func:`adaptive_max_pool2d_forward` wrote it.
    dx : ndarray (N, H, W, C)
        Output.
    """
    image, _, _, channel = np.indices(dy.shape)
    row, column = np.divmod(argmax, dx.shape[2])
    total = np.zeros(dx.shape)
    np.add.at(total, (image, row, column, channel), dy.astype(np.float64))
    dx[...] = total
