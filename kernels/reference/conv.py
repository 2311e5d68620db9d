"""Two-dimensional convolution (in truth a cross-correlation), grouped and dilated.

One kernel tap is one matrix product: tap (i, j) meets the pixels of the padded input that lie at
``(oh * stride + i * dilation, ow * stride + j * dilation)``. The forward pass sums over the taps,
the data gradient scatters through the same pixels, and the weight gradient correlates them with
`dy`.

Source: Dumoulin and Visin, "A guide to convolution arithmetic for deep learning" (2016), chapters 2
to 5; groups after Krizhevsky, Sutskever and Hinton (2012), section 3.5.
"""

from __future__ import annotations

import numpy as np

from kernels.reference.activations import _activate

Pair = tuple[int, int]


def _split_channels(array: np.ndarray, groups: int) -> np.ndarray:
    """(..., C) -> (G, ..., C / G): each group of channels on its own, in float64."""
    return np.stack(np.split(array.astype(np.float64), groups, axis=-1))


def _join_channels(array: np.ndarray) -> np.ndarray:
    """(G, ..., C / G) -> (..., C): the reverse of :func:`_split_channels`."""
    return np.concatenate(list(array), axis=-1)


def _pad(x: np.ndarray, padding: Pair) -> np.ndarray:
    """(G, N, H, W, C) -> (G, N, H + 2 ph, W + 2 pw, C), zeros around."""
    (ph, pw), none = padding, (0, 0)
    return np.pad(x, (none, none, (ph, ph), (pw, pw), none))


def _pixels(tap: Pair, output_size: Pair, stride: Pair, dilation: Pair) -> tuple[slice, ...]:
    """Index of the padded pixels that one tap reads, one for each output pixel."""
    starts = [t * d for t, d in zip(tap, dilation, strict=True)]
    rows, columns = (
        slice(start, start + (size - 1) * step + 1, step)
        for start, size, step in zip(starts, output_size, stride, strict=True)
    )
    return (slice(None), slice(None), rows, columns)


def conv2d_forward(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None,
    y: np.ndarray,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    algorithm: str = "auto",
    activation: str = "none",
) -> None:
    """Convolution with stride s, padding p and dilation d.

    ``y[n, oh, ow, o] = b[o] + sum_{i, j, c} x[n, oh s + i d - p, ow s + j d - p, c] w[i, j, c,
    o]``. Pixels outside the image are zero. The sum over c runs over the input channels of the
    group that o belongs to.

    Parameters
    ----------
    x : ndarray (N, H, W, C_in)
    w : ndarray (KH, KW, C_in / groups, C_out)
    b : ndarray (C_out,) or None
    y : ndarray (N, OH, OW, C_out)
        Output; ``OH = (H + 2 ph - dh (KH - 1) - 1) // sh + 1``, and OW alike.
    stride, padding, dilation : (int, int)
        Vertical and horizontal, in pixels.
    groups : int
        Divides C_in and C_out.
    algorithm : str
        How fast backends shall compute it; the textbook has one way.
    activation : {"none", "relu", "relu6"}
        Applied to the sums.
    """
    padded = _pad(_split_channels(x, groups), padding)
    weights = _split_channels(w, groups)
    images, *output_size, channels = y.shape
    total = np.zeros((groups, images, *output_size, channels // groups))
    for i, j in np.ndindex(w.shape[:2]):
        pixels = padded[_pixels((i, j), tuple(output_size), stride, dilation)]
        total += pixels @ weights[:, i, j][:, None, None]
    _activate(_join_channels(total) + (0.0 if b is None else b.astype(np.float64)), y, activation)


def conv2d_backward_data(
    dy: np.ndarray,
    w: np.ndarray,
    dx: np.ndarray,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    algorithm: str = "auto",
    pooled: bool = False,
) -> None:
    """Gradient with respect to the input.

    Each output pixel hands ``dy @ w[i, j].T`` back to the pixel that tap (i, j) read.

    Parameters
    ----------
    dy : ndarray (N, OH, OW, C_out)
    w : ndarray (KH, KW, C_in / groups, C_out)
    dx : ndarray (N, H, W, C_in)
        Output; zero where no window looked.
    stride, padding, dilation : (int, int)
        Vertical and horizontal, in pixels.
    groups : int
    algorithm : str
        As in :func:`conv2d_forward`; and "sparse" if `pooled`.
    pooled : bool
        A promise that `dy` is what a maximum over 2x2 tiles handed back: of every tile at most one value of a channel
        is not 0, and an odd last row and column are 0.
    """
    gradient = _split_channels(dy, groups)
    weights = _split_channels(w, groups)
    total = _pad(_split_channels(np.zeros(dx.shape), groups), padding)
    for i, j in np.ndindex(w.shape[:2]):
        back = weights[:, i, j].swapaxes(1, 2)  # (G, C_out / G, C_in / G)
        pixels = _pixels((i, j), dy.shape[1:3], stride, dilation)
        total[pixels] += gradient @ back[:, None, None]
    (ph, pw), (_, height, width, _) = padding, dx.shape
    dx[...] = _join_channels(total[:, :, ph : ph + height, pw : pw + width])


def conv2d_backward_weights(
    x: np.ndarray,
    dy: np.ndarray,
    dw: np.ndarray,
    db: np.ndarray | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    algorithm: str = "auto",
    pooled: bool = False,
) -> None:
    """Gradient with respect to the parameters.

    ``dw[i, j]`` sums ``x^T dy`` over all output pixels, with the x that tap (i, j) read; ``db = sum
    dy``.

    Parameters
    ----------
    x : ndarray (N, H, W, C_in)
    dy : ndarray (N, OH, OW, C_out)
    dw : ndarray (KH, KW, C_in / groups, C_out)
        Output.
    db : ndarray (C_out,) or None
        Output; None for a layer without bias.
    stride, padding, dilation : (int, int)
        Vertical and horizontal, in pixels.
    groups : int
    algorithm : str
        As in :func:`conv2d_forward`; and "sparse" if `pooled`.
    pooled : bool
        A promise that `dy` is what a maximum over 2x2 tiles handed back: of every tile at most one value of a channel
        is not 0, and an odd last row and column are 0.
    """
    padded = _pad(_split_channels(x, groups), padding)
    gradient = _split_channels(dy, groups)
    outputs = gradient.reshape(groups, -1, gradient.shape[-1])  # (G, N OH OW, C_out / G)
    for i, j in np.ndindex(dw.shape[:2]):
        pixels = padded[_pixels((i, j), dy.shape[1:3], stride, dilation)]
        inputs = pixels.reshape(groups, -1, pixels.shape[-1])  # (G, N OH OW, C_in / G)
        dw[i, j] = _join_channels(inputs.swapaxes(1, 2) @ outputs)
    if db is not None:
        db[...] = dy.astype(np.float64).sum(axis=(0, 1, 2))
