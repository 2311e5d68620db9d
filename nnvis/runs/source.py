"""Where the data of a run came from, so that it can be loaded again."""

from __future__ import annotations

import dataclasses
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nnvis.data import Dataset, Split, available, load, randomness
from nnvis.errors import CheckpointError, ConfigError


@dataclass(frozen=True)
class DataSource:
    """A recipe for a data set.

    Attributes
    ----------
    name : str
        Name or path for :func:`nnvis.data.load`.
    options : dict
        Its further options.
    validation : float
        Fraction of the training examples that becomes the validation split, if there is none yet.
    limit : int, optional
        Use at most so many training (and validation, and test) examples, of each class its share.
    seed : int
        Of the choice of validation examples.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    validation: float = 0.0
    limit: int | None = None
    seed: int = 0

    def load(self, progress: Any = None) -> Dataset:
        """Load it; `progress` is handed to :func:`nnvis.data.load` if given."""
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit is {self.limit}, but at least 1 example is needed.")
        extra = {} if progress is None else {"progress": progress}
        data = load(self.name, **self.options, **extra)
        if self.limit is not None:
            parts = {name: _thinned(split, self.limit) for name, split in data.splits().items()}
            data = dataclasses.replace(data, **parts)  # type: ignore[arg-type]
        if self.validation and data.validation is None:
            data = data.with_validation(self.validation, self.seed)
        return data

    def config(self) -> dict[str, Any]:
        """As plain JSON values."""
        options = {key: _plain(value) for key, value in self.options.items()}
        return {**dataclasses.asdict(self), "name": self._place(), "options": options}

    def _place(self) -> str:
        """The name; a path in full, since a run may be resumed from another working folder."""
        known = {info.name for info in available()}
        is_path = self.name not in known and Path(self.name).exists()
        return str(Path(self.name).resolve()) if is_path else self.name

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> DataSource:
        """The source whose :meth:`config` this is."""
        options = {k: tuple(v) if isinstance(v, list) else v for k, v in config["options"].items()}
        return cls(**{**config, "options": options})


def _thinned(split: Split, limit: int) -> Split:
    """At most `limit` examples, drawn at random, the same in every run; each class keeps its share.

    Neither the first ones nor every tenth one would do: folders of images are sorted by class, and drawn data sets go
    through their classes in turn.
    """
    if len(split) <= limit:
        return split
    order = randomness.permutation(randomness.stream(0, randomness.LIMIT), len(split))
    if split.labels.dtype == np.int64:
        order = order[np.argsort(split.labels[order], kind="stable")]
    return split.subset(np.sort(order[np.arange(limit) * len(split) // limit]))


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return value if isinstance(value, int | float | str | bool | None) else str(value)


def data_facts(data: Dataset) -> dict[str, Any]:
    """What a run must remember of its data, to predict and to notice other data on resuming."""
    assert data.mean is not None and data.std is not None
    return {
        "name": data.name,
        "task": data.task,
        "class_names": None if data.class_names is None else list(data.class_names),
        "mean": [float(v) for v in data.mean],
        "std": [float(v) for v in data.std],
        "examples": {name: len(split) for name, split in data.splits().items()},
        "fingerprint": _fingerprint(data),
    }


def _fingerprint(data: Dataset) -> str:
    """Checksum of all labels and of some examples: enough to notice that data changed, in no time."""
    total = 0
    for split in data.splits().values():
        some = split.images[:: max(1, len(split) // 64)]
        for array in (split.labels, some):
            total = zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, total)
    return f"{total:08x}"


def check_same_data(known: dict[str, Any], data: Dataset) -> None:
    """Raise CheckpointError unless `data` is what :func:`data_facts` described."""
    now = data_facts(data)
    if now["fingerprint"] != known["fingerprint"]:
        raise CheckpointError(
            f"The run was trained on other data: {known['name']} with {known['examples']['train']} training examples, "
            f"but now it gets {now['name']} with {now['examples']['train']}, or their content differs; resume with the "
            "same data."
        )
