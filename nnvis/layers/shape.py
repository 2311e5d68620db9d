"""Layers that change the shape and no values: flatten, reshape, zero padding."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nnvis.errors import ShapeError
from nnvis.layers.base import Flow, Layer, PairLike, Shape, describe, image_shape, pair, whole


@dataclass(frozen=True)
class _View(Layer):
    family: ClassVar[str] = "shape"
    backward_reads: ClassVar[frozenset[str]] = frozenset()
    is_view: ClassVar[bool] = True

    def forward(self, at: Flow) -> None:
        """Nothing to do: the output is the input's memory under another shape."""

    def backward(self, at: Flow) -> None:
        """Nothing to do: the gradient is the output gradient's memory under another shape."""


@dataclass(frozen=True)
class Flatten(_View):
    """Everything but the batch axis becomes one vector, channels last: ``(H, W, C)`` to ``(H * W * C,)``."""

    def output_shape(self, *shapes: Shape) -> Shape:
        return (math.prod(shapes[0]),)


@dataclass(frozen=True)
class Identity(_View):
    """The input, unchanged: a named place to look at, or a placeholder."""


@dataclass(frozen=True)
class Reshape(_View):
    """The same values in the same order under another shape (without the batch axis); one size may be -1."""

    shape: tuple[int, ...] = (-1,)

    def __post_init__(self):
        self._set(shape=tuple(int(d) for d in self.shape))

    def output_shape(self, *shapes: Shape) -> Shape:
        try:
            return np.empty(shapes[0], np.bool_).reshape(self.shape).shape
        except ValueError:
            raise ShapeError(
                f"Reshape cannot turn {describe(shapes[0])} ({math.prod(shapes[0])} values) into {self.shape}."
            ) from None


@dataclass(frozen=True)
class ZeroPad2d(Layer):
    """Zeros around an image.

    Parameters
    ----------
    padding : int or (left, right, top, bottom)
        In PyTorch's order.
    """

    family: ClassVar[str] = "shape"
    repeats: ClassVar[bool] = True
    backward_reads: ClassVar[frozenset[str]] = frozenset({"dy"})

    padding: PairLike = 1

    def __post_init__(self):
        sides = (self.padding,) * 4 if isinstance(self.padding, int | np.integer) else tuple(self.padding)
        if len(sides) != 4:
            raise ShapeError(f"ZeroPad2d takes one number or (left, right, top, bottom), not {self.padding!r}.")
        self._set(padding=tuple(whole(side, "padding", 0) for side in sides))

    def output_shape(self, *shapes: Shape) -> Shape:
        height, width, channels = image_shape(self.kind, shapes[0])
        left, right, top, bottom = self.padding
        return height + top + bottom, width + left + right, channels

    def forward(self, at: Flow) -> None:
        at.kernels.pad2d_forward(at.x, at.y, self.padding[2], self.padding[0])

    def backward(self, at: Flow) -> None:
        if at.dx is not None:
            at.kernels.pad2d_backward(at.dy, at.dx, self.padding[2], self.padding[0])


@dataclass(frozen=True)
class PadChannels(Layer):
    """Zero channels before and after: the parameter-free shortcut ("option A") of ResNet.

    Parameters
    ----------
    padding : int or (int, int)
        Number of zero channels (before, after); one number stands for both.

    Notes
    -----
    He et al., "Deep Residual Learning", 2015, section 3.3, option A.
    """

    family: ClassVar[str] = "shape"
    repeats: ClassVar[bool] = True
    backward_reads: ClassVar[frozenset[str]] = frozenset({"dy"})

    padding: PairLike = 1

    def __post_init__(self):
        self._set(padding=pair(self.padding, "padding", 0))

    def output_shape(self, *shapes: Shape) -> Shape:
        return (*shapes[0][:-1], shapes[0][-1] + sum(self.padding))

    def forward(self, at: Flow) -> None:
        channels = at.x.shape[-1]
        at.kernels.fill(at.y, 0.0)
        at.kernels.copy_columns(
            at.x.reshape(-1, channels), at.y.reshape(-1, at.y.shape[-1]), 0, self.padding[0], channels
        )

    def backward(self, at: Flow) -> None:
        if at.dx is not None:
            channels = at.dx.shape[-1]
            at.kernels.copy_columns(
                at.dy.reshape(-1, at.dy.shape[-1]), at.dx.reshape(-1, channels), self.padding[0], 0, channels
            )
