"""Which pixels meet which taps: the index tables of convolutions, as plain NumPy.

No padded image is ever made. Target pixels are sorted into classes, such that all pixels of one class meet the same
taps inside the source image: the inside of a padded image is one class, its borders and corners are others, and the
gradient of a strided convolution has a class for every phase of the stride. Within a class the source offset is
``pixel offset + tap offset``, which is all that the register tiles need, and no work is spent on zeros.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Pair = tuple[int, int]


@dataclass(frozen=True)
class Geometry:
    """One convolution, always described as its forward pass.

    Parameters
    ----------
    images : int
    input, output : (int, int, int)
        Height, width and channels.
    kernel, stride, padding, dilation : (int, int)
    groups : int
    """

    images: int
    input: tuple[int, int, int]
    output: tuple[int, int, int]
    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int

    @property
    def taps(self) -> int:
        return self.kernel[0] * self.kernel[1]

    @property
    def is_pointwise(self) -> bool:
        """Whether every output pixel needs exactly the input pixel in its place."""
        return self.kernel == (1, 1) and self.padding == (0, 0) and self.stride == (1, 1)

    @property
    def is_product(self) -> bool:
        """Whether it is a plain matrix product: ungrouped, one tap, images of one pixel (pointwise ones, flattened)."""
        return self.taps == 1 and self.groups == 1 and self.input[:2] == self.output[:2] == (1, 1)

    def flattened(self) -> Geometry:
        """A pointwise convolution as one on many images of one pixel; others as they are."""
        if not self.is_pointwise:
            return self
        height, width, channels = self.input
        count = self.images * height * width
        one, none = (1, 1), (0, 0)
        output = (1, 1, self.output[2])
        return Geometry(count, (1, 1, channels), output, one, one, none, one, self.groups)


@functools.lru_cache(maxsize=512)
def convolution(x_shape, y_shape, kernel, stride, padding, dilation, groups) -> Geometry:
    """Geometry of a convolution from the shapes of its arrays."""
    images, *image = x_shape
    return Geometry(images, tuple(image), tuple(y_shape[1:]), kernel, stride, padding, dilation, groups).flattened()


def from_shapes(x_shape, w_shape, stride, padding, dilation, groups) -> Geometry:
    """Geometry of a convolution from the shapes of its input and weights."""
    size = ((x_shape[1 + i] + 2 * padding[i] - dilation[i] * (w_shape[i] - 1) - 1) // stride[i] + 1 for i in range(2))
    y_shape = x_shape[0], *size, w_shape[3]
    return convolution(x_shape, y_shape, w_shape[:2], stride, padding, dilation, groups)


@functools.lru_cache(maxsize=512)
def product(rows: int, inner: int, columns: int) -> Geometry:
    """Geometry of a matrix product: each row is an image of one pixel."""
    one, none = (1, 1), (0, 0)
    return Geometry(rows, (1, 1, inner), (1, 1, columns), one, one, none, one, 1)


@dataclass(frozen=True)
class PixelClass:
    """Target pixels that meet the same taps.

    Parameters
    ----------
    targets : ndarray (P,)
        Pixel numbers within the target image.
    sources : ndarray (P,)
        Pixel number, within the source image, under the first tap. (Meaningless without taps.)
    taps : list of (int, int)
        Number of the tap (``kh * KW + kw``), and the pixels from the first tap's source to this one's.
    """

    targets: np.ndarray
    sources: np.ndarray
    taps: list[tuple[int, int]]


@dataclass(frozen=True)
class _AxisClass:
    targets: np.ndarray
    sources: np.ndarray
    taps: list[tuple[int, int]]


def forward_classes(g: Geometry) -> list[PixelClass]:
    """Classes with output pixels as targets and input pixels as sources."""
    axes = [_axis_classes(g.output[i], _input_of(g, i)) for i in range(2)]
    return _cross(axes, g.kernel[1], g.output[1], g.input[1])


def backward_classes(g: Geometry) -> list[PixelClass]:
    """Classes with input pixels as targets and output pixels as sources."""
    axes = [_axis_classes(g.input[i], _outputs_of(g, i)) for i in range(2)]
    return _cross(axes, g.kernel[1], g.input[1], g.output[1])


Hits = list[tuple[int, int]]


def _input_of(g: Geometry, axis: int) -> Callable[[int], Hits]:
    """For an output position: (tap, input position) of every tap that falls inside the image."""

    def hits(position: int) -> Hits:
        start = position * g.stride[axis] - g.padding[axis]
        found = ((k, start + k * g.dilation[axis]) for k in range(g.kernel[axis]))
        return [(k, source) for k, source in found if 0 <= source < g.input[axis]]

    return hits


def _outputs_of(g: Geometry, axis: int) -> Callable[[int], Hits]:
    """For an input position: (tap, output position) of every output that reads it, in ascending order."""

    def hits(position: int) -> Hits:
        shifted = ((k, position + g.padding[axis] - k * g.dilation[axis]) for k in range(g.kernel[axis]))
        found = [(k, at // g.stride[axis]) for k, at in shifted if at % g.stride[axis] == 0]
        return [(k, out) for k, out in reversed(found) if 0 <= out < g.output[axis]]

    return hits


def _axis_classes(size: int, hits: Callable[[int], Hits]) -> list[_AxisClass]:
    members: dict[tuple[int, ...], list[tuple[int, Hits]]] = {}
    for position in range(size):
        found = hits(position)
        members.setdefault(tuple(tap for tap, _ in found), []).append((position, found))
    return [_axis_class(group) for group in members.values()]


def _axis_class(group: list[tuple[int, Hits]]) -> _AxisClass:
    first = [found[0][1] if found else 0 for _, found in group]
    taps = [(tap, source - first[0]) for tap, source in group[0][1]]
    return _AxisClass(np.array([position for position, _ in group]), np.array(first), taps)


def _cross(axes, kernel_width: int, target_width: int, source_width: int) -> list[PixelClass]:
    classes = []
    for rows, columns in itertools.product(*axes):
        targets = (rows.targets[:, None] * target_width + columns.targets).ravel()
        sources = (rows.sources[:, None] * source_width + columns.sources).ravel()
        taps = [
            (kh * kernel_width + kw, down * source_width + right)
            for kh, down in rows.taps
            for kw, right in columns.taps
        ]
        classes.append(PixelClass(targets, sources, taps))
    return classes


def over_images(per_image: np.ndarray, image_size: int, images: int) -> np.ndarray:
    """Offsets of one image's pixels, repeated for `images` images that lie `image_size` apart."""
    return (np.arange(images)[:, None] * image_size + per_image).ravel()


def even_parts(total: int, most: int) -> list[tuple[int, int]]:
    """Cut ``range(total)`` into near-equal parts of at most `most`."""
    count = max(1, -(-total // most))
    bounds = [total * i // count for i in range(count + 1)]
    return list(itertools.pairwise(bounds))


class Tables:
    """Collects int32 tables into one array, behind a header of single numbers."""

    def __init__(self, header_size: int):
        self.header = np.zeros(header_size, np.int32)
        self._parts: list[np.ndarray] = []
        self._size = header_size

    def add(self, table) -> int:
        """Append a table; return where it begins."""
        flat = np.asarray(table).astype(np.int32).ravel()
        self._parts.append(flat)
        self._size += flat.size
        return self._size - flat.size

    def finish(self) -> np.ndarray:
        """All of it, header first."""
        return np.concatenate([self.header, *self._parts])
