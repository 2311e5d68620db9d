"""Convolution by Winograd's minimal filtering, the textbook form.

A tile of m x m outputs of a 3x3 convolution needs m + 2 = a pixels a side. Along one axis the m outputs are, up to
order, the coefficients of a product of two polynomials, and such a product can be found from its values at a points.
So ``y = A^T [(G g) * (B^T d)]``: the pixels d and the weights g are evaluated at the points, the values multiplied (a
products instead of 3 m), and the outputs interpolated. In two dimensions, with ``*`` between the values of every point,
summed over the channels,

    Y = A^T [(G g G^T) * (B^T d B)] A        F(m x m, 3 x 3): a^2 products instead of 9 m^2

which for m = 2 is 16 instead of 36 and for m = 4 is 36 instead of 144. With points p_0 = 0, +-p_1, ..., infinity and
the polynomial ``M(x) = (x - p_0) (x - p_1) ...`` of all finite points,

- row i of B^T holds the coefficients of ``M(x) / (x - p_i)``, the last one those of M;
- row i of G is ``(1, p_i, p_i^2) / prod_{j != i} (p_i - p_j)``, the last one (0, 0, 1);
- column i of A^T is ``(1, p_i, p_i^2, ...)``, the last one (0, ..., 0, 1).

For m = 2 the points are 0, 1, -1; up to signs that cancel,

    B^T = [1  0 -1  0]    G = [ 1    0    0 ]    A^T = [1  1  1  0]
          [0  1  1  0]        [1/2  1/2  1/2]          [0  1 -1  1]
          [0 -1  1  0]        [1/2 -1/2  1/2]
          [0 -1  0  1]        [ 0    0    1 ]

For m = 4 they are 0, +-3/4, +-3/2 and infinity: 0, +-1, +-2 are usual, but lose three times as many digits.

The gradients follow by transposition. That of the pixels is a convolution with the weights turned by half a turn. That
of the weights is ``G^T [(B^T d B) * (A dY A^T)] G``, summed over the tiles.

Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016, section 4; the choice of points is
discussed by Barabasz et al., "Error Analysis and Improving the Accuracy of Winograd Convolution for Deep Neural
Networks", 2020.
"""

from __future__ import annotations

import numpy as np

Pair = tuple[int, int]

#: The finite points, by outputs of a tile along an axis.
POINTS = {2: (0.0, 1.0, -1.0), 4: (0.0, 0.75, -0.75, 1.5, -1.5)}


