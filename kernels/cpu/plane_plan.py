"""Work plans of convolutions on planes, as int32 arrays that the kernels walk."""

from __future__ import annotations

import functools

import numpy as np

from kernels.cpu.conv_plan import Geometry, Tables
from kernels.cpu.microkernels import ACTIVATIONS, TILE_LANES
from kernels.cpu.packing import CACHE_LINE
from kernels.cpu.plane_tiles import DOT_VECTORS, OUTER_TAPS

# Header of a plan: sizes, then where each table begins.
(
    JOBS,
    BANDS,
    TOTAL_BANDS,
    SERIAL,
    SOURCE_ROWS,
    SOURCE_COLUMNS,
    SOURCE_CHANNELS,
    TARGET_ROWS,
    TARGET_COLUMNS,
    TARGET_CHANNELS,
    TOP,
    LEFT,
    REACH,
    LINE,
    PLANE,
    TARGET_LINE,
    TARGET_PLANE,
    TILE,
    TAPS,
    TAP_TABLE,
    WEIGHT_TABLE,
    WEIGHT_STRIDE,
    SOURCE_PLACE,
    RESULT_PLACE,
    PIXEL_PLACE,
    FLOATS,
    ACTIVATION,
    UNIT,
    HEADER,
) = range(29)

#: Most channels that lie in planes one beside the other while pixels are summed.
MOST_CHANNELS = 8
#: Floats of the planes of a band of rows, which should stay in the first-level cache.
BAND_FLOATS = 8 * 1024
#: Jobs of a pass; of a weight gradient, each of which has sums of its own.
MOST_JOBS, MOST_CHUNKS = 64, 16
#: With fewer multiply-adds than this, threads cost more than they bring.
SERIAL_WORK = 300_000


def handles(g: Geometry, which: str) -> bool:
    """Whether a pass ("forward", "data" or "weights") of `g` is one for planes.

    Its stride is 1, its targets have few channels, and the data gradient, which is a convolution with the taps in
    reverse order, needs no negative padding.
    """
    channels = g.input[2] if which == "data" else g.output[2]
    usual = g.stride == (1, 1) and g.groups == 1 and channels <= MOST_CHANNELS and g.images > 0
    return usual and (which != "data" or min(_transposed_padding(g)) >= 0)


def tile_channels(channels: int) -> int:
    """Channels of the smallest tile that holds so many."""
    return min(each for each in DOT_VECTORS if each >= channels)


def _transposed_padding(g: Geometry) -> tuple[int, int]:
    down, right = ((g.kernel[i] - 1) * g.dilation[i] - g.padding[i] for i in range(2))
    return down, right


