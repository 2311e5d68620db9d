"""A folder of images, one sub-folder per class, decoded once and kept in the cache."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nnvis.data.cache import cache_folder, digest, forget_others, replacing, slug
from nnvis.data.dataset import Dataset, Split, split_indices
from nnvis.data.images import ENDINGS, channels_of, check_size, decode_images
from nnvis.data.progress import Progress, silent
from nnvis.errors import DataError

_PART_NAMES = {
    "train": ("train", "training"),
    "test": ("test", "testing"),
    "validation": ("validation", "valid", "val"),
}
#: Part of every cache key: raise it when decoding changes.
_VERSION = 1


@dataclass(frozen=True)
class _File:
    """An image file: path below its class folder's parent, and what changes when its content does."""

    path: str
    label: int
    size: int
    modified: int


def load_folder(
    path: str | Path,
    *,
    name: str | None = None,
    size: tuple[int, int] | None = None,
    mode: str = "rgb",
    test_split: float = 0.2,
    seed: int = 0,
    workers: int | None = None,
    progress: Progress = silent,
) -> Dataset:
    """Load ``train/<class>/*.png`` and ``test/<class>/*.png``, or just ``<class>/*.png``.

    Decoded pixels are kept in the cache under a key made of all names, sizes and modification
    times, so that the next load takes a moment.

    Parameters
    ----------
    path : str or Path
    name : str, optional
        Of the data set; by default the folder's.
    size : (int, int), optional
        Height and width in pixels to resize to; needed if the images differ in size.
    mode : {"rgb", "grey"}
    test_split : float
        Fraction of each class that is held out at random where there is no test folder.
    seed : int
        Of that choice.
    workers : int, optional
        Threads that decode.
    progress : callable
        See :data:`nnvis.data.progress.Progress`.

    Raises
    ------
    DataError
        An empty class folder, a torn image, mixed sizes without `size`; names the folder or file.
    """
    path, size = Path(path), check_size(size)
    channels_of(mode)
    root = innermost(path)
    class_names, parts = _list_parts(root)
    files = [file for part in parts.values() for file in part]
    images = _cached_images(root, files, size, "grey" if mode == "gray" else mode, progress, workers)
    splits: dict[str, Split] = {}
    start = 0
    for part, members in parts.items():
        labels = np.array([file.label for file in members], np.int64)
        splits[part] = Split(images[start : start + len(members)], labels)
        start += len(members)
    if "test" not in splits:
        splits["train"], splits["test"] = _hold_out(splits["train"], class_names, test_split, seed)
    return Dataset(
        name=name or path.name,
        train=splits["train"],
        validation=splits.get("validation"),
        test=splits["test"],
        class_names=class_names,
    )


def innermost(folder: Path) -> Path:
    """Step into single sub-folders that only wrap what is wanted, as archives have them."""
    while True:
        entries = _visible(folder)
        if len(entries) != 1 or not entries[0].is_dir():
            return folder
        inner = Path(entries[0].path)
        inside = _visible(inner)
        only_class = not inside or any(each.name.lower().endswith(ENDINGS) for each in inside)
        if only_class or _part_of(inner.name):
            return folder
        folder = inner


def _visible(folder: Path | str) -> list[os.DirEntry[str]]:
    """Entries by name, without hidden ones."""
    try:
        with os.scandir(folder) as entries:
            shown = [e for e in entries if not e.name.startswith((".", "__MACOSX"))]
    except OSError as error:
        raise DataError(f"Cannot read the folder {folder}: {error.strerror or error}.") from None
    return sorted(shown, key=lambda entry: entry.name)


def _part_of(name: str) -> str | None:
    """ "train" for "Training" and so on; None for a class name."""
    return next((part for part, names in _PART_NAMES.items() if name.lower() in names), None)


