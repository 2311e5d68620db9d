"""Pooling: windows summed up by their maximum or mean."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nnvis.errors import ConfigError
from nnvis.layers.base import Cache, Flow, Layer, Pair, PairLike, Shape, image_shape, pair, window_shape


@dataclass(frozen=True)
class _Pool2d(Layer):
    family: ClassVar[str] = "pooling"

    kernel_size: PairLike = 2
    stride: PairLike = None
    padding: PairLike = 0
    ceil_mode: bool = False

    def __post_init__(self):
        kernel = pair(self.kernel_size, "kernel_size", 1)
        padding = pair(self.padding, "padding", 0)
        if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
            raise ConfigError(f"padding {padding} may be at most half of the pooling window {kernel}.")
        stride = kernel if self.stride is None else pair(self.stride, "stride", 1)
        self._set(kernel_size=kernel, stride=stride, padding=padding)

    def output_shape(self, *shapes: Shape) -> Shape:
        out = window_shape(self.kind, shapes[0], self.kernel_size, self.stride, self.padding, ceil=self.ceil_mode)
        return (*out, shapes[0][2])

    @property
    def _geometry(self) -> tuple[Pair, Pair, Pair]:
        return self.kernel_size, self.stride, self.padding

    @property
    def has_tiles(self) -> bool:
        """Whether the windows are 2x2 tiles within the image."""
        return self._geometry == ((2, 2), (2, 2), (0, 0)) and not self.ceil_mode


@dataclass(frozen=True)
class MaxPool2d(_Pool2d):
    """Largest value of each window and channel; the gradient goes to where it was found.

    Parameters
    ----------
    kernel_size, stride, padding : int or (int, int)
        The stride is the kernel size unless given. Padding never wins.
    ceil_mode : bool
        Let the last windows hang over the edge instead of dropping the rest of the image.
    """

    repeats: ClassVar[bool] = True
    backward_reads: ClassVar[frozenset[str]] = frozenset({"dy"})

    def caches(self, *shapes: Shape) -> dict[str, Cache]:
        small = math.prod(self.kernel_size) <= 256
        return {"argmax": Cache(self.output_shape(*shapes), "uint8" if small else "int32")}

    def forward(self, at: Flow) -> None:
        at.kernels.max_pool2d_forward(at.x, at.y, at.caches["argmax"], *self._geometry, at.activation == "relu")

    def backward(self, at: Flow) -> None:
        if at.dx is not None:
            at.kernels.max_pool2d_backward(at.dy, at.caches["argmax"], at.dx, *self._geometry)


@dataclass(frozen=True)
class AvgPool2d(_Pool2d):
    """Mean of each window and channel.

    Parameters
    ----------
    kernel_size, stride, padding : int or (int, int)
        The stride is the kernel size unless given.
    ceil_mode : bool
        Let the last windows hang over the edge instead of dropping the rest of the image.
    count_include_pad : bool
        Whether padded zeros count in the mean.
    """

    repeats: ClassVar[bool] = True
    backward_reads: ClassVar[frozenset[str]] = frozenset({"dy"})

    count_include_pad: bool = True

    def forward(self, at: Flow) -> None:
        at.kernels.avg_pool2d_forward(at.x, at.y, *self._geometry, self.count_include_pad)

    def backward(self, at: Flow) -> None:
        if at.dx is not None:
            at.kernels.avg_pool2d_backward(at.dy, at.dx, *self._geometry, self.count_include_pad)


@dataclass(frozen=True)
class _AdaptivePool2d(Layer):
    family: ClassVar[str] = "pooling"
    backward_reads: ClassVar[frozenset[str]] = frozenset({"dy"})

    output_size: PairLike = 1

    def __post_init__(self):
        self._set(output_size=pair(self.output_size, "output_size", 1))

    def output_shape(self, *shapes: Shape) -> Shape:
        return (*self.output_size, image_shape(self.kind, shapes[0])[2])


@dataclass(frozen=True)
class AdaptiveAvgPool2d(_AdaptivePool2d):
    """Mean over windows chosen so that the output has `output_size` (height, width), whatever the input's."""

    repeats: ClassVar[bool] = True

    def forward(self, at: Flow) -> None:
        at.kernels.adaptive_avg_pool2d_forward(at.x, at.y)

    def backward(self, at: Flow) -> None:
        if at.dx is not None:
            at.kernels.adaptive_avg_pool2d_backward(at.dy, at.dx)


@dataclass(frozen=True)
class AdaptiveMaxPool2d(_AdaptivePool2d):
    """Maximum over windows chosen so that the output has `output_size` (height, width), whatever the input's."""

    repeats: ClassVar[bool] = True

    def caches(self, *shapes: Shape) -> dict[str, Cache]:
        return {"argmax": Cache(self.output_shape(*shapes), "int32")}

    def forward(self, at: Flow) -> None:
        at.kernels.adaptive_max_pool2d_forward(at.x, at.y, at.caches["argmax"])

    def backward(self, at: Flow) -> None:
        if at.dx is not None:
            at.kernels.adaptive_max_pool2d_backward(at.dy, at.caches["argmax"], at.dx)


@dataclass(frozen=True)
class GlobalAvgPool2d(Layer):
    """Mean of each whole channel: images ``(H, W, C)`` become vectors ``(C,)``.

    Lin et al., "Network In Network", 2013, section 3.2.
    """

    family: ClassVar[str] = "pooling"
    repeats: ClassVar[bool] = True
    backward_reads: ClassVar[frozenset[str]] = frozenset({"dy"})

    def output_shape(self, *shapes: Shape) -> Shape:
        return (image_shape(self.kind, shapes[0])[2],)

    def forward(self, at: Flow) -> None:
        at.kernels.adaptive_avg_pool2d_forward(at.x, _as_image(at.y))

    def backward(self, at: Flow) -> None:
        if at.dx is not None:
            at.kernels.adaptive_avg_pool2d_backward(_as_image(at.dy), at.dx)


@dataclass(frozen=True)
class GlobalMaxPool2d(Layer):
    """Maximum of each whole channel: images ``(H, W, C)`` become vectors ``(C,)``."""

    family: ClassVar[str] = "pooling"
    repeats: ClassVar[bool] = True
    backward_reads: ClassVar[frozenset[str]] = frozenset({"dy"})

    def output_shape(self, *shapes: Shape) -> Shape:
        return (image_shape(self.kind, shapes[0])[2],)

    def caches(self, *shapes: Shape) -> dict[str, Cache]:
        return {"argmax": Cache((1, 1, shapes[0][2]), "int32")}

    def forward(self, at: Flow) -> None:
        at.kernels.adaptive_max_pool2d_forward(at.x, _as_image(at.y), at.caches["argmax"])

    def backward(self, at: Flow) -> None:
        if at.dx is not None:
            at.kernels.adaptive_max_pool2d_backward(_as_image(at.dy), at.caches["argmax"], at.dx)


def _as_image(vectors: np.ndarray) -> np.ndarray:
    """A view ``(N, 1, 1, C)`` of vectors (N, C)."""
    count, channels = vectors.shape
    return vectors.reshape(count, 1, 1, channels)
