"""Activation functions of any shape; NaN in gives NaN out. Softmax runs along the last axis.

The backward pass reads the output y where the derivative is a function of y alone, otherwise the
input x.

Sources: Goodfellow et al., "Deep Learning" (2016), section 6.3 (sigmoid, tanh, ReLU and its leaky
form) and 6.2.2.3 (softmax); Krizhevsky, "Convolutional deep belief networks on CIFAR-10" (2010)
(ReLU6); Hendrycks and Gimpel, "Gaussian Error Linear Units" (2016) (GELU, SiLU); Howard et al.,
"Searching for MobileNetV3" (2019), section 5.2 (hard sigmoid, hard swish);
Li et al., "Selective kernel networks" (2019), section 3.1 (softmax across branches).
"""

from __future__ import annotations

import math

import numpy as np

_erf = np.vectorize(math.erf, otypes=[np.float64])


def _logistic(x: np.ndarray) -> np.ndarray:
    """``1 / (1 + exp(-x))`` in float64; where the exponential overflows, 0 is the right answer."""
    with np.errstate(over="ignore"):
        return 1.0 / (1.0 + np.exp(-x.astype(np.float64)))


def sigmoid_forward(x: np.ndarray, y: np.ndarray) -> None:
    """Logistic function ``y = 1 / (1 + exp(-x))``.

    Parameters
    ----------
    x : ndarray
    y : ndarray, same shape
        Output.
    """
    y[...] = _logistic(x)


def sigmoid_backward(y: np.ndarray, dy: np.ndarray, dx: np.ndarray) -> None:
    """``dx = dy y (1 - y)``.

    Parameters
    ----------
    y, dy : ndarray
    dx : ndarray, same shape
        Output.
    """
    out = y.astype(np.float64)
    dx[...] = dy * out * (1.0 - out)


def tanh_forward(x: np.ndarray, y: np.ndarray) -> None:
    """Hyperbolic tangent.

    Parameters
    ----------
    x : ndarray
    y : ndarray, same shape
        Output.
    """
    y[...] = np.tanh(x.astype(np.float64))


def tanh_backward(y: np.ndarray, dy: np.ndarray, dx: np.ndarray) -> None:
    """``dx = dy (1 - y^2)``.

    Parameters
    ----------
    y, dy : ndarray
    dx : ndarray, same shape
        Output.
    """
    dx[...] = dy * (1.0 - y.astype(np.float64) ** 2)


def relu_forward(x: np.ndarray, y: np.ndarray) -> None:
    """Rectifier: 0 where x < 0, otherwise x (so that NaN stays NaN).

    Parameters
    ----------
    x : ndarray
    y : ndarray, same shape
        Output.
    """
    y[...] = np.where(x < 0, 0.0, x)


def relu_backward(y: np.ndarray, dy: np.ndarray, dx: np.ndarray) -> None:
    """`dy` where the unit was on, 0 where ``y <= 0``.

    Parameters
    ----------
    y, dy : ndarray
    dx : ndarray, same shape
        Output.
    """
    dx[...] = np.where(y <= 0, 0.0, dy)


def leaky_relu_forward(x: np.ndarray, y: np.ndarray, slope: float) -> None:
    """x where x > 0, otherwise ``slope x``.

    Parameters
    ----------
    x : ndarray
    y : ndarray, same shape
        Output.
    slope : float
    """
    y[...] = np.where(x > 0, x, slope * x.astype(np.float64))


def leaky_relu_backward(x: np.ndarray, dy: np.ndarray, dx: np.ndarray, slope: float) -> None:
    """`dy` where x > 0, otherwise ``slope dy``.

    Parameters
    ----------
    x, dy : ndarray
    dx : ndarray, same shape
        Output.
    slope : float
    """
    dx[...] = np.where(x > 0, dy, slope * dy.astype(np.float64))


def relu6_forward(x: np.ndarray, y: np.ndarray) -> None:
    """Rectifier capped at six: ``min(max(x, 0), 6)``.

    Parameters
    ----------
    x : ndarray
    y : ndarray, same shape
        Output.
    """
    y[...] = np.clip(x.astype(np.float64), 0.0, 6.0)


def relu6_backward(y: np.ndarray, dy: np.ndarray, dx: np.ndarray) -> None:
    """`dy` inside the ramp, 0 where ``y <= 0`` or ``y >= 6``.

    Parameters
    ----------
    y, dy : ndarray
    dx : ndarray, same shape
        Output.
    """
    dx[...] = np.where((y <= 0) | (y >= 6), 0.0, dy)


def _activate(values: np.ndarray, y: np.ndarray, activation: str) -> None:
    """``y = activation(values)`` for an activation by its name: "none", "relu" or "relu6"."""
    if activation == "none":
        y[...] = values
    else:
        {"relu": relu_forward, "relu6": relu6_forward}[activation](values, y)


def _normal_cdf(x: np.ndarray) -> np.ndarray:
    """Standard normal distribution function."""
    return 0.5 * (1.0 + _erf(x / math.sqrt(2.0)))


def gelu_forward(x: np.ndarray, y: np.ndarray) -> None:
    """Gaussian error linear unit, exact: ``y = x Phi(x)``, Phi the normal distribution function.

    Parameters
    ----------
    x : ndarray
    y : ndarray, same shape
        Output.
    """
    values = x.astype(np.float64)
    y[...] = values * _normal_cdf(values)


