"""Dropout with a mask that is computed, not stored; its definition is in :mod:`kernels.reference.dropout`."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.cuda import launch
from kernels.cuda.indices import divided
from kernels.cuda.jit import inner, kernel
from kernels.cuda.maps import flatten
from kernels.cuda.toolkit import cuda

_HALF_KEY = 0xFFFFFFFF
_ZERO = np.float32(0)
_FIFTEEN, _SIXTEEN, _FIRST, _SECOND = (np.uint32(each) for each in (15, 16, 0x7FEB352D, 0x846CA68B))


@inner
def _mix(x):
    """The 32-bit mixer ``lowbias32``. Numba's products have 64 bits, of which the lower half is kept."""
    x = np.uint32((x ^ (x >> _SIXTEEN)) * _FIRST)
    x = np.uint32((x ^ (x >> _FIFTEEN)) * _SECOND)
    return np.uint32(x ^ (x >> _SIXTEEN))


@kernel("void(float32[::1], float32[::1], int32, uint32, uint32, uint32, float32)")
def dropout_kernel(x, y, each, low, high, threshold, scale):
    """``y = x keep scale``, where `each` neighbours stay or vanish together.

    The threshold and the halves of the key have 32 bits.
    """
    i = cuda.grid(1)
    if i < y.size:
        unit = i
        if each > 1:
            unit, _ = divided(i, each)
        mixed = _mix(np.uint32(np.uint32(unit) ^ low))
        stays = _mix(np.uint32(mixed ^ high)) >= threshold
        y[i] = x[i] * (scale if stays else _ZERO)


def _drop(x: Any, y: Any, each: int, rate: float, scale: float, key: int) -> None:
    key, threshold, vectors = int(key), int(rate * 2.0**32), flatten(x, y)
    if x.size:
        halves = key & _HALF_KEY, (key >> 32) & _HALF_KEY
        dropout_kernel(launch.over(x.size), *vectors, each, *halves, threshold, scale)


def dropout_forward(x: Any, y: Any, rate: float, scale: float, key: int) -> None:
    """``y[i] = x[i] keep(i) scale``.

    Parameters
    ----------
    x : device array
    y : device array, same shape
        Output; may be `x` itself.
    rate : float
        Probability of zero, in [0, 1).
    scale : float
        Usually ``1 / (1 - rate)``, which keeps the expected value.
    key : int
        64 bits that select the mask.
    """
    _drop(x, y, 1, rate, scale, key)


def dropout_backward(dy: Any, dx: Any, rate: float, scale: float, key: int) -> None:
    """``dx[i] = dy[i] keep(i) scale``, the same mask as in the forward pass.

    Parameters
    ----------
    dy : device array
    dx : device array, same shape
        Output; may be `dy` itself.
    rate, scale, key
        As in the forward pass.
    """
    dropout_forward(dy, dx, rate, scale, key)


def stochastic_depth_forward(x: Any, y: Any, rate: float, scale: float, key: int) -> None:
    """``y[n] = x[n] keep(n) scale``: an example stays or vanishes as a whole.

    Parameters
    ----------
    x : device array (N, ...)
    y : device array, same shape
        Output; may be `x` itself.
    rate : float
        Probability of zero, in [0, 1).
    scale : float
        Usually ``1 / (1 - rate)``, which keeps the expected value.
    key : int
        64 bits that select the mask.
    """
    _drop(x, y, x.size // max(1, x.shape[0]), rate, scale, key)


def stochastic_depth_backward(dy: Any, dx: Any, rate: float, scale: float, key: int) -> None:
    """``dx[n] = dy[n] keep(n) scale``, the same mask as in the forward pass.

    Parameters
    ----------
    dy : device array (N, ...)
    dx : device array, same shape
        Output; may be `dy` itself.
    rate, scale, key
        As in the forward pass.
    """
    stochastic_depth_forward(dy, dx, rate, scale, key)
