"""Dropout with a mask that is computed, not stored; its definition is in :mod:`kernels.reference.dropout`."""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from kernels.cpu.elementwise import multiply_forward
from kernels.cpu.jit import inner, kernel
from kernels.cpu.jobs import CHUNK, SMALL, run_chunks
from kernels.cpu.maps import flatten
from kernels.cpu.simd import INT32, INT_VECTOR, LANES, VECTOR, address, float32x8, mul, splat
from kernels.cpu.tails import read, write

_HALF_KEY = 0xFFFFFFFF


def _all_lanes(builder, value):
    """The low 32 bits of an integer in all lanes."""
    undefined = ir.Constant(INT_VECTOR, ir.Undefined)
    single = builder.insert_element(undefined, builder.trunc(value, INT32), INT32(0))
    return builder.shuffle_vector(single, undefined, ir.Constant(INT_VECTOR, [0] * LANES))


def _constant(value):
    return ir.Constant(INT_VECTOR, [value] * LANES)


def _mix(builder, x):
    """The 32-bit mixer ``lowbias32`` on eight lanes."""
    x = builder.mul(builder.xor(x, builder.lshr(x, _constant(16))), _constant(0x7FEB352D))
    x = builder.mul(builder.xor(x, builder.lshr(x, _constant(15))), _constant(0x846CA68B))
    return builder.xor(x, builder.lshr(x, _constant(16)))


@intrinsic
def _keep(typingctx, index, low, high, threshold, factor):
    """`factor` in the lanes whose element, counted from `index`, stays, and 0 in the others."""

    def codegen(context, builder, signature, args):
        index, low, high, threshold = (_all_lanes(builder, each) for each in args[:4])
        element = builder.add(index, ir.Constant(INT_VECTOR, list(range(LANES))))
        mixed = _mix(builder, builder.xor(element, low))
        mixed = _mix(builder, builder.xor(mixed, high))
        stays = builder.icmp_unsigned(">=", mixed, threshold)
        return builder.select(stays, args[4], ir.Constant(VECTOR, [0.0] * LANES))

    return float32x8(types.intp, types.intp, types.intp, types.intp, float32x8), codegen


@inner
def _dropout_chunk(x, y, low, high, threshold, scale, start, stop):
    factor = splat(scale)
    for i in range(start, stop, 8):
        kept = mul(read(x + 4 * i, stop - i), _keep(i, low, high, threshold, factor))
        write(y + 4 * i, kept, stop - i)


@kernel("void(f4[::1], f4[::1], i8, i8, i8, f4)", parallel=False)
def dropout_kernel(x, y, low, high, threshold, scale):
    """``y = x keep scale``; the threshold and the halves of the key are 32-bit numbers."""
    arguments = (address(x), address(y), low, high, threshold, scale)
    run_chunks(_dropout_chunk, arguments, x.size, CHUNK, x.size < SMALL)


def dropout_forward(x: np.ndarray, y: np.ndarray, rate: float, scale: float, key: int) -> None:
    """``y[i] = x[i] keep(i) scale``.

    Parameters
    ----------
    x : ndarray
    y : ndarray, same shape
        Output; may be `x` itself.
    rate : float
        Probability of zero, in [0, 1).
    scale : float
        Usually ``1 / (1 - rate)``, which keeps the expected value.
    key : int
        64 bits that select the mask.
    """
    key, threshold = int(key), int(rate * 2.0**32)
    dropout_kernel(*flatten(x, y), key & _HALF_KEY, (key >> 32) & _HALF_KEY, threshold, scale)


def dropout_backward(dy: np.ndarray, dx: np.ndarray, rate: float, scale: float, key: int) -> None:
    """``dx[i] = dy[i] keep(i) scale``, the same mask as in the forward pass.

    Parameters
    ----------
    dy : ndarray
    dx : ndarray, same shape
        Output; may be `dy` itself.
    rate, scale, key
        As in the forward pass.
    """
    dropout_forward(dy, dx, rate, scale, key)


def stochastic_depth_forward(x: np.ndarray, y: np.ndarray, rate: float, scale: float, key: int) -> None:
    """``y[n] = x[n] keep(n) scale``: an example stays or vanishes as a whole.

    Parameters
    ----------
    x : ndarray (N, ...)
    y : ndarray, same shape
        Output; may be `x` itself.
    rate : float
        Probability of zero, in [0, 1).
    scale : float
        Usually ``1 / (1 - rate)``, which keeps the expected value.
    key : int
        64 bits that select the mask.
    """
    factors = np.ones(len(x), np.float32)
    dropout_forward(factors, factors, rate, scale, key)
    multiply_forward(x.reshape(len(x), -1), factors[:, None], y.reshape(len(y), -1))


def stochastic_depth_backward(dy: np.ndarray, dx: np.ndarray, rate: float, scale: float, key: int) -> None:
    """``dx[n] = dy[n] keep(n) scale``, the same mask as in the forward pass.

    Parameters
    ----------
    dy : ndarray (N, ...)
    dx : ndarray, same shape
        Output; may be `dy` itself.
    rate, scale, key
        As in the forward pass.
    """
    stochastic_depth_forward(dy, dx, rate, scale, key)