def _list_parts(root: Path) -> tuple[tuple[str, ...], dict[str, list[_File]]]:
    """Class names, and the files of "train" and whatever other parts there are."""
    folders = {part: e.name for e in _visible(root) if e.is_dir() and (part := _part_of(e.name))}
    if "train" not in folders:
        class_names, files = _list_classes(root, "", None)
        return class_names, {"train": files}
    class_names, train = _list_classes(root, folders["train"], None)
    parts = {"train": train}
    if "test" not in folders and "validation" in folders:
        folders["test"] = folders.pop("validation")  # many published sets have only these two
    for part in ("validation", "test"):
        if part in folders:
            parts[part] = _list_classes(root, folders[part], class_names)[1]
    return class_names, parts


def _list_classes(root: Path, part: str, known: tuple[str, ...] | None) -> tuple[tuple[str, ...], list[_File]]:
    """Class names and files below ``root/part``; with `known` classes no others may occur."""
    folder = root / part
    names = tuple(entry.name for entry in _visible(folder) if entry.is_dir())
    if not names:
        raise DataError(f"{folder} has no class folders: expected one folder of images per class.")
    unknown = sorted(set(names) - set(known or names))
    if unknown:
        raise DataError(f"{folder} has the class '{unknown[0]}', which is not among the training classes.")
    order = known or names
    files: list[_File] = []
    for name in names:
        found = list(_image_files(root, os.path.join(part, name), order.index(name)))
        if not found:
            raise DataError(
                f"The class folder {folder / name} has no images ({', '.join(ENDINGS)}): add some or remove the folder."
            )
        files += found
    return order, files


def _image_files(root: Path, class_folder: str, label: int) -> Iterator[_File]:
    """Images below a class folder, at any depth."""
    waiting = [class_folder]
    while waiting:
        folder = waiting.pop(0)
        for entry in _visible(root / folder):
            relative = os.path.join(folder, entry.name)
            if entry.is_dir():
                waiting.append(relative)
            elif entry.name.lower().endswith(ENDINGS):
                status = entry.stat()
                yield _File(relative, label, status.st_size, status.st_mtime_ns)


def _cached_images(
    root: Path,
    files: list[_File],
    size: tuple[int, int] | None,
    mode: str,
    progress: Progress,
    workers: int | None,
) -> np.ndarray:
    """Pixels of all `files`, uint8 (M, H, W, C), from the cache or decoded."""
    prefix = slug(root, size, mode)
    key = digest((file.path, file.size, file.modified) for file in files)
    target = cache_folder("images") / f"{prefix}-{key}-v{_VERSION}.npy"
    # A torn or foreign file in the cache is as good as none.
    with contextlib.suppress(OSError, ValueError, EOFError):
        # Pages are read as they are needed; copy-on-write, since kernels want a writable array.
        kept = np.asarray(np.load(target, mmap_mode="c", allow_pickle=False))
        if kept.dtype == np.uint8 and kept.ndim == 4 and len(kept) == len(files):
            return kept
    images = decode_images([str(root / file.path) for file in files], size, mode, progress, workers)
    with contextlib.suppress(OSError):  # a cache that cannot be written only costs time
        with replacing(target) as scratch, scratch.open("wb") as out:
            np.save(out, images)
        forget_others(target, prefix)
    return images


def _hold_out(whole: Split, class_names: tuple[str, ...], fraction: float, seed: int) -> tuple[Split, Split]:
    """Divide each class at random, so that all classes occur in both parts."""
    train, test = [], []
    for number, name in enumerate(class_names):
        members = np.flatnonzero(whole.labels == number)
        if len(members) < 2:
            raise DataError(
                f"Class '{name}' has one image, which cannot be divided into training and testing: add "
                "images, or make train and test folders."
            )
        rest, held = split_indices(len(members), fraction, seed + number, "test_split")
        train.append(members[rest])
        test.append(members[held])
    return whole.subset(np.concatenate(train)), whole.subset(np.concatenate(test))
