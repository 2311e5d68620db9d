"""Smooth activation functions: sigmoid, tanh, GELU, SiLU.

NaN in gives NaN out. The loops are those of :mod:`kernels.cpu.maps`, the formulas as in
:mod:`kernels.reference.activations`.
"""

from __future__ import annotations

import numpy as np

from kernels.cpu import vmath
from kernels.cpu.jit import kernel
from kernels.cpu.jobs import CHUNK, SMALL, SMALL_TRANSCENDENTAL, run_chunks
from kernels.cpu.maps import flatten, map_one, map_two
from kernels.cpu.simd import address

_NO_PARAMETER = np.float32(0)

# --- the formulas: (x, parameter) or (saved, dy, parameter) --------------------------------------


def _sigmoid(x, p):
    return vmath.sigmoid(x)


def _sigmoid_slope(y, dy, p):
    return dy * (y * (1.0 - y))


def _tanh(x, p):
    return vmath.tanh(x)


def _tanh_slope(y, dy, p):
    return dy * (1.0 - y * y)


def _gelu(x, p):
    distribution, _ = vmath.normal_cdf(x)
    return x * distribution


def _gelu_slope(x, dy, p):
    distribution, density = vmath.normal_cdf(x)
    return dy * (x * density + distribution)


def _silu(x, p):
    return x * vmath.sigmoid(x)


def _silu_slope(x, dy, p):
    s = vmath.sigmoid(x)
    return dy * s * (x * (1.0 - s) + 1.0)


# --- the kernels ---------------------------------------------------------------------------------

_sigmoid_body = map_one(_sigmoid)
_sigmoid_slope_body = map_two(_sigmoid_slope)


@kernel("void(f4[::1], f4[::1])", parallel=False)
def sigmoid_forward_kernel(x, y):
    """Sigmoid of a flat array."""
    arguments = (address(x), address(y), _NO_PARAMETER)
    run_chunks(_sigmoid_body, arguments, x.size, CHUNK, x.size < SMALL_TRANSCENDENTAL)


@kernel("void(f4[::1], f4[::1], f4[::1])", parallel=False)
def sigmoid_backward_kernel(y, dy, dx):
    """Sigmoid's gradient, flat arrays."""
    arguments = (address(y), address(dy), address(dx), _NO_PARAMETER)
    run_chunks(_sigmoid_slope_body, arguments, dx.size, CHUNK, dx.size < SMALL)


_tanh_body = map_one(_tanh)
_tanh_slope_body = map_two(_tanh_slope)


@kernel("void(f4[::1], f4[::1])", parallel=False)
def tanh_forward_kernel(x, y):
    """Hyperbolic tangent of a flat array."""
    arguments = (address(x), address(y), _NO_PARAMETER)
    run_chunks(_tanh_body, arguments, x.size, CHUNK, x.size < SMALL_TRANSCENDENTAL)


@kernel("void(f4[::1], f4[::1], f4[::1])", parallel=False)
def tanh_backward_kernel(y, dy, dx):
    """Hyperbolic tangent's gradient, flat arrays."""
    arguments = (address(y), address(dy), address(dx), _NO_PARAMETER)
    run_chunks(_tanh_slope_body, arguments, dx.size, CHUNK, dx.size < SMALL)


_gelu_body = map_one(_gelu)
_gelu_slope_body = map_two(_gelu_slope)


@kernel("void(f4[::1], f4[::1])", parallel=False)
def gelu_forward_kernel(x, y):
    """GELU of a flat array."""
    arguments = (address(x), address(y), _NO_PARAMETER)
    run_chunks(_gelu_body, arguments, x.size, CHUNK, x.size < SMALL_TRANSCENDENTAL)


@kernel("void(f4[::1], f4[::1], f4[::1])", parallel=False)
def gelu_backward_kernel(x, dy, dx):
    """GELU's gradient, flat arrays."""
    run_chunks(
        _gelu_slope_body,
        (address(x), address(dy), address(dx), _NO_PARAMETER),
        dx.size,
        CHUNK,
        dx.size < SMALL_TRANSCENDENTAL,
    )


