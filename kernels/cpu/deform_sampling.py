"""Where the taps of a deformable convolution read, and what they read; see :mod:`kernels.reference.deform_conv`.

Every tap reads between four pixels. Those outside the image get the weight 0 and the address of a pixel inside, so that
the loops over channels need no branches.
"""

from __future__ import annotations

import math

import numpy as np

from kernels.cpu.jit import inner
from kernels.cpu.simd import add, fma, lane_total, load_scalar, mul, splat
from kernels.cpu.tails import read, write

_ZERO, _ONE = np.float32(0), np.float32(1)
# Fields of the tuple of sizes.
HEIGHT, WIDTH, CHANNELS, OUT_HEIGHT, OUT_WIDTH, OUTPUTS, KERNEL_WIDTH, TAPS, GROUPS, OFFSET_GROUPS = range(10)


@inner
def _axis(point, size):
    """The two pixels of one axis around `point`, their weights, and the slopes of these."""
    if point <= -1.0 or point >= size:
        return 0, 0, _ZERO, _ZERO, _ZERO, _ZERO
    low = math.floor(point)
    share = np.float32(point - low)
    first, second = low, low + 1
    low_weight, low_slope, high_weight, high_slope = _ONE - share, -_ONE, share, _ONE
    if low < 0:
        first, low_weight, low_slope = 0, _ZERO, _ZERO
    if low + 1 >= size:
        second, high_weight, high_slope = low, _ZERO, _ZERO
    return first, second, low_weight, high_weight, low_slope, high_slope


@inner
def axes(offset, pixel, group, tap, sizes, steps):
    """Both axes of what a tap reads for output pixel number `pixel`, as :func:`_axis` gives them.

    An offset that is not a number gives weights that are none.
    """
    place = offset + 8 * ((pixel * sizes[OFFSET_GROUPS] + group) * sizes[TAPS] + tap)
    down, across = load_scalar(place), load_scalar(place + 4)
    oh, ow = pixel // sizes[OUT_WIDTH] % sizes[OUT_HEIGHT], pixel % sizes[OUT_WIDTH]
    row = oh * steps[0] - steps[2] + tap // sizes[KERNEL_WIDTH] * steps[4] + down
    column = ow * steps[1] - steps[3] + tap % sizes[KERNEL_WIDTH] * steps[5] + across
    if down != down or across != across:
        nan = down + across
        return (0, 0, nan, nan, nan, nan), (0, 0, nan, nan, nan, nan)
    return _axis(row, sizes[HEIGHT]), _axis(column, sizes[WIDTH])


@inner
def _corners(image, down, across, sizes, channel):
    """Addresses, at `channel`, of the four pixels."""
    upper, lower = image + 4 * channel, image + 4 * channel
    upper += 4 * down[0] * sizes[WIDTH] * sizes[CHANNELS]
    lower += 4 * down[1] * sizes[WIDTH] * sizes[CHANNELS]
    left, right = 4 * across[0] * sizes[CHANNELS], 4 * across[1] * sizes[CHANNELS]
    return upper + left, upper + right, lower + left, lower + right


@inner
def _mask(mask, pixel, group, tap, sizes):
    return load_scalar(mask + 4 * ((pixel * sizes[OFFSET_GROUPS] + group) * sizes[TAPS] + tap)) if mask else _ONE


@inner
def sample(x, offset, mask, pixel, tap, target, low, high, sizes, steps):
    """Write to `target` what a tap reads, times the mask, in the channels from `low` to `high`."""
    image = x + 4 * (pixel // (sizes[OUT_HEIGHT] * sizes[OUT_WIDTH])) * sizes[HEIGHT] * sizes[WIDTH] * sizes[CHANNELS]
    width = sizes[CHANNELS] // sizes[OFFSET_GROUPS]
    while low < high:
        group = low // width
        last = min(high, (group + 1) * width)
        down, across = axes(offset, pixel, group, tap, sizes, steps)
        factor = _mask(mask, pixel, group, tap, sizes)
        a, b, c, d = _corners(image, down, across, sizes, low)
        top, bottom = down[2] * factor, down[3] * factor
        wa, wb, wc, wd = splat(top * across[2]), splat(top * across[3]), splat(bottom * across[2]), splat(
            bottom * across[3]
        )  # fmt: skip
        for i in range(0, 4 * (last - low), 32):
            count = last - low - i // 4
            upper = fma(wb, read(b + i, count), mul(wa, read(a + i, count)))
            lower = fma(wd, read(d + i, count), mul(wc, read(c + i, count)))
            write(target + i, add(upper, lower), count)
        target += 4 * (last - low)
        low = last


@inner
def _add_to(place, value, weight, count):
    write(place, fma(value, weight, read(place, count)), count)


@inner
def scatter(image, gradient, slope, down, across, factor, low, count, sizes, wanted):
    """What one tap's gradient at `slope`, of `count` channels from `low` on, means for the image and for the point.

    Adds to the gradient of the image, if `wanted`, and returns the products of the slopes with the four pixels.
    """
    a, b, c, d = _corners(image, down, across, sizes, low)
    ga, gb, gc, gd = _corners(gradient, down, across, sizes, low)
    top, bottom = down[2] * factor, down[3] * factor
    wa, wb, wc, wd = splat(top * across[2]), splat(top * across[3]), splat(bottom * across[2]), splat(
        bottom * across[3]
    )  # fmt: skip
    ta, tb, tc, td = splat(_ZERO), splat(_ZERO), splat(_ZERO), splat(_ZERO)
    for i in range(0, 4 * count, 32):
        rest = count - i // 4
        value = read(slope + i, rest)
        ta, tb = fma(value, read(a + i, rest), ta), fma(value, read(b + i, rest), tb)
        tc, td = fma(value, read(c + i, rest), tc), fma(value, read(d + i, rest), td)
        if wanted:
            # One after the other: at the border two of them may be the same pixel.
            _add_to(ga + i, value, wa, rest)
            _add_to(gb + i, value, wb, rest)
            _add_to(gc + i, value, wc, rest)
            _add_to(gd + i, value, wd, rest)
    return lane_total(ta), lane_total(tb), lane_total(tc), lane_total(td)
