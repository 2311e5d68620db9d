"""Dropout with a mask that is computed, not stored.

Whether element i stays is a function of i and of the key alone, so the forward and the backward
pass agree without a mask in memory, and every thread count gives the same bits. The exact
definition, in uint32 arithmetic that wraps:

    mix(x):     x ^= x >> 16;  x *= 0x7feb352d;  x ^= x >> 15;  x *= 0x846ca68b;  x ^= x >> 16
    hash(i):    mix(mix(i ^ low half of the key) ^ high half of the key)
    keep(i):    hash(i) >= floor(rate * 2^32)

Here i is the element's index in the flattened array modulo 2^32, the key is an integer of 64 bits
(its two's complement where negative), and the threshold is computed in float64.

Stochastic depth drops whole examples: there i is the example's number.

Sources: Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting"
(2014); Huang et al., "Deep networks with stochastic depth" (2016); the mixer is ``lowbias32`` of
Wellons, "Prospecting for hash functions" (2018).
"""

from __future__ import annotations

import numpy as np

_HALF = 0xFFFFFFFF


def _mix(x: np.ndarray) -> np.ndarray:
    """A bijection of uint32 in which every input bit flips every output bit about half the time."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def _keep(shape: tuple[int, ...], rate: float, key: int) -> np.ndarray:
    """Which elements of an array of `shape` stay, bool."""
    index = np.arange(np.prod(shape, dtype=np.int64)).astype(np.uint32)
    low, high = np.uint32(int(key) & _HALF), np.uint32((int(key) >> 32) & _HALF)
    threshold = np.uint32(int(rate * 2.0**32))
    return (_mix(_mix(index ^ low) ^ high) >= threshold).reshape(shape)


def dropout_forward(x: np.ndarray, y: np.ndarray, rate: float, scale: float, key: int) -> None:
    """``y[i] = x[i] keep(i) scale``, with ``keep`` as defined at the top of this file.

    Parameters
    ----------
    x : ndarray
        Any shape, C-contiguous.
    y : ndarray, same shape
        Output.
    rate : float
        Probability of zero, in [0, 1).
    scale : float
        Usually ``1 / (1 - rate)``, which keeps the expected value.
    key : int
        64 bits that select the mask.
    """
    y[...] = x.astype(np.float64) * _keep(x.shape, rate, key) * scale


def dropout_backward(dy: np.ndarray, dx: np.ndarray, rate: float, scale: float, key: int) -> None:
    """``dx[i] = dy[i] keep(i) scale``, the same mask as in the forward pass.

    Parameters
    ----------
    dy : ndarray
        Any shape, C-contiguous.
    dx : ndarray, same shape
        Output.
    rate, scale, key
        As in the forward pass.
    """
    dx[...] = dy.astype(np.float64) * _keep(dy.shape, rate, key) * scale


def stochastic_depth_forward(x: np.ndarray, y: np.ndarray, rate: float, scale: float, key: int) -> None:
    """``y[n] = x[n] keep(n) scale``: an example stays or vanishes as a whole.

    Parameters
    ----------
    x : ndarray (N, ...)
        C-contiguous.
    y : ndarray, same shape
        Output.
    rate : float
        Probability of zero, in [0, 1).
    scale : float
        Usually ``1 / (1 - rate)``, which keeps the expected value.
    key : int
        64 bits that select the mask.
    """
    keep = _keep((len(x),), rate, key).reshape(-1, *[1] * (x.ndim - 1))
    y[...] = x.astype(np.float64) * keep * scale


def stochastic_depth_backward(dy: np.ndarray, dx: np.ndarray, rate: float, scale: float, key: int) -> None:
    """``dx[n] = dy[n] keep(n) scale``, the same mask as in the forward pass.

    Parameters
    ----------
    dy : ndarray (N, ...)
        C-contiguous.
    dx : ndarray, same shape
        Output.
    rate, scale, key
        As in the forward pass.
    """
    stochastic_depth_forward(dy, dx, rate, scale, key)
