"""Batches of a split: shuffled, augmented, normalised and prepared ahead of time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nnvis.data import randomness
from nnvis.data.augmentation import Augmentation
from nnvis.data.dataset import Dataset, Split
from nnvis.data.prefetch import prefetched
from nnvis.errors import ConfigError, ShapeError


class Loader:
    """Batches of a split, as a function of (seed, epoch) alone.

    Parameters
    ----------
    split : Split
    batch_size : int
        Examples in a batch; the last of an epoch may have fewer.
    shuffle : bool
        Draw a new order for each epoch.
    seed : int
        Of order and augmentation.
    augmentation : Augmentation, optional
        By default none but normalisation.
    mean, std : array_like, optional
        (C,) of the last axis; for uint8 images of pixels in [0, 1]. By default 0 and 1.
    drop_last : bool
        Leave out a last batch with fewer examples.
    prefetch : int
        Batches that a thread prepares ahead; 0 uses no thread.

    Examples
    --------
    >>> data = load("mnist")
    >>> loader = Loader(data.train, 64, shuffle=True, mean=data.mean, std=data.std)
    >>> for x, labels in loader.batches(epoch=0): ...
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        shuffle: bool = False,
        seed: int = 0,
        augmentation: Augmentation | None = None,
        mean: np.ndarray | None = None,
        std: np.ndarray | None = None,
        drop_last: bool = False,
        prefetch: int = 2,
    ):
        if batch_size < 1:
            raise ConfigError(f"batch_size is {batch_size}, but there must be at least 1 example.")
        self.split, self.batch_size, self.shuffle, self.seed = split, int(batch_size), shuffle, seed
        self.augmentation = augmentation or Augmentation()
        self.drop_last, self.prefetch = drop_last, prefetch
        if self.augmentation.moves_pixels and split.images.ndim != 4:
            raise ConfigError(
                f"Augmentation '{self.augmentation}' is for images, but the examples have shape "
                f"{split.images.shape[1:]}: use 'none'."
            )
        wanted = self.augmentation.normalise
        self._mean, self._inv_std = _normalisation(split.images, mean if wanted else None, std if wanted else None)

    @classmethod
    def of(cls, dataset: Dataset, part: str, batch_size: int, **options) -> Loader:
        """Loader of ``dataset.splits()[part]`` with the data set's mean and standard deviation."""
        return cls(dataset.splits()[part], batch_size, mean=dataset.mean, std=dataset.std, **options)

    def __len__(self) -> int:
        """Batches in an epoch."""
        whole, rest = divmod(len(self.split), self.batch_size)
        return whole + bool(rest and not self.drop_last)

    def order(self, epoch: int) -> np.ndarray:
        """Indices of the examples in the order of this epoch, int64 (M,)."""
        count = len(self.split)
        if not self.shuffle:
            return np.arange(count)
        return randomness.permutation(randomness.stream(self.seed, randomness.ORDER, epoch), count)

    def batches(self, epoch: int = 0, start: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the batches of an epoch.

        Parameters
        ----------
        epoch : int
        start : int
            Number of the first batch that is wanted; those before it cost nothing.

        Yields
        ------
        x : ndarray
            float32 (N, H, W, C) or (N, ...), C-contiguous, fresh memory for each batch.
        labels : ndarray
            int64 (N,), or float32 targets.
        """
        yield from prefetched(self._prepare(epoch, start), self.prefetch)

    def _prepare(self, epoch: int, start: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        order = self.order(epoch)
        shift, flip = self.augmentation.draw(len(self.split), self.seed, epoch)
        for number in range(start, len(self)):
            index = order[number * self.batch_size : (number + 1) * self.batch_size]
            x = _gather(self.split.images, index, self._mean, self._inv_std, shift[index], flip[index])
            yield x, self.split.labels[index]


def normalised(images: np.ndarray, mean: np.ndarray | None = None, std: np.ndarray | None = None) -> np.ndarray:
    """Examples as a network sees them in evaluation, for example for a prediction.

    Parameters
    ----------
    images : ndarray
        uint8 (N, H, W, C), or numbers (N, ...).
    mean, std : array_like, optional
        As for :class:`Loader`.

    Returns
    -------
    ndarray
        float32, same shape.
    """
    split = Split(images, np.zeros(len(images), np.int64))
    none = Augmentation().draw(len(split), 0, 0)
    return _gather(split.images, np.arange(len(split)), *_normalisation(split.images, mean, std), *none)


def _normalisation(
    images: np.ndarray, mean: np.ndarray | None, std: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and 1 / std, float32 (C,)."""
    channels = images.shape[-1]
    full = []
    for title, value, default in (("mean", mean, 0.0), ("std", std, 1.0)):
        array = np.full(channels, default) if value is None else np.asarray(value, np.float64)
        if array.shape not in ((channels,), (1,), ()):
            raise ShapeError(
                f"{title} has shape {array.shape}, but the examples have {channels} channels: give one "
                "value per channel."
            )
        full.append(np.ascontiguousarray(np.broadcast_to(array, channels)))
    return full[0].astype(np.float32), (1.0 / full[1]).astype(np.float32)


def _gather(
    images: np.ndarray,
    index: np.ndarray,
    mean: np.ndarray,
    inv_std: np.ndarray,
    shift: np.ndarray,
    flip: np.ndarray,
) -> np.ndarray:
    """Normalised, moved and mirrored copies of ``images[index]``, float32."""
    if images.dtype == np.uint8:
        from kernels.cpu.augment import gather_images  # here: importing nnvis loads no kernel

        x = np.empty((len(index), *images.shape[1:]), np.float32)
        gather_images(images, index, x, mean, inv_std, shift, flip)
        return x
    x = images[index]
    if images.ndim == 4:
        _move(x, shift, flip)
    x -= mean
    x *= inv_std
    return x


def _move(x: np.ndarray, shift: np.ndarray, flip: np.ndarray) -> None:
    """Shift and mirror float images (N, H, W, C) in place; zeros come in from outside."""
    for n in np.flatnonzero(flip | shift.any(axis=1)):
        moved = np.zeros_like(x[n])
        to_rows, from_rows = _overlap(int(shift[n, 0]), x.shape[1])
        to_columns, from_columns = _overlap(int(shift[n, 1]), x.shape[2])
        moved[to_rows, to_columns] = x[n, from_rows, from_columns]
        x[n] = moved[:, ::-1] if flip[n] else moved


def _overlap(shift: int, size: int) -> tuple[slice, slice]:
    """Where a line that starts at `shift` overlaps 0 .. size: there, and in the source."""
    low, high = max(0, -shift), max(0, size - max(0, shift))
    return slice(min(low, size), high), slice(max(0, shift), max(0, size + min(0, shift)))