_silu_body = map_one(_silu)
_silu_slope_body = map_two(_silu_slope)


@kernel("void(f4[::1], f4[::1])", parallel=False)
def silu_forward_kernel(x, y):
    """SiLU of a flat array."""
    arguments = (address(x), address(y), _NO_PARAMETER)
    run_chunks(_silu_body, arguments, x.size, CHUNK, x.size < SMALL_TRANSCENDENTAL)


@kernel("void(f4[::1], f4[::1], f4[::1])", parallel=False)
def silu_backward_kernel(x, dy, dx):
    """SiLU's gradient, flat arrays."""
    run_chunks(
        _silu_slope_body,
        (address(x), address(dy), address(dx), _NO_PARAMETER),
        dx.size,
        CHUNK,
        dx.size < SMALL_TRANSCENDENTAL,
    )


# --- the functions -------------------------------------------------------------------------------


def sigmoid_forward(x: np.ndarray, y: np.ndarray) -> None:
    """``1 / (1 + exp(-x))``.

    Parameters
    ----------
    x : ndarray
    y : ndarray, same shape
        Output; may be `x` itself.
    """
    sigmoid_forward_kernel(*flatten(x, y))


def sigmoid_backward(y: np.ndarray, dy: np.ndarray, dx: np.ndarray) -> None:
    """``dx = dy y (1 - y)``.

    Parameters
    ----------
    y : ndarray
        The forward pass's output.
    dy : ndarray, same shape
    dx : ndarray, same shape
        Output; may be `dy` itself.
    """
    sigmoid_backward_kernel(*flatten(y, dy, dx))


def tanh_forward(x: np.ndarray, y: np.ndarray) -> None:
    """Hyperbolic tangent.

    Parameters
    ----------
    x : ndarray
    y : ndarray, same shape
        Output; may be `x` itself.
    """
    tanh_forward_kernel(*flatten(x, y))


def tanh_backward(y: np.ndarray, dy: np.ndarray, dx: np.ndarray) -> None:
    """``dx = dy (1 - y^2)``.

    Parameters
    ----------
    y : ndarray
        The forward pass's output.
    dy : ndarray, same shape
    dx : ndarray, same shape
        Output; may be `dy` itself.
    """
    tanh_backward_kernel(*flatten(y, dy, dx))


def gelu_forward(x: np.ndarray, y: np.ndarray) -> None:
    """``x Phi(x)`` with the normal distribution function Phi.

    Parameters
    ----------
    x : ndarray
    y : ndarray, same shape
        Output; may be `x` itself.
    """
    gelu_forward_kernel(*flatten(x, y))


def gelu_backward(x: np.ndarray, dy: np.ndarray, dx: np.ndarray) -> None:
    """``dx = dy (Phi(x) + x phi(x))``.

    Parameters
    ----------
    x : ndarray
        The forward pass's input.
    dy : ndarray, same shape
    dx : ndarray, same shape
        Output; may be `dy` itself.
    """
    gelu_backward_kernel(*flatten(x, dy, dx))


def silu_forward(x: np.ndarray, y: np.ndarray) -> None:
    """``x sigmoid(x)``.

    Parameters
    ----------
    x : ndarray
    y : ndarray, same shape
        Output; may be `x` itself.
    """
    silu_forward_kernel(*flatten(x, y))


def silu_backward(x: np.ndarray, dy: np.ndarray, dx: np.ndarray) -> None:
    """``dx = dy s (1 + x (1 - s))`` with ``s = sigmoid(x)``.

    Parameters
    ----------
    x : ndarray
        The forward pass's input.
    dy : ndarray, same shape
    dx : ndarray, same shape
        Output; may be `dy` itself.
    """
    silu_backward_kernel(*flatten(x, dy, dx))
