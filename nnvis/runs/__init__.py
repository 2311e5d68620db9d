"""Runs on disk: folders, checkpoints, metrics, and reading them back."""

from nnvis.runs.checkpoint import Checkpoint, load_checkpoint
from nnvis.runs.folder import RunFolder, default_folder
from nnvis.runs.metrics_log import read_metrics
from nnvis.runs.paused import PausedRun
from nnvis.runs.saved import SavedRun, load_run
from nnvis.runs.source import DataSource

__all__ = [
    "Checkpoint",
    "DataSource",
    "PausedRun",
    "RunFolder",
    "SavedRun",
    "default_folder",
    "load_checkpoint",
    "load_run",
    "read_metrics",
]
