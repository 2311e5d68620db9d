"""Data sets: loading by name or path, checks, augmentation, and batches prepared ahead of time."""

from nnvis.data.arrays import from_arrays
from nnvis.data.augmentation import Augmentation
from nnvis.data.dataset import Dataset, Split
from nnvis.data.images import read_image
from nnvis.data.loader import Loader, normalised
from nnvis.data.registry import DatasetInfo, available, load

__all__ = [
    "Augmentation",
    "Dataset",
    "DatasetInfo",
    "Loader",
    "Split",
    "available",
    "from_arrays",
    "load",
    "normalised",
    "read_image",
]
