"""Layer and group normalisation; the formulas are in :mod:`kernels.reference.layer_norm`.

A *unit* is what is normalised together: the channels of one group over the pixels of one image, as rows of `width`
floats that lie `line` floats apart. Layer normalisation has units of one row.
"""

from __future__ import annotations

import math

import numpy as np

from kernels.cpu import narrow, wide
from kernels.cpu.jit import inner, kernel, not_noted
from kernels.cpu.jobs import CHUNK, SMALL, run_chunks, run_jobs
from kernels.cpu.simd import address, load_scalar, store_scalar
from kernels.cpu.tails import zero_floats

_ZERO = np.float32(0)
# Rows that are treated channel block by channel block while they lie in the first-level cache.
_STEP = 32
_MOST_JOBS = 16

# --- forward -------------------------------------------------------------------------------------


def _sum_of(ops):
    @inner
    def sum_rows(x, rows, width, line):
        """Sum over a unit; float64, from short float32 sums."""
        total, whole = 0.0, width & -(4 * ops.LANES)
        for first in range(0, rows, _STEP):
            s, t, u, v = ops.splat(_ZERO), ops.splat(_ZERO), ops.splat(_ZERO), ops.splat(_ZERO)
            for r in range(first, min(first + _STEP, rows)):
                place = x + 4 * r * line
                for at in range(place, place + 4 * whole, 4 * ops.BYTES):
                    s, t = ops.add(s, ops.load(at)), ops.add(t, ops.load(at + ops.BYTES))
                    u, v = ops.add(u, ops.load(at + 2 * ops.BYTES)), ops.add(v, ops.load(at + 3 * ops.BYTES))
                for c in range(whole, width, ops.LANES):
                    s = ops.add(s, ops.read(place + 4 * c, width - c))
            total += ops.lane_total(ops.add(ops.add(s, t), ops.add(u, v)))
        return total

    return sum_rows


def _moments_of(ops):
    @inner
    def moments(x, rows, width, line, center):
        """``sum x - center`` and ``sum (x - center)^2`` over a unit; float64, from short float32 sums."""
        middle, total, square, whole = ops.splat(center), 0.0, 0.0, width & -(2 * ops.LANES)
        for first in range(0, rows, _STEP):
            s, t, p, q = ops.splat(_ZERO), ops.splat(_ZERO), ops.splat(_ZERO), ops.splat(_ZERO)
            for r in range(first, min(first + _STEP, rows)):
                place = x + 4 * r * line
                for at in range(place, place + 4 * whole, 2 * ops.BYTES):
                    u, v = ops.sub(ops.load(at), middle), ops.sub(ops.load(at + ops.BYTES), middle)
                    s, t, p, q = ops.add(s, u), ops.add(t, v), ops.fma(u, u, p), ops.fma(v, v, q)
                for c in range(whole, width, ops.LANES):
                    u = ops.sub(ops.read_filled(place + 4 * c, width - c, middle), middle)
                    s, p = ops.add(s, u), ops.fma(u, u, p)
            total += ops.lane_total(ops.add(s, t))
            square += ops.lane_total(ops.add(p, q))
        return total, square

    return moments


def _normalise_of(ops):
    @inner
    def normalise(x, y, gamma, beta, rows, width, line, mean, scale):
        m, a, whole = ops.splat(mean), ops.splat(scale), width & -ops.LANES
        for first in range(0, rows, _STEP):
            last = min(first + _STEP, rows)
            for c in range(0, whole, ops.LANES):
                factor, offset = ops.mul(ops.load(gamma + 4 * c), a), ops.load(beta + 4 * c)
                place = 4 * (first * line + c)
                for _ in range(first, last):
                    ops.store(y + place, ops.fma(ops.sub(ops.load(x + place), m), factor, offset))
                    place += 4 * line
            for c in range(whole, width, ops.LANES):
                factor, offset = ops.mul(ops.read(gamma + 4 * c, width - c), a), ops.read(beta + 4 * c, width - c)
                for r in range(first, last):
                    place = 4 * (r * line + c)
                    ops.write(y + place, ops.fma(ops.sub(ops.read(x + place, width - c), m), factor, offset), width - c)

    return normalise


@inner
def _start(unit, pixels, channels, groups, width):
    """First float of a unit."""
    return unit // groups * pixels * channels + unit % groups * width


