"""Convolution over images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar

from nnvis.errors import ConfigError, ShapeError
from nnvis.init import He
from nnvis.layers.base import (
    Flow,
    Layer,
    Pair,
    PairLike,
    Parameter,
    Shape,
    bias,
    image_shape,
    pair,
    weight,
    whole,
    window_shape,
)


@dataclass(frozen=True)
class Conv2d(Layer):
    """2-D convolution (cross-correlation): each output value is a weighted sum over a window of the input.

    Parameters
    ----------
    out_channels : int
        Number of filters.
    kernel_size, stride, dilation : int or (int, int)
        Window (height, width), its step, and the spacing of its taps.
    padding : int or (int, int) or "same"
        Zeros around the image; "same" keeps height and width at stride 1 (odd kernels).
    groups : int
        The channels are cut into this many groups that do not see each other; equal to the number of input
        channels it is a depthwise convolution.
    bias : bool
    weight_init, bias_init : Initializer or str, optional

    Notes
    -----
    Weight shape ``(KH, KW, C_in / groups, C_out)``. Output size per axis
    ``(size + 2*padding - dilation*(kernel-1) - 1) // stride + 1``. Goodfellow et al., "Deep Learning", section 9.1.
    """

    family: ClassVar[str] = "convolution"
    repeats: ClassVar[bool] = True

    out_channels: int
    kernel_size: PairLike = 3
    stride: PairLike = 1
    padding: PairLike = 0
    dilation: PairLike = 1
    groups: int = 1
    bias: bool = True
    weight_init: Any = None
    bias_init: Any = None

    def __post_init__(self):
        kernel, dilation = pair(self.kernel_size, "kernel_size", 1), pair(self.dilation, "dilation", 1)
        self._set(
            out_channels=whole(self.out_channels, "out_channels", 1),
            kernel_size=kernel,
            stride=pair(self.stride, "stride", 1),
            padding=_padding(self.padding, kernel, dilation),
            dilation=dilation,
            groups=whole(self.groups, "groups", 1),
        )
        if self.out_channels % self.groups:
            raise ConfigError(f"out_channels {self.out_channels} cannot be cut into {self.groups} groups.")

    def output_shape(self, *shapes: Shape) -> Shape:
        channels = image_shape(self.kind, shapes[0])[2]
        if channels % self.groups:
            raise ShapeError(
                f"Conv2d gets {channels} input channels, which {self.groups} groups do not divide; "
                f"choose groups that divide {channels}."
            )
        out = window_shape(self.kind, shapes[0], self.kernel_size, self.stride, self.padding, self.dilation)
        return (*out, self.out_channels)

    def _weight_shape(self, shape: Shape) -> tuple[int, int, int, int]:
        return (*self.kernel_size, shape[2] // self.groups, self.out_channels)

    def parameters(self, *shapes: Shape) -> dict[str, Parameter]:
        shape = self._weight_shape(shapes[0])
        taps = math.prod(self.kernel_size)
        fans = taps * shape[2], taps * self.out_channels // self.groups
        made = {"weight": weight(shape, *fans, self.weight_init, He())}
        if self.bias:
            made["bias"] = bias(self.out_channels, self.bias_init)
        return made

    def multiply_adds(self, *shapes: Shape) -> int:
        height, width, _ = self.output_shape(*shapes)
        return height * width * math.prod(self._weight_shape(shapes[0]))

    @property
    def geometry(self) -> tuple[Pair, Pair, Pair, int]:
        """Stride, padding, dilation and groups, in the order of kernels."""
        return self.stride, self.padding, self.dilation, self.groups

    def how(self, at: Flow) -> tuple[Pair, Pair, Pair, int, str]:
        """Geometry and algorithm."""
        return *self.geometry, "direct" if at.exact else "auto"

    def is_pooled(self, kernels: ModuleType, shape: Shape) -> bool:
        """Whether `kernels` compute it, for inputs (N, H, W, C), best together with a maximum pool over tiles."""
        return kernels.conv2d_pool_applies(shape, self._weight_shape(shape[1:]), *self.geometry)

    def is_normalised(self, kernels: ModuleType, shape: Shape) -> bool:
        """Whether `kernels` compute it, for inputs (N, H, W, C), best together with a normalisation in front of it."""
        return kernels.conv2d_normalised_applies(shape, self._weight_shape(shape[1:]), *self.geometry)

    def forward(self, at: Flow) -> None:
        at.kernels.conv2d_forward(at.x, at.params["weight"], at.params.get("bias"), at.y, *self.how(at), at.activation)

    def backward(self, at: Flow) -> None:
        if at.grads:
            slopes = at.grads["weight"], at.grads.get("bias")
            at.kernels.conv2d_backward_weights(at.x, at.dy, *slopes, *self.how(at), at.pooled)
        if at.dx is not None:
            at.kernels.conv2d_backward_data(at.dy, at.params["weight"], at.dx, *self.how(at), at.pooled)


def _padding(padding: Any, kernel: Pair, dilation: Pair) -> Pair:
    if padding != "same":
        return pair(padding, "padding", 0)
    if any(d * (k - 1) % 2 for k, d in zip(kernel, dilation, strict=True)):
        raise ConfigError(f"padding='same' needs an odd kernel, not {kernel[0]}x{kernel[1]}; give numbers instead.")
    return tuple(d * (k - 1) // 2 for k, d in zip(kernel, dilation, strict=True))  # type: ignore[return-value]
