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
