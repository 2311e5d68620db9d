"""Sequences of tokens: a learned token in front of all others.

Source: Dosovitskiy et al., "An image is worth 16x16 words" (2021), section 3.1.
"""

from __future__ import annotations

import numpy as np


def prepend_token_forward(x: np.ndarray, token: np.ndarray, y: np.ndarray) -> None:
    """Put the same token in front of every sequence.

    Parameters
    ----------
    x : ndarray (N, T, D)
    token : ndarray (D,)
    y : ndarray (N, T + 1, D)
        Output.
    """
    y[:, 0] = token
    y[:, 1:] = x


def prepend_token_backward(dy: np.ndarray, dx: np.ndarray | None, dtoken: np.ndarray | None) -> None:
    """The token's gradient sums over the sequences; the others keep theirs.

    Parameters
    ----------
    dy : ndarray (N, T + 1, D)
    dx : ndarray (N, T, D) or None
        Output; None where no gradient is wanted.
    dtoken : ndarray (D,) or None
        Output; None where no gradient is wanted.
    """
    if dx is not None:
        dx[...] = dy[:, 1:]
    if dtoken is not None:
        dtoken[...] = dy[:, 0].astype(np.float64).sum(axis=0)
