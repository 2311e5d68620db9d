"""Training in one call: as a generator of events, as a function, or resumed from a run folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nnvis.data import Augmentation, Dataset, from_arrays
from nnvis.errors import ConfigError, DataError
from nnvis.evaluate import BATCH, as_batch, decision, evaluate, predict_normalised
from nnvis.events import EpochDone, Event, Finished, Started, Stopped
from nnvis.graph import Graph
from nnvis.losses import Loss
from nnvis.network import Network
from nnvis.optim import Optimizer
from nnvis.options import EarlyStopping, TrainOptions
from nnvis.runs import DataSource, RunFolder, default_folder
from nnvis.schedules import Schedule
from nnvis.training import Stop, Training

#: A Dataset, a name or path for ``nnvis.data.load``, ``(x, y)`` or ``(x, y, x_test, y_test)``.
Data = Dataset | str | Path | tuple[Any, ...]


def train(
    net: Network | Graph,
    data: Data,
    epochs: int = 1,
    batch_size: int = 64,
    *,
    optimizer: Optimizer | str | None = None,
    loss: Loss | str = "cross_entropy",
    schedule: Schedule | str | None = None,
    augmentation: Augmentation | str | None = None,
    seed: int = 0,
    clip_norm: float | None = None,
    clip_value: float | None = None,
    early_stopping: EarlyStopping | int | None = None,
    out: Path | str | None = None,
    resume: bool = False,
    checkpoint_every: str | int = "60s",
    evaluate_every: int = 1,
    evaluation_batch_size: int = BATCH,
    log_every: int = 50,
    drop_last: bool = False,
    source: DataSource | None = None,
    stop: Stop = None,
) -> Generator[Event, None, None]:
    """Train a network; a generator of what happens.

    Everything is checked at the call; the work happens while the generator is iterated, in the iterating thread. It
    can be closed at any time. A run is a function of (graph, data, options, seed): the same on any number of threads.

    Parameters
    ----------
    net : Network or Graph
        A Graph becomes a Network with this `seed`, which ``fit`` returns.
    data : Dataset, str, Path or tuple of arrays
        A name or path is loaded with :func:`nnvis.data.load`. ``(x, y)`` is divided, one fifth for testing;
        ``(x, y, x_test, y_test)`` is not. Without a validation split the test split is what each epoch is evaluated
        on, so that the best epoch is then chosen by test data.
    epochs, batch_size : int
    optimizer : Optimizer or str, optional
        ``SGD(lr=0.01)`` without it.
    loss : Loss or str
        "cross_entropy", "bce" or "mse".
    schedule : Schedule or str, optional
        Such as "cosine", "step:30,60" or "warmup:1+cosine"; constant without it.
    augmentation : Augmentation or str, optional
        Such as "crop4,flip"; only normalisation without it.
    seed : int
        Of the order of examples and of augmentation. The network has a seed of its own.
    clip_norm, clip_value : float, optional
        See :class:`nnvis.trainer.Trainer`.
    early_stopping : EarlyStopping or int, optional
        A number is the patience in epochs.
    out : Path or str, optional
        Folder to save the run in; "auto" makes ``runs/<net>-<data>-<number>``. Nothing is saved without it.
    resume : bool
        Go on from the newest checkpoint in `out`; start if there is no run yet.
    checkpoint_every : str or int
        A time such as "60s" or "10m", or a number of steps. There is one after every epoch, too.
    evaluate_every : int
        Evaluate after so many epochs, and after the last.
    evaluation_batch_size : int
    log_every : int
        ``metrics.jsonl`` gets a line for every so many steps, and for every epoch.
    drop_last : bool
        Leave out a last batch with fewer examples.
    source : DataSource, optional
        How a given Dataset can be loaded again, so that the run can be resumed by its folder alone.
    stop : callable or threading.Event, optional
        Asked after each step; once it says True a checkpoint is saved and the last event is ``Stopped("interrupted")``.

    Yields
    ------
    Event
        ``Compiling`` ..., ``Started``, then per epoch ``StepDone`` ..., ``EpochDone``, ``CheckpointSaved``; in the end
        ``Finished`` (after early stopping with a ``Stopped`` before it), or ``Stopped("interrupted")`` alone.

    Raises
    ------
    ShapeError, DataError, ConfigError
        Data, network and options do not fit together.
    DivergedError
        The loss became NaN or infinite; parameters are as they were before that step.
    OutputError
        The run cannot be written.
    CheckpointError
        It cannot be resumed.
    """
    options = TrainOptions(
        epochs, batch_size, optimizer, loss, schedule, augmentation, seed, clip_norm, clip_value, early_stopping,  # type: ignore[arg-type]
        str(checkpoint_every), evaluate_every, evaluation_batch_size, log_every, drop_last,
    )  # fmt: skip
    return make_training(net, data, options, out, resume, source, stop).run()


def make_training(
    net: Network | Graph,
    data: Data,
    options: TrainOptions,
    out: Path | str | None = None,
    resume: bool = False,
    source: DataSource | None = None,
    stop: Stop = None,
) -> Training:
    """The :class:`Training` behind :func:`train`, whose parameters these are."""
    net = Network(net, seed=options.seed) if isinstance(net, Graph) else net
    dataset, source = _dataset(data, source)
    folder = default_folder(net.graph.name, dataset.name) if out == "auto" else out
    if resume and folder is None:
        raise ConfigError("resume=True needs out=FOLDER, the folder of the run.")
    return Training(net, dataset, options, folder, resume, source, stop)


def resume(
    folder: Path | str,
    *,
    epochs: int | None = None,
    device: str | None = None,
    data: Data | None = None,
    stop: Stop = None,
) -> Training:
    """Go on with a run that was interrupted, or train it for more epochs.

    Parameters
    ----------
    folder : Path or str
    epochs : int, optional
        Epochs in all, instead of the run's own number.
    device : str, optional
        Instead of the run's own.
    data : optional
        Needed only if the run was trained on arrays; see :func:`train`.
    stop : callable or threading.Event, optional

    Returns
    -------
    Training
        Its ``run()`` is the generator of events; ``net``, ``data`` and ``options`` are at hand before that.

    Raises
    ------
    CheckpointError
        There is no run in `folder`, or its newest checkpoint is torn.
    """
    run = RunFolder(folder)
    options, source = run.options(), run.source()
    if epochs is not None:
        options = dataclasses.replace(options, epochs=epochs)
    if data is None and source is None:
        raise ConfigError(f"The run in {folder} was trained on arrays; pass them as data to go on.")
    net = run.network(device)
    run.load_last(net.graph.fingerprint())  # before the data, which may take long to load
    dataset = source.load() if data is None and source is not None else data
    return make_training(net, dataset, options, folder, True, source, stop)  # type: ignore[arg-type]


@dataclass
class Run:
    """What :func:`fit` returns.

    Attributes
    ----------
    net : Network
        Trained, with the weights after the last step.
    history : dict of str to list of float
        ``loss``, ``accuracy``, ``val_loss``, ``val_accuracy``, ``val_top5``, ``lr`` and ``seconds`` of each epoch.
    metrics : dict of str to float
        ``test_loss``, ``test_accuracy`` and ``test_top5`` after the last epoch.
    best : dict
        ``metric``, ``value`` and ``epoch`` of the best epoch.
    folder : Path or None
        Where the run is saved.
    stopped : str
        "interrupted", "early_stopping" or "".
    """

    net: Network
    data: Dataset
    options: TrainOptions
    history: dict[str, list[float]]
    metrics: dict[str, float]
    best: dict[str, Any]
    folder: Path | None = None
    stopped: str = ""

    def predict(self, x: Any, batch_size: int = BATCH) -> np.ndarray:
        """Probabilities of each class for examples (N, *input_shape), which are normalised as in training."""
        normalise = self.options.augmentation.normalise
        mean, std = (self.data.mean, self.data.std) if normalise else (None, None)
        return predict_normalised(
            self.net, as_batch(self.net, x), mean, std, batch_size, decision(self.net, self.options.loss)
        )

    def evaluate(self, data: Any = None, part: str = "test") -> dict[str, Any]:
        """Metrics on the run's own or other `data`; see :func:`nnvis.evaluate.evaluate`."""
        chosen = self.data if data is None else data
        return evaluate(self.net, chosen, self.options.loss, part=part, normalise=self.options.augmentation.normalise)


