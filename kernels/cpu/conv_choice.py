"""Which algorithm computes a convolution."""

from __future__ import annotations

import functools
import math

from kernels.cpu import conv_folded, conv_sparse, conv_sparse_data, plane_plan
from kernels.cpu.conv_plan import Geometry
from kernels.cpu.microkernels import NARROW, NARROW_RUN, TILE_LANES
from kernels.cpu.winograd_plan import Tiling, applies, tile_passes, tiling

#: Outputs along an axis of a Winograd tile, by algorithm; 0 for those without tiles.
OUTPUTS = {"direct": 0, "planes": 0, "folded": 0, "sparse": 0, "winograd2": 2, "winograd4": 4}

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
#: Few channels: what a run of neighbouring source floats costs beyond its products; what the products of a pass cost
#: more: weights of a data gradient lie across, and pixels near edges have fewer taps; gradients for a weight gradient
#: are brought in order first. And to bring one float to planes or from them.
RUN, NARROW_PASS, PLANE_FLOAT = 8, {"forward": 1.0, "data": 1.3, "weights": 1.3}, 20
#: What a multiply-add with a vector that lies anywhere in memory costs, and to find one gradient behind a pool.
SPARSE, FOUND = 3.4 if TILE_LANES == 16 else 2.4, 16
#: To add a float of a window to an image, or to copy one of an image.
ADDED = 4
#: What it costs to write and to fold one float of the columns of a folded data gradient.
FOLD = 25
#: With fewer channels to sum over, vectors of tiles are mostly empty.
FEWEST = 8
#: Tiles must promise to save so much before they are chosen.
GAIN = 0.92


@functools.lru_cache(maxsize=2048)
def choose(g: Geometry, which: str, pooled: bool = False) -> str:
    """The algorithm that should be the quickest for a pass: that of the least estimated cost.

    Parameters
    ----------
    g : Geometry
    which : str
        "forward", "data" or "weights".
    pooled : bool
        Whether the gradients of the output come from a maximum over 2x2 tiles.

    Returns
    -------
    str
        "direct", "planes", "folded", "sparse", "winograd2" or "winograd4".
    """
    costs = {}
    if applies(g) and _channels(g, which)[0] >= FEWEST:
        costs = {name: _tile_cost(g, outputs, which) for name, outputs in OUTPUTS.items() if outputs}
        costs = {name: cost for name, cost in costs.items() if cost < GAIN * _direct_cost(g, which)}
    narrow = plane_plan.handles(g, which)
    if narrow and (cost := _plane_cost(g, which)) < GAIN * _narrow_cost(g, which):
        costs["planes"] = cost
    if which == "data" and conv_folded.handles(g) and (cost := _folded_cost(g)) < GAIN * _narrow_cost(g, which):
        costs["folded"] = cost
    if pooled and _sparse_applies(g, which):
        least = _narrow_cost(g, which) if narrow else _direct_cost(g, which)
        if (cost := _sparse_cost(g, which)) < GAIN * least:
            costs["sparse"] = cost
    return min(costs, key=costs.__getitem__, default="direct")