def winograd_matrices(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The matrices of ``F(size x size, 3 x 3)``.

    Parameters
    ----------
    size : int
        Outputs of a tile along an axis, m: 2 or 4.

    Returns
    -------
    ndarray (m + 2, m + 2), ndarray (m + 2, 3), ndarray (m, m + 2)
        ``B^T``, ``G`` and ``A^T``.
    """
    p = np.array(POINTS[size])
    others = [np.delete(p, i) for i in range(p.size)]
    bt = np.zeros((size + 2, size + 2))
    for i, roots in enumerate(others):
        bt[i, : p.size] = np.poly(roots)[::-1]  # np.poly begins with the highest power
    bt[-1] = np.poly(p)[::-1]
    scale = np.array([np.prod(each - roots) for each, roots in zip(p, others, strict=True)])
    g = np.vstack([p[:, None] ** np.arange(3) / scale[:, None], [0, 0, 1]])
    at = np.hstack([p ** np.arange(size)[:, None], np.eye(size)[:, -1:]])
    return bt, g, at


def _tiles(image: np.ndarray, step: int, size: int, grid: Pair) -> np.ndarray:
    """(N, H, W, C) -> (N, rows, columns, size, size, C): windows `step` apart, zeros where the image has ended."""
    rows, columns = grid
    height, width = (max(0, (grid[axis] - 1) * step + size - image.shape[1 + axis]) for axis in range(2))
    padded = np.pad(image, ((0, 0), (0, height), (0, width), (0, 0)))
    found = [
        [padded[:, i * step : i * step + size, j * step : j * step + size] for j in range(columns)] for i in range(rows)
    ]
    return np.stack([np.stack(row, axis=1) for row in found], axis=1)


def _source_tiles(x: np.ndarray, padding: Pair, size: int, grid: Pair) -> np.ndarray:
    """Overlapping tiles of the padded source, in float64: (N, rows, columns, m + 2, m + 2, C)."""
    (ph, pw), none = padding, (0, 0)
    return _tiles(np.pad(x.astype(np.float64), (none, (ph, ph), (pw, pw), none)), size, size + 2, grid)


def _both_sides(matrix: np.ndarray, tiles: np.ndarray) -> np.ndarray:
    """``M t M^T`` for the square axes of (..., a, a, C)."""
    return np.einsum("ij,...jkc,lk->...ilc", matrix, tiles, matrix)


def _grid(outputs: tuple[int, ...], size: int) -> Pair:
    return -(-outputs[0] // size), -(-outputs[1] // size)


def winograd_forward(x: np.ndarray, w: np.ndarray, y: np.ndarray, padding: Pair, size: int) -> None:
    """3x3 convolution with stride 1: ``Y = A^T [(G g G^T) * (B^T d B)] A`` for every tile.

    Parameters
    ----------
    x : ndarray (N, H, W, C)
    w : ndarray (3, 3, C, O)
    y : ndarray (N, H + 2 ph - 2, W + 2 pw - 2, O)
        Output.
    padding : (int, int)
        Zeros above and below, and left and right.
    size : int
        Outputs of a tile along an axis: 2 or 4.
    """
    bt, g, at = winograd_matrices(size)
    images, *outputs, channels = y.shape
    rows, columns = _grid(tuple(outputs), size)
    v = _both_sides(bt, _source_tiles(x, padding, size, (rows, columns)))
    u = np.einsum("ij,jkco,lk->ilco", g, w.astype(np.float64), g)
    tiles = _both_sides(at, np.einsum("nrsabc,abco->nrsabo", v, u))  # (N, rows, columns, m, m, O)
    whole = tiles.swapaxes(2, 3).reshape(images, rows * size, columns * size, channels)
    y[...] = whole[:, : outputs[0], : outputs[1]]


def winograd_backward_data(dy: np.ndarray, w: np.ndarray, dx: np.ndarray, padding: Pair, size: int) -> None:
    """Gradient with respect to the input: the forward pass with turned weights and the rest of the padding.

    Parameters
    ----------
    dy : ndarray (N, H + 2 ph - 2, W + 2 pw - 2, O)
    w : ndarray (3, 3, C, O)
    dx : ndarray (N, H, W, C)
        Output.
    padding : (int, int)
        That of the forward pass, at most 2.
    size : int
        2 or 4.
    """
    turned = w[::-1, ::-1].swapaxes(2, 3)  # (3, 3, O, C)
    winograd_forward(dy, turned, dx, (2 - padding[0], 2 - padding[1]), size)


def winograd_backward_weights(x: np.ndarray, dy: np.ndarray, dw: np.ndarray, padding: Pair, size: int) -> None:
    """Gradient with respect to the weights: ``G^T [(B^T d B) * (A dY A^T)] G``, summed over all tiles.

    Parameters
    ----------
    x : ndarray (N, H, W, C)
    dy : ndarray (N, H + 2 ph - 2, W + 2 pw - 2, O)
    dw : ndarray (3, 3, C, O)
        Output.
    padding : (int, int)
    size : int
        2 or 4.
    """
    bt, g, at = winograd_matrices(size)
    grid = _grid(dy.shape[1:3], size)
    v = _both_sides(bt, _source_tiles(x, padding, size, grid))
    z = _both_sides(at.T, _tiles(dy.astype(np.float64), size, size, grid))
    sums = np.einsum("nrsabc,nrsabo->abco", v, z)
    dw[...] = np.einsum("ji,jkco,kl->ilco", g, sums, g)
