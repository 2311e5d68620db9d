"""What the gradients of a deformable convolution's columns mean for its offsets, its mask and its image.

Offsets and mask: a few lanes do a point; they share its channels, and add up what they found as in a tournament.

Image: every point adds to the four pixels around it, and where that is depends on the offsets. A block owns a tile of
the image, of 32 channels, and keeps its sums in shared memory. It looks at all points of the image, 256 at a time, and
lists those that reach its tile; then every warp adds what they give to the row that it owns. No sum is ever shared, so
there are no atomic operations, and points come in their order: the same bits each time.
"""

from __future__ import annotations

import numpy as np
from numba import float32, int32

from kernels.cuda.deform_sampling import (
    CHANNELS,
    GROUPS,
    OFFSET_GROUPS,
    OUT_HEIGHT,
    OUT_WIDTH,
    SIZES,
    TAPS,
    WIDTH,
    factor_of,
    pixel_at,
    place_of,
)
from kernels.cuda.indices import divided, larger, smaller
from kernels.cuda.jit import inner, kernel
from kernels.cuda.reduce import ROOM
from kernels.cuda.toolkit import cuda

_ZERO, _ONE = np.float32(0), np.float32(1)
#: Sides of a tile of the image, each row of which has a warp, and its channels.
TILE, LANES = 8, 32
#: Threads of a block that owns a tile, and floats of the tile.
OWNERS, TILE_FLOATS = TILE * LANES, TILE * TILE * LANES
#: Three numbers for each listed point, and for each thread.
_LISTED, _THREE = 3 * OWNERS, 3 * ROOM


