"""A run read back from disk, for evaluation and prediction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nnvis.data import Dataset
from nnvis.errors import CheckpointError, ConfigError
from nnvis.evaluate import BATCH, Examples, as_batch, decision, evaluate, predict_normalised
from nnvis.network import Network
from nnvis.options import TrainOptions
from nnvis.runs.checkpoint import Checkpoint, load_checkpoint
from nnvis.runs.folder import RunFolder
from nnvis.runs.source import DataSource


@dataclass
class SavedRun:
    """A trained network with what is needed to use it.

    Attributes
    ----------
    net : Network
    folder : RunFolder
    path : Path
        The checkpoint that the weights came from.
    state : dict
        Position and metrics at that checkpoint: ``step``, ``epoch``, ``history``, ``best``, ...
    options : TrainOptions
    data : dict
        Name, class names, mean and standard deviation of the training data.
    source : DataSource or None
    """

    net: Network
    folder: RunFolder
    path: Path
    state: dict[str, Any]
    options: TrainOptions
    data: dict[str, Any]
    source: DataSource | None

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the classes, in the order of the outputs."""
        names = self.data["class_names"]
        return None if names is None else tuple(names)

    def load_data(self, progress: Any = None) -> Dataset:
        """Load the data that the run was trained and tested on."""
        if self.source is None:
            raise ConfigError(f"The run in {self.folder.path} was trained on arrays; give the data to use.")
        return self.source.load(progress)

    def evaluate(
        self, data: Examples | None = None, part: str = "test", progress: Callable[[int, int], None] | None = None
    ) -> dict[str, Any]:
        """Metrics on the run's own or other `data`; see :func:`nnvis.evaluate.evaluate`."""
        chosen = self.load_data() if data is None else data
        normalise = self.options.augmentation.normalise
        return evaluate(self.net, chosen, self.options.loss, part=part, normalise=normalise, progress=progress)

    def predict(self, x: Any, batch_size: int = BATCH) -> np.ndarray:
        """Probabilities of each class for examples (N, *input_shape), which are normalised as in training."""
        mean, std = normalisation(self.data, self.options)
        decide = decision(self.net, self.options.loss)
        return predict_normalised(self.net, as_batch(self.net, x), mean, std, batch_size, decide)


def normalisation(data: dict[str, Any], options: TrainOptions) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Mean and standard deviation that a run's examples are normalised with, or None."""
    if not options.augmentation.normalise:
        return None, None
    return np.array(data["mean"], np.float32), np.array(data["std"], np.float32)


def load_run(path: Path | str, device: str | None = None, checkpoint: str | None = None) -> SavedRun:
    """Read a run back.

    Parameters
    ----------
    path : Path or str
        The folder of a run, or one of its checkpoint files.
    device : str, optional
        Without it, the one that the run was trained on.
    checkpoint : {"best", "last"}, optional
        Without it the best, or the newest as long as there is no best one.

    Raises
    ------
    CheckpointError
        No run there, or a torn checkpoint.
    """
    path = Path(path)
    folder = RunFolder(path.parent.parent if path.suffix == ".safetensors" else path)
    file = path if path.suffix == ".safetensors" else _choose(folder, checkpoint)
    config = folder.config()
    net = folder.network(device)
    found: Checkpoint = load_checkpoint(file, net.graph.fingerprint())
    net.load_state_dict(found.net)
    return SavedRun(net, folder, file, found.state, folder.options(), config["data"], folder.source())


def _choose(folder: RunFolder, checkpoint: str | None) -> Path:
    if checkpoint not in (None, "best", "last"):
        raise ConfigError(f"checkpoint must be 'best' or 'last', not {checkpoint!r}.")
    folder.config()
    if checkpoint is None:
        checkpoint = "best" if folder.best.exists() else "last"
    file = folder.best if checkpoint == "best" else folder.last
    if not file.exists():
        raise CheckpointError(f"The run in {folder.path} has no {checkpoint} checkpoint yet.")
    return file
