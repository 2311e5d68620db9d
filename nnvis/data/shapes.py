"""A synthetic colour set: 32x32 images of ten shapes, drawn from a seed, so that it works offline.

Each shape is a signed distance function (negative inside), as in Quilez, "2D distance functions";
coverage of a pixel is the distance to the edge, clipped, which anti-aliases it. Colours, place,
size, rotation, background and noise are random, so single pixels say next to nothing about the class.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nnvis.data import randomness
from nnvis.data.dataset import Dataset, Split
from nnvis.errors import ConfigError

#: Edge of an image in pixels.
SIZE = 32
#: Images drawn at once: their (images, pixels) planes stay in the cache of one core.
_BLOCK = 128

Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _disc(x: np.ndarray, y: np.ndarray, cx: float, cy: float, radius: float) -> np.ndarray:
    x, y = x - np.float32(cx), y - np.float32(cy)
    return np.sqrt(x * x + y * y) - np.float32(radius)


def _box(x: np.ndarray, y: np.ndarray, half_x: float, half_y: float) -> np.ndarray:
    return np.maximum(np.abs(x) - np.float32(half_x), np.abs(y) - np.float32(half_y))


def _half_planes(x: np.ndarray, y: np.ndarray, count: int, inner: float) -> list[np.ndarray]:
    """Distances to the sides of a regular polygon with inner radius `inner`."""
    angles = 2 * np.pi * np.arange(count) / count - np.pi / 2
    normals = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    return [x * nx + y * ny - np.float32(inner) for nx, ny in normals]


def _circle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _disc(x, y, 0, 0, 0.85)


def _ring(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.abs(_disc(x, y, 0, 0, 0.75)) - np.float32(0.2)


def _square(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _box(x, y, 0.75, 0.75)


def _triangle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum.reduce(_half_planes(x, y, 3, 0.5))


def _bar(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _box(x, y, 1.0, 0.3)


def _cross(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.minimum(_box(x, y, 1.0, 0.28), _box(x, y, 0.28, 1.0))


def _star(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Inside a pentagram at most one side of the inner pentagon is passed: the second largest counts."""
    first, *others = _half_planes(x, y, 5, 0.36)
    second = np.full_like(first, -np.inf)
    for side in others:
        second = np.maximum(second, np.minimum(first, side))
        first = np.maximum(first, side)
    return second