def _start(g: Geometry, backward: bool, most_jobs: int, unit: int = 1) -> Tables:
    """Sizes of a pass from `source` to `target` pixels, and how it is cut into jobs of whole units of rows."""
    source, target = (g.output, g.input) if backward else (g.input, g.output)
    tables = Tables(HEADER)
    h = tables.header
    h[SOURCE_ROWS : SOURCE_CHANNELS + 1], h[TARGET_ROWS : TARGET_CHANNELS + 1] = source, target
    h[TOP], h[LEFT] = _transposed_padding(g) if backward else g.padding
    h[REACH] = (g.kernel[0] - 1) * g.dilation[0]
    h[LINE] = target[1] + (g.kernel[1] - 1) * g.dilation[1]
    h[TAPS], h[TILE] = g.taps * source[2], tile_channels(target[2])
    fixed, floats = (int(h[LINE]) * each for each in (source[2] * int(h[REACH]), source[2] + int(h[TILE])))
    h[UNIT], h[TARGET_ROWS] = unit, target[0] // unit * unit
    units = max(1, (BAND_FLOATS - fixed) // floats // unit)
    h[BANDS] = -(-int(h[TARGET_ROWS]) // (units * unit))
    h[TOTAL_BANDS] = g.images * h[BANDS]
    h[PLANE] = (band_rows(h) + h[REACH]) * h[LINE]
    h[SERIAL] = g.images * int(np.prod(target)) * int(h[TAPS]) < SERIAL_WORK
    h[JOBS] = 1 if h[SERIAL] else min(int(h[TOTAL_BANDS]), most_jobs)
    return tables


def band_rows(header) -> int:
    """Most target rows of a band."""
    unit = int(header[UNIT])
    return -(-int(header[TARGET_ROWS]) // (unit * int(header[BANDS]))) * unit


def _taps(h: np.ndarray, g: Geometry) -> np.ndarray:
    """(KH, KW, source channels): from the first tap's place in the planes to each one's."""
    down, right, channel = np.ogrid[: g.kernel[0], : g.kernel[1], : int(h[SOURCE_CHANNELS])]
    return (down * g.dilation[0] * h[LINE] + right * g.dilation[1]) + channel * int(h[PLANE])


@functools.lru_cache(maxsize=512)
def dot_plan(g: Geometry, backward: bool, activation: str, pooled: bool = False) -> np.ndarray:
    """Plan of the forward pass or the data gradient, with an activation behind the sums and perhaps a pool over tiles.

    A pool takes two rows at a time.
    """
    tables = _start(g, backward, MOST_JOBS, 2 if pooled else 1)
    h = tables.header
    h[ACTIVATION] = ACTIVATIONS[activation]
    pixels = DOT_VECTORS[int(h[TILE])] * TILE_LANES
    h[TARGET_PLANE] = -(-band_rows(h) * int(h[LINE]) // pixels) * pixels
    h[TAP_TABLE] = tables.add(_taps(h, g))
    weights = np.arange(g.taps * g.input[2] * g.output[2]).reshape(g.taps, g.input[2], g.output[2])
    places = weights[::-1, 0, :] if backward else weights[:, :, 0]
    h[WEIGHT_TABLE], h[WEIGHT_STRIDE] = tables.add(places), g.output[2] if backward else 1
    # tiles read past the last source pixel
    _places(h, (h[TAPS] + 1) * h[TILE], h[SOURCE_CHANNELS] * h[PLANE] + h[TARGET_PLANE])
    h[PIXEL_PLACE] = h[FLOATS]
    h[FLOATS] += 2 * h[TARGET_COLUMNS] * h[TARGET_CHANNELS] if pooled else 0
    return tables.finish()


def work(g: Geometry, which: str) -> tuple[int, int]:
    """Multiply-adds of a pass, in all lanes, and floats that are brought to planes or from them."""
    tables = _start(g, which == "data", MOST_JOBS)
    h = [int(value) for value in tables.header]
    rows, lines = band_rows(h), (band_rows(h) + h[REACH]) * h[TOTAL_BANDS]
    floats = lines * h[SOURCE_COLUMNS] * h[SOURCE_CHANNELS]
    floats += h[TOTAL_BANDS] * rows * h[TARGET_COLUMNS] * h[TARGET_CHANNELS]
    if which == "weights":
        taps = OUTER_TAPS[h[TILE]]
        vectors, products = rows * -(-h[TARGET_COLUMNS] // TILE_LANES), -(-h[TAPS] // taps) * taps
    else:
        tile = DOT_VECTORS[h[TILE]]
        vectors, products = -(-rows * h[LINE] // (tile * TILE_LANES)) * tile, h[TAPS]
    return h[TOTAL_BANDS] * vectors * TILE_LANES * products * h[TILE], floats


def _places(h: np.ndarray, first: int, second: int) -> None:
    """Where three parts of a thread's scratch begin, on cache lines; the last one holds the target's planes."""
    h[SOURCE_PLACE] = -(-first // CACHE_LINE) * CACHE_LINE
    h[RESULT_PLACE] = h[SOURCE_PLACE] + -(-second // CACHE_LINE) * CACHE_LINE
    h[FLOATS] = h[RESULT_PLACE] + h[TILE] * h[TARGET_PLANE]


@functools.lru_cache(maxsize=512)
def outer_plan(g: Geometry) -> np.ndarray:
    """Plan of the weight gradient."""
    tables = _start(g, False, MOST_CHUNKS)
    h = tables.header
    h[TARGET_LINE] = -(-g.output[1] // TILE_LANES) * TILE_LANES
    h[TARGET_PLANE] = band_rows(h) * h[TARGET_LINE]
    taps = _taps(h, g).ravel()
    idle = -taps.size % OUTER_TAPS[int(h[TILE])]
    h[TAP_TABLE] = tables.add(np.concatenate([taps, np.repeat(taps[:1], idle)]))
    # sums of all taps, then of the bias
    _places(h, (taps.size + idle + 1) * h[TILE] * TILE_LANES, h[SOURCE_CHANNELS] * h[PLANE])
    return tables.finish()
