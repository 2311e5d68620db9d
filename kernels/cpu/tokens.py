"""Sequences of tokens: a learned token in front of all others."""

from __future__ import annotations

import numpy as np

from kernels.cpu.elementwise import copy_columns
from kernels.cpu.jit import not_noted


def _flat(array: np.ndarray) -> np.ndarray:
    return array.reshape(len(array), -1)


def prepend_token_forward(x: np.ndarray, token: np.ndarray, y: np.ndarray) -> None:
    """Put the same token in front of every sequence.

    Parameters
    ----------
    x : ndarray (N, T, D)
    token : ndarray (D,)
    y : ndarray (N, T + 1, D)
        Output.
    """
    not_noted()
    copy_columns(_flat(x), _flat(y), 0, token.size, x.shape[1] * x.shape[2])
    y[:, 0] = token


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
        copy_columns(_flat(dy), _flat(dx), dy.shape[2], 0, dx.shape[1] * dx.shape[2])
    if dtoken is not None:
        not_noted()
        np.sum(dy[:, 0], axis=0, out=dtoken)
