"""What the compute thread tells the app: immutable values, passed through signals."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nnvis.layers.base import Shape
from nnvis.probe import Histogram, NodeStatistics
from nnvis.runs import PausedRun

__all__ = [
    "RUN_ENDED", "Contents", "Curves", "Histogram", "NodeStatistics", "NodeStep", "Notice", "Phase", "Prediction",
    "Progress", "Saved", "Snapshot",
]  # fmt: skip

#: What is said when an edit ends a run.
RUN_ENDED = "The run ended, since {} changed; Run begins anew with the weights that fit."


class Phase(enum.Enum):
    """What the session is doing."""

    IDLE = "idle"  # no network, or one that does not work
    READY = "ready"  # may start
    LOADING = "loading"  # data set
    COMPILING = "compiling"
    RUNNING = "running"
    PAUSED = "paused"  # between two batches
    STEPPING = "stepping"  # within a batch, node by node
    FINISHED = "finished"
    FAILED = "failed"


@dataclass(frozen=True)
class Progress:
    """How far the training is; all zero before it starts.

    Attributes
    ----------
    phase : Phase
    epoch, epochs : int
        Current epoch from 1; 0 before the start.
    step, steps : int
        Finished and total batches.
    images_per_second, seconds_left : float
    message : str
        A sentence for the status bar, such as "compiling kernels 7/24, first use only".
    fraction : float or None
        Of loading or compiling, 0 to 1.
    """

    phase: Phase = Phase.IDLE
    epoch: int = 0
    epochs: int = 0
    step: int = 0
    steps: int = 0
    images_per_second: float = 0.0
    seconds_left: float = 0.0
    message: str = ""
    fraction: float | None = None


@dataclass(frozen=True)
class Curves:
    """New points of the loss and accuracy curves since the last message.

    Attributes
    ----------
    run : str
        Name of the run, unique in the session: "run 1".
    steps, loss, accuracy, lr : ndarray (K,)
        One entry for each batch; accuracy NaN where there are no classes.
    epochs : tuple of (step, metrics)
        Epochs that ended: ``val_loss``, ``val_accuracy``, ...
    marks : tuple of (step, text)
        Events to mark: a learning-rate change, an epoch's end, a checkpoint.
    """

    run: str
    steps: np.ndarray
    loss: np.ndarray
    accuracy: np.ndarray
    lr: np.ndarray
    epochs: tuple[tuple[int, Mapping[str, float]], ...] = ()
    marks: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True)
class Snapshot:
    """What the network looked like at one step.

    Attributes
    ----------
    run : str
    step : int
    layers : tuple of LayerStatistics
        In execution order.
    images : ndarray (N, H, W, C) or (N, D)
        The probe's examples as in the data set (bytes or floats, not normalised).
    labels : ndarray (N,)
    class_names : tuple of str
    features : mapping of str to ndarray
        Output of the nodes that somebody looks at, for the probe's first images: (M, H, W, C), (M, T, D) or (M, D).
    filters : mapping of str to ndarray
        Weights of convolutions that somebody looks at: (KH, KW, C_in, C_out).
    probabilities : ndarray (N, K) or None
        Of the probe's examples.
    boundary : ndarray (G, G) or (G, G, K) or None
        Class probabilities over a grid of the plane, for 2-D data; `extent` is (x0, y0, x1, y1).
    confusion : ndarray (K, K) or None
        Rows are true classes; of as many held-out examples as there was time for.
    confusion_examples : mapping of (true, guessed) to ndarray
        Up to nine examples of each cell.
    examples : tuple of int
        Which held-out examples `images` are; there are `held_out` of them.
    of_class, wrong : tuple of int
        Held-out examples to choose from: the first of each class, and some that are guessed wrongly now.
    gradients : mapping of str to float
        Mean absolute gradient of each node's output, to tint wires.
    """

    run: str
    step: int
    layers: tuple[NodeStatistics, ...] = ()
    images: np.ndarray | None = None
    labels: np.ndarray | None = None
    class_names: tuple[str, ...] = ()
    features: Mapping[str, np.ndarray] = field(default_factory=dict)
    filters: Mapping[str, np.ndarray] = field(default_factory=dict)
    probabilities: np.ndarray | None = None
    boundary: np.ndarray | None = None
    extent: tuple[float, float, float, float] | None = None
    confusion: np.ndarray | None = None
    confusion_examples: Mapping[tuple[int, int], np.ndarray] = field(default_factory=dict)
    gradients: Mapping[str, float] = field(default_factory=dict)
    examples: tuple[int, ...] = ()
    held_out: int = 0
    of_class: tuple[int, ...] = ()
    wrong: tuple[int, ...] = ()


@dataclass(frozen=True)
class NodeStep:
    """One node has just been computed, while stepping node by node.

    Attributes
    ----------
    direction : str
        "forward", "loss", "backward" or "update".
    node : str or None
    inputs, output : ndarrays
        Forward: what it read and what it made. Backward: `output` is the gradient that came in, `inputs` those that
        it handed on.
    parameters : mapping of str to ndarray
        Forward: weights. Backward: their gradients.
    note : str
        A sentence: "conv1 forward: 64x28x28x1 -> 64x28x28x6".
    """

    direction: str
    node: str | None
    inputs: tuple[np.ndarray, ...] = ()
    output: np.ndarray | None = None
    parameters: Mapping[str, np.ndarray] = field(default_factory=dict)
    note: str = ""
    shape: Shape = ()


@dataclass(frozen=True)
class Prediction:
    """Probabilities for an example that the user drew or chose."""

    tag: int
    probabilities: np.ndarray
    class_names: tuple[str, ...]
    features: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Saved:
    """A checkpoint is on disk; with path None: the weights belong to no run that is kept."""

    path: Path | None
    step: int


@dataclass(frozen=True)
class Notice:
    """A sentence for the user; the role is the banner's ("accent" or "warn"), or "status": a word in the status bar."""

    sentence: str
    role: str = "accent"


@dataclass(frozen=True)
class Contents:
    """What a project keeps of the session: weights, the run that is going on, and after how many steps they are so."""

    weights: dict[str, np.ndarray]
    run: PausedRun | None
    step: int = 0
