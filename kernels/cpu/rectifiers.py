"""Piecewise linear activation functions: ReLU, leaky ReLU, ReLU6, hard sigmoid, and hard swish.

NaN in gives NaN out. The loops are those of :mod:`kernels.cpu.maps`, the formulas as in
:mod:`kernels.reference.activations`.
"""

from __future__ import annotations

import numpy as np

from kernels.cpu import vmath
from kernels.cpu.jit import kernel
from kernels.cpu.jobs import CHUNK, SMALL, run_chunks
from kernels.cpu.maps import flatten, map_one, map_two
from kernels.cpu.simd import address

_NO_PARAMETER = np.float32(0)

# --- the formulas: (x, parameter) or (saved, dy, parameter) --------------------------------------


def _relu(x, p):
    return (x < 0.0).where(0.0, x)


def _relu_slope(y, dy, p):
    return (y <= 0.0).where(0.0, dy)


def _leaky_relu(x, slope):
    return (x > 0.0).where(x, x * slope)


def _leaky_relu_slope(x, dy, slope):
    return (x > 0.0).where(dy, dy * slope)


def _relu6(x, p):
    return vmath.clamp(x, 0.0, 6.0)


def _relu6_slope(y, dy, p):
    return ((y <= 0.0) | (y >= 6.0)).where(0.0, dy)


def _hard_sigmoid(x, p):
    return vmath.clamp(x + 3.0, 0.0, 6.0) * (1.0 / 6.0)


def _hard_sigmoid_slope(y, dy, p):
    return ((y <= 0.0) | (y >= 1.0)).where(0.0, dy * (1.0 / 6.0))


def _hard_swish(x, p):
    return x * vmath.clamp(x + 3.0, 0.0, 6.0) * (1.0 / 6.0)


def _hard_swish_slope(x, dy, p):
    ramp = (x >= 3.0).where(dy, dy * (x * (1.0 / 3.0) + 0.5))
    return (x <= -3.0).where(0.0, ramp)


# --- the kernels ---------------------------------------------------------------------------------

_relu_body = map_one(_relu)
_relu_slope_body = map_two(_relu_slope)


@kernel("void(f4[::1], f4[::1])", parallel=False)
def relu_forward_kernel(x, y):
    """ReLU of a flat array."""
    arguments = (address(x), address(y), _NO_PARAMETER)
    run_chunks(_relu_body, arguments, x.size, CHUNK, x.size < SMALL)


@kernel("void(f4[::1], f4[::1], f4[::1])", parallel=False)
def relu_backward_kernel(y, dy, dx):
    """ReLU's gradient, flat arrays."""
    arguments = (address(y), address(dy), address(dx), _NO_PARAMETER)
    run_chunks(_relu_slope_body, arguments, dx.size, CHUNK, dx.size < SMALL)


_leaky_relu_body = map_one(_leaky_relu)
_leaky_relu_slope_body = map_two(_leaky_relu_slope)


@kernel("void(f4[::1], f4[::1], f4)", parallel=False)
def leaky_relu_forward_kernel(x, y, slope):
    """Leaky ReLU of a flat array."""
    arguments = (address(x), address(y), slope)
    run_chunks(_leaky_relu_body, arguments, x.size, CHUNK, x.size < SMALL)


@kernel("void(f4[::1], f4[::1], f4[::1], f4)", parallel=False)
def leaky_relu_backward_kernel(x, dy, dx, slope):
    """Leaky ReLU's gradient, flat arrays."""
    arguments = (address(x), address(dy), address(dx), slope)
    run_chunks(_leaky_relu_slope_body, arguments, dx.size, CHUNK, dx.size < SMALL)


_relu6_body = map_one(_relu6)
_relu6_slope_body = map_two(_relu6_slope)


@kernel("void(f4[::1], f4[::1])", parallel=False)
def relu6_forward_kernel(x, y):
    """ReLU6 of a flat array."""
    arguments = (address(x), address(y), _NO_PARAMETER)
    run_chunks(_relu6_body, arguments, x.size, CHUNK, x.size < SMALL)


@kernel("void(f4[::1], f4[::1], f4[::1])", parallel=False)
def relu6_backward_kernel(y, dy, dx):
    """ReLU6's gradient, flat arrays."""
    arguments = (address(y), address(dy), address(dx), _NO_PARAMETER)
    run_chunks(_relu6_slope_body, arguments, dx.size, CHUNK, dx.size < SMALL)


_hard_sigmoid_body = map_one(_hard_sigmoid)
_hard_sigmoid_slope_body = map_two(_hard_sigmoid_slope)


@kernel("void(f4[::1], f4[::1])", parallel=False)
def hard_sigmoid_forward_kernel(x, y):
    """Hard sigmoid of a flat array."""
    arguments = (address(x), address(y), _NO_PARAMETER)
    run_chunks(_hard_sigmoid_body, arguments, x.size, CHUNK, x.size < SMALL)


@kernel("void(f4[::1], f4[::1], f4[::1])", parallel=False)
def hard_sigmoid_backward_kernel(y, dy, dx):
    """Hard sigmoid's gradient, flat arrays."""
    arguments = (address(y), address(dy), address(dx), _NO_PARAMETER)
    run_chunks(_hard_sigmoid_slope_body, arguments, dx.size, CHUNK, dx.size < SMALL)


