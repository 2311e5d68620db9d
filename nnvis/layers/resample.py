"""Layers that change the size of an image by interpolation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from nnvis.errors import ConfigError, ShapeError
from nnvis.layers.base import Flow, Layer, PairLike, Shape, describe, image_shape, pair


@dataclass(frozen=True)
class Upsample(Layer):
    """Enlarge an image by repeating its pixels or by interpolating between them.

    Parameters
    ----------
    scale_factor : float or (float, float)
        Of height and width; the sizes are rounded down. Factors below 1 make an image smaller, without smoothing.
    mode : {"nearest", "bilinear"}
        Each new pixel is the nearest old one, or a mean of the four around it.
    size : int or (int, int), optional
        Height and width of the output; takes the place of the scale factor.
    align_corners : bool
        Bilinear only. False: pixels are areas, and the edges of the image keep their places. True: pixels are points,
        and those in the corners keep their places.

    Notes
    -----
    As PyTorch's ``Upsample``. Gonzalez and Woods, "Digital Image Processing", 2018, section 2.4.
    """

    family: ClassVar[str] = "shape"
    repeats: ClassVar[bool] = True
    backward_reads: ClassVar[frozenset[str]] = frozenset({"dy"})

    scale_factor: PairLike = 2
    mode: str = "nearest"
    size: PairLike = None
    align_corners: bool = False

    def __post_init__(self):
        size = None if self.size is None else pair(self.size, "size", 1)
        self._set(scale_factor=_factors(self.scale_factor), size=size)
        if self.mode not in ("nearest", "bilinear"):
            raise ConfigError(f"mode must be 'nearest' or 'bilinear', not {self.mode!r}.")
        if self.align_corners and self.mode == "nearest":
            raise ConfigError("align_corners needs mode 'bilinear'; with 'nearest' there is nothing to align.")

    def output_shape(self, *shapes: Shape) -> Shape:
        height, width, channels = image_shape(self.kind, shapes[0])
        if self.size is not None:
            return (*self.size, channels)
        out = math.floor(height * self.scale_factor[0]), math.floor(width * self.scale_factor[1])
        if not all(out):
            raise ShapeError(
                f"Upsample by {self.scale_factor[0]}, {self.scale_factor[1]} leaves nothing of its input "
                f"{describe(shapes[0])}; use a larger scale_factor."
            )
        return (*out, channels)

    @property
    def _how(self) -> tuple[bool, bool, tuple[float, float]]:
        """Bilinear, align_corners, and output pixels to one of the input (0: the ratio of the sizes)."""
        scale = (0.0, 0.0) if self.size is not None else self.scale_factor
        return self.mode == "bilinear", self.align_corners, scale

    def forward(self, at: Flow) -> None:
        at.kernels.upsample2d_forward(at.x, at.y, *self._how)

    def backward(self, at: Flow) -> None:
        if at.dx is not None:
            at.kernels.upsample2d_backward(at.dy, at.dx, *self._how)


def _factors(value: Any) -> tuple[float, float]:
    """`value` or `(h, w)` as two numbers above 0; whole ones as whole numbers."""
    values = (value, value) if isinstance(value, int | float) else tuple(value) if value is not None else ()
    if len(values) != 2 or not all(isinstance(v, int | float) and 0 < v < math.inf for v in values):
        raise ConfigError(f"scale_factor must be a number above 0 (or two), not {value!r}.")
    down, across = (int(v) if v == int(v) else float(v) for v in values)
    return down, across
