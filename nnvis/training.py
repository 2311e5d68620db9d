"""A training as an object: its position, what it has seen, and the loop over epochs."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from nnvis.data import Dataset, Loader, normalised
from nnvis.errors import CheckpointError, ConfigError, ShapeError
from nnvis.evaluate import evaluate
from nnvis.events import CheckpointSaved, Compiling, EpochDone, Event, Finished, Started, StepDone, Stopped
from nnvis.layers.base import describe
from nnvis.network import Network
from nnvis.options import TrainOptions, better
from nnvis.runs import Checkpoint, DataSource, RunFolder
from nnvis.runs.due import Due
from nnvis.runs.source import check_same_data, data_facts
from nnvis.runs.state import State
from nnvis.trainer import Trainer

#: A function that says whether to stop, or a :class:`threading.Event`.
Stop = Any


class _Interrupted(Exception):  # noqa: N818 - no error
    """Somebody asked to stop during an evaluation."""


class Training:
    """A training of a network on a data set, from the start or resumed.

    Parameters
    ----------
    net : Network
    data : Dataset
        Without a validation split the test split takes its place.
    options : TrainOptions
    folder : Path or str, optional
        Where to save the run; nowhere without it.
    resume : bool
        Go on from the newest checkpoint in `folder`, if there is a run.
    source : DataSource, optional
        How to load `data` again; kept with the run.
    stop : callable or threading.Event, optional
        Asked after each step.

    Raises
    ------
    ShapeError, DataError
        The data do not fit the network or the loss.
    CheckpointError
        The checkpoint is torn, or belongs to another graph or other data.
    """

    def __init__(
        self,
        net: Network,
        data: Dataset,
        options: TrainOptions,
        folder: Path | str | None = None,
        resume: bool = False,
        source: DataSource | None = None,
        stop: Stop = None,
    ):
        self.net, self.data, self.options, self.source = net, data, options, source
        self.folder = None if folder is None else RunFolder(folder)
        self._stop = _as_function(stop)
        self.trainer = Trainer(net, options.loss, options.optimizer, options.clip_norm, options.clip_value)
        check_fit(net, data, options)
        self.loader = Loader.of(
            data, "train", options.batch_size, shuffle=True, seed=options.seed,
            augmentation=options.augmentation, drop_last=options.drop_last,
        )  # fmt: skip
        self.steps_per_epoch = len(self.loader)
        if not self.steps_per_epoch:
            raise ConfigError(
                f"drop_last leaves nothing of {len(data.train)} examples with batch_size {options.batch_size}; "
                "use smaller batches."
            )
        self.state = State(seed=net.seed)
        self._resumed = bool(resume and self.folder is not None and self.folder.exists)
        self.facts = data_facts(data)
        if self._resumed:
            self._restore()

    @property
    def total_steps(self) -> int:
        """Steps from the first to the last epoch."""
        return self.options.epochs * self.steps_per_epoch

    @property
    def held_out(self) -> str:
        """The split that each epoch is evaluated on: "validation", or "test" if there is none."""
        return "test" if self.data.validation is None else "validation"

    @property
    def history(self) -> dict[str, list[float]]:
        """Metrics of the finished epochs by name; NaN where an epoch was not evaluated."""
        names = {name: None for metrics in self.state.history for name in metrics}
        return {name: [metrics.get(name, math.nan) for metrics in self.state.history] for name in names}

    def change(self, **settings: float) -> None:
        """Change settings of the optimiser (``lr``, ``momentum``) from the next step on.

        Raises
        ------
        ConfigError
            The optimiser has no such setting, or cannot take the value.
        """
        optimizer = self.options.optimizer
        if unknown := set(settings) - {f.name for f in fields(optimizer)}:  # type: ignore[arg-type]
            raise ConfigError(f"{optimizer.name} has no setting {sorted(unknown)[0]!r}.")
        self.options = replace(self.options, optimizer=replace(optimizer, **settings))  # type: ignore[type-var]
        self.trainer.change_optimizer(self.options.optimizer)
        if self.folder is not None and self.folder.exists:
            self.folder.update(self.net, self.options, self.facts, self.source)

    # --- the loop -----------------------------------------------------------------------------------------

    def run(self) -> Generator[Event, None, None]:
        """Train; yields what happens. May be closed at any time."""
        try:
            self._open_folder()
            yield from self._compile()
            path = None if self.folder is None else self.folder.path
            state = self.state
            yield Started(self.options.epochs, self.steps_per_epoch, state.epoch, state.step, path)
            while state.epoch < self.options.epochs and not state.ended:
                if self._stop():
                    yield from self._interrupted()
                    return
                stopped = yield from self._run_epoch()
                if stopped:
                    return
            if state.ended:
                yield Stopped(state.ended, state.epoch, state.step, self._why_stopped())
            try:
                yield self._finish()
            except _Interrupted:
                yield from self._interrupted()
        finally:
            if self.folder is not None:
                self.folder.log.close()

    def _run_epoch(self) -> Generator[Event, None, bool]:
        """One epoch, or what is left of it; True if it was interrupted."""
        due, began = Due(self.options.checkpoint_every), time.perf_counter() - self.state.seconds
        batches = self.loader.batches(self.state.epoch, self.state.position)
        with contextlib.closing(batches):  # type: ignore[type-var]
            for x, targets in batches:
                event = self._step(x, targets)
                self.state.seconds = time.perf_counter() - began
                yield event
                if self._stop():
                    yield from self._interrupted()
                    return True
                if due(self.state.step) and self.folder is not None:
                    yield from self._save()
        try:
            metrics = self._evaluate_epoch()
        except _Interrupted:
            yield from self._interrupted()
            return True
        metrics["seconds"] = time.perf_counter() - began
        improved = self._end_epoch(metrics)
        saved = list(self._save(best=improved))
        yield EpochDone(self.state.epoch, self.state.step, metrics, improved)
        yield from saved
        return False

    def _step(self, x: np.ndarray, targets: np.ndarray) -> StepDone:
        state, trainer = self.state, self.trainer
        lr = self._lr(state.step)
        loss = trainer.step(x, targets, lr)
        found = trainer.last
        assert found is not None
        state.step += 1
        state.position += 1
        state.loss_sum += loss * found.examples
        state.correct += found.correct or 0
        state.examples += found.examples
        event = StepDone(state.step, state.epoch + 1, loss, found.accuracy, lr, found.examples, found.gradient_norm)
        if self.folder is not None and (state.step % self.options.log_every == 0 or state.step == 1):
            self.folder.log.append("step", **asdict(event))
        return event

    def _lr(self, step: int) -> float:
        factor = self.options.schedule.factor(step, self.total_steps, self.steps_per_epoch)
        return self.options.optimizer.lr * factor

    # --- the end of an epoch ------------------------------------------------------------------------------

    def _evaluate_epoch(self) -> dict[str, float]:
        state, count = self.state, max(1, self.state.examples)
        metrics = {"loss": state.loss_sum / count}
        if self.options.loss.decision != "none":
            metrics["accuracy"] = state.correct / count
        epoch = state.epoch + 1
        if epoch % self.options.evaluate_every == 0 or epoch == self.options.epochs:
            metrics |= self._measure(self.held_out, "val")
        metrics["lr"] = self._lr(state.step - 1)
        return metrics

    def _measure(self, part: str, prefix: str) -> dict[str, float]:
        def progress(done: int, total: int) -> None:
            if self._stop():
                raise _Interrupted

        options = self.options
        found = evaluate(
            self.net, self.data, options.loss, options.evaluation_batch_size,
            part=part, normalise=options.augmentation.normalise, progress=progress,
        )  # fmt: skip
        return {f"{prefix}_{name}": found[name] for name in ("loss", "accuracy", "top5") if name in found}

    def _end_epoch(self, metrics: dict[str, float]) -> bool:
        """Close the books of an epoch; True if it is the best so far."""
        state = self.state
        state.epoch += 1
        state.history.append(metrics)
        state.start_epoch()
        improved = self._note_best(metrics)
        self._note_stopping(metrics)
        if self.folder is not None:
            self.folder.log.append("epoch", epoch=state.epoch, step=state.step, **metrics, improved=improved)
        return improved

    def _note_best(self, metrics: dict[str, float]) -> bool:
        name = self._criterion
        if name not in metrics or not better(name, metrics[name], self.state.best.get("value")):
            return False
        self.state.best = {"metric": name, "value": metrics[name], "epoch": self.state.epoch}
        return True

    @property
    def _criterion(self) -> str:
        """The metric that says which epoch is best."""
        return "val_loss" if self.options.loss.decision == "none" else "val_accuracy"

    def _note_stopping(self, metrics: dict[str, float]) -> None:
        rule, known = self.options.early_stopping, self.state.stopping
        name = self._criterion if rule is None or rule.metric is None else rule.metric
        if rule is None or (name not in metrics and name.startswith("val_")):
            return
        if name not in metrics:
            raise ConfigError(f"Early stopping watches {name!r}, but there are only {', '.join(metrics)}.")
        if rule.improves(metrics[name], known.get("value"), name):
            self.state.stopping = {"metric": name, "value": metrics[name], "waited": 0}
            return
        waited = known.get("waited", 0) + 1
        self.state.stopping = {"metric": name, "value": known.get("value"), "waited": waited}
        if waited >= rule.patience and self.state.epoch < self.options.epochs:
            self.state.ended = "early_stopping"

    def _why_stopped(self) -> str:
        known = self.state.stopping
        return f"{known.get('metric')} has not improved for {known.get('waited')} epochs"

    def _finish(self) -> Finished:
        """The final evaluation on the test data."""
        last = self.state.history[-1] if self.state.history else {}
        if self.held_out == "test" and "val_loss" in last:
            metrics = {f"test_{k[4:]}": v for k, v in last.items() if k.startswith("val_")}
        else:
            metrics = self._measure("test", "test")
        if self.folder is not None:
            self.folder.log.append("final", epoch=self.state.epoch, step=self.state.step, **metrics)
        return Finished(self.state.epoch, self.state.step, metrics)

    # --- saving and restoring -----------------------------------------------------------------------------

    def _open_folder(self) -> None:
        if self.folder is None:
            return
        if self._resumed:
            self.folder.log.truncate(self.state.step, self.state.epoch)
            self.folder.update(self.net, self.options, self.facts, self.source)
        else:
            self.folder.create(self.net, self.options, self.facts, self.source)
            list(self._save())  # so that a run can be resumed from its first moment on

    def _save(self, best: bool = False) -> Iterator[CheckpointSaved]:
        if self.folder is None:
            return
        for path in self.folder.save(self.checkpoint(), best):
            yield CheckpointSaved(path, self.state.step, path == self.folder.best)

    def checkpoint(self) -> Checkpoint:
        """Copies of all that :meth:`restore` needs to go on from here; call it between two steps."""
        self.state.training_passes = self.net.training_passes
        return Checkpoint(
            self.net.state_dict(), self.trainer.updater.state_dict(), asdict(self.state), self.net.graph.fingerprint()
        )

    def _restore(self) -> None:
        assert self.folder is not None
        found = self.folder.load_last(self.net.graph.fingerprint())
        self.restore(found, self.folder.options(), self.folder.config()["data"])

    def restore(self, found: Checkpoint, before: TrainOptions, facts: dict[str, Any]) -> None:
        """Go on from a checkpoint; call it before :meth:`run`.

        Parameters
        ----------
        found : Checkpoint
            Of this network.
        before : TrainOptions
            The options that it was trained with.
        facts : dict
            The data that it was trained on, as :func:`nnvis.runs.source.data_facts` describes them.

        Raises
        ------
        CheckpointError, ConfigError
            With this graph, these data or these options the run cannot go on; nothing is changed then.
        """
        if found.fingerprint != self.net.graph.fingerprint():
            raise CheckpointError("The checkpoint belongs to another graph.")
        check_same_data(facts, self.data)
        self._check_same_steps(found.state["position"], before)
        self.trainer.updater.load_state_dict(found.optimizer)
        self.net.load_state_dict(found.net)
        self.state = State(**found.state)
        self.net.seed, self.net.training_passes = self.state.seed, self.state.training_passes
        if self.state.epoch < self.options.epochs and self.state.ended and self._more_patient():
            self.state.ended = ""

    def _check_same_steps(self, position: int, before: TrainOptions) -> None:
        """In the middle of an epoch its batches must stay as they are."""
        for name in ("batch_size", "seed", "drop_last"):
            old, new = getattr(before, name), getattr(self.options, name)
            if position and old != new:
                raise ConfigError(f"The run stopped within an epoch with {name} {old}; it cannot go on with {new}.")

    def _more_patient(self) -> bool:
        """Whether early stopping has been switched off, or its patience raised, since it struck."""
        rule = self.options.early_stopping
        return rule is None or self.state.stopping.get("waited", 0) < rule.patience

    def _interrupted(self) -> Generator[Event, None, None]:
        yield from list(self._save())
        yield Stopped("interrupted", self.state.epoch, self.state.step, "stopped on request")

    # --- compiling ----------------------------------------------------------------------------------------

    def _compile(self) -> Iterator[Compiling]:
        for done, total, name in self.net.device.preparing(self._rehearse):
            yield Compiling(done, total, name)

    def _rehearse(self) -> None:
        splits = {part: len(split) for part, split in self.data.splits().items()}
        train = _batch_sizes(splits["train"], self.options.batch_size, self.options.drop_last)
        others = {splits[part] for part in ("validation", "test") if part in splits}
        held = {size for count in others for size in _batch_sizes(count, self.options.evaluation_batch_size)}
        self.trainer.rehearse(sorted(train), sorted(held))
        normalised(self.data.train.images[:1], self.data.mean, self.data.std)


def check_fit(net: Network, data: Dataset, options: TrainOptions) -> None:
    """Raise ShapeError or DataError unless `data` can be learned by `net` with the loss of `options`."""
    if data.input_shape != net.input_shape:
        raise ShapeError(
            f"{net.graph.name} takes examples of shape {describe(net.input_shape)}, but those of '{data.name}' have "
            f"{describe(data.input_shape)}; choose other data or change the network's input_shape."
        )
    classes = len(data.class_names or ())
    if options.loss.decision == "argmax" and data.task == "classification" and classes > net.output_shape[0]:
        raise ShapeError(
            f"{net.graph.name} has {net.output_shape[0]} outputs, but '{data.name}' has {classes} classes; "
            f"give its last layer {classes} outputs."
        )
    for split in data.splits().values():
        if len(split):
            options.loss.check_targets(split.labels, (len(split), *net.output_shape))


def _batch_sizes(count: int, batch: int, drop_last: bool = False) -> set[int]:
    """Sizes that occur when `count` examples are cut into batches."""
    sizes = {batch} if count >= batch else set()
    if count % batch and not drop_last:
        sizes.add(count % batch)
    return sizes


def _as_function(stop: Stop) -> Callable[[], bool]:
    if stop is None:
        return lambda: False
    return stop.is_set if hasattr(stop, "is_set") else stop
