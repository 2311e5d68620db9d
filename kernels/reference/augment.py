"""Batches of images from a set of bytes: gather, crop, flip and normalise in one go.

Source: Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional Neural
Networks" (2012), section 4.1 (shifted crops and horizontal reflections).
"""

from __future__ import annotations

import numpy as np


def _shifted(image: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """The crop of full size whose corner lies at (rows, columns) of the image, black outside it."""
    height, width, _ = image.shape
    margins = ((abs(rows),) * 2, (abs(columns),) * 2, (0, 0))
    top, left = abs(rows) + rows, abs(columns) + columns
    return np.pad(image, margins)[top : top + height, left : left + width]


def gather_images(
    images: np.ndarray,
    index: np.ndarray,
    y: np.ndarray,
    mean: np.ndarray,
    inv_std: np.ndarray,
    shift: np.ndarray,
    flip: np.ndarray,
) -> None:
    """``y[n] = (crop / 255 - mean) inv_std`` of image ``index[n]``.

    A crop is mirrored after it is cut.

    Parameters
    ----------
    images : ndarray (M, H, W, C), uint8
    index : ndarray (N,), int64
        Which images, in 0 ... M - 1.
    y : ndarray (N, H, W, C)
        Output.
    mean, inv_std : ndarray (C,)
        Of intensities in [0, 1].
    shift : ndarray (N, 2), int64
        Corner of the crop, (row, column) in pixels, of either sign; what lies outside the image is
        black before it is normalised.
    flip : ndarray (N,), bool
        Which crops to mirror horizontally.
    """
    for n, (source, (rows, columns), mirrored) in enumerate(zip(index, shift, flip, strict=True)):
        crop = _shifted(images[source], int(rows), int(columns))
        pixels = (crop[:, ::-1] if mirrored else crop) / 255.0
        y[n] = (pixels - mean.astype(np.float64)) * inv_std
