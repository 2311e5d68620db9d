"""Channel shuffle: channels of different groups become neighbours.

Source: Zhang, Zhou, Lin and Sun, "ShuffleNet" (2018), section 3.1.
"""

from __future__ import annotations

import numpy as np


def channel_shuffle_forward(x: np.ndarray, y: np.ndarray, groups: int) -> None:
    """Write the channels as a table of `groups` rows, and read it column by column.

    ``y[m, j groups + i] = x[m, i C / groups + j]``.

    Parameters
    ----------
    x : ndarray (M, C)
    y : ndarray (M, C)
        Output.
    groups : int
        Divides C.
    """
    rows, channels = x.shape
    y[...] = x.reshape(rows, groups, channels // groups).swapaxes(1, 2).reshape(rows, channels)


def channel_shuffle_backward(dy: np.ndarray, dx: np.ndarray, groups: int) -> None:
    """Every gradient goes back to where its channel came from: a shuffle of C / groups groups.

    Parameters
    ----------
    dy : ndarray (M, C)
    dx : ndarray (M, C)
        Output.
    groups : int
        As in the forward pass.
    """
    channel_shuffle_forward(dy, dx, dx.shape[1] // groups)


def interleave_forward(a: np.ndarray, b: np.ndarray, y: np.ndarray, start: int) -> None:
    """Channels of two arrays in turn: what a shuffle of two groups makes of both side by side, or a part of that.

    ``y[m, 2 j] = a[m, start + j]``, ``y[m, 2 j + 1] = b[m, start + j]``.

    Parameters
    ----------
    a : ndarray (M, A)
    b : ndarray (M, B)
    y : ndarray (M, 2 P)
        Output.
    start : int
        First channel of both; ``start + P`` is at most A and B.
    """
    columns = slice(start, start + y.shape[1] // 2)
    y[:, ::2], y[:, 1::2] = a[:, columns], b[:, columns]


def interleave_backward(dy: np.ndarray, da: np.ndarray, db: np.ndarray, start: int) -> None:
    """Every gradient goes back to where its channel came from.

    Parameters
    ----------
    dy : ndarray (M, 2 P)
    da : ndarray (M, A)
    db : ndarray (M, B)
        Outputs: only the P columns from `start` on are written.
    start : int
        As in the forward pass.
    """
    columns = slice(start, start + dy.shape[1] // 2)
    da[:, columns], db[:, columns] = dy[:, ::2], dy[:, 1::2]