def _forward_of(one_row):
    """The forward pass of the units of a job; if each is one row, compiled for it.

    Step by step for all units, since within a unit every step waits for the one before.
    """
    ops = wide if one_row else narrow  # a group may have few channels
    sum_rows, moments, normalise = _sum_of(ops), _moments_of(ops), _normalise_of(ops)

    @inner
    def forward_units(x, gamma, beta, y, mean, inv_std, sizes, eps, start, stop):
        pixels, channels, groups = (1, sizes[1], 1) if one_row else sizes
        width = channels // groups
        share = 1.0 / (pixels * width)
        for unit in range(start, stop):
            place = x + 4 * _start(unit, pixels, channels, groups, width)
            store_scalar(mean + 4 * unit, np.float32(sum_rows(place, pixels, width, channels) * share))
        for unit in range(start, stop):
            # Again, around the mean: squares of the values themselves would drown a small variance.
            place, middle = x + 4 * _start(unit, pixels, channels, groups, width), load_scalar(mean + 4 * unit)
            rest, square = moments(place, pixels, width, channels, middle)
            center, variance = middle + rest * share, (square - rest * rest * share) * share
            scale = 1.0 / math.sqrt(max(variance, 0.0) + eps) if variance == variance else variance
            store_scalar(mean + 4 * unit, np.float32(center))
            store_scalar(inv_std + 4 * unit, np.float32(scale))
        for unit in range(start, stop):
            place, c = 4 * _start(unit, pixels, channels, groups, width), 4 * (unit % groups * width)
            center, scale = load_scalar(mean + 4 * unit), load_scalar(inv_std + 4 * unit)
            normalise(x + place, y + place, gamma + c, beta + c, pixels, width, channels, center, scale)

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


def _unit_sums_of(ops):
    @inner
    def unit_sums(x, dy, gamma, dgamma, dbeta, rows, width, line, mean, scale):
        """Add to `dgamma` and `dbeta`; return ``sum gamma dy`` and ``sum gamma dy (x - mean)`` of a unit."""
        m, a, plain, product = ops.splat(mean), ops.splat(scale), 0.0, 0.0
        for first in range(0, rows, _STEP):
            last, u, v = min(first + _STEP, rows), ops.splat(_ZERO), ops.splat(_ZERO)
            for c in range(0, width, ops.LANES):
                count, s, q = width - c, ops.splat(_ZERO), ops.splat(_ZERO)
                for r in range(first, last):
                    place = 4 * (r * line + c)
                    slope = ops.read(dy + place, count)
                    s, q = ops.add(s, slope), ops.fma(slope, ops.sub(ops.read_filled(x + place, count, m), m), q)
                factor = ops.read(gamma + 4 * c, count)
                u, v = ops.fma(factor, s, u), ops.fma(factor, q, v)
                ops.write(dbeta + 4 * c, ops.add(ops.read(dbeta + 4 * c, count), s), count)
                ops.write(dgamma + 4 * c, ops.fma(q, a, ops.read(dgamma + 4 * c, count)), count)
            plain += ops.lane_total(u)
            product += ops.lane_total(v)
        return plain, product

    return unit_sums


def _unit_slopes_of(ops):
    @inner
    def unit_slopes(x, dy, dx, gamma, rows, width, line, mean, factors):
        """``dx = dy gamma scale + (x - mean) slope + offset``."""
        m, a = ops.splat(mean), ops.splat(factors[0])
        slope, offset = ops.splat(factors[1]), ops.splat(factors[2])
        for first in range(0, rows, _STEP):
            last = min(first + _STEP, rows)
            for c in range(0, width, ops.LANES):
                factor = ops.mul(ops.read(gamma + 4 * c, width - c), a)
                for r in range(first, last):
                    place = 4 * (r * line + c)
                    through = ops.fma(ops.sub(ops.read(x + place, width - c), m), slope, offset)
                    ops.write(dx + place, ops.fma(ops.read(dy + place, width - c), factor, through), width - c)

    return unit_slopes


def _backward_of(one_row):
    """The backward pass of a job; if each unit is one row, compiled for it."""
    ops = wide if one_row else narrow
    unit_sums, unit_slopes = _unit_sums_of(ops), _unit_slopes_of(ops)

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
                plain, product = unit_sums(
                    x + place, dy + place, factor, dgamma + c, dbeta + c, pixels, width, channels, center, scale
                )
                share = np.float64(scale) / (pixels * width)
                factors = (
                    np.float64(scale), -share * product * np.float64(scale) * np.float64(scale), -share * plain,
                )  # fmt: skip
                unit_slopes(x + place, dy + place, dx + place, factor, pixels, width, channels, center, factors)

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
        not_noted()
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
