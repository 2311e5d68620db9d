"""Layers that change the size of an image by interpolation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nnvis.errors import ConfigError
from nnvis.layers.base import Flow, Layer, PairLike, Shape, image_shape, pair


@dataclass(frozen=True)
class Upsample(Layer):
    """Enlarge an image by repeating its pixels or by interpolating between them.

    Parameters
    ----------
    scale_factor : int or (int, int)
        Of height and width.
    mode : {"nearest", "bilinear"}
        Each new pixel is the nearest old one, or a mean of the four around it.

    Notes
    -----
    As PyTorch's ``Upsample`` with ``align_corners=False``: pixels are areas, and their centres keep their places.
    """

    family: ClassVar[str] = "shape"
    backward_reads: ClassVar[frozenset[str]] = frozenset({"dy"})

    scale_factor: PairLike = 2
    mode: str = "nearest"

    def __post_init__(self):
        self._set(scale_factor=pair(self.scale_factor, "scale_factor", 1))
        if self.mode not in ("nearest", "bilinear"):
            raise ConfigError(f"mode must be 'nearest' or 'bilinear', not {self.mode!r}.")

    def output_shape(self, *shapes: Shape) -> Shape:
        height, width, channels = image_shape(self.kind, shapes[0])
        return height * self.scale_factor[0], width * self.scale_factor[1], channels

    def forward(self, at: Flow) -> None:
        at.kernels.upsample2d_forward(at.x, at.y, self.mode == "bilinear")

    def backward(self, at: Flow) -> None:
        if at.dx is not None:
            at.kernels.upsample2d_backward(at.dy, at.dx, self.mode == "bilinear")
