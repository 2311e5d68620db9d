"""How the work of a Winograd convolution is cut, as int32 headers that the kernels read.

The target image is cut into square tiles of a few outputs; a block of tiles is transformed at a time, such that its
transformed planes stay in the second-level cache.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from kernels.cpu.conv_plan import Geometry
from kernels.cpu.microkernels import ACTIVATIONS, TILE_LANES, WIDE
from kernels.cpu.winograd_formulas import points
from kernels.cpu.winograd_tiles import LAST_ROWS, PANEL_VECTORS

# Header: the pass, its tiles and blocks of tiles; then the layout of the planes, in floats between rows of panels and
# between planes; then what only weight gradients have, and last the groups of blocks.
(
    IMAGES,
    SOURCE_H,
    SOURCE_W,
    SOURCE_C,
    TARGET_H,
    TARGET_W,
    TARGET_C,
    PAD_H,
    PAD_W,
    OUTPUTS,
    ACTIVATION,
    POINTS,
    TILES_W,
    IMAGE_TILES,
    TILES,
    BLOCK,
    BLOCKS,
    REVERSED,
    FACTORS,
    SERIAL,
    PANELS,
    WEIGHT_STEPS,
    DEPTH_STEP,
    SOURCE_PANEL,
    SOURCE_PLANE,
    WEIGHT_PLANE,
    PRODUCT_PANEL,
    PRODUCT_PLANE,
    IN_PLACE,
    ZEROS,
    CHUNKS,
    BLOCK_CHANNELS,
    BLOCK_PANELS,
    CHANNEL_BLOCKS,
    PANEL_BLOCKS,
    SUM_ROWS,
    SUM_PLANE,
    BLOCK_PLANES,
    GROUP_BLOCKS,
    GROUPS,
    SPAN_GROUPS,
    HEADER,
) = range(42)

#: Floats between two planes beyond what they hold: a cache line, so that planes do not compete for the same cache sets.
PLANE_GAP = 16
#: Source channels whose weights are transformed at a time.
STAGE_ROWS = 16
#: The planes of a block should have no more floats than this.
BLOCK_FLOATS = 112 * 1024
#: Rows of the best register tiles, and most tiles of a block.
BLOCK_UNIT, MOST_BLOCK = 12, 96
#: Rows of an image below a tile's first that are asked for ahead: those of an input tile.
AHEAD_ROWS = 6
#: Where a job does all channels, a block has no more than its first such number of tiles, or the second if its planes
#: are small: beside them the second-level cache must keep the pixels that were asked for ahead.
TILE_BLOCKS, SMALL_PLANES = (24, 48), 28 * 1024
#: The same for weight gradients.
CHUNK_BLOCKS, SMALL_CHUNK_PLANES = (14, 24), 42 * 1024
#: What a row of smaller register tiles costs more than one of the best.
LAST_TILES = 0.15
#: Transformed weights from so many floats on are made anew by every job that needs a part of them, and so are those
#: of so many that few tiles need.
LARGE_WEIGHTS, FEW_TILES_WEIGHTS, FEW_TILES = 2560 * 1024, 64 * 1024, 72
#: Source channels that are summed between two such makings.
DEPTH = 64
#: Source planes of so many floats are made before they are multiplied: what stays in the third-level cache.
SOURCE_FLOATS = 1024 * 1024
FEWEST_JOBS = 16
#: Where sources are transformed beforehand, so many jobs share a block.
BLOCK_PARTS = 4
#: With fewer multiply-adds than this, threads cost more than they bring.
SERIAL_WORK = 300_000


@dataclass(frozen=True)
class Tiling:
    """One pass of a convolution as Winograd tiles.

    Parameters
    ----------
    images : int
    source, target : (int, int, int)
        Height, width and channels of what is read and of what is made.
    padding : (int, int)
        Zeros around the source.
    outputs : int
        Outputs of a tile along an axis, 2 or 4.
    reversed : bool
        Whether weights are read as the data gradient does: taps in reverse, channels exchanged.
    """

    images: int
    source: tuple[int, int, int]
    target: tuple[int, int, int]
    padding: tuple[int, int]
    outputs: int
    reversed: bool

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of tiles of one image."""
        height, width = self.target[:2]
        return -(-height // self.outputs), -(-width // self.outputs)

    @property
    def tiles(self) -> int:
        """Tiles of all images."""
        return self.images * self.grid[0] * self.grid[1]

    @property
    def planes(self) -> int:
        """Points of a tile."""
        return points(self.outputs) ** 2


def applies(g: Geometry) -> bool:
    """Whether Winograd tiles can do the convolution: 3x3, stride 1, not dilated, one group, padding up to 2."""
    usual = g.kernel == (3, 3) and g.stride == (1, 1) and g.dilation == (1, 1)
    return usual and g.groups == 1 and max(g.padding) <= 2


def tiling(g: Geometry, outputs: int, backward: bool) -> Tiling:
    """Tiles of the forward pass, or of the data gradient."""
    if backward:
        padding = 2 - g.padding[0], 2 - g.padding[1]
        return Tiling(g.images, g.output, g.input, padding, outputs, True)
    return Tiling(g.images, g.input, g.output, g.padding, outputs, False)


def _round_up(count: int, unit: int) -> int:
    return -(-count // unit) * unit


def start(t: Tiling) -> np.ndarray:
    """Header with the sizes of `t`."""
    h = np.zeros(HEADER, np.int32)
    h[IMAGES], h[OUTPUTS], h[POINTS], h[REVERSED] = t.images, t.outputs, t.planes, t.reversed
    h[SOURCE_H : SOURCE_C + 1], h[TARGET_H : TARGET_C + 1], h[PAD_H : PAD_W + 1] = t.source, t.target, t.padding
    h[TILES_W], h[IMAGE_TILES], h[TILES] = t.grid[1], t.grid[0] * t.grid[1], t.tiles
    h[PANELS] = -(-t.target[2] // WIDE)
    h[ZEROS] = (t.outputs + 2) * _round_up(max(t.source[2], t.target[2]), WIDE)
    h[SERIAL] = t.tiles * t.planes * t.source[2] * t.target[2] < SERIAL_WORK
    return h


def _set_block(h: np.ndarray, block: int) -> None:
    """Cut the tiles into blocks of `block`, and lay out the planes of their sources."""
    h[BLOCK], h[BLOCKS] = block, -(-int(h[TILES]) // block)
    h[SOURCE_PANEL] = (block + LAST_ROWS) * TILE_LANES  # the last register tile may hang over the end
    h[SOURCE_PLANE] = -(-int(h[SOURCE_C]) // TILE_LANES) * h[SOURCE_PANEL] + PLANE_GAP


def _most_tiles(floats: int, bounds: tuple[int, int], small: int) -> int:
    """Most tiles of a block, between `bounds`, whose planes have `floats` floats a tile; `small` is few for a block."""
    return min(max(small // floats, bounds[0]), bounds[1])


def _even_block(tiles: int, most: int) -> int:
    """Tiles of a block where there are as few as possible, of at most `most` each."""
    blocks = -(-tiles // max(most, 1))
    return -(-tiles // blocks)


def _shared_block(tiles: int, most: int) -> int:
    """Tiles of a block, about `most`, such that two and four threads have equal shares, in few register tiles."""

    def cost(block: int) -> tuple[float, int]:
        blocks = -(-tiles // block)
        shares = sum(threads * -(-blocks // threads) for threads in (2, 4))
        return shares * (block + LAST_TILES * (block % BLOCK_UNIT)), -block

    least = max(BLOCK_UNIT, _round_up(most // 2, LAST_ROWS))
    return min(range(least, max(most, least) + 1, LAST_ROWS), key=cost)


def by_panels(t: Tiling) -> bool:
    """Whether the weights are so many that every job transforms those of its own outputs."""
    return t.planes * t.source[2] * t.target[2] >= (FEW_TILES_WEIGHTS if t.tiles <= FEW_TILES else LARGE_WEIGHTS)


def tile_plan(t: Tiling) -> np.ndarray:
    """Plan where a job does all channels of a block of tiles, with weights that were transformed before."""
    h = start(t)
    sources, targets = (-(-side[2] // TILE_LANES) for side in (t.source, t.target))
    h[IN_PLACE] = h[PANELS] == 1 and targets <= sources
    floats = t.planes * TILE_LANES * (sources + (0 if h[IN_PLACE] else targets))
    most = min(_most_tiles(floats, TILE_BLOCKS, SMALL_PLANES), BLOCK_FLOATS // floats, -(-t.tiles // FEWEST_JOBS))
    _set_block(h, _shared_block(t.tiles, most))
    h[DEPTH_STEP] = t.source[2]
    h[WEIGHT_STEPS] = -(-t.source[2] // STAGE_ROWS)
    h[WEIGHT_PLANE] = t.source[2] * WIDE + PLANE_GAP
    h[PRODUCT_PANEL] = h[SOURCE_PANEL]
    h[PRODUCT_PLANE] = h[SOURCE_PLANE] if h[IN_PLACE] else targets * h[PRODUCT_PANEL] + PLANE_GAP
    return h


def panel_plan(t: Tiling) -> np.ndarray:
    """Plan where a job does one panel of outputs of a block of tiles, with sources that were transformed before."""
    h = start(t)
    _set_block(h, _even_block(t.tiles, MOST_BLOCK))
    h[DEPTH_STEP] = min(DEPTH, t.source[2])
    _set_groups(h, t.planes * int(h[SOURCE_PLANE]), SOURCE_FLOATS)
    h[WEIGHT_PLANE] = h[DEPTH_STEP] * WIDE + PLANE_GAP
    h[PRODUCT_PANEL] = h[SOURCE_PANEL]
    h[PRODUCT_PLANE] = PANEL_VECTORS * h[PRODUCT_PANEL] + PLANE_GAP
    return h


def _set_groups(h: np.ndarray, block: int, most: int) -> None:
    """Cut the blocks, of `block` floats each, into even groups of at most `most` floats."""
    h[GROUPS] = -(-int(h[BLOCKS]) // max(1, most // block))
    h[GROUP_BLOCKS] = -(-int(h[BLOCKS]) // int(h[GROUPS]))


@functools.lru_cache(maxsize=1024)
def pass_work(
    g: Geometry, outputs: int, backward: bool, activation: str = "none", scaled: bool = False
) -> tuple[bool, np.ndarray, list[int]]:
    """Forward pass or data gradient: whether it runs by panels, its plan, and the plan's numbers."""
    t = tiling(g, outputs, backward)
    panels = by_panels(t)
    plan = panel_plan(t) if panels else tile_plan(t)
    plan[ACTIVATION], plan[FACTORS] = ACTIVATIONS[activation], t.target[2] if scaled else 0
    return panels, plan, plan.tolist()


def tile_passes(t: Tiling) -> int:
    """How often the weights of a forward pass or data gradient are transformed."""
    return int(panel_plan(t)[BLOCKS]) if by_panels(t) else 1


def scratch_floats(h: list[int], *planes: int) -> int:
    """Floats of a thread: a row of zeros, weights before their transform, and `planes` of so many floats."""
    return h[ZEROS] + 9 * STAGE_ROWS * WIDE + h[POINTS] * sum(h[plane] for plane in planes)


# --- weight gradient -----------------------------------------------------------------------------------------

#: Up to so many floats, sums of weight gradients are private to a job, and added in the end.
PRIVATE_SUMS = 96 * 1024
#: Most private sums, and fewest tiles that are worth one.
MOST_CHUNKS, CHUNK_TILES = 8, 48
#: Source channels and panels of outputs whose sums one job owns, where they are not private.
SUM_CHANNELS, SUM_PANELS = 32, 2
#: Sums over so many tiles, in groups of blocks, are made one by one and then added: one long sum loses more digits.
SPAN_TILES = 1024
#: With fewer such jobs than this, they own one panel.
FEWEST_OWNERS = 8
#: Planes of so many floats are made before they are multiplied: half of it should stay in each second-level cache.
GROUP_FLOATS = 512 * 1024


def in_chunks(t: Tiling) -> bool:
    """Whether every job sums a private gradient of all weights, over some tiles."""
    return t.planes * _round_up(t.source[2], TILE_LANES) * _round_up(t.target[2], WIDE) <= PRIVATE_SUMS


def chunk_plan(t: Tiling) -> np.ndarray:
    """Plan of a gradient of few weights."""
    h = start(t)
    h[CHUNKS] = 1 if h[SERIAL] else min(MOST_CHUNKS, max(1, t.tiles // CHUNK_TILES))
    floats = t.planes * (_round_up(t.source[2], TILE_LANES) + int(h[PANELS]) * WIDE)
    most = min(_most_tiles(floats, CHUNK_BLOCKS, SMALL_CHUNK_PLANES), max(BLOCK_UNIT, BLOCK_FLOATS // floats))
    _set_block(h, _even_block(-(-t.tiles // int(h[CHUNKS])), most))
    _set_gradient_planes(h)
    h[WEIGHT_STEPS] = -(-t.source[2] // STAGE_ROWS)
    _set_sums(h, t.source[2], int(h[PANELS]))
    return h


def block_plan(t: Tiling) -> np.ndarray:
    """Plan of a gradient of many weights: one group of blocks, of which jobs own weights, or several, and planes."""
    h = start(t)
    _set_block(h, _even_block(t.tiles, MOST_BLOCK))
    _set_gradient_planes(h)
    h[BLOCK_PLANES] = t.planes * (int(h[SOURCE_PLANE]) + int(h[PRODUCT_PLANE]))
    _set_groups(h, int(h[BLOCK_PLANES]), GROUP_FLOATS)
    if h[GROUPS] > 1:
        h[SPAN_GROUPS] = max(1, SPAN_TILES // int(h[BLOCK] * h[GROUP_BLOCKS]))
        h[WEIGHT_STEPS] = -(-t.source[2] // STAGE_ROWS)
        _set_sums(h, t.source[2], int(h[PANELS]))
        return h
    h[BLOCK_CHANNELS], h[CHANNEL_BLOCKS] = SUM_CHANNELS, -(-t.source[2] // SUM_CHANNELS)
    h[BLOCK_PANELS] = SUM_PANELS if h[CHANNEL_BLOCKS] * h[PANELS] >= FEWEST_OWNERS * SUM_PANELS else 1
    h[PANEL_BLOCKS] = -(-int(h[PANELS]) // int(h[BLOCK_PANELS]))
    _set_sums(h, SUM_CHANNELS, int(h[BLOCK_PANELS]))
    return h


@functools.lru_cache(maxsize=1024)
def weight_work(g: Geometry, outputs: int) -> tuple[str, np.ndarray, list[int]]:
    """Weight gradient: whether it runs in "chunks", "blocks" or "planes", its plan, and the plan's numbers."""
    t = tiling(g, outputs, False)
    chunks = in_chunks(t)
    plan = chunk_plan(t) if chunks else block_plan(t)
    way = "chunks" if chunks else "blocks" if plan[GROUPS] == 1 else "planes"
    return way, plan, plan.tolist()


def block_floats(h: list[int]) -> int:
    """Floats of the planes of a group of blocks, and of the bias sums."""
    return h[GROUP_BLOCKS] * h[BLOCK_PLANES] + h[BLOCKS] * h[ZEROS]


def _set_gradient_planes(h: np.ndarray) -> None:
    """Lay out the planes of output gradients, whose rows are WIDE floats."""
    h[PRODUCT_PANEL] = h[BLOCK] * WIDE
    h[PRODUCT_PLANE] = h[PANELS] * h[PRODUCT_PANEL] + PLANE_GAP


def _set_sums(h: np.ndarray, channels: int, panels: int) -> None:
    h[SUM_ROWS] = _round_up(channels, TILE_LANES)
    h[SUM_PLANE] = h[SUM_ROWS] * panels * WIDE + PLANE_GAP
