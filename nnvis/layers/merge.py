"""Layers that join or cut branches: add, multiply, concatenate, split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nnvis.errors import ConfigError, ShapeError
from nnvis.layers.base import Flow, Layer, Shape, describe, rows, whole


def _broadcast(kind: str, shapes: tuple[Shape, ...]) -> Shape:
    if len({len(s) for s in shapes}) > 1 or any(
        len({d for d in sizes if d != 1}) > 1 for sizes in zip(*shapes, strict=False)
    ):
        found = " and ".join(map(describe, shapes))
        raise ShapeError(
            f"{kind} needs inputs of one shape (an axis of size 1 is repeated) but gets {found}; "
            "match the channels with a 1x1 Conv2d or the size with a stride."
        )
    return tuple(max(sizes) for sizes in zip(*shapes, strict=True))


@dataclass(frozen=True)
class Add(Layer):
    """Sum of two or more inputs; an axis of size 1 is repeated (broadcast)."""

    family: ClassVar[str] = "merge"
    repeats: ClassVar[bool] = True
    arity: ClassVar[int | None] = None
    backward_reads: ClassVar[frozenset[str]] = frozenset({"dy"})
    passes_gradient: ClassVar[bool] = True

    def output_shape(self, *shapes: Shape) -> Shape:
        return _broadcast(self.kind, shapes)

    def forward(self, at: Flow) -> None:
        first, second, *rest = sorted(at.xs, key=lambda x: -x.size)
        for each in rest:
            at.kernels.add_forward(first, second, at.y)
            first, second = at.y, each
        at.kernels.add_forward(first, second, at.y, at.activation)

    def backward(self, at: Flow) -> None:
        # Inputs of the output's own shape share its gradient (`passes_gradient`); only repeated ones need a sum.
        for dx in at.dxs:
            if dx is not None:
                at.kernels.add_backward(at.dy, dx, None)


@dataclass(frozen=True)
class Multiply(Layer):
    """Product of two inputs; an axis of size 1 is repeated (broadcast), as for a gate per channel or per pixel.

    A vector (C,) is repeated over all pixels of an image (H, W, C) or over all tokens: the gate of squeeze and
    excitation. Hu et al., "Squeeze-and-Excitation Networks", 2018, section 3.
    """

    family: ClassVar[str] = "merge"
    repeats: ClassVar[bool] = True
    arity: ClassVar[int | None] = 2

    def output_shape(self, *shapes: Shape) -> Shape:
        rank = max(map(len, shapes))
        lifted = tuple((1,) * (rank - 1) + shape if len(shape) == 1 else shape for shape in shapes)
        return _broadcast(self.kind, lifted)

    @staticmethod
    def _lifted(at: Flow, arrays: list) -> list:
        """Vectors as images of one pixel, where the output is an image."""
        missing = at.y.ndim - 2
        return [
            each if each is None or each.ndim > 2 else each.reshape(len(each), *[1] * missing, each.shape[-1])
            for each in arrays
        ]

    def forward(self, at: Flow) -> None:
        at.kernels.multiply_forward(*self._lifted(at, at.xs), at.y)

    def backward(self, at: Flow) -> None:
        if any(dx is not None for dx in at.dxs):
            at.kernels.multiply_backward(*self._lifted(at, at.xs), at.dy, *self._lifted(at, at.dxs))


@dataclass(frozen=True)
class Concat(Layer):
    """Join two or more inputs along the last axis (channels)."""

    family: ClassVar[str] = "merge"
    repeats: ClassVar[bool] = True
    arity: ClassVar[int | None] = None
    backward_reads: ClassVar[frozenset[str]] = frozenset({"dy"})

    def output_shape(self, *shapes: Shape) -> Shape:
        if len({s[:-1] for s in shapes}) > 1:
            found = " and ".join(map(describe, shapes))
            raise ShapeError(f"Concat joins channels and needs equal heights and widths but gets {found}.")
        return (*shapes[0][:-1], sum(s[-1] for s in shapes))

    def forward(self, at: Flow) -> None:
        start, y = 0, rows(at.y)
        for x in map(rows, at.xs):
            at.kernels.copy_columns(x, y, 0, start, x.shape[1])
            start += x.shape[1]

    def backward(self, at: Flow) -> None:
        start, dy = 0, rows(at.dy)
        for x, dx in zip(at.xs, at.dxs, strict=True):
            width = x.shape[-1]
            if dx is not None:
                at.kernels.copy_columns(dy, rows(dx), start, 0, width)
            start += width


@dataclass(frozen=True)
class Split(Layer):
    """One part of the channels, cut into sections; use one Split node for each part.

    Parameters
    ----------
    sections : int or tuple of int
        Number of equal parts, or the channels of each part.
    part : int
        Which of the parts this node gives, counted from 0.
    """

    family: ClassVar[str] = "merge"
    repeats: ClassVar[bool] = True
    backward_reads: ClassVar[frozenset[str]] = frozenset({"dy"})

    sections: int | tuple[int, ...] = 2
    part: int = 0

    def __post_init__(self):
        if isinstance(self.sections, int | np.integer):
            count = whole(self.sections, "sections", 1)
            self._set(sections=count)
        else:
            self._set(sections=tuple(whole(s, "sections", 1) for s in self.sections))
            count = len(self.sections)
        if not 0 <= self.part < count:
            raise ConfigError(f"part must be from 0 to {count - 1}, not {self.part!r}.")

    def section(self, channels: int) -> tuple[int, int]:
        """The first of all `channels` that this part has, and how many."""
        if isinstance(self.sections, int):
            width, rest = divmod(channels, self.sections)
            if rest:
                raise ShapeError(f"Split cannot cut {channels} channels into {self.sections} equal parts.")
            return self.part * width, width
        if sum(self.sections) != channels:
            raise ShapeError(f"Split's sections {self.sections} do not add up to the {channels} channels of its input.")
        return sum(self.sections[: self.part]), self.sections[self.part]

    def output_shape(self, *shapes: Shape) -> Shape:
        return (*shapes[0][:-1], self.section(shapes[0][-1])[1])

    def reads_part(self, number: int, *shapes: Shape) -> tuple[int, int] | None:
        return self.section(shapes[0][-1])

    def forward(self, at: Flow) -> None:
        start, width = self.section(at.x.shape[-1])
        at.kernels.copy_columns(rows(at.x), rows(at.y), start, 0, width)

    def backward(self, at: Flow) -> None:
        if at.dx is not None:
            start, width = self.section(at.dx.shape[-1])
            if 0 not in at.parts:
                at.kernels.fill(at.dx, 0.0)
            at.kernels.copy_columns(rows(at.dy), rows(at.dx), 0, start, width)
