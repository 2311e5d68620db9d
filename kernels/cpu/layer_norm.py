"""Layer and group normalisation; the formulas are in :mod:`kernels.reference.layer_norm`.

A *unit* is what is normalised together: the channels of one group over the pixels of one image, as rows of `width`
floats that lie `line` floats apart. Layer normalisation has units of one row.
"""

from __future__ import annotations

import math

import numpy as np

from kernels.cpu.jit import inner, kernel
from kernels.cpu.jobs import CHUNK, SMALL, run_chunks, run_jobs
from kernels.cpu.simd import address, load_scalar, store_scalar
from kernels.cpu.tails import zero_floats
from kernels.cpu.wide import (
    BYTES,
    LANES,
    add,
    fma,
    lane_total,
    load,
    mul,
    read,
    read_filled,
    splat,
    store,
    sub,
    write,
)

_ZERO = np.float32(0)
# Rows that are treated channel block by channel block while they lie in the first-level cache.
_STEP = 32
_MOST_JOBS = 16

# --- forward -------------------------------------------------------------------------------------


@inner
def _sum(x, rows, width, line):
    """Sum over a unit; float64, from short float32 sums."""
    total, whole = 0.0, width & -(4 * LANES)
    for first in range(0, rows, _STEP):
        s, t, u, v = splat(_ZERO), splat(_ZERO), splat(_ZERO), splat(_ZERO)
        for r in range(first, min(first + _STEP, rows)):
            place = x + 4 * r * line
            for at in range(place, place + 4 * whole, 4 * BYTES):
                s, t = add(s, load(at)), add(t, load(at + BYTES))
                u, v = add(u, load(at + 2 * BYTES)), add(v, load(at + 3 * BYTES))
            for c in range(whole, width, LANES):
                s = add(s, read(place + 4 * c, width - c))
        total += lane_total(add(add(s, t), add(u, v)))
    return total


@inner
def _moments(x, rows, width, line, center):
    """``sum x - center`` and ``sum (x - center)^2`` over a unit; float64, from short float32 sums."""
    middle, total, square, whole = splat(center), 0.0, 0.0, width & -(2 * LANES)
    for first in range(0, rows, _STEP):
        s, t, p, q = splat(_ZERO), splat(_ZERO), splat(_ZERO), splat(_ZERO)
        for r in range(first, min(first + _STEP, rows)):
            place = x + 4 * r * line
            for at in range(place, place + 4 * whole, 2 * BYTES):
                u, v = sub(load(at), middle), sub(load(at + BYTES), middle)
                s, t, p, q = add(s, u), add(t, v), fma(u, u, p), fma(v, v, q)
            for c in range(whole, width, LANES):
                u = sub(read_filled(place + 4 * c, width - c, middle), middle)
                s, p = add(s, u), fma(u, u, p)
        total += lane_total(add(s, t))
        square += lane_total(add(p, q))
    return total, square


@inner
def _normalise(x, y, gamma, beta, rows, width, line, mean, scale):
    m, a, whole = splat(mean), splat(scale), width & -LANES
    for first in range(0, rows, _STEP):
        last = min(first + _STEP, rows)
        for c in range(0, whole, LANES):
            factor, offset = mul(load(gamma + 4 * c), a), load(beta + 4 * c)
            place = 4 * (first * line + c)
            for _ in range(first, last):
                store(y + place, fma(sub(load(x + place), m), factor, offset))
                place += 4 * line
        for c in range(whole, width, LANES):
            factor, offset = mul(read(gamma + 4 * c, width - c), a), read(beta + 4 * c, width - c)
            for r in range(first, last):
                place = 4 * (r * line + c)
                write(y + place, fma(sub(read(x + place, width - c), m), factor, offset), width - c)


@inner
def _start(unit, pixels, channels, groups, width):
    """First float of a unit."""
    return unit // groups * pixels * channels + unit % groups * width


