"""Which algorithm computes a convolution."""

from __future__ import annotations

from kernels.cpu.conv_plan import Geometry
from kernels.cpu.winograd_plan import applies

#: Outputs along an axis of a Winograd tile, by algorithm.
OUTPUTS = {"direct": 0, "winograd2": 2, "winograd4": 4}


def choose(g: Geometry, which: str) -> str:
    """The quickest algorithm for a pass, as measured.

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
    if not applies(g) or min(g.input[2], g.output[2]) < 16:
        return "direct"
    height, width = g.output[:2]
    return "winograd4" if min(height, width) > 2 else "winograd2"


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
