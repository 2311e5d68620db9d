"""A data set in memory: splits of examples and labels, class names, mean and standard deviation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nnvis.data import randomness
from nnvis.errors import ConfigError, DataError


@dataclass(frozen=True, eq=False)
class Split:
    """Examples with their labels.

    Parameters
    ----------
    images : ndarray
        uint8 (M, H, W, C), or float32 (M, ...) such as vectors (M, D).
    labels : ndarray
        int64 (M,) class numbers, or float32 (M,) or (M, K) regression targets.
    """

    images: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        images, labels = np.asarray(self.images), np.asarray(self.labels)
        if images.ndim < 2 or (images.dtype == np.uint8 and images.ndim != 4):
            raise DataError(f"Examples have shape {images.shape}, but images are (M, H, W, C) and vectors (M, D).")
        if labels.ndim == 0 or len(images) != len(labels):
            raise DataError(f"There are {len(images)} examples but {labels.size} labels: each needs one.")
        # Kernels want C order and a writable flag; a copy is made only where that is missing.
        wanted = np.uint8 if images.dtype == np.uint8 else np.float32
        kind = np.int64 if labels.dtype.kind in "iub" else np.float32
        object.__setattr__(self, "images", np.require(images, wanted, ["C", "W"]))
        object.__setattr__(self, "labels", np.require(labels, kind, ["C", "W"]))

    def __len__(self) -> int:
        return len(self.images)

    def subset(self, indices: Iterable[int] | np.ndarray) -> Split:
        """Copy of the examples at `indices`, in that order."""
        chosen = np.asarray(indices)
        chosen = chosen if chosen.dtype == bool else chosen.astype(np.int64)
        return Split(self.images[chosen], self.labels[chosen])

    def head(self, count: int) -> Split:
        """View of the first `count` examples."""
        return Split(self.images[:count], self.labels[:count])


@dataclass(frozen=True, eq=False, kw_only=True)
class Dataset:
    """Training, validation and test examples with what a network needs to know about them.

    Parameters
    ----------
    name : str
    train, test : Split
    validation : Split, optional
    class_names : tuple of str, optional
        Needed for classification; absent for regression.
    mean, std : ndarray, optional
        float32 (C,), per last axis of the training examples; for uint8 images of pixels scaled to
        [0, 1], otherwise in the examples' own units. Measured if not given. A constant channel has
        std 1.
    task : str
        "classification" or "regression".

    Raises
    ------
    DataError
        If a label is out of range, a split has another example shape, or there is no training example.
    """

    name: str
    train: Split
    test: Split
    validation: Split | None = None
    class_names: tuple[str, ...] | None = None
    mean: np.ndarray | None = None
    std: np.ndarray | None = None
    task: str = "classification"

    def __post_init__(self) -> None:
        self._check()
        if self.mean is None or self.std is None:
            mean, std = channel_statistics(self.train.images)
            object.__setattr__(self, "mean", mean)
            object.__setattr__(self, "std", std)
        for field in ("mean", "std"):
            object.__setattr__(self, field, np.asarray(getattr(self, field), np.float32))

    def _check(self) -> None:
        if self.task not in ("classification", "regression"):
            raise ConfigError(f"Task is '{self.task}', but it is 'classification' or 'regression'.")
        if not len(self.train):
            raise DataError(f"Data set '{self.name}' has no training examples.")
        for title, split in self.splits().items():
            if split.images.shape[1:] != self.input_shape:
                raise DataError(
                    f"The {title} examples of '{self.name}' have shape {split.images.shape[1:]}, "
                    f"but the training examples {self.input_shape}: make them the same."
                )
            if self.task == "classification":
                check_labels(split.labels, self.num_classes, title)

    def splits(self) -> dict[str, Split]:
        """The splits that there are, by name."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in named.items() if split is not None}

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example, for ``Graph(input_shape=...)``."""
        return tuple(self.train.images.shape[1:])

    @property
    def num_classes(self) -> int:
        """How many classes there are; an error for regression."""
        if self.class_names is None:
            raise DataError(f"Data set '{self.name}' has no classes: its task is {self.task}.")
        return len(self.class_names)

    @property
    def num_outputs(self) -> int:
        """What the network must put out: a value per class, or per column of the targets."""
        if self.task == "classification":
            return self.num_classes
        return int(np.prod(self.train.labels.shape[1:]))

    def with_validation(self, fraction: float, seed: int = 0) -> Dataset:
        """Copy in which a random `fraction` of the training examples has become the validation split."""
        rest, held = split_indices(len(self.train), fraction, seed, "validation_split")
        train, validation = self.train.subset(rest), self.train.subset(held)
        return replace(self, train=train, validation=validation)


def split_indices(count: int, fraction: float, seed: int, option: str) -> tuple[np.ndarray, np.ndarray]:
    """Divide 0 .. count-1 at random, each part in ascending order; both get at least one."""
    if not 0 < fraction < 1:
        raise ConfigError(f"{option} is {fraction}, but it must lie between 0 and 1.")
    if count < 2:
        raise DataError(f"{count} example cannot be divided for {option}: give more examples.")
    held = min(max(round(count * fraction), 1), count - 1)
    order = randomness.permutation(randomness.stream(seed, randomness.SPLIT), count)
    return np.sort(order[held:]), np.sort(order[:held])


def check_labels(labels: np.ndarray, num_classes: int, title: str) -> None:
    """Raise DataError, with index and value, unless all labels are in 0 .. num_classes-1."""
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DataError(
            f"The {title} labels have shape {labels.shape} and type {labels.dtype}, but class "
            "numbers are one whole number per example."
        )
    wrong = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if len(wrong):
        at = int(wrong[0])
        raise DataError(
            f"The {title} label at index {at} is {int(labels[at])}, but {num_classes} classes are "
            f"numbered 0 to {num_classes - 1}: correct the label or the number of classes."
        )


def check_finite(values: np.ndarray, title: str) -> None:
    """Raise DataError that names the first not-a-number or infinity of `values` (M, ...)."""
    if values.dtype.kind != "f":
        return
    for start in range(0, len(values), 4096):  # in blocks: no mask as large as the data
        block = np.isfinite(values[start : start + 4096])
        if not block.all():
            index = np.argwhere(~block)[0]
            index[0] += start
            place = ", ".join(str(i) for i in index)
            raise DataError(
                f"{title} holds {values[tuple(index)]} at index ({place}), but every value must be "
                "finite: remove or replace such examples."
            )


def channel_statistics(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over all axes but the last.

    Parameters
    ----------
    images : ndarray
        uint8 (M, H, W, C), whose pixels count as 0 .. 1, or float32 (M, ..., C).

    Returns
    -------
    mean, std : ndarray
        float32 (C,); std is 1 where a channel is constant.
    """
    if images.dtype == np.uint8:
        mean, variance = _byte_moments(images)
    else:
        mean, variance = _float_moments(images)
    # Rounding leaves about eps * mean**2 where the variance should be 0.
    constant = variance <= 1e-12 * np.maximum(mean * mean, 1e-12)
    std = np.where(constant, 1.0, np.sqrt(np.maximum(variance, 0)))
    return mean.astype(np.float32), std.astype(np.float32)


def _byte_moments(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Exact moments from a histogram of each channel."""
    channels = images.shape[-1]
    counts = np.zeros((channels, 256), np.int64)
    rows = max(1, 2**20 // max(1, images[0].size))
    for start in range(0, len(images), rows):
        block = images[start : start + rows].reshape(-1, channels)
        for channel in range(channels):
            counts[channel] += np.bincount(block[:, channel], minlength=256)
    levels = np.arange(256) / 255.0
    total = counts.sum(axis=1)
    mean = counts @ levels / total
    return mean, counts @ levels**2 / total - mean**2


def _float_moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    axes = tuple(range(values.ndim - 1))
    mean = values.mean(axis=axes, dtype=np.float64)
    rows = range(0, len(values), 4096)
    blocks = (values[start : start + 4096].astype(np.float64) - mean for start in rows)
    squares: Any = sum((block * block).sum(axis=axes) for block in blocks)
    return mean, squares / (values.size // values.shape[-1])