def _channels(g: Geometry, which: str) -> tuple[int, int]:
    """Channels that are summed over, or make rows of tiles, and those that lie in vectors, filled up."""
    inner, vectors = (g.output[2], g.input[2]) if which == "data" else (g.input[2], g.output[2])
    return inner, -(-vectors // NARROW) * NARROW


def _taps(g: Geometry) -> int:
    """How many taps meet a pixel, over all outputs, for strides of 1."""
    product = g.images
    for size, outputs, kernel, padding, dilation in zip(
        g.input, g.output, g.kernel, g.padding, g.dilation, strict=False
    ):
        product *= sum(0 <= at + tap * dilation - padding < size for at in range(outputs) for tap in range(kernel))
    return product


def _direct_cost(g: Geometry, which: str) -> float:
    inner, outer = _channels(g, which)
    return inner * outer * (PRODUCT * _taps(g) + g.taps * WEIGHT[which])


def _narrow_cost(g: Geometry, which: str) -> float:
    """Cost of the direct sums where all channels fit one vector: their tiles are short of rows."""
    inner, outer = _channels(g, which)
    run = inner * g.kernel[1]
    if which == "weights":
        pixels, tiles = g.images * g.output[0] * g.output[1], g.kernel[0] * -(-run // NARROW_RUN)
        return NARROW_PASS[which] * pixels * tiles * NARROW_RUN * outer
    return NARROW_PASS[which] * PRODUCT * inner * outer * _taps(g) * (1 + RUN / run)


def _plane_cost(g: Geometry, which: str) -> float:
    products, floats = plane_plan.work(g, which)
    return PRODUCT * products + PLANE_FLOAT * floats


def _folded_cost(g: Geometry) -> float:
    columns = conv_folded.columns(g, g.images)
    return _direct_cost(columns, "data") + FOLD * g.images * math.prod(columns.input)


def _sparse_applies(g: Geometry, which: str) -> bool:
    if which == "forward":
        return False
    return conv_sparse.applies(g) if which == "weights" else conv_sparse_data.applies(g)


def _sparse_cost(g: Geometry, which: str) -> float:
    if which == "data":
        products, floats = conv_sparse_data.work(g)
        return SPARSE * products + ADDED * floats
    products, gradients = conv_sparse.work(g)
    return SPARSE * products + FOUND * gradients


def _tile_cost(g: Geometry, outputs: int, which: str) -> float:
    inner, outer = _channels(g, which)
    t: Tiling = tiling(g, outputs, which == "data")
    floats = -(-inner // TILE_LANES) * TILE_LANES + outer
    passes = 1 if which == "weights" else tile_passes(t)
    weights = inner * outer * PLANE_WEIGHT[which] * passes
    return START[which] + t.planes * (t.tiles * (PRODUCT * inner * outer + TRANSFORM[outputs] * floats) + weights)


def resolve(g: Geometry, which: str, algorithm: str, pooled: bool = False) -> str:
    """The algorithm of a pass: the quickest for "auto", else `algorithm` itself, if it can do that pass."""
    if algorithm == "auto":
        return choose(g, which, pooled)
    if algorithm not in OUTPUTS:
        names = ", ".join(["auto", *list(OUTPUTS)[:-1]])
        raise ValueError(f"{algorithm!r} is no algorithm of convolutions; choose {names} or {list(OUTPUTS)[-1]}.")
    if OUTPUTS[algorithm] and not applies(g):
        raise ValueError(
            f"{algorithm} is for 3x3 convolutions with stride 1, dilation 1, one group and padding up to 2, not for "
            f"kernel {g.kernel}, stride {g.stride}, dilation {g.dilation}, {g.groups} groups and padding {g.padding}."
        )
    if algorithm == "planes" and not plane_plan.handles(g, which):
        raise ValueError(
            f"planes are for convolutions with stride 1, one group and up to {plane_plan.MOST_CHANNELS} channels, not "
            f"for stride {g.stride}, {g.groups} groups and padding {g.padding} from {g.input} to {g.output}."
        )
    if algorithm == "folded" and not (which == "data" and conv_folded.handles(g)):
        raise ValueError(
            "folded sums are for data gradients with stride 1, one group, few channels and taps for a vector, not "
            f"for {which} with stride {g.stride}, {g.groups} groups and kernel {g.kernel} from {g.input} to {g.output}."
        )
    if algorithm == "sparse" and not (pooled and _sparse_applies(g, which)):
        raise ValueError(
            "sparse sums are for gradients behind a pool, without groups and dilation and with few weights, not "
            f"for {which} with kernel {g.kernel}, {g.groups} groups and dilation {g.dilation} from {g.input} to "
            f"{g.output}."
        )
    return algorithm
