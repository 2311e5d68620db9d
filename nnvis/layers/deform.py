"""Convolution whose windows are bent by the data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nnvis.errors import ShapeError
from nnvis.layers.base import Flow, Shape, describe
from nnvis.layers.conv import Conv2d


@dataclass(frozen=True)
class DeformConv2d(Conv2d):
    """Deformable convolution: every tap reads the image at a distance from its place that the data decide.

    Inputs are an image (H, W, C), offsets (OH, OW, 2 G KH KW) in pixels, and optionally (version 2) factors
    (OH, OW, G KH KW) for what is read. Usually other convolutions make the offsets and, with a sigmoid, the factors.

    Parameters
    ----------
    out_channels : int
        Number of filters.
    kernel_size, stride, dilation : int or (int, int)
        Window (height, width), its step, and the spacing of its taps.
    padding : int or (int, int) or "same"
        Zeros around the image; "same" keeps height and width at stride 1 (odd kernels).
    groups : int
        The channels are cut into this many groups that do not see each other.
    bias : bool
    weight_init, bias_init : Initializer or str, optional

    Notes
    -----
    As torchvision's ``deform_conv2d``, channels last: for each of G groups of input channels and each tap the offsets
    are (rows down, columns right). What lies between pixels is a bilinear mean; outside the image is zero. Dai et al.,
    "Deformable Convolutional Networks", 2017; Zhu et al., "Deformable ConvNets v2", 2019.
    """

    arity: ClassVar[int | None] = None
    repeats: ClassVar[bool] = True

    def output_shape(self, *shapes: Shape) -> Shape:
        if len(shapes) > 3:
            raise ShapeError(f"DeformConv2d takes an image, offsets and perhaps a mask, not {len(shapes)} inputs.")
        out = super().output_shape(shapes[0])
        taps = math.prod(self.kernel_size)
        groups = shapes[1][-1] // (2 * taps) if len(shapes) > 1 else 1
        if not groups or shapes[0][2] % groups:
            groups = 1
        expected = [(*out[:2], 2 * groups * taps), (*out[:2], groups * taps)]
        for name, found, wanted in zip(("offsets", "factors"), shapes[1:], expected, strict=False):
            if found != wanted:
                raise ShapeError(
                    f"DeformConv2d needs {name} of shape {describe(wanted)}, for {taps} taps at each output pixel, but "
                    f"gets {describe(found)}; make them by a convolution of the same window with {wanted[2]} channels."
                )
        return out

    def multiply_adds(self, *shapes: Shape) -> int:
        out = self.output_shape(*shapes)
        sampling = 4 * math.prod(out[:2]) * math.prod(self.kernel_size) * shapes[0][2]
        return super().multiply_adds(*shapes) + sampling

    @staticmethod
    def _inputs(at: Flow) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        return at.xs[0], at.xs[1], at.xs[2] if len(at.xs) > 2 else None

    def forward(self, at: Flow) -> None:
        weights = at.params["weight"], at.params.get("bias")
        at.kernels.deform_conv2d_forward(*self._inputs(at), *weights, at.y, *self.geometry)

    def backward(self, at: Flow) -> None:
        inputs, weights = self._inputs(at), (at.grads["weight"], at.grads.get("bias"))
        at.kernels.deform_conv2d_backward_weights(*inputs, at.dy, *weights, *self.geometry)
        if any(dx is not None for dx in at.dxs):
            dxs = (*at.dxs, None)[:3]
            at.kernels.deform_conv2d_backward_data(*inputs, at.params["weight"], at.dy, *dxs, *self.geometry)