_hard_swish_body = map_one(_hard_swish)
_hard_swish_slope_body = map_two(_hard_swish_slope)


@kernel("void(f4[::1], f4[::1])", parallel=False)
def hard_swish_forward_kernel(x, y):
    """Hard swish of a flat array."""
    arguments = (address(x), address(y), _NO_PARAMETER)
    run_chunks(_hard_swish_body, arguments, x.size, CHUNK, x.size < SMALL)


@kernel("void(f4[::1], f4[::1], f4[::1])", parallel=False)
def hard_swish_backward_kernel(x, dy, dx):
    """Hard swish's gradient, flat arrays."""
    arguments = (address(x), address(dy), address(dx), _NO_PARAMETER)
    run_chunks(_hard_swish_slope_body, arguments, dx.size, CHUNK, dx.size < SMALL)


# --- the functions -------------------------------------------------------------------------------


def relu_forward(x: np.ndarray, y: np.ndarray) -> None:
    """0 where x < 0, otherwise x.

    Parameters
    ----------
    x : ndarray
    y : ndarray, same shape
        Output; may be `x` itself.
    """
    relu_forward_kernel(*flatten(x, y))


def relu_backward(y: np.ndarray, dy: np.ndarray, dx: np.ndarray) -> None:
    """`dy`, but 0 where ``y <= 0``.

    Parameters
    ----------
    y : ndarray
        The forward pass's output.
    dy : ndarray, same shape
    dx : ndarray, same shape
        Output; may be `dy` itself.
    """
    relu_backward_kernel(*flatten(y, dy, dx))


def leaky_relu_forward(x: np.ndarray, y: np.ndarray, slope: float) -> None:
    """x where x > 0, otherwise ``slope x``.

    Parameters
    ----------
    x : ndarray
    y : ndarray, same shape
        Output; may be `x` itself.
    slope : float
    """
    leaky_relu_forward_kernel(*flatten(x, y), slope)


def leaky_relu_backward(x: np.ndarray, dy: np.ndarray, dx: np.ndarray, slope: float) -> None:
    """`dy` where x > 0, otherwise ``slope dy``.

    Parameters
    ----------
    x : ndarray
        The forward pass's input.
    dy : ndarray, same shape
    dx : ndarray, same shape
        Output; may be `dy` itself.
    slope : float
    """
    leaky_relu_backward_kernel(*flatten(x, dy, dx), slope)


def relu6_forward(x: np.ndarray, y: np.ndarray) -> None:
    """``min(max(x, 0), 6)``.

    Parameters
    ----------
    x : ndarray
    y : ndarray, same shape
        Output; may be `x` itself.
    """
    relu6_forward_kernel(*flatten(x, y))


def relu6_backward(y: np.ndarray, dy: np.ndarray, dx: np.ndarray) -> None:
    """`dy`, but 0 where ``y <= 0`` or ``y >= 6``.

    Parameters
    ----------
    y : ndarray
        The forward pass's output.
    dy : ndarray, same shape
    dx : ndarray, same shape
        Output; may be `dy` itself.
    """
    relu6_backward_kernel(*flatten(y, dy, dx))


def activate(y: np.ndarray, activation: str) -> None:
    """Apply the activation "none", "relu" or "relu6" to `y` itself."""
    if activation != "none":
        {"relu": relu_forward, "relu6": relu6_forward}[activation](y, y)


def hard_sigmoid_forward(x: np.ndarray, y: np.ndarray) -> None:
    """``min(max(x + 3, 0), 6) / 6``.

    Parameters
    ----------
    x : ndarray
    y : ndarray, same shape
        Output; may be `x` itself.
    """
    hard_sigmoid_forward_kernel(*flatten(x, y))


def hard_sigmoid_backward(y: np.ndarray, dy: np.ndarray, dx: np.ndarray) -> None:
    """``dy / 6``, but 0 where ``y <= 0`` or ``y >= 1``.

    Parameters
    ----------
    y : ndarray
        The forward pass's output.
    dy : ndarray, same shape
    dx : ndarray, same shape
        Output; may be `dy` itself.
    """
    hard_sigmoid_backward_kernel(*flatten(y, dy, dx))


def hard_swish_forward(x: np.ndarray, y: np.ndarray) -> None:
    """``x min(max(x + 3, 0), 6) / 6``.

    Parameters
    ----------
    x : ndarray
    y : ndarray, same shape
        Output; may be `x` itself.
    """
    hard_swish_forward_kernel(*flatten(x, y))


def hard_swish_backward(x: np.ndarray, dy: np.ndarray, dx: np.ndarray) -> None:
    """`dy` times 0, ``x / 3 + 1 / 2`` or 1: below -3, between, above 3.

    Parameters
    ----------
    x : ndarray
        The forward pass's input.
    dy : ndarray, same shape
    dx : ndarray, same shape
        Output; may be `dy` itself.
    """
    hard_swish_backward_kernel(*flatten(x, dy, dx))