def gelu_backward(x: np.ndarray, dy: np.ndarray, dx: np.ndarray) -> None:
    """``dx = dy (Phi(x) + x phi(x))`` with the normal density phi.

    Parameters
    ----------
    x, dy : ndarray
    dx : ndarray, same shape
        Output.
    """
    values = x.astype(np.float64)
    density = np.exp(-0.5 * values**2) / math.sqrt(2.0 * math.pi)
    dx[...] = dy * (_normal_cdf(values) + values * density)


def silu_forward(x: np.ndarray, y: np.ndarray) -> None:
    """Sigmoid linear unit, or swish: ``y = x sigmoid(x)``.

    Parameters
    ----------
    x : ndarray
    y : ndarray, same shape
        Output.
    """
    y[...] = x * _logistic(x)


def silu_backward(x: np.ndarray, dy: np.ndarray, dx: np.ndarray) -> None:
    """``dx = dy s (1 + x (1 - s))`` with ``s = sigmoid(x)``.

    Parameters
    ----------
    x, dy : ndarray
    dx : ndarray, same shape
        Output.
    """
    s = _logistic(x)
    dx[...] = dy * s * (1.0 + x * (1.0 - s))


def hard_sigmoid_forward(x: np.ndarray, y: np.ndarray) -> None:
    """Piecewise sigmoid: ``y = min(max(x + 3, 0), 6) / 6``.

    Parameters
    ----------
    x : ndarray
    y : ndarray, same shape
        Output.
    """
    y[...] = np.clip(x.astype(np.float64) + 3.0, 0.0, 6.0) / 6.0


def hard_sigmoid_backward(y: np.ndarray, dy: np.ndarray, dx: np.ndarray) -> None:
    """``dy / 6`` on the ramp, 0 where ``y <= 0`` or ``y >= 1``.

    Parameters
    ----------
    y, dy : ndarray
    dx : ndarray, same shape
        Output.
    """
    dx[...] = np.where((y <= 0) | (y >= 1), 0.0, dy.astype(np.float64) / 6.0)


def hard_swish_forward(x: np.ndarray, y: np.ndarray) -> None:
    """Piecewise swish: ``y = x min(max(x + 3, 0), 6) / 6``.

    Parameters
    ----------
    x : ndarray
    y : ndarray, same shape
        Output.
    """
    values = x.astype(np.float64)
    y[...] = values * np.clip(values + 3.0, 0.0, 6.0) / 6.0


def hard_swish_backward(x: np.ndarray, dy: np.ndarray, dx: np.ndarray) -> None:
    """0 where ``x <= -3``, `dy` where ``x >= 3``, ``dy (x / 3 + 1 / 2)`` between.

    Parameters
    ----------
    x, dy : ndarray
    dx : ndarray, same shape
        Output.
    """
    ramp = dy * (x.astype(np.float64) / 3.0 + 0.5)
    dx[...] = np.where(x <= -3.0, 0.0, np.where(x >= 3.0, dy, ramp))


def softmax_forward(x: np.ndarray, y: np.ndarray) -> None:
    """``y = exp(x) / sum exp(x)`` along the last axis.

    The maximum is subtracted first, so that nothing overflows.

    Parameters
    ----------
    x : ndarray (..., K)
    y : ndarray, same shape
        Output.
    """
    values = x.astype(np.float64)
    exponentials = np.exp(values - values.max(axis=-1, keepdims=True))
    y[...] = exponentials / exponentials.sum(axis=-1, keepdims=True)


def softmax_backward(y: np.ndarray, dy: np.ndarray, dx: np.ndarray) -> None:
    """``dx = y (dy - sum_k dy_k y_k)`` along the last axis.

    Parameters
    ----------
    y, dy : ndarray (..., K)
    dx : ndarray, same shape
        Output.
    """
    out = y.astype(np.float64)
    dx[...] = out * (dy - (dy * out).sum(axis=-1, keepdims=True))


def branch_softmax_forward(x: np.ndarray, y: np.ndarray, branches: int) -> None:
    """Softmax across branches whose features lie one branch behind the other in a row.

    ``y[m, b, c] = exp(x[m, b, c]) / sum over b of exp(x[m, b, c])``.

    Parameters
    ----------
    x : ndarray (M, branches * C)
    y : ndarray, same shape
        Output.
    branches : int
    """
    table = x.reshape(len(x), branches, -1).swapaxes(1, 2)  # (M, C, branches)
    shares = np.empty(table.shape)
    softmax_forward(table, shares)
    y[...] = shares.swapaxes(1, 2).reshape(x.shape)


def branch_softmax_backward(y: np.ndarray, dy: np.ndarray, dx: np.ndarray, branches: int) -> None:
    """``dx = y (dy - sum over b of dy_b y_b)``.

    Parameters
    ----------
    y, dy : ndarray (M, branches * C)
    dx : ndarray, same shape
        Output.
    branches : int
    """
    shares, upstream = (each.reshape(len(y), branches, -1).swapaxes(1, 2) for each in (y, dy))
    slopes = np.empty(shares.shape)
    softmax_backward(shares, upstream, slopes)
    dx[...] = slopes.swapaxes(1, 2).reshape(y.shape)
