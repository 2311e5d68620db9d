"""Which algorithm computes a convolution."""

from __future__ import annotations

import functools

from kernels.cpu.conv_plan import Geometry
from kernels.cpu.microkernels import NARROW, TILE_LANES
from kernels.cpu.winograd_plan import Tiling, applies, tile_passes, tiling

#: Outputs along an axis of a Winograd tile, by algorithm.
OUTPUTS = {"direct": 0, "winograd2": 2, "winograd4": 4}

# What parts of the work cost, in multiply-adds of a register tile at its best. Measured with vectors of 8 and of 16.
#: A multiply-add, of all: tiles begin and end.
PRODUCT = 1.2
#: To transform one float of a plane, by outputs of a tile: mostly its way through the caches.
TRANSFORM = {2: 7, 4: 8}
#: To bring one weight in order for the direct sums, and one weight of a plane for the tiles.
WEIGHT = {"forward": 20, "data": 20, "weights": 12}
PLANE_WEIGHT = {"forward": 7, "data": 7, "weights": 12}
#: What tiles need beyond the direct sums to begin and to end; less, for weight gradients, whose direct sums are private
#: copies to be cleared and added.
START = {"forward": 150_000, "data": 150_000, "weights": -800_000}
#: With fewer channels to sum over, vectors of tiles are mostly empty.
FEWEST = 8
#: Tiles must promise to save so much before they are chosen.
GAIN = 0.92


@functools.lru_cache(maxsize=2048)
def choose(g: Geometry, which: str) -> str:
    """The algorithm that should be the quickest for a pass: that of the least estimated cost.

    Parameters
    ----------
    g : Geometry
    which : str
        "forward", "data" or "weights".

    Returns
    -------
    str
        "direct", "winograd2" or "winograd4".
    """
    if not applies(g) or _channels(g, which)[0] < FEWEST:
        return "direct"
    costs = {name: _tile_cost(g, outputs, which) for name, outputs in OUTPUTS.items() if outputs}
    best = min(costs, key=costs.__getitem__)
    return best if costs[best] < GAIN * _direct_cost(g, which) else "direct"


def _channels(g: Geometry, which: str) -> tuple[int, int]:
    """Channels that are summed over, or make rows of tiles, and those that lie in vectors, filled up."""
    inner, vectors = (g.output[2], g.input[2]) if which == "data" else (g.input[2], g.output[2])
    return inner, -(-vectors // NARROW) * NARROW


def _taps(size: int, padding: int) -> int:
    """How many taps along an axis meet a pixel, over all outputs of that axis."""
    outputs = size + 2 * padding - 2
    return sum(0 <= at + tap - padding < size for at in range(outputs) for tap in range(3))


def _direct_cost(g: Geometry, which: str) -> float:
    inner, outer = _channels(g, which)
    taps = g.images * _taps(g.input[0], g.padding[0]) * _taps(g.input[1], g.padding[1])
    return inner * outer * (PRODUCT * taps + 9 * WEIGHT[which])


def _tile_cost(g: Geometry, outputs: int, which: str) -> float:
    inner, outer = _channels(g, which)
    t: Tiling = tiling(g, outputs, which == "data")
    floats = -(-inner // TILE_LANES) * TILE_LANES + outer
    passes = 1 if which == "weights" else tile_passes(t)
    weights = inner * outer * PLANE_WEIGHT[which] * passes
    return START[which] + t.planes * (t.tiles * (PRODUCT * inner * outer + TRANSFORM[outputs] * floats) + weights)


def tile_outputs(g: Geometry, which: str, algorithm: str) -> int:
    """Outputs along an axis of the Winograd tiles that do a pass by `algorithm`; 0 for the direct way."""
    if algorithm == "auto":
        algorithm = choose(g, which)
    if algorithm not in OUTPUTS:
        raise ValueError(f"{algorithm!r} is no algorithm of convolutions; choose auto, direct, winograd2 or winograd4.")
    outputs = OUTPUTS[algorithm]
    if outputs and not applies(g):
        raise ValueError(
            f"{algorithm} is for 3x3 convolutions with stride 1, dilation 1, one group and padding up to 2, not for "
            f"kernel {g.kernel}, stride {g.stride}, dilation {g.dilation}, {g.groups} groups and padding {g.padding}."
        )
    return outputs
