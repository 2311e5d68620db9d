"""Smooth activation functions: sigmoid, tanh, GELU, SiLU.

NaN in gives NaN out. The loops are those of :mod:`kernels.cuda.maps`, the formulas as in
:mod:`kernels.reference.activations`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kernels.cuda.formulas import normal_cdf, normal_density, sigmoid
from kernels.cuda.maps import map_one, map_two

_ONE = np.float32(1)

# --- the formulas: (x, parameter) or (saved, dy, parameter) --------------------------------------


def _sigmoid_formula(x, p):
    return sigmoid(x)


def _sigmoid_slope(y, dy, p):
    return dy * (y * (_ONE - y))


def _tanh_formula(x, p):
    return math.tanh(x)


def _tanh_slope(y, dy, p):
    return dy * (_ONE - y * y)


def _gelu_formula(x, p):
    return x * normal_cdf(x)


def _gelu_slope(x, dy, p):
    return dy * (x * normal_density(x) + normal_cdf(x))


def _silu_formula(x, p):
    return x * sigmoid(x)


def _silu_slope(x, dy, p):
    s = sigmoid(x)
    return dy * s * (x * (_ONE - s) + _ONE)


# --- the kernels ---------------------------------------------------------------------------------

_sigmoid_forward = map_one("sigmoid_forward_kernel", _sigmoid_formula)
_sigmoid_backward = map_two("sigmoid_backward_kernel", _sigmoid_slope)
_tanh_forward = map_one("tanh_forward_kernel", _tanh_formula)
_tanh_backward = map_two("tanh_backward_kernel", _tanh_slope)
_gelu_forward = map_one("gelu_forward_kernel", _gelu_formula)
_gelu_backward = map_two("gelu_backward_kernel", _gelu_slope)
_silu_forward = map_one("silu_forward_kernel", _silu_formula)
_silu_backward = map_two("silu_backward_kernel", _silu_slope)

# --- the functions -------------------------------------------------------------------------------


def sigmoid_forward(x: Any, y: Any) -> None:
    """``1 / (1 + exp(-x))``.

    Parameters
    ----------
    x : device array
    y : device array, same shape
        Output; may be `x` itself.
    """
    _sigmoid_forward(x, y)


def sigmoid_backward(y: Any, dy: Any, dx: Any) -> None:
    """``dx = dy y (1 - y)``.

    Parameters
    ----------
    y : device array
        The forward pass's output.
    dy : device array, same shape
    dx : device array, same shape
        Output; may be `dy` itself.
    """
    _sigmoid_backward(y, dy, dx)


def tanh_forward(x: Any, y: Any) -> None:
    """Hyperbolic tangent.

    Parameters
    ----------
    x : device array
    y : device array, same shape
        Output; may be `x` itself.
    """
    _tanh_forward(x, y)


def tanh_backward(y: Any, dy: Any, dx: Any) -> None:
    """``dx = dy (1 - y^2)``.

    Parameters
    ----------
    y : device array
        The forward pass's output.
    dy : device array, same shape
    dx : device array, same shape
        Output; may be `dy` itself.
    """
    _tanh_backward(y, dy, dx)


def gelu_forward(x: Any, y: Any) -> None:
    """``x Phi(x)`` with the normal distribution function Phi.

    Parameters
    ----------
    x : device array
    y : device array, same shape
        Output; may be `x` itself.
    """
    _gelu_forward(x, y)


def gelu_backward(x: Any, dy: Any, dx: Any) -> None:
    """``dx = dy (Phi(x) + x phi(x))``.

    Parameters
    ----------
    x : device array
        The forward pass's input.
    dy : device array, same shape
    dx : device array, same shape
        Output; may be `dy` itself.
    """
    _gelu_backward(x, dy, dx)


def silu_forward(x: Any, y: Any) -> None:
    """``x sigmoid(x)``.

    Parameters
    ----------
    x : device array
    y : device array, same shape
        Output; may be `x` itself.
    """
    _silu_forward(x, y)


def silu_backward(x: Any, dy: Any, dx: Any) -> None:
    """``dx = dy s (1 + x (1 - s))`` with ``s = sigmoid(x)``.

    Parameters
    ----------
    x : device array
        The forward pass's input.
    dy : device array, same shape
    dx : device array, same shape
        Output; may be `dy` itself.
    """
    _silu_backward(x, dy, dx)
