"""All data sets by name, and what to do with a path."""

from __future__ import annotations

import difflib
import functools
import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nnvis.data import toy
from nnvis.data.archive import is_archive, unpack
from nnvis.data.arrays import load_npz
from nnvis.data.cifar import is_cifar_folder, load_cifar10
from nnvis.data.dataset import Dataset
from nnvis.data.download import CIFAR10, FASHION_MNIST, Remote, find_local, locate
from nnvis.data.folder import innermost, load_folder
from nnvis.data.idx import find_idx_pairs, is_idx_name, load_idx
from nnvis.data.progress import Progress, reporting, silent
from nnvis.data.shapes import SHAPES, shapes
from nnvis.errors import ConfigError, DataError, UnknownNameError

_FASHION_CLASSES = (
    "T-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
_DIGITS = tuple("0123456789")


@dataclass(frozen=True)
class DatasetInfo:
    """One line of the list of data sets.

    Parameters
    ----------
    name, description : str
    shape : tuple of int
        Of one example.
    classes : int
    sizes : tuple of int
        Examples for training and testing, with default options.
    needs_download : bool
        Whether loading it now would need the network.
    """

    name: str
    description: str
    shape: tuple[int, ...]
    classes: int
    sizes: tuple[int, int]
    needs_download: bool = False


@dataclass(frozen=True)
class _Entry:
    info: DatasetInfo
    load: Callable[..., Dataset]
    remote: Remote | None = None


def _load_mnist() -> Dataset:
    """MNIST, which lies inside the package."""
    return load_idx(
        Path(__file__).parent / "mnist",
        name="mnist",
        class_names=_DIGITS,
        mean=np.array([0.13066048]),
        std=np.array([0.30810780]),
    )


def _load_fashion(*, root: str | Path | None = None, progress: Progress = silent) -> Dataset:
    folder = locate(FASHION_MNIST, root, progress)
    return load_idx(folder, name="fashion-mnist", class_names=_FASHION_CLASSES)


def _load_cifar10(*, root: str | Path | None = None, progress: Progress = silent) -> Dataset:
    place = locate(CIFAR10, root, progress)
    if not place.is_dir():
        place = innermost(unpack(place, progress))
    return load_cifar10(place)


def _toy_entry(load: Callable[..., Dataset], description: str, classes: int = 2) -> _Entry:
    return _Entry(DatasetInfo(load.__name__, description, (2,), classes, (1000, 250)), load)


_ENTRIES = [
    _Entry(DatasetInfo("mnist", "handwritten digits, grey", (28, 28, 1), 10, (60_000, 10_000)), _load_mnist),
    _Entry(
        DatasetInfo("fashion-mnist", "pieces of clothing, grey", (28, 28, 1), 10, (60_000, 10_000)),
        _load_fashion,
        FASHION_MNIST,
    ),
    _Entry(
        DatasetInfo("cifar10", "animals and vehicles, colour", (32, 32, 3), 10, (50_000, 10_000)),
        _load_cifar10,
        CIFAR10,
    ),
    _Entry(DatasetInfo("shapes", "drawn shapes, colour", (32, 32, 3), len(SHAPES), (10_000, 2_000)), shapes),
    _toy_entry(toy.xor, "points: logical exclusive or"),
    _toy_entry(toy.circles, "points: concentric circles"),
    _toy_entry(toy.moons, "points: two half circles"),
    _toy_entry(toy.spirals, "points: interleaved spirals"),
    _toy_entry(toy.gaussians, "points: Gaussian clouds", classes=3),
]
_BY_NAME = {entry.info.name: entry for entry in _ENTRIES}


def available() -> list[DatasetInfo]:
    """Every data set that :func:`load` knows by name."""

    def info(entry: _Entry) -> DatasetInfo:
        missing = entry.remote is not None and find_local(entry.remote) is None
        return DatasetInfo(**{**vars(entry.info), "needs_download": missing})

    return [info(entry) for entry in _ENTRIES]


def load(name_or_path: str | Path, *, validation_split: float = 0.0, **options: Any) -> Dataset:
    """Load a data set by name or from a path.

    Parameters
    ----------
    name_or_path : str or Path
        A name from :func:`available`; or a folder with one sub-folder of images per class (also
        below ``train`` and ``test``), with IDX files, or with CIFAR-10 batches; or an archive (.tar,
        .tar.gz, .tar.xz, .zip) of such a folder; or an IDX file; or an .npz file.
    validation_split : float
        This fraction of the training examples becomes the validation split, unless there is one.
    **options
        ``seed``; for images ``size``, ``mode``, ``test_split``, ``workers``; for toy sets ``samples``,
        ``test_samples``, ``noise``, ``classes``; for shapes ``train``, ``test``; for downloads ``root``;
        ``progress`` (a callable; see :data:`nnvis.data.progress.Progress`).

    Returns
    -------
    Dataset

    Raises
    ------
    UnknownNameError
        No such name; similar ones are proposed.
    DataError
        The path is missing, or holds nothing that can be read.
    ConfigError
        An option that this data set does not have, or a value that makes no sense.
    """
    seed = options.get("seed", 0)
    with reporting(options.pop("progress", None)) as progress:
        loader = _loader_for(name_or_path, progress)
        dataset = _call(loader, str(name_or_path), options, progress)
    if validation_split and dataset.validation is None:
        return dataset.with_validation(validation_split, seed)
    return dataset


def _loader_for(name_or_path: str | Path, progress: Progress) -> Callable[..., Dataset]:
    if isinstance(name_or_path, str) and name_or_path in _BY_NAME:
        return _BY_NAME[name_or_path].load
    if not str(name_or_path).strip():
        raise UnknownNameError(_unknown(""))
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        return _folder_loader(path, path.name)
    if path.exists():
        return _file_loader(path, progress)
    separators = [os.sep, os.altsep or os.sep]
    if isinstance(name_or_path, Path) or path.suffix or any(s in name_or_path for s in separators):
        raise DataError(f"There is no file or folder {path}: check the path.")
    raise UnknownNameError(_unknown(name_or_path))


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(name.lower(), _BY_NAME, n=2, cutoff=0.5)
    if close:
        advice = "did you mean " + " or ".join(f"'{each}'" for each in close) + "?"
    else:
        advice = f"known are {', '.join(_BY_NAME)}, or give the path of a folder or file."
    return f"There is no data set '{name}': {advice}"


def _folder_loader(folder: Path, name: str) -> Callable[..., Dataset]:
    inner = innermost(folder)
    if is_cifar_folder(inner):
        return functools.partial(load_cifar10, inner, name=name)
    if any(is_idx_name(each) for each in inner.iterdir()) and find_idx_pairs(inner):
        return functools.partial(load_idx, inner, name=name)
    return functools.partial(load_folder, inner, name=name)


def _file_loader(path: Path, progress: Progress) -> Callable[..., Dataset]:
    if is_archive(path):
        return _folder_loader(unpack(path, progress), path.name.split(".")[0])
    if path.suffix == ".npz":
        return functools.partial(load_npz, path)
    if is_idx_name(path):
        return functools.partial(load_idx, path)
    raise DataError(
        f"{path} is of a kind that nnvis does not read: give a folder of images per class, an archive of "
        "one, an IDX file, an .npz file, or a CIFAR-10 folder."
    )


def _call(loader: Callable[..., Dataset], title: str, options: dict[str, Any], progress: Progress) -> Dataset:
    """Call with the options, after a check that the loader has them."""
    known = set(inspect.signature(loader).parameters) - {"progress", "name"}
    for option in options:
        # A seed is accepted everywhere: it also chooses the validation split.
        if option not in known | {"seed"}:
            raise ConfigError(
                f"Data set '{title}' has no option '{option}': it has "
                f"{', '.join(sorted(known | {'validation_split', 'seed'}))}."
            )
    chosen = {key: value for key, value in options.items() if key in known}
    if "progress" in inspect.signature(loader).parameters:
        chosen["progress"] = progress
    return loader(**chosen)