@inner
def _slope_of_point(pixel, tap, sizes):
    """Where the gradient of what a point read of channel 0 lies; `pixel` counts from the columns' first."""
    return pixel * sizes[TAPS] * sizes[CHANNELS] + tap * (sizes[CHANNELS] // sizes[GROUPS])


@inner
def _slope_of_channel(channel, sizes):
    """How far from channel 0 the same of another channel lies."""
    depth = sizes[CHANNELS] // sizes[GROUPS]
    group, own = divided(channel, depth)
    return group * sizes[TAPS] * depth + own


# --- offsets and mask ----------------------------------------------------------------------------


@inner
def _value(x, pixel, channel, sizes):
    return x[pixel * sizes[CHANNELS] + channel] if pixel >= 0 else _ZERO


@inner
def _products(x, slopes, first, image, row, column, begin, end, step, sizes):
    """Sums over channels of slope times value, for each of the four pixels; `first` is where the slopes begin."""
    upper_left, upper_right = pixel_at(image, row, column, sizes), pixel_at(image, row, column + 1, sizes)
    lower_left, lower_right = pixel_at(image, row + 1, column, sizes), pixel_at(image, row + 1, column + 1, sizes)
    a, b, c, d = _ZERO, _ZERO, _ZERO, _ZERO
    for channel in range(begin, end, step):
        slope = slopes[first + _slope_of_channel(channel, sizes)]
        a += slope * _value(x, upper_left, channel, sizes)
        b += slope * _value(x, upper_right, channel, sizes)
        c += slope * _value(x, lower_left, channel, sizes)
        d += slope * _value(x, lower_right, channel, sizes)
    return a, b, c, d


@inner
def _derivatives(products, down, across):
    """How what was read changes with the point's row and column, and what was read, from :func:`_products`."""
    a, b, c, d = products
    upper, lower = (_ONE - across) * a + across * b, (_ONE - across) * c + across * d
    sideways = (_ONE - down) * (b - a) + down * (d - c)
    return lower - upper, sideways, (_ONE - down) * upper + down * lower


@inner
def _over_lanes(shared, three, lanes):
    """Sums of three numbers over so many neighbouring threads, to the first of them; all threads call it."""
    thread, half = cuda.threadIdx.x, lanes // 2
    shared[thread], shared[ROOM + thread], shared[2 * ROOM + thread] = three
    cuda.syncthreads()
    while half > 0:
        if thread % lanes < half:
            for place in range(thread, _THREE, ROOM):
                shared[place] += shared[place + half]
        cuda.syncthreads()
        half //= 2
    return shared[thread], shared[ROOM + thread], shared[2 * ROOM + thread]


@kernel(f"void({', '.join(['float32[::1]'] * 6)}, int32, int32, int32, int32, {SIZES})")
def deform_points_kernel(x, offset, mask, slopes, doffset, dmask, first, lanes, moved, masked, sizes):
    """Gradients of the offsets, if `moved`, and of the mask, if `masked`, of the output pixels from `first` on."""
    shared = cuda.shared.array(_THREE, float32)
    width = sizes[CHANNELS] // sizes[OFFSET_GROUPS]
    own, points, lane = cuda.grid(1) // lanes, slopes.size // width, cuda.threadIdx.x % lanes
    point = first * sizes[OFFSET_GROUPS] * sizes[TAPS] + smaller(own, points - 1)
    rest, tap = divided(point, sizes[TAPS])
    pixel, part = divided(rest, sizes[OFFSET_GROUPS])
    image = pixel // (sizes[OUT_HEIGHT] * sizes[OUT_WIDTH])
    row, column, down, across = place_of(offset, point, sizes)
    slope, begin = _slope_of_point(pixel - first, tap, sizes), part * width
    products = _products(x, slopes, slope, image, row, column, begin + lane, begin + width, lanes, sizes)
    vertical, sideways, read = _over_lanes(shared, _derivatives(products, down, across), lanes)
    if lane == 0 and own < points:
        if moved:
            factor = factor_of(mask, point, sizes)
            doffset[2 * point], doffset[2 * point + 1] = factor * vertical, factor * sideways
        if masked:
            dmask[point] = read


# --- image ---------------------------------------------------------------------------------------


@inner
def _load(tile, dx, image, top, left, channel, there, sizes):
    """A thread's row of the tile, from the image's gradient so far if it is `there`; else zeros."""
    lane, line = cuda.threadIdx.x % LANES, cuda.threadIdx.x // LANES
    for column in range(TILE):
        pixel = pixel_at(image, top + line, left + column, sizes)
        value = dx[pixel * sizes[CHANNELS] + channel] if there and pixel >= 0 else _ZERO
        tile[(line * TILE + column) * LANES + lane] = value


@inner
def _save(tile, dx, image, top, left, channel, sizes):
    lane, line = cuda.threadIdx.x % LANES, cuda.threadIdx.x // LANES
    for column in range(TILE):
        pixel = pixel_at(image, top + line, left + column, sizes)
        if pixel >= 0:
            dx[pixel * sizes[CHANNELS] + channel] = tile[(line * TILE + column) * LANES + lane]


@inner
def _rank(shared, mine):
    """How many threads before this one have `mine` = 1: sums of ever longer runs (Hillis and Steele, 1986)."""
    thread, step = cuda.threadIdx.x, 1
    shared[thread] = mine
    cuda.syncthreads()
    while step < OWNERS:
        before = shared[thread - step] if thread >= step else 0
        cuda.syncthreads()
        shared[thread] += before
        cuda.syncthreads()
        step *= 2
    return shared[thread] - mine


@inner
def _put(places, weights, i, row, column, slope, down, across, factor):
    """Entry i of the list: where a point lies in the tile and its slope in the columns, and its weights."""
    places[i], places[OWNERS + i], places[2 * OWNERS + i] = row, column, slope
    weights[i], weights[OWNERS + i], weights[2 * OWNERS + i] = factor * (_ONE - down), factor * down, across


@inner
def _add_listed(tile, slopes, base, places, weights, count):
    """Add to a thread's row of the tile what the listed points give, one after the other."""
    lane, line = cuda.threadIdx.x % LANES, cuda.threadIdx.x // LANES
    for i in range(count):
        below, column = line - places[i], places[OWNERS + i]
        if below == 0 or below == 1:
            slope = slopes[places[2 * OWNERS + i] + base] * weights[below * OWNERS + i]
            across, place = weights[2 * OWNERS + i], (line * TILE + column) * LANES + lane
            if column >= 0:
                tile[place] += (_ONE - across) * slope
            if column + 1 < TILE:
                tile[place + LANES] += across * slope


@inner
def _add_points(tile, offset, mask, slopes, base, first, begin, end, part, top, left, ranks, places, weights, sizes):
    """Add what the points of an offset group of the output pixels from `begin` to `end` give to a tile."""
    thread, last = cuda.threadIdx.x, end * sizes[TAPS]
    for number in range(begin * sizes[TAPS], last, OWNERS):
        pixel, tap = divided(smaller(number + thread, last - 1), sizes[TAPS])
        point = (pixel * sizes[OFFSET_GROUPS] + part) * sizes[TAPS] + tap
        row, column, down, across = place_of(offset, point, sizes)
        row, column = row - top, column - left
        reaches = number + thread < last and row >= -1 and row < TILE and column >= -1 and column < TILE
        count = cuda.syncthreads_count(np.int32(reaches))
        if count > 0:
            rank = _rank(ranks, np.int32(reaches))
            if reaches:
                slope, factor = _slope_of_point(pixel - first, tap, sizes), factor_of(mask, point, sizes)
                _put(places, weights, rank, row, column, slope, down, across, factor)
            cuda.syncthreads()
            _add_listed(tile, slopes, base, places, weights, count)


@kernel(f"void(float32[::1], float32[::1], float32[::1], float32[::1], int32, {SIZES})")
def deform_image_kernel(offset, mask, slopes, dx, first, sizes):
    """Gradient of the image, from the output pixels from `first` on: a block for a tile, 32 channels and an image.

    What earlier output pixels of the same image gave is in `dx`.
    """
    tile = cuda.shared.array(TILE_FLOATS, float32)
    ranks = cuda.shared.array(OWNERS, int32)
    places = cuda.shared.array(_LISTED, int32)
    weights = cuda.shared.array(_LISTED, float32)
    width, pixels = sizes[CHANNELS] // sizes[OFFSET_GROUPS], sizes[OUT_HEIGHT] * sizes[OUT_WIDTH]
    down, across = divided(cuda.blockIdx.x, (sizes[WIDTH] + TILE - 1) // TILE)
    part, rest = divided(cuda.blockIdx.y, (width + LANES - 1) // LANES)
    image, own = first // pixels + cuda.blockIdx.z, rest * LANES + cuda.threadIdx.x % LANES
    top, left, channel = down * TILE, across * TILE, part * width + smaller(own, width - 1)
    begin = larger(first, image * pixels)
    end = smaller(first + slopes.size // (sizes[CHANNELS] * sizes[TAPS]), (image + 1) * pixels)
    _load(tile, dx, image, top, left, channel, begin > image * pixels, sizes)
    base = _slope_of_channel(channel, sizes)
    _add_points(tile, offset, mask, slopes, base, first, begin, end, part, top, left, ranks, places, weights, sizes)
    if own < width:
        _save(tile, dx, image, top, left, channel, sizes)
