"""The work plan of a depthwise weight gradient, as one int32 array that the kernel walks."""

from __future__ import annotations

import functools

import numpy as np

from kernels.cpu.conv_plan import Geometry, PixelClass, Tables, forward_classes
from kernels.cpu.depthwise_tiles import DEPTHWISE_TAPS

# Header of the plan.
(
    IMAGES,
    CHANNELS,
    TAPS,
    SOURCE_IMAGE,
    GRADIENT_IMAGE,
    CHUNKS,
    SLICES,
    STEP_PIXELS,
    ROW_FLOATS,
    PRIVATE_FLOATS,
    CLASS_COUNT,
    CLASS_TABLE,
    SERIAL,
    HEADER,
) = range(14)

#: Columns of a row of the class table: pixel pairs, pixels, tap shifts, weight rows, taps.
CLASS_PIXELS, CLASS_SIZE, CLASS_SHIFTS, CLASS_ROWS, CLASS_TAPS, CLASS_FIELDS = range(6)

#: Most private copies of the weights.
MOST_CHUNKS = 16
#: Floats of the pixels that are summed before a tile is written back: so many stay in the first-level cache.
STEP_FLOATS = 4096
SERIAL_WORK = 200_000


@functools.lru_cache(maxsize=512)
def weight_plan(g: Geometry) -> np.ndarray:
    """Plan of the weight gradient: chunks of images with private gradients, added in order."""
    tables = Tables(HEADER)
    h = tables.header
    channels, pixels = g.output[2], g.output[0] * g.output[1]
    h[IMAGES], h[CHANNELS], h[TAPS] = g.images, channels, g.taps
    h[SOURCE_IMAGE], h[GRADIENT_IMAGE] = np.prod(g.input), np.prod(g.output)
    h[SERIAL] = g.images * pixels * channels * g.taps < SERIAL_WORK
    h[CHUNKS] = 1 if h[SERIAL] else min(MOST_CHUNKS, g.images)
    h[SLICES] = 1 if h[SERIAL] else min(pixels, MOST_CHUNKS // int(h[CHUNKS]))
    h[STEP_PIXELS] = min(64, max(4, STEP_FLOATS // channels))
    # a row holds whole vectors of channels, and one more vector that ends at the last channel
    h[ROW_FLOATS] = channels // 8 * 8 + 8
    h[PRIVATE_FLOATS] = (g.taps + 2) * h[ROW_FLOATS]  # then a row for idle taps, and the bias
    rows = [_class_row(tables, g, each) for each in forward_classes(g) if each.taps]
    h[CLASS_COUNT], h[CLASS_TABLE] = len(rows), tables.add(rows)
    return tables.finish()


def _class_row(tables: Tables, g: Geometry, each: PixelClass) -> list[int]:
    h, channels = tables.header, g.output[2]
    pairs = np.stack([each.sources * channels, each.targets * channels], axis=1)
    shifts = [shift * channels for _, shift in each.taps]
    rows = [tap * int(h[ROW_FLOATS]) for tap, _ in each.taps]
    idle = -len(rows) % DEPTHWISE_TAPS
    shifts += [shifts[0]] * idle
    rows += [g.taps * int(h[ROW_FLOATS])] * idle
    return [tables.add(pairs), each.targets.size, tables.add(shifts), tables.add(rows), len(each.taps)]
