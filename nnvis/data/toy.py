"""Two-dimensional toy sets, drawn from a seed: points (M, 2) that one can look at."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nnvis.data import randomness
from nnvis.data.dataset import Dataset, Split
from nnvis.errors import ConfigError

#: Maps (labels (M,), position within the class (M,) in [0, 1), number of classes) to points (M, 2).
Curve = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


def _circle(angle: np.ndarray, radius: np.ndarray | float) -> np.ndarray:
    return np.stack([np.cos(angle) * radius, np.sin(angle) * radius], axis=1)


def _circles(label: np.ndarray, along: np.ndarray, classes: int) -> np.ndarray:
    return _circle(2 * np.pi * along, (label + 1) / classes)


def _moons(label: np.ndarray, along: np.ndarray, classes: int) -> np.ndarray:
    upper = _circle(np.pi * along, 1.0)
    return np.where(label[:, None] == 0, upper, [1.0, 0.5] - upper)


def _spirals(label: np.ndarray, along: np.ndarray, classes: int) -> np.ndarray:
    turns = 2 * np.pi * (along + label / classes)
    return _circle(turns, 0.1 + 0.9 * along)


def _gaussians(label: np.ndarray, along: np.ndarray, classes: int) -> np.ndarray:
    return _circle(2 * np.pi * label / classes, 1.0)


def _make(
    name: str, curve: Curve, samples: int, test_samples: int | None, noise: float, seed: int, classes: int
) -> Dataset:
    """Points on one curve per class, in turn, plus Gaussian noise."""
    test_samples = max(samples // 4, classes) if test_samples is None else test_samples
    _check(samples, test_samples, noise, classes)

    def split(part: int, count: int) -> Split:
        rng = randomness.generator(seed, randomness.TOY, part)
        label = np.arange(count) % classes
        points = curve(label, rng.random(count), classes)
        return Split(points + noise * rng.standard_normal((count, 2)), label)

    names = tuple(str(number) for number in range(classes))
    return Dataset(name=name, train=split(0, samples), test=split(1, test_samples), class_names=names)


def _check(samples: int, test_samples: int, noise: float, classes: int) -> None:
    if classes < 2:
        raise ConfigError(f"classes is {classes}, but there must be at least 2.")
    if samples < classes or test_samples < 1:
        raise ConfigError(
            f"samples is {samples} and test_samples {test_samples}, but there must be at least "
            f"{classes} and 1: one for each class."
        )
    if not 0 <= noise < np.inf:
        raise ConfigError(f"noise is {noise}, but it is a standard deviation: use 0 or more.")


def xor(*, samples: int = 1000, test_samples: int | None = None, noise: float = 0.1, seed: int = 0) -> Dataset:
    """Logical exclusive or: the corners of the unit square, labelled ``a xor b``.

    Parameters
    ----------
    samples, test_samples : int
        Points in training and in testing (by default a quarter of `samples`).
    noise : float
        Standard deviation around the corner; 0 with ``samples=4`` is the truth table itself.
    seed : int
    """
    test_samples = max(samples // 4, 4) if test_samples is None else test_samples
    _check(samples, test_samples, noise, classes=2)

    def split(part: int, count: int) -> Split:
        rng = randomness.generator(seed, randomness.TOY, part)
        a, b = np.arange(count) // 2 % 2, np.arange(count) % 2
        return Split(np.stack([a, b], 1) + noise * rng.standard_normal((count, 2)), a ^ b)

    train, test = split(0, samples), split(1, test_samples)
    return Dataset(name="xor", train=train, test=test, class_names=("0", "1"))


def circles(
    *,
    samples: int = 1000,
    test_samples: int | None = None,
    noise: float = 0.05,
    seed: int = 0,
    classes: int = 2,
) -> Dataset:
    """Concentric circles, one class each; options as for :func:`xor`."""
    return _make("circles", _circles, samples, test_samples, noise, seed, classes)


def moons(*, samples: int = 1000, test_samples: int | None = None, noise: float = 0.1, seed: int = 0) -> Dataset:
    """Two half circles that reach into each other; options as for :func:`xor`."""
    return _make("moons", _moons, samples, test_samples, noise, seed, 2)


def spirals(
    *,
    samples: int = 1000,
    test_samples: int | None = None,
    noise: float = 0.02,
    seed: int = 0,
    classes: int = 2,
) -> Dataset:
    """Interleaved spirals of one turn, one class each; options as for :func:`xor`."""
    return _make("spirals", _spirals, samples, test_samples, noise, seed, classes)


def gaussians(
    *,
    samples: int = 1000,
    test_samples: int | None = None,
    noise: float = 0.3,
    seed: int = 0,
    classes: int = 3,
) -> Dataset:
    """Gaussian clouds around points of the unit circle, one class each; options as for :func:`xor`."""
    return _make("gaussians", _gaussians, samples, test_samples, noise, seed, classes)
