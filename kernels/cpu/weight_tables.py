"""Work plans of the weight gradient, as int32 arrays that the kernels walk.

Two ways, by size. *Chunks* (small weights): every chunk of images sums a private gradient of all weights, and the
chunks are added in order. *Blocks* (large weights): every job owns a block of the weights and walks all images.
"""

from __future__ import annotations

import functools

import numpy as np

from kernels.cpu.conv_plan import Geometry, PixelClass, Tables, forward_classes, over_images
from kernels.cpu.microkernels import NARROW, NARROW_RUN, WIDE, WIDE_ROWS

# Header of both plans; the last ones belong to one way only.
(
    IMAGES,
    GROUP,
    SOURCE_IMAGE,
    GRADIENT_IMAGE,
    PIXELS,
    ROWS,
    OUTPUTS,
    PANEL_COUNT,
    PANEL_TABLE,
    SERIAL,
    STEP,
    CHUNKS,
    SLICES,
    CLASS_TABLE,
    CLASS_COUNT,
    TAPS,
    INNER,
    INNER_TILES,
    INNER_BLOCKS,
    PANEL_GROUPS,
    BLOCK_INNER,
    BLOCK_OUTPUTS,
    TAP_TABLE,
    STEP_TABLE,
    ENTRY_ROWS,
    OUT_ROWS,
    UNIT,
    PACKS,
    HEADER,
) = range(29)

#: Columns of a row of the panel table: first source channel, first output, valid outputs.
PANEL_SOURCE, PANEL_OUTPUT, PANEL_WIDTH, PANEL_FIELDS = range(4)
#: Columns of a row of the class table (chunks): pixel pairs, pixels in an image; entries of the tiles, their rows,
#: which tiles are runs, how many tiles.
CLASS_PIXELS, CLASS_SIZE, CLASS_ENTRIES, CLASS_ROWS, CLASS_RUNS, CLASS_TILES, CLASS_FIELDS = range(7)
#: Columns of a row of the tap table (blocks): pixel pairs, pixels in an image.
TAP_PIXELS, TAP_SIZE, TAP_FIELDS = range(3)

#: Pixels that are summed before a tile is written back: operands of so many stay in the first-level cache.
STEP_PIXELS = 64
#: Most outputs of gradients that are read where they lie.
MOST_IN_PLACE = 128
#: Pixels whose gradients are packed at a time.
GROUP_PIXELS = 1024
#: Rows of a private gradient after those of the weights: one for idle rows of tiles, one for the bias.
SPARE_ROWS = 2
#: Most private copies of the weights, and most floats in all of them.
MOST_CHUNKS, MOST_PRIVATE = 16, 3 * 1024 * 1024
#: Rows of tiles, and panels, of one block.
BLOCK_TILES, BLOCK_PANELS = 22, 12
#: With no more pixels than this, products are summed in blocks.
FEW_PIXELS = 1024
#: Fewer source channels, outputs or weights than these do not fill blocks.
BLOCK_INPUTS, BLOCK_LEAST, BLOCK_WEIGHTS = 48, 32, 32 * 1024
#: From so many pixels on, up to so many weights, chunks are quicker.
MANY_PIXELS, CHUNK_WEIGHTS = 2048, 320 * 1024
#: Blocks are cut until there are so many jobs: few for little work, since every cut copies pixels once more.
FEWEST_JOBS, ENOUGH_JOBS, JOB_WORK = 4, 16, 2_000_000
SERIAL_WORK = 300_000
#: Fewer floats than this in all private gradients are summed by one thread.
SERIAL_SUMS = 64 * 1024
#: Time of a tile whose rows lie anywhere, in those of a run.
SCATTERED_COST = 1.6
INT32_MAX = 2**31 - 1


def uses_blocks(g: Geometry) -> bool:
    """Whether the weight gradient is summed block by block.

    Blocks read the images once for every tap and every block, chunks read them once. In turn every chunk clears, and in
    the end adds, a copy of all weights, which only many pixels are worth.
    """
    inner, outputs = g.input[2] // g.groups, g.output[2] // g.groups
    pixels, weights = g.images * g.output[0] * g.output[1], g.taps * inner * outputs
    if g.groups > 1:
        return False
    if g.taps == 1 and pixels <= FEW_PIXELS:
        return True
    if inner < BLOCK_INPUTS or outputs < BLOCK_LEAST or weights < BLOCK_WEIGHTS:
        return False
    return pixels < MANY_PIXELS or weights > CHUNK_WEIGHTS


