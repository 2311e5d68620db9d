"""IDX, the file format of MNIST: a magic number, the sizes of all axes, then big-endian numbers.

Source: LeCun, Cortes, Burges, "The MNIST database of handwritten digits".
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np

from nnvis.data.arrays import from_arrays
from nnvis.data.dataset import Dataset
from nnvis.errors import DataError

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: str | Path) -> np.ndarray:
    """Read one IDX file, compressed with gzip or not.

    Returns
    -------
    ndarray
        Shape and type as the file says, in the machine's byte order.

    Raises
    ------
    DataError
        If the file is not IDX or is torn: the sentence names file, size found and size expected.
    """
    path = Path(path)
    content = _content(path)
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _TYPES:
        raise DataError(
            f"{path} starts with bytes {content[:4].hex(' ') or '(none)'}, which is not the magic "
            "number of an IDX file: give an IDX file or get this one again."
        )
    header = 4 + 4 * content[3]
    if len(content) < header:
        raise DataError(f"{path} ends within its IDX header, after {len(content)} of {header} bytes: get it again.")
    dtype = np.dtype(_TYPES[content[2]])
    shape = tuple(int(n) for n in np.frombuffer(content, ">u4", content[3], 4))
    expected = header + _product(shape) * dtype.itemsize
    if len(content) != expected:
        raise DataError(
            f"{path} has {len(content)} bytes, but its header promises {expected} for shape {shape}: "
            "the file is torn, get it again."
        )
    return np.frombuffer(content, dtype, offset=header).reshape(shape).astype(dtype.newbyteorder("="))


def _product(shape: tuple[int, ...]) -> int:
    """Product in Python's unbounded integers: a torn header must not overflow."""
    result = 1
    for size in shape:
        result *= size
    return result


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path} is a damaged gzip file ({error}): get it again.") from None
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}.") from None


def find_idx_pairs(folder: Path) -> dict[str, tuple[Path, Path]]:
    """The (images, labels) files of "train" and "test" in `folder`, as far as they are there."""
    found: dict[str, tuple[Path, Path]] = {}
    for images in sorted(folder.iterdir()):
        if "images" not in images.name or not is_idx_name(images):
            continue
        labels = _labels_beside(images)
        part = "test" if any(word in images.name for word in ("t10k", "test")) else "train"
        if part in found and found[part][0].name.removesuffix(".gz") != images.name.removesuffix(".gz"):
            raise DataError(
                f"{folder} holds two {part} sets, {found[part][0].name} and {images.name}: "
                "give the path of one images file."
            )
        found.setdefault(part, (images, labels))
    return found


def is_idx_name(path: Path) -> bool:
    """Whether the file's name is one that IDX files have."""
    return path.is_file() and any(mark in path.name for mark in ("-ubyte", ".ubyte", ".idx", "-idx"))


def _labels_beside(images: Path) -> Path:
    name = images.name.replace("images", "labels").replace("idx3", "idx1").replace("idx4", "idx1")
    plain = name.removesuffix(".gz")
    for candidate in (name, plain, f"{plain}.gz"):
        if images.with_name(candidate).is_file():
            return images.with_name(candidate)
    raise DataError(f"{images} has no labels: expected {name} beside it.")


def load_idx(
    path: str | Path,
    *,
    name: str | None = None,
    num_classes: int | None = None,
    class_names: tuple[str, ...] | None = None,
    test_split: float = 0.2,
    seed: int = 0,
    mean: np.ndarray | None = None,
    std: np.ndarray | None = None,
) -> Dataset:
    """Load a folder with MNIST-like IDX files, or one images file and what lies beside it.

    Parameters
    ----------
    path : str or Path
        Folder, or images file; the labels file has the same name with "labels" for "images".
    name : str, optional
        Of the data set.
    num_classes, class_names : optional
        Otherwise the largest training label decides.
    test_split : float
        Fraction of the examples that is held out if there are no test files.
    seed : int
        Of that choice.
    mean, std : ndarray, optional
        If known; otherwise measured.
    """
    path = Path(path)
    pairs = _pairs_of(path)
    arrays = {part: (read_idx(images), read_idx(labels)) for part, (images, labels) in pairs.items()}
    for part, (x, y) in arrays.items():
        if y.ndim != 1 or x.ndim < 1 or len(x) != len(y):
            raise DataError(
                f"{pairs[part][0]} has shape {x.shape} and {pairs[part][1].name} {y.shape}, but each "
                "image needs one label: get the files again."
            )
    return from_arrays(
        *arrays["train"],
        *arrays.get("test", (None, None)),
        name=name or path.name,
        num_classes=num_classes,
        class_names=class_names,
        test_split=test_split,
        seed=seed,
        mean=mean,
        std=std,
        task="classification",
    )


def _pairs_of(path: Path) -> dict[str, tuple[Path, Path]]:
    if path.is_dir():
        pairs = find_idx_pairs(path)
        if "train" in pairs:
            return pairs
        if "test" in pairs:  # the only set there is: divide it
            return {"train": pairs["test"]}
        raise DataError(f"{path} holds no IDX images: expected train-images-idx3-ubyte or the like.")
    if "images" not in path.name:
        raise DataError(
            f"{path} is not an images file by its name: give the folder of the IDX files, or the file "
            "whose name has 'images' in it."
        )
    pairs = {"train": (path, _labels_beside(path))}
    for word in ("t10k", "test"):
        other = path.with_name(path.name.replace("train", word))
        if other != path and other.is_file():
            pairs["test"] = (other, _labels_beside(other))
    return pairs