def _forward_of(one_row):
    """The forward pass of the units of a job; if each is one row, compiled for it.

    Step by step for all units, since within a unit every step waits for the one before.
    """

    @inner
    def forward_units(x, gamma, beta, y, mean, inv_std, sizes, eps, start, stop):
        pixels, channels, groups = (1, sizes[1], 1) if one_row else sizes
        width = channels // groups
        share = 1.0 / (pixels * width)
        for unit in range(start, stop):
            place = x + 4 * _start(unit, pixels, channels, groups, width)
            store_scalar(mean + 4 * unit, np.float32(_sum(place, pixels, width, channels) * share))
        for unit in range(start, stop):
            # Again, around the mean: squares of the values themselves would drown a small variance.
            place, middle = x + 4 * _start(unit, pixels, channels, groups, width), load_scalar(mean + 4 * unit)
            rest, square = _moments(place, pixels, width, channels, middle)
            center, variance = middle + rest * share, (square - rest * rest * share) * share
            scale = 1.0 / math.sqrt(max(variance, 0.0) + eps) if variance == variance else variance
            store_scalar(mean + 4 * unit, np.float32(center))
            store_scalar(inv_std + 4 * unit, np.float32(scale))
        for unit in range(start, stop):
            place, c = 4 * _start(unit, pixels, channels, groups, width), 4 * (unit % groups * width)
            center, scale = load_scalar(mean + 4 * unit), load_scalar(inv_std + 4 * unit)
            _normalise(x + place, y + place, gamma + c, beta + c, pixels, width, channels, center, scale)

    return forward_units


_forward_rows, _forward_units = _forward_of(True), _forward_of(False)