def _crescent(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(_disc(x, y, 0, 0, 1.0), -_disc(x, y, 0.5, 0, 0.8))


def _half_disc(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(_disc(x, y, 0, -0.4, 1.0), -np.float32(0.4) - y)


def _heart(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A square on its corner with a disc on each of its two upper sides."""
    half = 0.55
    lobes = np.minimum(_disc(x, y, half, 0, half), _disc(x, y, 0, half, half))
    return np.minimum(_box(x, y, half, half), lobes)


#: Class name -> signed distance in units of the shape's radius.
SHAPES: dict[str, Distance] = {
    "circle": _circle,
    "ring": _ring,
    "square": _square,
    "triangle": _triangle,
    "bar": _bar,
    "cross": _cross,
    "star": _star,
    "crescent": _crescent,
    "half-disc": _half_disc,
    "heart": _heart,
}


def shapes(*, train: int = 10_000, test: int = 2_000, seed: int = 0) -> Dataset:
    """The shapes set.

    Parameters
    ----------
    train, test : int
        Number of images; the ten classes take turns.
    seed : int
        Everything is a function of it.
    """
    if train < 1 or test < 1:
        raise ConfigError(f"train is {train} and test {test}, but there must be at least one image.")
    return Dataset(
        name="shapes",
        train=draw_shapes(train, seed, part=0),
        test=draw_shapes(test, seed, part=1),
        class_names=tuple(SHAPES),
    )


def draw_shapes(count: int, seed: int, part: int = 0) -> Split:
    """Draw `count` images, uint8 (count, 32, 32, 3); `part` selects an independent stream."""
    rng = randomness.generator(seed, randomness.SHAPES, part)
    labels = np.arange(count) % len(SHAPES)
    images = np.empty((count, SIZE * SIZE, 3), np.uint8)
    chances = rng.random((count, 27))  # all random choices of an image but its noise
    for number, distance in enumerate(SHAPES.values()):
        members = np.flatnonzero(labels == number)
        for start in range(0, len(members), _BLOCK):
            block = members[start : start + _BLOCK]
            images[block] = _draw(distance, chances[block], rng)
    return Split(images.reshape(count, SIZE, SIZE, 3), labels)


def _draw(distance: Distance, chances: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Images of one class, uint8 (n, pixels, 3), from chances (n, 27) in [0, 1)."""
    n = len(chances)
    radius = 5.5 + 6.5 * chances[:, 0]
    angle = 2 * np.pi * chances[:, 1]
    centre = radius[:, None] * 0.9 + chances[:, 2:4] * (SIZE - 1.8 * radius[:, None])
    background = _gradient(chances[:, 4:10].reshape(n, 2, 3), 2 * np.pi * chances[:, 10])
    _paint_clutter(background, chances[:, 11:14])
    colour = _contrasting(chances[:, 14:26].reshape(n, 4, 3) * 255, background.mean(axis=1))
    cover = np.clip(0.5 - distance(*_local(centre, radius, angle)) * _column(radius), 0, 1)
    background += cover[:, :, None] * (colour[:, None].astype(np.float32) - background)
    return _add_noise(background, amplitude=8 + 32 * chances[:, 26], rng=rng)


def _column(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32)[:, None]


def _pixels() -> tuple[np.ndarray, np.ndarray]:
    """x and y of every pixel's centre, float32 (pixels,)."""
    y, x = np.divmod(np.arange(SIZE * SIZE, dtype=np.float32), np.float32(SIZE))
    return x + np.float32(0.5), y + np.float32(0.5)


def _local(centre: np.ndarray, radius: np.ndarray, angle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixel centres in the shape's own coordinates: moved, turned, in units of its radius."""
    x, y = _pixels()
    x, y = x - _column(centre[:, 0]), y - _column(centre[:, 1])
    cos, sin = _column(np.cos(angle) / radius), _column(np.sin(angle) / radius)
    return x * cos + y * sin, y * cos - x * sin


def _gradient(colours: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """From one colour to the other in a random direction: float32 (n, pixels, 3), 0 .. 255."""
    x, y = _pixels()
    along = (x / SIZE - 0.5) * _column(np.cos(angle)) + (y / SIZE - 0.5) * _column(np.sin(angle)) + 0.5
    first, second = (255 * colours.astype(np.float32)).transpose(1, 0, 2)[:, :, None]
    return first + np.clip(along, 0, 1)[:, :, None] * (second - first)


def _paint_clutter(images: np.ndarray, chances: np.ndarray) -> None:
    """Brighten or darken a soft stripe, so that edges alone do not give the shape away."""
    x, y = _pixels()
    cos, sin = _column(np.cos(np.pi * chances[:, 0])), _column(np.sin(np.pi * chances[:, 0]))
    offset = (x - SIZE / 2) * cos + (y - SIZE / 2) * sin - _column(24 * chances[:, 1] - 12)
    stripe = np.clip(2.0 - np.abs(offset), 0, 1)
    images += stripe[:, :, None] * (_column(chances[:, 2]) * 160 - 80)[:, :, None]


def _contrasting(candidates: np.ndarray, against: np.ndarray) -> np.ndarray:
    """Of each image's candidate colours (n, k, 3) the one farthest from `against` (n, 3)."""
    far = ((candidates - against[:, None]) ** 2).sum(axis=2).argmax(axis=1)
    return candidates[np.arange(len(candidates)), far]


def _add_noise(images: np.ndarray, amplitude: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add uniform noise of +-`amplitude` (n,) grey levels and round to bytes."""
    noise = np.frombuffer(rng.bytes(images.size), np.uint8).reshape(images.shape)
    images += (noise - np.float32(127.5)) * (_column(amplitude) / np.float32(127.5))[:, :, None]
    return np.clip(np.rint(images), 0, 255).astype(np.uint8)
