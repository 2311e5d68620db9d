"""Layers that move channels about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nnvis.errors import ShapeError
from nnvis.layers.base import Flow, Layer, Shape, rows, whole


@dataclass(frozen=True)
class ChannelShuffle(Layer):
    """Interleave the channels of the groups, so that the next grouped convolution sees some of each.

    Parameters
    ----------
    groups : int
        Number of groups of the convolution before; divides the channels.

    Notes
    -----
    ``y[..., j * groups + i] = x[..., i * C / groups + j]``. Zhang et al., "ShuffleNet", 2018, section 3.1.
    """

    family: ClassVar[str] = "shape"
    repeats: ClassVar[bool] = True
    backward_reads: ClassVar[frozenset[str]] = frozenset({"dy"})

    groups: int = 2

    def __post_init__(self):
        self._set(groups=whole(self.groups, "groups", 1))

    def output_shape(self, *shapes: Shape) -> Shape:
        if shapes[0][-1] % self.groups:
            raise ShapeError(
                f"ChannelShuffle gets {shapes[0][-1]} channels, which {self.groups} groups do not divide; "
                f"choose groups that divide {shapes[0][-1]}."
            )
        return shapes[0]

    def forward(self, at: Flow) -> None:
        at.kernels.channel_shuffle_forward(rows(at.x), rows(at.y), self.groups)

    def backward(self, at: Flow) -> None:
        if at.dx is not None:
            at.kernels.channel_shuffle_backward(rows(at.dy), rows(at.dx), self.groups)
