"""NumPy arrays and ``.npz`` files as a data set, with every check that user data needs."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nnvis.data.dataset import Dataset, Split, check_finite, check_labels, split_indices
from nnvis.errors import ConfigError, DataError


def from_arrays(
    x: Any,
    y: Any,
    x_test: Any = None,
    y_test: Any = None,
    x_validation: Any = None,
    y_validation: Any = None,
    *,
    name: str = "arrays",
    task: str | None = None,
    num_classes: int | None = None,
    class_names: Sequence[str] | None = None,
    test_split: float = 0.2,
    validation_split: float = 0.0,
    seed: int = 0,
    mean: np.ndarray | None = None,
    std: np.ndarray | None = None,
) -> Dataset:
    """Make a data set of arrays.

    Parameters
    ----------
    x : array_like
        Examples: uint8 images (M, H, W, C) or (M, H, W); or numbers (M, D) or (M, ..., C), which
        become float32.
    y : array_like
        (M,) class numbers 0, 1, ...; or (M,) or (M, K) regression targets.
    x_test, y_test, x_validation, y_validation : array_like, optional
        The same for the other splits.
    name : str
    task : {"classification", "regression"}, optional
        Otherwise whole numbers of an integer type mean classes, and anything else regression.
    num_classes : int, optional
        Otherwise the largest training label decides.
    class_names : sequence of str, optional
        Otherwise "0", "1", ...
    test_split : float
        Without `x_test`, this fraction is held out at random. With 0 the test split is the training
        split, which suits a handful of points such as a truth table.
    validation_split : float
        Without `x_validation`, this fraction of the training examples is held out at random.
    seed : int
        Of both choices.
    mean, std : ndarray, optional
        For normalisation; otherwise measured on the training examples.

    Raises
    ------
    DataError
        Lengths that differ, values that are not finite, labels out of range; names index and value.
    """
    splits = {"train": _split(x, y, "train", task)}
    for part, xs, ys in (("test", x_test, y_test), ("validation", x_validation, y_validation)):
        if (xs is None) != (ys is None):
            raise DataError(f"Give both x_{part} and y_{part}, or neither.")
        if xs is not None:
            splits[part] = _split(xs, ys, part, task)
    task = task or ("classification" if splits["train"].labels.dtype == np.int64 else "regression")
    if task == "classification":
        names = _class_names(splits["train"].labels, num_classes, class_names)
        check_labels(splits["train"].labels, len(names), "train")  # before a division renumbers them
    elif num_classes is not None or class_names is not None:
        raise ConfigError("Regression has no classes: leave out num_classes and class_names.")
    else:
        names = None
    _hold_out_test(splits, test_split, seed)
    dataset = Dataset(name=name, task=task, class_names=names, mean=mean, std=std, **splits)  # type: ignore[arg-type]
    if validation_split and dataset.validation is None:
        return dataset.with_validation(validation_split, seed)
    return dataset


def _hold_out_test(splits: dict[str, Split], fraction: float, seed: int) -> None:
    if "test" in splits:
        return
    whole = splits["train"]
    if fraction == 0:
        splits["test"] = whole
        return
    rest, held = split_indices(len(whole), fraction, seed, "test_split")
    splits["train"], splits["test"] = whole.subset(rest), whole.subset(held)


def _split(x: Any, y: Any, part: str, task: str | None) -> Split:
    x, y = _examples(x, part), _labels(y, part, task)
    if len(x) != len(y):
        raise DataError(f"There are {len(x)} {part} examples but {len(y)} {part} labels: each example needs one.")
    return Split(x, y)


def _numbers(values: Any, title: str) -> np.ndarray:
    """`values` as an array of plain numbers, or an error."""
    try:
        array = np.asarray(values)
    except ValueError:
        raise DataError(f"{title} are not all of one shape: make them one array.") from None
    if array.dtype.kind not in "biuf":
        raise DataError(f"{title} are of type {array.dtype}, but must be numbers: convert them first.")
    return array


def _examples(x: Any, part: str) -> np.ndarray:
    x = _numbers(x, f"The {part} examples")
    if x.dtype == np.uint8 and x.ndim == 3:
        x = x[..., None]
    if x.dtype == np.uint8 and x.ndim == 4 and x.shape[1] in (1, 3) and x.shape[3] > 4:
        raise DataError(
            f"The {part} images have shape {x.shape}, which looks channels-first, but nnvis puts "
            "channels last: use x.transpose(0, 2, 3, 1)."
        )
    if x.ndim < 2:
        raise DataError(
            f"The {part} examples have shape {x.shape}, but vectors are (M, D) and images "
            "(M, H, W, C): add the missing axis."
        )
    if x.dtype == np.uint8 and x.ndim == 4:
        return x
    check_finite(x, f"The {part} array of examples")
    with np.errstate(over="ignore"):
        small = x.astype(np.float32)
    check_finite(small, f"The {part} array of examples, as float32,")
    return small


def _labels(y: Any, part: str, task: str | None) -> np.ndarray:
    y = _numbers(y, f"The {part} labels")
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if task == "regression" or (task is None and y.dtype.kind == "f"):
        check_finite(y, f"The {part} array of targets")
        return y.astype(np.float32)
    if y.dtype.kind == "f" and not np.array_equal(y, np.round(y)):
        at = int(np.flatnonzero(y.ravel() != np.round(y.ravel()))[0])
        raise DataError(f"The {part} label at index {at} is {y.ravel()[at]}, but class numbers are whole numbers.")
    if y.ndim != 1:
        raise DataError(
            f"The {part} labels have shape {y.shape}, but each example has one class number: "
            "for one-hot rows use y.argmax(axis=1)."
        )
    return y.astype(np.int64)


def _class_names(labels: np.ndarray, num_classes: int | None, class_names: Sequence[str] | None) -> tuple[str, ...]:
    if class_names is not None:
        names = tuple(str(name) for name in class_names)
        if num_classes not in (None, len(names)):
            raise ConfigError(f"num_classes is {num_classes}, but there are {len(names)} class_names.")
        return names
    if num_classes is None:
        num_classes = _count_classes(labels)
    return tuple(str(number) for number in range(num_classes))


def _count_classes(labels: np.ndarray) -> int:
    """Largest label + 1, unless that leaves most classes without an example: a slip, most likely."""
    if not len(labels):
        raise DataError("There are no training examples: give at least one.")
    at = int(labels.argmax())
    count = int(labels[at]) + 1
    check_labels(labels, count, "train")
    if len(np.unique(labels)) < count / 2:
        raise DataError(
            f"The train label at index {at} is {count - 1}, but only {len(np.unique(labels))} classes "
            f"occur and they are numbered from 0: correct it, or pass num_classes={count} if it is right."
        )
    return count


def load_npz(
    path: str | Path,
    *,
    name: str | None = None,
    task: str | None = None,
    num_classes: int | None = None,
    class_names: Sequence[str] | None = None,
    test_split: float = 0.2,
    seed: int = 0,
) -> Dataset:
    """Load an ``.npz`` file with arrays x_train, y_train, x_test, y_test, or x and y.

    Optional further arrays are x_validation, y_validation and class_names. See :func:`from_arrays`
    for the options. Arrays of Python objects are refused, since reading them could run code.
    """
    path = Path(path)
    arrays = _read_npz(path)
    suffix = "_train" if "x_train" in arrays else ""
    if f"x{suffix}" not in arrays or f"y{suffix}" not in arrays:
        found = ", ".join(arrays) or "none"
        raise DataError(
            f"{path} holds the arrays {found}, but expected are x_train and y_train (with x_test and "
            "y_test), or x and y."
        )
    if class_names is None and "class_names" in arrays:
        class_names = [str(each) for each in np.atleast_1d(arrays["class_names"])]
    parts = ("x_test", "y_test", "x_validation", "y_validation")
    return from_arrays(
        arrays[f"x{suffix}"],
        arrays[f"y{suffix}"],
        *(arrays.get(part) for part in parts),
        name=name or path.stem,
        task=task,
        num_classes=num_classes,
        class_names=class_names,
        test_split=test_split,
        seed=seed,
    )


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    torn = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, KeyError, MemoryError)
    try:
        with np.load(path, allow_pickle=False) as file:
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise DataError(f"{path} is not an .npz file: save it with np.savez(path, x=x, y=y).")
            return {key: file[key] for key in file.files}
    except torn as error:
        raise DataError(f"{path} is damaged ({error}): save it again.") from None
    except ValueError as error:
        if isinstance(error, DataError):
            raise
        reason = str(error).split(".")[0].split("\n")[0]
        raise DataError(f"Cannot read {path} ({reason}): save plain arrays of numbers.") from None
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}.") from None