@kernel("void(f4[:,:,::1], f4[::1], f4[::1], f4[:,:,::1], f4[:,::1], f4[:,::1], f8)", parallel=False)
def group_norm_forward_kernel(x, gamma, beta, y, mean, inv_std, eps):
    """Statistics and normalisation, unit by unit."""
    sizes = (x.shape[1], x.shape[2], mean.shape[1])
    arguments = (address(x), address(gamma), address(beta), address(y), address(mean), address(inv_std), sizes, eps)
    chunk = max(1, CHUNK * mean.size // max(1, x.size))
    if x.shape[1] == mean.shape[1] == 1:
        run_chunks(_forward_rows, arguments, mean.size, chunk, x.size < SMALL)
    else:
        run_chunks(_forward_units, arguments, mean.size, chunk, x.size < SMALL)


# --- backward ------------------------------------------------------------------------------------


@inner
def _unit_sums(x, dy, gamma, dgamma, dbeta, rows, width, line, mean, scale):
    """Add to `dgamma` and `dbeta`; return ``sum gamma dy`` and ``sum gamma dy (x - mean)`` of a unit."""
    m, a, plain, product = splat(mean), splat(scale), 0.0, 0.0
    for first in range(0, rows, _STEP):
        last, u, v = min(first + _STEP, rows), splat(_ZERO), splat(_ZERO)
        for c in range(0, width, LANES):
            count, s, q = width - c, splat(_ZERO), splat(_ZERO)
            for r in range(first, last):
                place = 4 * (r * line + c)
                slope = read(dy + place, count)
                s, q = add(s, slope), fma(slope, sub(read_filled(x + place, count, m), m), q)
            factor = read(gamma + 4 * c, count)
            u, v = fma(factor, s, u), fma(factor, q, v)
            write(dbeta + 4 * c, add(read(dbeta + 4 * c, count), s), count)
            write(dgamma + 4 * c, fma(q, a, read(dgamma + 4 * c, count)), count)
        plain += lane_total(u)
        product += lane_total(v)
    return plain, product


@inner
def _unit_slopes(x, dy, dx, gamma, rows, width, line, mean, factors):
    """``dx = dy gamma scale + (x - mean) slope + offset``."""
    m, a = splat(mean), splat(factors[0])
    slope, offset = splat(factors[1]), splat(factors[2])
    for first in range(0, rows, _STEP):
        last = min(first + _STEP, rows)
        for c in range(0, width, LANES):
            factor = mul(read(gamma + 4 * c, width - c), a)
            for r in range(first, last):
                place = 4 * (r * line + c)
                through = fma(sub(read(x + place, width - c), m), slope, offset)
                write(dx + place, fma(read(dy + place, width - c), factor, through), width - c)


def _backward_of(one_row):
    """The backward pass of a job; if each unit is one row, compiled for it."""

    @inner
    def backward_job(x, gamma, mean, inv_std, dy, dx, partial, sizes, blocks, job):
        """Some groups of some examples; the sums of the parameters go to rows of `partial` of the job's own."""
        examples, pixels, channels, groups = (sizes[0], 1, sizes[2], 1) if one_row else sizes
        block, part = job // blocks[1], job % blocks[1]
        low, high, width = groups * part // blocks[1], groups * (part + 1) // blocks[1], channels // groups
        dgamma = partial + 8 * block * channels
        dbeta = dgamma + 4 * channels
        zero_floats(dgamma + 4 * low * width, (high - low) * width)
        zero_floats(dbeta + 4 * low * width, (high - low) * width)
        for n in range(examples * block // blocks[0], examples * (block + 1) // blocks[0]):
            for group in range(low, high):
                c, unit = 4 * group * width, 4 * (n * groups + group)
                place, factor = 4 * n * pixels * channels + c, gamma + c
                center, scale = load_scalar(mean + unit), load_scalar(inv_std + unit)
                plain, product = _unit_sums(
                    x + place, dy + place, factor, dgamma + c, dbeta + c, pixels, width, channels, center, scale
                )
                share = np.float64(scale) / (pixels * width)
                factors = (
                    np.float64(scale), -share * product * np.float64(scale) * np.float64(scale), -share * plain,
                )  # fmt: skip
                _unit_slopes(x + place, dy + place, dx + place, factor, pixels, width, channels, center, factors)

    return backward_job


_backward_rows, _backward_units = _backward_of(True), _backward_of(False)


@kernel(
    "void(f4[:,:,::1], f4[::1], f4[:,::1], f4[:,::1], f4[:,:,::1], f4[:,:,::1], f4[:,:,::1], i8)",
    parallel=False,
)
def group_norm_backward_kernel(x, gamma, mean, inv_std, dy, dx, partial, parts):
    """Slopes of the input, and partial sums (blocks, 2, C) of those of the parameters."""
    sizes, blocks = (x.shape[0], x.shape[1], x.shape[2], mean.shape[1]), (partial.shape[0], parts)
    arguments = (
        address(x), address(gamma), address(mean), address(inv_std), address(dy), address(dx), address(partial),
        sizes, blocks,
    )  # fmt: skip
    if x.shape[1] == mean.shape[1] == 1:
        run_jobs(_backward_rows, arguments, blocks[0] * blocks[1], x.size < SMALL)
    else:
        run_jobs(_backward_units, arguments, blocks[0] * blocks[1], x.size < SMALL)


# --- the functions -------------------------------------------------------------------------------


def _check(x: np.ndarray, mean: np.ndarray, *others: np.ndarray | None) -> None:
    fits = mean.shape[0] == x.shape[0] and mean.shape[1] >= 1 and x.shape[2] % mean.shape[1] == 0
    for each in others:
        fits = fits and (each is None or each.shape in (x.shape, x.shape[2:], mean.shape))
    if not fits or not x.size:
        shapes = ", ".join(str(each.shape) for each in (x, mean, *others) if each is not None)
        raise ValueError(f"group normalisation needs arrays (N, P, C), (C,) and (N, G), G dividing C, got {shapes}")


def _or_fill(values: np.ndarray | None, channels: int, fill: float) -> np.ndarray:
    return np.full(channels, fill, np.float32) if values is None else values


def group_norm_forward(
    x: np.ndarray,
    gamma: np.ndarray | None,
    beta: np.ndarray | None,
    y: np.ndarray,
    mean: np.ndarray,
    inv_std: np.ndarray,
    eps: float,
) -> None:
    """Normalise each group of channels over all pixels of its image.

    Parameters
    ----------
    x : ndarray (N, P, C)
        P counts the pixels.
    gamma, beta : ndarray (C,) or None
        None for a factor of one, an offset of zero.
    y : ndarray (N, P, C)
        Output; may be `x` itself.
    mean, inv_std : ndarray (N, G)
        Outputs, kept for the backward pass; G groups of C / G channels.
    eps : float
    """
    _check(x, mean, inv_std, gamma, beta, y)
    channels = x.shape[2]
    parameters = _or_fill(gamma, channels, 1.0), _or_fill(beta, channels, 0.0)
    group_norm_forward_kernel(x, *parameters, y, mean, inv_std, eps)


def group_norm_backward(
    x: np.ndarray,
    gamma: np.ndarray | None,
    mean: np.ndarray,
    inv_std: np.ndarray,
    dy: np.ndarray,
    dx: np.ndarray,
    dgamma: np.ndarray | None,
    dbeta: np.ndarray | None,
) -> None:
    """Gradient through the normalisation, the mean and the variance.

    Parameters
    ----------
    x : ndarray (N, P, C)
    gamma : ndarray (C,) or None
    mean, inv_std : ndarray (N, G)
        As the forward pass wrote them.
    dy : ndarray (N, P, C)
    dx : ndarray (N, P, C)
        Output; may be `dy` itself.
    dgamma, dbeta : ndarray (C,) or None
        Outputs; None where there is no factor and no offset.
    """
    _check(x, mean, inv_std, gamma, dy, dx, dgamma, dbeta)
    examples, _, channels = x.shape
    blocks = max(1, min(examples, _MOST_JOBS, x.size // CHUNK))
    # Few large images: their groups are shared out, too.
    parts = min(mean.shape[1], 4) if blocks < 4 else 1
    partial = np.empty((blocks, 2, channels), np.float32)
    group_norm_backward_kernel(x, _or_fill(gamma, channels, 1.0), mean, inv_std, dy, dx, partial, parts)
    if dgamma is not None and dbeta is not None:
        dgamma[...], dbeta[...] = partial.sum(axis=0)


def layer_norm_forward(
    x: np.ndarray,
    gamma: np.ndarray | None,
    beta: np.ndarray | None,
    y: np.ndarray,
    mean: np.ndarray,
    inv_std: np.ndarray,
    eps: float,
) -> None:
    """Normalise each row.

    Parameters
    ----------
    x : ndarray (M, C)
    gamma, beta : ndarray (C,) or None
        None for a factor of one, an offset of zero.
    y : ndarray (M, C)
        Output; may be `x` itself.
    mean, inv_std : ndarray (M,)
        Outputs, kept for the backward pass.
    eps : float
    """
    group_norm_forward(x[:, None], gamma, beta, y[:, None], mean[:, None], inv_std[:, None], eps)


def layer_norm_backward(
    x: np.ndarray,
    gamma: np.ndarray | None,
    mean: np.ndarray,
    inv_std: np.ndarray,
    dy: np.ndarray,
    dx: np.ndarray,
    dgamma: np.ndarray | None,
    dbeta: np.ndarray | None,
) -> None:
    """Gradient through the normalisation, the mean and the variance of each row.

    Parameters
    ----------
    x : ndarray (M, C)
    gamma : ndarray (C,) or None
    mean, inv_std : ndarray (M,)
        As the forward pass wrote them.
    dy : ndarray (M, C)
    dx : ndarray (M, C)
        Output; may be `dy` itself.
    dgamma, dbeta : ndarray (C,) or None
        Outputs; None where there is no factor and no offset.
    """
    saved = mean[:, None], inv_std[:, None]
    group_norm_backward(x[:, None], gamma, *saved, dy[:, None], dx[:, None], dgamma, dbeta)
