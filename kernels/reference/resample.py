"""Enlarging images: every output pixel is a weighted mean of the input pixels around the point that it lies over.

Rows and columns are treated alike and one after the other, so a resampling is two matrices: ``Y = A X B^T`` for each
channel, and ``dX = A^T dY B`` backward.

Source: Gonzalez and Woods, "Digital Image Processing" (2018), section 2.4 (nearest neighbour and bilinear
interpolation); pixel centres as in PyTorch.
"""

from __future__ import annotations

import numpy as np


def _place(i: int, size: int, outputs: int, align_corners: bool, scale: float) -> float:
    """Where in the input, counted in pixels from the centre of the first one, the centre of output pixel i lies.

    Pixels are areas, `scale` output pixels to one of the input; with `align_corners` they are points, of which the
    first and the last keep their places.
    """
    if align_corners:
        return i * (size - 1) / (outputs - 1) if outputs > 1 else 0.0
    return (i + 0.5) / scale - 0.5 if scale else (i + 0.5) * size / outputs - 0.5


def _weights(size: int, outputs: int, bilinear: bool, align_corners: bool, scale: float) -> np.ndarray:
    """Matrix (outputs, size) of one axis.

    Nearest takes the input pixel that the left edge of the output pixel lies in, bilinear the two pixels whose centres
    its own lies between. Beyond the outermost centres there is only one.
    """
    matrix = np.zeros((outputs, size))
    for i in range(outputs):
        if not bilinear:
            source = int(i / scale) if scale else i * size // outputs
            matrix[i, min(source, size - 1)] = 1.0
            continue
        place = min(max(_place(i, size, outputs, align_corners, scale), 0.0), size - 1.0)
        low = int(place)
        high = min(low + 1, size - 1)
        matrix[i, low] += 1.0 - (place - low)
        matrix[i, high] += place - low
    return matrix


def _both(
    source: tuple[int, ...], target: tuple[int, ...], bilinear: bool, align_corners: bool, scale: tuple[float, float]
) -> list[np.ndarray]:
    return [_weights(source[a], target[a], bilinear, align_corners, scale[a - 1]) for a in (1, 2)]


def upsample2d_forward(
    x: np.ndarray, y: np.ndarray, bilinear: bool, align_corners: bool = False, scale: tuple[float, float] = (0.0, 0.0)
) -> None:
    """Enlarge images to the size of `y`.

    Parameters
    ----------
    x : ndarray (N, H, W, C)
    y : ndarray (N, OH, OW, C)
        Output.
    bilinear : bool
        Interpolate between the four nearest pixels; else take the nearest one.
    align_corners : bool
        Bilinear only: pixels are points, and those in the corners keep their places.
    scale : (float, float)
        Output pixels to one input pixel, down and across; 0 for the ratio of the sizes.
    """
    down, across = _both(x.shape, y.shape, bilinear, align_corners, scale)
    y[...] = np.einsum("ah,nhwc,bw->nabc", down, x.astype(np.float64), across, optimize=True)


def upsample2d_backward(
    dy: np.ndarray, dx: np.ndarray, bilinear: bool, align_corners: bool = False, scale: tuple[float, float] = (0.0, 0.0)
) -> None:
    """Every output pixel hands its gradient back to the pixels that it was made of, by the same weights.

    Parameters
    ----------
    dy : ndarray (N, OH, OW, C)
    dx : ndarray (N, H, W, C)
        Output.
    bilinear, align_corners : bool
    scale : (float, float)
    """
    down, across = _both(dx.shape, dy.shape, bilinear, align_corners, scale)
    dx[...] = np.einsum("ah,nabc,bw->nhwc", down, dy.astype(np.float64), across, optimize=True)
