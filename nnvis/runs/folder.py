"""The folder of a run: graph, configuration, environment, metrics and checkpoints."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from nnvis.errors import CheckpointError, OutputError
from nnvis.graph import Graph
from nnvis.network import Network
from nnvis.options import TrainOptions
from nnvis.runs.checkpoint import Checkpoint, load_checkpoint
from nnvis.runs.environment import environment
from nnvis.runs.files import make_folder, remove_temporaries, write_bytes, write_json
from nnvis.runs.metrics_log import MetricsLog
from nnvis.runs.paused import PausedRun
from nnvis.runs.source import DataSource


class RunFolder:
    """A run on disk.

    Parameters
    ----------
    path : Path or str

    Attributes
    ----------
    log : MetricsLog

    Notes
    -----
    ::

        graph.json                      the network
        config.json                     all options, the data, the network's seed
        environment.json                versions and machine
        metrics.jsonl                   a line for some steps and for every epoch
        checkpoints/last.safetensors    the newest state, from which the run can be resumed
        checkpoints/best.safetensors    the state after the best epoch
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)
        self.log = MetricsLog(self.path / "metrics.jsonl")

    @property
    def last(self) -> Path:
        """Path of the newest checkpoint."""
        return self.path / "checkpoints" / "last.safetensors"

    @property
    def best(self) -> Path:
        """Path of the best epoch's checkpoint."""
        return self.path / "checkpoints" / "best.safetensors"

    @property
    def exists(self) -> bool:
        """Whether there is a run in the folder."""
        return (self.path / "config.json").is_file()

    def create(self, net: Network, options: TrainOptions, facts: dict[str, Any], source: DataSource | None) -> None:
        """Make the folder and write everything but checkpoints and metrics.

        Parameters
        ----------
        net : Network
        options : TrainOptions
        facts : dict
            Of :func:`nnvis.runs.source.data_facts`.
        source : DataSource, optional
            How to load the data again.

        Raises
        ------
        OutputError
            There is a run already, or the folder cannot be written.
        """
        if self.exists:
            raise OutputError(f"{self.path} holds a run already; resume it or choose another folder.")
        make_folder(self.path)
        make_folder(self.path / "checkpoints")
        write_bytes(self.path / "graph.json", net.graph.to_json().encode())
        self.log.truncate(-1, -1)
        self.update(net, options, facts, source)

    def update(self, net: Network, options: TrainOptions, facts: dict[str, Any], source: DataSource | None) -> None:
        """Write configuration and environment; leftovers of a killed process are removed."""
        make_folder(self.path / "checkpoints")
        remove_temporaries(self.path)
        remove_temporaries(self.path / "checkpoints")
        write_json(self.path / "environment.json", environment(net.device.name))
        config = {
            "options": options.config(),
            "net": {
                "name": net.graph.name,
                "seed": net.seed,
                "device": net.device.name,
                "precision": net.precision,
            },
            "data": facts,
            "source": None if source is None else source.config(),
        }
        write_json(self.path / "config.json", config)

    # --- reading ------------------------------------------------------------------------------------------

    def config(self) -> dict[str, Any]:
        """The content of ``config.json``; CheckpointError if it is not there or damaged."""
        path = self.path / "config.json"
        try:
            config = json.loads(path.read_text(encoding="utf-8"))
            if {"options", "net", "data", "source"} <= set(config):
                return config
        except FileNotFoundError:
            hint = "the folder does not exist" if not self.path.exists() else "config.json is missing"
            raise CheckpointError(f"There is no run in {self.path}: {hint}.") from None
        except OSError as error:
            raise CheckpointError(f"{path} cannot be read: {error.strerror or error}.") from None
        except (ValueError, TypeError):
            pass
        raise CheckpointError(f"{path} is damaged: it is not the configuration of a run.")

    def options(self) -> TrainOptions:
        """The options of the run."""
        try:
            return TrainOptions.from_config(self.config()["options"])
        except (KeyError, TypeError) as error:
            raise CheckpointError(f"{self.path / 'config.json'} is damaged: {error}.") from None

    def source(self) -> DataSource | None:
        """How to load the run's data, if it is known."""
        config = self.config()["source"]
        return None if config is None else DataSource.from_config(config)

    def graph(self) -> Graph:
        """The run's network as a graph."""
        path = self.path / "graph.json"
        try:
            return Graph.from_json(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise CheckpointError(f"{path} cannot be read: {error.strerror or error}.") from None

    def network(self, device: str | None = None) -> Network:
        """The run's network with its seed and initial weights, on its device or another one."""
        config = self.config()["net"]
        precision = config.get("precision", "fast")
        return Network(self.graph(), device or config["device"], config["seed"], precision)

    def load_last(self, fingerprint: str | None = None) -> Checkpoint:
        """The newest checkpoint."""
        return load_checkpoint(self.last, fingerprint)

    def paused(self) -> PausedRun:
        """The run where its newest checkpoint is, with what it takes to go on."""
        config = self.config()
        return PausedRun(self.load_last(), self.options(), config["data"])

    # --- writing ------------------------------------------------------------------------------------------

    def save(self, checkpoint: Checkpoint, best: bool = False) -> list[Path]:
        """Write the newest checkpoint, and the best one if it is that too; return the files written."""
        self.log.sync()
        content = checkpoint.to_bytes()
        paths = [self.best, self.last] if best else [self.last]
        for path in paths:
            write_bytes(path, content)
        return paths


def default_folder(net: str, data: str, base: Path | str = "runs") -> Path:
    """A folder name that is still free: ``runs/lenet5-mnist-1``, ``runs/lenet5-mnist-2``, ..."""
    stem = "-".join(re.sub(r"[^\w.]+", "-", Path(part).name).strip("-.") or "run" for part in (net, data))
    taken = {path.name for path in Path(base).glob(f"{stem}-*")} if Path(base).is_dir() else set()
    number = 1
    while f"{stem}-{number}" in taken:
        number += 1
    return Path(base) / f"{stem}-{number}"