def fit(
    net: Network | Graph,
    data: Data,
    epochs: int = 1,
    batch_size: int = 64,
    *,
    verbose: bool = False,
    out: Path | str | None = None,
    resume: bool = False,
    source: DataSource | None = None,
    stop: Stop = None,
    **options: Any,
) -> Run:
    """Train a network to the end.

    Parameters
    ----------
    net, data, epochs, batch_size, out, resume, source, stop, **options
        As for :func:`train`.
    verbose : bool
        Print a line for each epoch.

    Returns
    -------
    Run

    Examples
    --------
    >>> run = fit(net, "mnist", epochs=3, optimizer=SGD(lr=0.05, momentum=0.9))
    >>> run.history["val_accuracy"]
    """
    chosen = _options(epochs, batch_size, options)
    training = make_training(net, data, chosen, out, resume, source, stop)
    metrics, stopped = {}, ""
    for event in training.run():
        if isinstance(event, Finished):
            metrics = event.metrics
        elif isinstance(event, Stopped):
            stopped = event.reason
        if verbose:
            _print(event, training.options.epochs)
    path = None if training.folder is None else training.folder.path
    best = training.state.best
    return Run(training.net, training.data, chosen, training.history, metrics, best, path, stopped)


def _options(epochs: int, batch_size: int, others: dict[str, Any]) -> TrainOptions:
    known = {field.name for field in dataclasses.fields(TrainOptions)}
    if unknown := set(others) - known:
        raise TypeError(f"fit() has no argument {sorted(unknown)[0]!r}")
    return TrainOptions(epochs=epochs, batch_size=batch_size, **others)


def _dataset(data: Data, source: DataSource | None) -> tuple[Dataset, DataSource | None]:
    if isinstance(data, Dataset):
        return data, source
    if isinstance(data, str | Path):
        source = source or DataSource(str(data))
        return source.load(), source
    if isinstance(data, tuple | list) and len(data) in (2, 4):
        return from_arrays(*data), source
    raise DataError(
        "Training needs a Dataset, a name such as 'mnist', (x, y) or (x, y, x_test, y_test), "
        f"not {type(data).__name__}."
    )


def _print(event: Event, epochs: int) -> None:
    if isinstance(event, Started) and event.step:
        print(f"resumed after step {event.step}", flush=True)
    elif isinstance(event, EpochDone):
        figures = ", ".join(f"{name} {value:.4g}" for name, value in event.metrics.items())
        print(f"epoch {event.epoch}/{epochs}: {figures}", flush=True)
    elif isinstance(event, Stopped):
        print(f"stopped: {event.message}", flush=True)
    elif isinstance(event, Finished) and event.metrics:
        print(", ".join(f"{name} {value:.4g}" for name, value in event.metrics.items()), flush=True)