def _work(g: Geometry) -> int:
    """Multiply-adds of one pass."""
    return g.images * int(np.prod(g.output)) * g.taps * (g.input[2] // g.groups)


def _start(g: Geometry) -> Tables:
    tables = Tables(HEADER)
    h = tables.header
    outputs = g.output[2] // g.groups
    h[IMAGES], h[TAPS], h[INNER], h[OUTPUTS] = g.images, g.taps, g.input[2] // g.groups, g.output[2]
    h[SOURCE_IMAGE], h[GRADIENT_IMAGE] = np.prod(g.input), np.prod(g.output)
    h[PIXELS] = g.output[0] * g.output[1]
    h[ROWS] = h[TAPS] * h[INNER]
    h[STEP] = STEP_PIXELS
    # gradients that fill the rows of tiles are read where they lie, others are packed into such rows
    h[PACKS] = g.groups > 1 or not _fills_tiles(outputs)
    h[UNIT] = WIDE if h[PACKS] else outputs
    panels = [
        [group * h[INNER], group * outputs + first, min(WIDE, outputs - first)]
        for group in range(g.groups)
        for first in range(0, outputs, WIDE)
    ]
    h[PANEL_COUNT], h[PANEL_TABLE] = len(panels), tables.add(panels)
    h[SERIAL] = _work(g) < SERIAL_WORK
    return tables


def _fills_tiles(outputs: int) -> bool:
    """Whether pixels have whole tiles of outputs, few enough that a step of them keeps to its places in the cache."""
    return outputs == NARROW or (outputs % WIDE == 0 and outputs <= MOST_IN_PLACE)


def _group(h: np.ndarray, images: int, pixels: int) -> None:
    """Choose how many of `images` images are handled at a time, in near-equal groups."""
    most = max(1, GROUP_PIXELS // max(1, pixels))
    groups = -(-images // most)
    floats = max(1, int(h[SOURCE_IMAGE]), int(h[GRADIENT_IMAGE]))
    h[GROUP] = min(-(-images // groups), INT32_MAX // floats)


def _pixel_pairs(h: np.ndarray, g: Geometry, sources, targets, gradient_image: int, unit: int) -> np.ndarray:
    """(P, 2): source offset and gradient offset of every pixel of a group of images."""
    pairs = np.empty((sources.size * h[GROUP], 2), np.int64)
    pairs[:, 0] = over_images(sources * g.input[2], int(h[SOURCE_IMAGE]), int(h[GROUP]))
    pairs[:, 1] = over_images(targets * unit, gradient_image, int(h[GROUP]))
    return pairs


# --- chunks --------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=512)
def chunk_plan(g: Geometry) -> np.ndarray:
    """Plan for small weights."""
    tables = _start(g)
    h = tables.header
    pixels = g.output[0] * g.output[1]
    jobs = 1 if h[SERIAL] else _chunk_jobs(int(h[ROWS]) * int(h[PANEL_COUNT]) * WIDE)
    h[CHUNKS] = min(jobs, g.images)
    h[SLICES] = min(pixels, jobs // int(h[CHUNKS]))
    _group(h, -(-g.images // int(h[CHUNKS])), pixels)
    rows = [_chunk_class(tables, g, each) for each in forward_classes(g) if each.taps]
    h[CLASS_COUNT], h[CLASS_TABLE] = len(rows), tables.add(rows)
    return tables.finish()


def _chunk_jobs(weights: int) -> int:
    """How many private copies of so many weights there should be."""
    return min(MOST_CHUNKS, max(2, MOST_PRIVATE // weights))


def _chunk_class(tables: Tables, g: Geometry, each: PixelClass) -> list[int]:
    h = tables.header
    unit, pixels = int(h[UNIT]), g.output[0] * g.output[1]
    pairs = _pixel_pairs(h, g, each.sources, each.targets * unit, pixels * unit, 1)
    size = NARROW_RUN if g.output[2] // g.groups <= NARROW else WIDE_ROWS
    tiles = _fewest_tiles(_runs(g, each), int(h[ROWS]), size)
    entries, rows = (np.concatenate([tile[i] for tile in tiles]) for i in range(2))
    runs = [bool((np.diff(tile[0]) == 1).all()) for tile in tiles]
    return [
        *(tables.add(pairs), each.targets.size),
        *(tables.add(entries), tables.add(rows * WIDE), tables.add(np.array(runs)), len(tiles)),
    ]


def _runs(g: Geometry, each: PixelClass) -> list[tuple[np.ndarray, np.ndarray]]:
    """Source offsets, without gaps, and the weight rows that they meet: taps of one window row lie side by side."""
    channels = np.arange(g.input[2] // g.groups)
    entries = np.concatenate([shift * g.input[2] + channels for _, shift in each.taps])
    rows = np.concatenate([tap * channels.size + channels for tap, _ in each.taps])
    cuts = np.flatnonzero(np.diff(entries) != 1) + 1
    return list(zip(np.split(entries, cuts), np.split(rows, cuts), strict=True))


def _fewest_tiles(
    runs: list[tuple[np.ndarray, np.ndarray]], idle: int, size: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The tiles of all runs; where most of them would be idle, tiles of rows from anywhere."""
    tiles = _tiles(runs, idle, size)
    entries, rows = (np.concatenate([run[i] for run in runs]) for i in range(2))
    if SCATTERED_COST * -(-entries.size // size) >= len(tiles):
        return tiles
    return [_scattered(entries[first:], rows[first:], idle, size) for first in range(0, entries.size, size)]


def _tiles(runs: list[tuple[np.ndarray, np.ndarray]], idle: int, size: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Entries and weight rows of tiles of `size` rows; rows that nobody needs sum into the row `idle`.

    A tile that hangs over the end of its run goes on into the image between this run and the next, the last run's into
    what lies before it: so it stays a run, and inside of the image.
    """
    tiles = []
    for number, (entries, rows) in enumerate(runs):
        for first in range(0, entries.size, size):
            valid = min(size, entries.size - first)
            outs = np.full(size, idle)
            if number + 1 < len(runs) and runs[number + 1][0][-1] >= entries[first] + size - 1:
                begin, skipped = entries[first], 0
            elif entries[first] + valid - size >= runs[0][0][0]:
                begin, skipped = entries[first] + valid - size, size - valid
            else:
                tiles.append(_scattered(entries[first:], rows[first:], idle, size))
                continue
            outs[skipped : skipped + valid] = rows[first : first + valid]
            tiles.append((begin + np.arange(size), outs))
    return tiles


def _scattered(entries: np.ndarray, rows: np.ndarray, idle: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """A tile that is no run: idle rows read the first entry."""
    spare = size - entries[:size].size
    return (
        np.concatenate([entries[:size], np.full(spare, entries[0])]),
        np.concatenate([rows[:size], np.full(spare, idle)]),
    )


def chunk_floats(header: list[int]) -> tuple[int, int]:
    """Floats of one chunk's private gradient, and of the gradients that one thread packs."""
    panels, pixels = header[PANEL_COUNT], header[GROUP] * header[PIXELS]
    packed = panels * pixels * WIDE if header[PACKS] else 0
    return panels * (header[ROWS] + SPARE_ROWS) * WIDE, packed


# --- blocks --------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=512)
def block_plan(g: Geometry) -> np.ndarray:
    """Plan for large weights."""
    tables = _start(g)
    h = tables.header
    _group(h, g.images, g.output[0] * g.output[1])
    h[INNER_TILES] = -(-int(h[INNER]) // WIDE_ROWS)
    h[INNER_BLOCKS] = -(-int(h[INNER_TILES]) // BLOCK_TILES)
    h[BLOCK_INNER] = -(-int(h[INNER_TILES]) // int(h[INNER_BLOCKS])) * WIDE_ROWS
    jobs = int(h[INNER_BLOCKS]) * g.taps
    wanted = min(ENOUGH_JOBS, max(FEWEST_JOBS, _work(g) // JOB_WORK))
    groups = max(-(-wanted // jobs), -(-int(h[PANEL_COUNT]) // BLOCK_PANELS))
    h[PANEL_GROUPS] = min(int(h[PANEL_COUNT]), groups)
    # an odd number of cache lines, so that rows of one column do not compete for the same cache set
    h[BLOCK_OUTPUTS] = (-(-int(h[PANEL_COUNT]) // int(h[PANEL_GROUPS])) | 1) * WIDE
    h[TAP_TABLE] = tables.add(_tap_rows(tables, g))
    step = np.arange(h[STEP])
    h[STEP_TABLE] = tables.add(np.stack([step * h[BLOCK_INNER], step * h[BLOCK_OUTPUTS]], axis=1))
    h[ENTRY_ROWS] = tables.add(np.arange(h[BLOCK_INNER]))
    h[OUT_ROWS] = tables.add(np.arange(WIDE_ROWS) * h[BLOCK_OUTPUTS])
    return tables.finish()


def _tap_rows(tables: Tables, g: Geometry) -> list[list[int]]:
    """Tap table: for every tap the pixels that meet it inside the image."""
    classes = forward_classes(g)
    rows = []
    for tap in range(g.taps):
        hits = [(each, shift) for each in classes for number, shift in each.taps if number == tap]
        none = [np.zeros(0, np.int64)]
        sources = np.concatenate(none + [each.sources + shift for each, shift in hits])
        targets = np.concatenate(none + [each.targets for each, _ in hits])
        gradient_image = int(tables.header[GRADIENT_IMAGE])
        pairs = _pixel_pairs(tables.header, g, sources, targets, gradient_image, g.output[2])
        rows.append([tables.add(pairs), sources.size])
    return rows


def block_floats(header: list[int]) -> int:
    """Floats of one thread's sums, packed sources and packed gradients."""
    inner, outputs, step = header[BLOCK_INNER], header[BLOCK_OUTPUTS], header[STEP]
    return inner * outputs + step * (inner + outputs)
