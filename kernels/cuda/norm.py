"""Batch normalisation of the channels (last axis), with what may follow it, and its folding into the layer before it.

The kernels are in :mod:`kernels.cuda.norm_kernels`.
"""

from __future__ import annotations

import math
from typing import Any

from kernels.cuda import launch
from kernels.cuda.maps import flat
from kernels.cuda.norm_kernels import (
    batch_moments_kernel,
    batch_norm_kernel,
    batch_slope_kernel,
    batch_slope_sums_kernel,
    batch_statistics_kernel,
    fold_batch_norm_kernel,
    inverse_deviation_kernel,
)
from kernels.cuda.reduce import Table, add_pairs, table_of
from kernels.cuda.scratch import room

_NONE = math.nan
#: Lower and upper bound of each activation.
BOUNDS = {"none": (_NONE, _NONE), "relu": (0.0, _NONE), "relu6": (0.0, 6.0)}


def _check(x: Any, *others: Any) -> None:
    for each in others:
        fits = each is None or tuple(each.shape) in (tuple(x.shape), tuple(x.shape[1:]))
        if len(x.shape) != 2 or not x.shape[0] or not fits:
            shapes = ", ".join(str(tuple(other.shape)) for other in (x, *others) if other is not None)
            raise ValueError(f"batch normalisation needs arrays (M, C) and (C,), M >= 1, got {shapes}")


def _partial(table: Table) -> Any:
    """Memory for two numbers of every channel of every split."""
    return room("batch norm", 2 * table.splits * table.channels)


def _inverse(var: Any, eps: float) -> Any:
    """``1 / sqrt(var + eps)``, in memory that the next call uses again."""
    inv_std = room("inverse deviation", var.size)
    inverse_deviation_kernel(launch.over(var.size), var, inv_std, eps)
    return inv_std


def normalise(x: Any, gamma: Any, mean: Any, inv_std: Any, offset: Any, shortcut: Any, y: Any, name: str) -> None:
    """``y = activation((x - mean) gamma inv_std + offset + shortcut)`` for x (M, C); `shortcut` may be None."""
    table, added = table_of(*x.shape), shortcut is not None
    arrays = flat(x), gamma, mean, inv_std, offset, flat(shortcut if added else x), flat(y)
    batch_norm_kernel(table.map(), *arrays, *x.shape, table.lanes, int(added), *BOUNDS[name])


def batch_norm_forward_train(
    x: Any,
    gamma: Any,
    beta: Any,
    y: Any,
    mean: Any,
    inv_std: Any,
    running_mean: Any,
    running_var: Any,
    momentum: float,
    eps: float,
) -> None:
    """Normalise with the batch's statistics: ``y = gamma (x - mean) / sqrt(var + eps) + beta``.

    Parameters
    ----------
    x : device array (M, C)
        M counts every image and pixel.
    gamma, beta : device array (C,)
    y : device array (M, C)
        Output.
    mean, inv_std : device array (C,)
        Outputs, kept for the backward pass: mean and ``1 / sqrt(var + eps)`` with the biased variance (over M).
    running_mean, running_var : device array (C,)
        Updated in place, ``r = (1 - momentum) r + momentum statistic``, with the unbiased variance (over M - 1; over M
        where M is 1).
    momentum : float
        0 leaves the running statistics untouched.
    eps : float
    """
    offset = room("batch norm offset", beta.size)
    running = running_mean, running_var, momentum, eps
    batch_norm_activation_forward_train(x, gamma, beta, None, y, mean, inv_std, offset, *running, "none")


def batch_norm_activation_forward_train(
    x: Any,
    gamma: Any,
    beta: Any,
    shortcut: Any,
    y: Any,
    mean: Any,
    inv_std: Any,
    offset: Any,
    running_mean: Any,
    running_var: Any,
    momentum: float,
    eps: float,
    activation: str,
) -> None:
    """Normalise with the batch's statistics, add a shortcut, and apply an activation, in one pass.

    Parameters
    ----------
    x : device array (M, C)
    gamma, beta : device array (C,)
    shortcut : device array (M, C) or None
        What is added between normalisation and activation.
    y : device array (M, C)
        Output; may be `shortcut` itself.
    mean, inv_std : device array (C,)
        Outputs, as of :func:`batch_norm_forward_train`.
    offset : device array (C,)
        Output: `beta`, and what rounding took from the mean, times the factor of the channel. With it the backward
        pass finds the activation's argument again, to the last bit.
    running_mean, running_var : device array (C,)
        Updated in place.
    momentum, eps : float
    activation : {"none", "relu", "relu6"}
    """
    _check(x, y, shortcut)
    batch_norm_statistics(x, gamma, beta, mean, inv_std, offset, running_mean, running_var, momentum, eps)
    if x.size:
        normalise(x, gamma, mean, inv_std, offset, shortcut, y, activation)


