"""CIFAR-10 in its binary version and its python version.

Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images" (2009).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nnvis.data.dataset import Dataset, Split, check_labels
from nnvis.data.pickle_reader import read_pickle
from nnvis.errors import DataError

CLASS_NAMES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
#: Of the 50,000 training images, pixels in [0, 1].
MEAN = (0.49139968, 0.48215841, 0.44653091)
STD = (0.24703223, 0.24348513, 0.26158784)

_TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
_TEST = "test_batch"
_PIXELS = 3 * 32 * 32


def is_cifar_folder(folder: Path) -> bool:
    """Whether `folder` holds batches of either version."""
    return any((folder / f"{name}{end}").is_file() for name in (*_TRAIN, _TEST) for end in ("", ".bin"))


def load_cifar10(folder: str | Path, *, name: str = "cifar10") -> Dataset:
    """Load the folder ``cifar-10-batches-bin`` or ``cifar-10-batches-py``.

    The python version's pickles are read without executing them.

    Raises
    ------
    DataError
        If a batch is missing or torn, or a label is not in 0 .. 9; names the file.
    """
    folder = Path(folder)
    binary = any(folder.glob("*_batch*.bin"))
    end, read = (".bin", read_binary_batch) if binary else ("", read_python_batch)
    paths = [folder / f"{batch}{end}" for batch in (*_TRAIN, _TEST)]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise DataError(f"{folder} lacks {', '.join(missing)}: get the CIFAR-10 folder again.")
    *train, test = (read(path) for path in paths)
    images = np.concatenate([split.images for split in train])
    labels = np.concatenate([split.labels for split in train])
    return Dataset(
        name=name,
        train=Split(images, labels),
        test=test,
        class_names=CLASS_NAMES,
        mean=np.array(MEAN),
        std=np.array(STD),
    )


def read_binary_batch(path: Path) -> Split:
    """Read one ``.bin`` file: records of a label byte and 3072 bytes of red, green, blue planes."""
    content = np.frombuffer(_read(path), np.uint8)
    if not content.size or content.size % (1 + _PIXELS):
        raise DataError(
            f"{path} has {content.size} bytes, but CIFAR-10 records have {1 + _PIXELS} bytes each: the "
            "file is torn, get it again."
        )
    records = content.reshape(-1, 1 + _PIXELS)
    return _split(records[:, 1:], records[:, 0], path)


def read_python_batch(path: Path) -> Split:
    """Read one pickled batch: a dictionary with "data" (M, 3072) and "labels"."""
    batch = read_pickle(_read(path), str(path))
    if not isinstance(batch, dict):
        raise DataError(f"{path} holds a {type(batch).__name__}, not the dictionary of a CIFAR-10 batch.")
    values = {key.decode() if isinstance(key, bytes) else key: value for key, value in batch.items()}
    if "data" not in values or "labels" not in values:
        raise DataError(f"{path} lacks 'data' or 'labels': get the CIFAR-10 file again.")
    return _split(values["data"], values["labels"], path)


def _split(planes: object, labels: object, path: Path) -> Split:
    """Images (M, 32, 32, 3) from rows of three colour planes (M, 3072)."""
    if not isinstance(planes, np.ndarray) or planes.dtype != np.uint8 or planes.shape[1:] != (_PIXELS,):
        raise DataError(f"{path} has data other than bytes (M, {_PIXELS}): get the CIFAR-10 file again.")
    numbers = np.asarray(labels)
    if len(numbers) != len(planes):
        raise DataError(f"{path} has {len(planes)} images but {len(numbers)} labels: get it again.")
    check_labels(numbers, len(CLASS_NAMES), path.name)
    images = planes.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return Split(images, numbers)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}.") from None
