"""Piecewise linear activation functions: ReLU, leaky ReLU, ReLU6, hard sigmoid, and hard swish.

NaN in gives NaN out. The loops are those of :mod:`kernels.cuda.maps`, the formulas as in
:mod:`kernels.reference.activations`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.cuda.formulas import clamp
from kernels.cuda.maps import map_one, map_two

_ZERO, _HALF, _ONE, _THREE, _SIX = (np.float32(each) for each in (0.0, 0.5, 1.0, 3.0, 6.0))
_THIRD, _SIXTH = np.float32(1.0 / 3.0), np.float32(1.0 / 6.0)

# --- the formulas: (x, parameter) or (saved, dy, parameter) --------------------------------------


def _relu_formula(x, p):
    return _ZERO if x < _ZERO else x


def _relu_slope(y, dy, p):
    return _ZERO if y <= _ZERO else dy


def _leaky_relu_formula(x, slope):
    return x if x > _ZERO else x * slope


def _leaky_relu_slope(x, dy, slope):
    return dy if x > _ZERO else dy * slope


def _relu6_formula(x, p):
    return clamp(x, _ZERO, _SIX)


def _relu6_slope(y, dy, p):
    return _ZERO if y <= _ZERO or y >= _SIX else dy


def _hard_sigmoid_formula(x, p):
    return clamp(x + _THREE, _ZERO, _SIX) * _SIXTH


def _hard_sigmoid_slope(y, dy, p):
    return _ZERO if y <= _ZERO or y >= _ONE else dy * _SIXTH


def _hard_swish_formula(x, p):
    return x * clamp(x + _THREE, _ZERO, _SIX) * _SIXTH


def _hard_swish_slope(x, dy, p):
    if x <= -_THREE:
        return _ZERO
    return dy if x >= _THREE else dy * (x * _THIRD + _HALF)


# --- the kernels ---------------------------------------------------------------------------------

_relu_forward = map_one("relu_forward_kernel", _relu_formula)
_relu_backward = map_two("relu_backward_kernel", _relu_slope)
_leaky_relu_forward = map_one("leaky_relu_forward_kernel", _leaky_relu_formula)
_leaky_relu_backward = map_two("leaky_relu_backward_kernel", _leaky_relu_slope)
_relu6_forward = map_one("relu6_forward_kernel", _relu6_formula)
_relu6_backward = map_two("relu6_backward_kernel", _relu6_slope)
_hard_sigmoid_forward = map_one("hard_sigmoid_forward_kernel", _hard_sigmoid_formula)
_hard_sigmoid_backward = map_two("hard_sigmoid_backward_kernel", _hard_sigmoid_slope)
_hard_swish_forward = map_one("hard_swish_forward_kernel", _hard_swish_formula)
_hard_swish_backward = map_two("hard_swish_backward_kernel", _hard_swish_slope)

# --- the functions -------------------------------------------------------------------------------


def relu_forward(x: Any, y: Any) -> None:
    """0 where x < 0, otherwise x.

    Parameters
    ----------
    x : device array
    y : device array, same shape
        Output; may be `x` itself.
    """
    _relu_forward(x, y)


def relu_backward(y: Any, dy: Any, dx: Any) -> None:
    """`dy`, but 0 where ``y <= 0``.

    Parameters
    ----------
    y : device array
        The forward pass's output.
    dy : device array, same shape
    dx : device array, same shape
        Output; may be `dy` itself.
    """
    _relu_backward(y, dy, dx)


def leaky_relu_forward(x: Any, y: Any, slope: float) -> None:
    """x where x > 0, otherwise ``slope x``.

    Parameters
    ----------
    x : device array
    y : device array, same shape
        Output; may be `x` itself.
    slope : float
    """
    _leaky_relu_forward(x, y, slope)


def leaky_relu_backward(x: Any, dy: Any, dx: Any, slope: float) -> None:
    """`dy` where x > 0, otherwise ``slope dy``.

    Parameters
    ----------
    x : device array
        The forward pass's input.
    dy : device array, same shape
    dx : device array, same shape
        Output; may be `dy` itself.
    slope : float
    """
    _leaky_relu_backward(x, dy, dx, slope)


def relu6_forward(x: Any, y: Any) -> None:
    """``min(max(x, 0), 6)``.

    Parameters
    ----------
    x : device array
    y : device array, same shape
        Output; may be `x` itself.
    """
    _relu6_forward(x, y)


def relu6_backward(y: Any, dy: Any, dx: Any) -> None:
    """`dy`, but 0 where ``y <= 0`` or ``y >= 6``.

    Parameters
    ----------
    y : device array
        The forward pass's output.
    dy : device array, same shape
    dx : device array, same shape
        Output; may be `dy` itself.
    """
    _relu6_backward(y, dy, dx)


def activate(y: Any, activation: str) -> None:
    """Apply the activation "none", "relu" or "relu6" to `y` itself."""
    if activation != "none":
        {"relu": relu_forward, "relu6": relu6_forward}[activation](y, y)


def hard_sigmoid_forward(x: Any, y: Any) -> None:
    """``min(max(x + 3, 0), 6) / 6``.

    Parameters
    ----------
    x : device array
    y : device array, same shape
        Output; may be `x` itself.
    """
    _hard_sigmoid_forward(x, y)


def hard_sigmoid_backward(y: Any, dy: Any, dx: Any) -> None:
    """``dy / 6``, but 0 where ``y <= 0`` or ``y >= 1``.

    Parameters
    ----------
    y : device array
        The forward pass's output.
    dy : device array, same shape
    dx : device array, same shape
        Output; may be `dy` itself.
    """
    _hard_sigmoid_backward(y, dy, dx)


def hard_swish_forward(x: Any, y: Any) -> None:
    """``x min(max(x + 3, 0), 6) / 6``.

    Parameters
    ----------
    x : device array
    y : device array, same shape
        Output; may be `x` itself.
    """
    _hard_swish_forward(x, y)


def hard_swish_backward(x: Any, dy: Any, dx: Any) -> None:
    """`dy` times 0, ``x / 3 + 1 / 2`` or 1: below -3, between, above 3.

    Parameters
    ----------
    x : device array
        The forward pass's input.
    dy : device array, same shape
    dx : device array, same shape
        Output; may be `dy` itself.
    """
    _hard_swish_backward(x, dy, dx)