def batch_norm_statistics(
    x: Any,
    gamma: Any,
    beta: Any,
    mean: Any,
    inv_std: Any,
    offset: Any,
    running_mean: Any,
    running_var: Any,
    momentum: float,
    eps: float,
) -> None:
    """What :func:`batch_norm_activation_forward_train` finds out about a batch, without the normalisation.

    Parameters
    ----------
    x : device array (M, C)
    gamma, beta : device array (C,)
    mean, inv_std, offset : device array (C,)
        Outputs.
    running_mean, running_var : device array (C,)
        Updated in place.
    momentum, eps : float
    """
    _check(x, gamma, beta, mean, inv_std, offset, running_mean, running_var)
    if not x.size:
        return
    table = table_of(*x.shape)
    values, partial, sizes = flat(x), _partial(table), (*x.shape, table.splits, table.lanes)
    batch_moments_kernel(table.sums(), values, partial, *sizes)
    arrays = gamma, beta, mean, inv_std, offset, running_mean, running_var
    batch_statistics_kernel(table.totals(), values, partial, *arrays, *sizes, momentum, eps)


def batch_norm_forward_inference(
    x: Any, gamma: Any, beta: Any, running_mean: Any, running_var: Any, y: Any, eps: float
) -> None:
    """Normalise with the running statistics.

    Parameters
    ----------
    x : device array (M, C)
    gamma, beta, running_mean, running_var : device array (C,)
    y : device array (M, C)
        Output; may be `x` itself.
    eps : float
    """
    batch_norm_activation_forward_inference(x, gamma, beta, running_mean, running_var, None, y, eps, "none")


def batch_norm_activation_forward_inference(
    x: Any,
    gamma: Any,
    beta: Any,
    running_mean: Any,
    running_var: Any,
    shortcut: Any,
    y: Any,
    eps: float,
    activation: str,
) -> None:
    """Normalise with the running statistics, add a shortcut, and apply an activation, in one pass.

    Parameters
    ----------
    x : device array (M, C)
    gamma, beta, running_mean, running_var : device array (C,)
    shortcut : device array (M, C) or None
        What is added between normalisation and activation.
    y : device array (M, C)
        Output; may be `x` or `shortcut` itself.
    eps : float
    activation : {"none", "relu", "relu6"}
    """
    _check(x, gamma, beta, running_mean, running_var, shortcut, y)
    if x.size:
        normalise(x, gamma, running_mean, _inverse(running_var, eps), beta, shortcut, y, activation)


def batch_norm_backward_train(
    x: Any, gamma: Any, mean: Any, inv_std: Any, dy: Any, dx: Any, dgamma: Any, dbeta: Any
) -> None:
    """Gradient through the normalisation, the mean and the variance.

    Parameters
    ----------
    x : device array (M, C)
    gamma : device array (C,)
    mean, inv_std : device array (C,)
        As the forward pass wrote them.
    dy : device array (M, C)
    dx : device array (M, C)
        Output; may be `dy` itself.
    dgamma, dbeta : device array (C,)
        Outputs.
    """
    batch_norm_activation_backward_train(x, gamma, mean, inv_std, gamma, None, dy, dx, None, dgamma, dbeta, "none")


def batch_norm_activation_backward_train(
    x: Any,
    gamma: Any,
    mean: Any,
    inv_std: Any,
    offset: Any,
    y: Any,
    dy: Any,
    dx: Any,
    dshortcut: Any,
    dgamma: Any,
    dbeta: Any,
    activation: str,
) -> None:
    """Gradient of :func:`batch_norm_activation_forward_train`.

    Parameters
    ----------
    x : device array (M, C)
    gamma : device array (C,)
    mean, inv_std, offset : device array (C,)
        As the forward pass wrote them.
    y : device array (M, C) or None
        The forward pass's output; read only where there was a shortcut.
    dy : device array (M, C)
    dx : device array (M, C)
        Output; may be `dy` itself.
    dshortcut : device array (M, C) or None
        Output: `dy` where the activation lets it pass. May be `dy` itself, unless `dx` is. None without a shortcut.
    dgamma, dbeta : device array (C,)
        Outputs.
    activation : {"none", "relu", "relu6"}
    """
    _check(x, gamma, mean, inv_std, offset, y, dy, dx, dshortcut, dgamma, dbeta)
    if not x.size:
        return
    saved = flat(x), gamma, mean, inv_std, offset
    _sum_slopes(saved, x.shape, y, dy, dshortcut, dgamma, dbeta, activation)
    if dshortcut is not None:  # g lies there, without what the activation cut off
        dy, activation = dshortcut, "none"
    _map_slopes(saved, x.shape, dy, dx, dgamma, dbeta, True, activation)


