"""Enlarging images: every output pixel is a weighted mean of the input pixels around the point that it lies over.

Rows and columns are treated alike and one after the other, so a resampling is two matrices: ``Y = A X B^T`` for each
channel, and ``dX = A^T dY B`` backward.

Source: Gonzalez and Woods, "Digital Image Processing" (2018), section 2.4 (nearest neighbour and bilinear
interpolation); pixel centres as in PyTorch without ``align_corners``.
"""

from __future__ import annotations

import numpy as np


def _weights(size: int, outputs: int, bilinear: bool) -> np.ndarray:
    """Matrix (outputs, size) of one axis.

    Output pixel i covers the place ``(i + 1/2) size / outputs`` of the input; nearest takes the pixel that this lies
    in, bilinear the two pixels whose centres it lies between. Beyond the outermost centres there is only one.
    """
    matrix = np.zeros((outputs, size))
    for i in range(outputs):
        if not bilinear:
            matrix[i, i * size // outputs] = 1.0
            continue
        centre = max((i + 0.5) * size / outputs - 0.5, 0.0)
        low = int(centre)
        high = min(low + 1, size - 1)
        matrix[i, low] += 1.0 - (centre - low)
        matrix[i, high] += centre - low
    return matrix


def upsample2d_forward(x: np.ndarray, y: np.ndarray, bilinear: bool) -> None:
    """Enlarge images to the size of `y`.

    Parameters
    ----------
    x : ndarray (N, H, W, C)
    y : ndarray (N, OH, OW, C)
        Output.
    bilinear : bool
        Interpolate between the four nearest pixels; else take the nearest one.
    """
    down, across = (_weights(x.shape[i], y.shape[i], bilinear) for i in (1, 2))
    y[...] = np.einsum("ah,nhwc,bw->nabc", down, x.astype(np.float64), across, optimize=True)


def upsample2d_backward(dy: np.ndarray, dx: np.ndarray, bilinear: bool) -> None:
    """Every output pixel hands its gradient back to the pixels that it was made of, by the same weights.

    Parameters
    ----------
    dy : ndarray (N, OH, OW, C)
    dx : ndarray (N, H, W, C)
        Output.
    bilinear : bool
    """
    down, across = (_weights(dx.shape[i], dy.shape[i], bilinear) for i in (1, 2))
    dx[...] = np.einsum("ah,nabc,bw->nhwc", down, dy.astype(np.float64), across, optimize=True)