def _sum_slopes(
    saved: tuple, shape: tuple, y: Any, dy: Any, dshortcut: Any, dgamma: Any, dbeta: Any, activation: str
) -> None:
    """Write `dgamma`, `dbeta` and `dshortcut`; `saved` is x (flat), gamma, mean, inv_std, offset."""
    table, added = table_of(*shape), dshortcut is not None
    partial, sizes = _partial(table), (*shape, table.splits, table.lanes)
    arrays = (flat(y), flat(dy), flat(dshortcut)) if added else (saved[0], flat(dy), saved[0])
    batch_slope_sums_kernel(table.sums(), *saved, *arrays, partial, *sizes, int(added), *BOUNDS[activation])
    add_pairs(partial, dbeta, dgamma, table)


def _map_slopes(
    saved: tuple, shape: tuple, dy: Any, dx: Any, dgamma: Any, dbeta: Any, through_statistics: bool, activation: str
) -> None:
    table = table_of(*shape)
    arrays, sizes = (flat(dy), flat(dx), dgamma, dbeta), (*shape, table.lanes)
    batch_slope_kernel(table.map(), *saved, *arrays, *sizes, int(through_statistics), *BOUNDS[activation])


def batch_norm_backward_inference(
    x: Any,
    gamma: Any,
    running_mean: Any,
    running_var: Any,
    dy: Any,
    dx: Any,
    dgamma: Any,
    dbeta: Any,
    eps: float,
) -> None:
    """Gradient where the statistics are constants: ``dx = dy gamma inv_std``.

    Parameters
    ----------
    x : device array (M, C)
    gamma, running_mean, running_var : device array (C,)
    dy : device array (M, C)
    dx : device array (M, C)
        Output; may be `dy` itself.
    dgamma, dbeta : device array (C,)
        Outputs: ``sum dy (x - running_mean) inv_std`` and ``sum dy``.
    eps : float
    """
    _check(x, gamma, running_mean, running_var, dy, dx, dgamma, dbeta)
    if not x.size:
        return
    saved = flat(x), gamma, running_mean, _inverse(running_var, eps), gamma
    _sum_slopes(saved, x.shape, None, dy, None, dgamma, dbeta, "none")
    _map_slopes(saved, x.shape, dy, dx, dgamma, dbeta, False, "none")


def fold_batch_norm(
    w: Any, b: Any, gamma: Any, beta: Any, mean: Any, var: Any, eps: float, w_folded: Any, b_folded: Any
) -> None:
    """Parameters of the one layer that does what a layer and the inference batch norm after it do.

    Parameters
    ----------
    w : device array (..., C_out)
        Weights of a convolution or of a linear layer.
    b : device array (C_out,)
        Its bias; zeros if it has none.
    gamma, beta, mean, var : device array (C_out,)
        Parameters and running statistics of the batch norm.
    eps : float
    w_folded : device array (..., C_out)
        Output.
    b_folded : device array (C_out,)
        Output.

    Raises
    ------
    ValueError
        If the shapes do not fit each other.
    """
    channels = tuple(w.shape)[-1]
    vectors = b, gamma, beta, mean, var, b_folded
    if w_folded.shape != w.shape or any(tuple(each.shape) != (channels,) for each in vectors):
        shapes = ", ".join(str(tuple(each.shape)) for each in (w, w_folded, *vectors))
        raise ValueError(f"folding a batch norm needs arrays (..., C) and (C,), got {shapes}")
    if channels:
        arrays = flat(w), b, gamma, beta, mean, var, flat(w_folded), b_folded
        fold_batch_norm_kernel(launch.over(max(w.size, channels)), *arrays, channels, eps)
