"""The compute thread: the only one that calls kernels. Takes commands from a queue, sends messages.

Between two batches, and between two nodes while stepping, the thread looks at its queue. Commands are functions; they
run on this thread, so the state below needs no locks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nnvis import data
from nnvis.data import Dataset
from nnvis.errors import CheckpointError, ConfigError, DataError, ShapeError
from nnvis.events import Compiling, EpochDone, Event, Finished, Started, StepDone, Stopped
from nnvis.graph import Graph
from nnvis.network import Network
from nnvis.observe import NodeRecord
from nnvis.runs import Checkpoint, DataSource, PausedRun, RunFolder
from nnvis.training import Training
from ui.document.state import Settings
from ui.locking import held
from ui.session.commands import CommandThread
from ui.session.keeper import Keeper
from ui.session.living import LivingNetwork
from ui.session.looking import Looker
from ui.session.messages import RUN_ENDED, Contents, Notice, Phase, Prediction, Progress, Saved
from ui.session.nodes import node_step
from ui.session.pace import Meter, Points
from ui.session.run_folders import LOCK, new_folder

Emit = Callable[[str, Any], None]
#: Seconds between two messages of a kind.
INTERVAL = 0.25


class Worker(CommandThread):
    """Runs commands and, while running, training steps.

    Parameters
    ----------
    emit : callable
        ``emit(signal, message)``; called on this thread.
    """

    def __init__(self, emit: Emit):
        super().__init__("nnvis compute")
        self.emit = emit
        self.phase = Phase.IDLE
        self.graph: Graph | None = None
        self.settings = Settings()
        #: Where runs are kept, nowhere if None, and what they are called.
        self.runs: Path | None = None
        self.run_name = "net"
        self.living = LivingNetwork()
        self.training: Training | None = None
        self.keeper: Keeper | None = None
        self.looker = Looker()
        self._data: dict[tuple[str, float], Dataset] = {}
        self._events: Generator[Event, None, None] | None = None
        self._runs = 0
        self._meter, self._points = Meter(), Points("")
        self._before_step: Checkpoint | None = None  # of a step that is being taken node by node
        self._budget = 0  # batches, or with _nodes nodes, still to be done before pausing
        self._nodes = False
        self._waiting_for_node = False
        self._between_steps = (self.stop, self.reset, self.set_graph, self.load_weights, self.forget, self.resume)
        self._last_sent = 0.0

    # --- the thread ---------------------------------------------------------------------------------------

    @property
    def net(self) -> Network | None:
        """The network, unless what the user has built does not work."""
        return self.living.net

    @property
    def busy(self) -> bool:
        return self.phase is Phase.RUNNING

    @property
    def restless(self) -> bool:
        """A paused run that nothing happens to for a while is to be saved."""
        return self.keeper is not None and self.keeper.unsaved

    def rest(self) -> None:
        if self.keeper is not None:
            self.keeper.save()

    def leave(self) -> None:
        self._end_run()

    def failed(self, sentence: str) -> None:
        self._end_run(save=False)  # the last checkpoint is from before things went wrong
        self._set(Phase.FAILED, message=sentence)
        self.emit("failed", sentence)

    # --- messages -----------------------------------------------------------------------------------------

    def _set(self, phase: Phase, message: str = "", fraction: float | None = None) -> None:
        self.phase = phase
        self.emit("progress", replace(self._progress(), message=message, fraction=fraction))

    def _progress(self) -> Progress:
        training = self.training
        if training is None:
            return Progress(self.phase)
        step, total = training.state.step, training.total_steps
        epoch = min(training.options.epochs, training.state.epoch + (step > 0 and step < total))
        rate, left = self._meter.rate, self._meter.seconds_left(step, total)
        return Progress(self.phase, max(1, epoch) if step else 0, training.options.epochs, step, total, rate, left)

    def _flush(self, force: bool = False) -> None:
        """Send what has gathered, at most every INTERVAL."""
        now = time.perf_counter()
        if not force and now - self._last_sent < INTERVAL:
            return
        self._last_sent = now
        if self._points:
            self.emit("curves", self._points.take())
        self.emit("progress", self._progress())

    # --- the network --------------------------------------------------------------------------------------

    def set_graph(self, graph: Graph | None, settings: Settings, births: Mapping[str, int] | None = None) -> None:
        """Command: another network or other settings; see :class:`LivingNetwork`."""
        same_net = graph is not None and self.graph is not None and graph.to_json() == self.graph.to_json()
        same_settings = settings == self.settings
        if same_net and same_settings and self.net is not None:
            return
        running = self._events is not None
        if running and same_net and self._only_rates_differ(settings):
            self.settings = settings
            return
        self._end_run()
        if running:
            self.emit("notice", Notice(RUN_ENDED.format("its settings" if same_net else "the network"), "status"))
        same_device = settings.device == self.settings.device
        reseeded = settings.options.seed != self.settings.options.seed
        self.graph, self.settings = graph, settings
        if graph is None:
            self._set(Phase.IDLE)
            return
        if not (same_net and same_device and self.net is not None) or reseeded:
            make = self.living.begin_anew if reseeded else self.living.rebuild
            make(graph, settings.device, settings.options.seed, births or {})
        self._set(Phase.READY)
        self.look()

    def _only_rates_differ(self, settings: Settings) -> bool:
        """Whether nothing but the optimiser's numbers has changed, which :meth:`change` takes care of."""
        old = self.settings
        options = replace(settings.options, optimizer=old.options.optimizer)
        same_kind = type(settings.options.optimizer) is type(old.options.optimizer)
        return same_kind and replace(settings, options=options) == old

    def load_weights(self, state: dict[str, np.ndarray]) -> None:
        """Command: take over weights that fit by name and shape."""
        self.living.load(state)
        self.look()

    def forget(self) -> None:
        """Command: another document comes, which has nothing to do with this one."""
        self._end_run()
        self.graph = self.training = None
        self.living.forget()
        self._runs, self._points = 0, Points("")
        self.emit("saved", Saved(None, 0))
        self._set(Phase.IDLE)

    # --- running ------------------------------------------------------------------------------------------

    def go(self, batches: int = -1, nodes: int = 0) -> None:
        """Command: run on; for some batches (-1: to the end), or for some nodes."""
        if self.net is None or self.graph is None:
            return
        self._budget, self._nodes = (nodes, True) if nodes else (batches, False)
        if self._events is None:
            self._begin()
        assert self.training is not None
        self._waiting_for_node = False
        self._watch_nodes(self._nodes)
        self._set(Phase.RUNNING)

    def _begin(self, paused: PausedRun | None = None, folder: Path | None = None) -> None:
        assert self.net is not None
        training = Training(self.net, self.dataset(Phase.LOADING), self.settings.options)
        if paused is not None:
            training.restore(paused.checkpoint, paused.options, paused.facts)
        self._runs += 1
        self._points = Points(f"run {self._runs}")
        self._points.add_history(training.state.history, training.steps_per_epoch)
        self.training, self._meter, self._events = training, Meter(), training.run()
        if self.runs is not None:
            taken = folder is None or held(folder / LOCK)
            source = DataSource(self.settings.data, {"validation_split": self.settings.validation})
            self.keeper = Keeper(training, new_folder(self.runs, self.run_name) if taken else folder, source, self.emit)

    def resume(self, paused: PausedRun, folder: Path | None = None) -> None:
        """Command: take over the weights and, where that is possible, pause where this run was."""
        self.load_weights(paused.checkpoint.net)
        if folder is not None:
            self.emit("saved", Saved(RunFolder(folder).last, paused.step))
        if self.net is None or paused.ended or not paused.step:
            return
        try:
            self._begin(paused, folder)
        except (CheckpointError, ConfigError, ShapeError, DataError) as error:
            words = f"Weights that fit are kept, but training begins anew: {error}"
            self.emit("notice", Notice(words, "warn"))
            return
        self._flush(force=True)
        self._set(Phase.PAUSED)
        steps = f"step {paused.step:,} of {self._progress().steps:,}"
        self.emit("notice", Notice(f"The training was interrupted at {steps}; press Run to go on from there."))

    def dataset(self, phase: Phase | None = None) -> Dataset:
        """The data of the settings, loaded once; meanwhile the session is in this `phase`."""
        key = self.settings.data, self.settings.validation
        if key not in self._data:
            self._set(phase or self.phase, f"loading {self.settings.data}")
            self._data = {key: data.load(self.settings.data, validation_split=self.settings.validation)}
        return self._data[key]

    def advance(self) -> None:
        """One event of the training; most are one step."""
        assert self._events is not None and self.training is not None
        measured = self.looker.due and not self._nodes
        if measured:
            self.looker.before_step(self.training)
        self._before_step = self.training.checkpoint() if self._nodes else None
        event = next(self._events, None)
        self._before_step = None
        if event is not None and self.keeper is not None:
            self.keeper.note(event)
        if measured and isinstance(event, StepDone):
            self.looker.after_step()
        self._handle(event)
        if isinstance(event, StepDone):
            self._flush()
            if measured:
                self.look()
            self._count_down()

    def _count_down(self) -> None:
        if self._nodes or self._budget < 0:
            return
        self._budget -= 1
        if self._budget <= 0 and self.phase is Phase.RUNNING:
            self.pause()

    def _handle(self, event: Event | None) -> None:
        if isinstance(event, StepDone):
            self._meter.add(event.examples)
            self._points.add(event.step, event.loss, event.accuracy, event.lr)
        elif isinstance(event, EpochDone):
            self._points.add_epoch(event.epoch, event.step, event.metrics)
            self._meter.pause()
        elif isinstance(event, Compiling):
            message = f"compiling kernels {event.done}/{event.total}, first use only"
            self._set(Phase.RUNNING, message, event.done / max(1, event.total))
        elif isinstance(event, Started):
            self._meter.pause()
        elif isinstance(event, Finished | Stopped) or event is None:
            self._finish(event)

    def _finish(self, event: Event | None) -> None:
        if isinstance(event, Stopped) and event.reason != "interrupted":
            self._points.marks.append((event.step, event.message))
            return
        self._flush(force=True)
        self._events = None
        self._close_keeper()
        self._set(Phase.FINISHED, self._result(event))
        self.look()

    def _result(self, event: Event | None) -> str:
        metrics = event.metrics if isinstance(event, Finished) else {}
        if "test_accuracy" in metrics:
            return f"finished: {100 * metrics['test_accuracy']:.2f} % of the test examples right"
        return "finished"

    def pause(self) -> None:
        """Command: stop between two batches, or where node stepping is, without ending the run."""
        if self.phase is Phase.RUNNING and self._events is not None:
            self._meter.pause()
            self._flush(force=True)
            self._set(Phase.PAUSED)
            if not self._waiting_for_node:
                self.look()

    def stop(self) -> None:
        """Command: end this run; the weights stay."""
        if self._events is not None:
            self._end_run()
            self._set(Phase.READY)

    def _end_run(self, save: bool = True) -> None:
        """Close the training's generator; save first."""
        events, self._events = self._events, None
        if events is None or self.training is None:
            return
        self.training.trainer.observer = None
        self._close_keeper(save)
        events.close()
        self._flush(force=True)

    def _close_keeper(self, save: bool = True) -> None:
        keeper, self.keeper = self.keeper, None
        if keeper is not None:
            keeper.close(save)

    def reset(self) -> None:
        """Command: the same initial weights, step 0."""
        if self.graph is None:
            return
        self._end_run()
        self.training = None
        self.emit("saved", Saved(None, 0))
        self.living.begin_anew(self.graph, self.settings.device, self.settings.options.seed)
        self._set(Phase.READY)
        self.look()

    def change(self, **settings: float) -> None:
        """Command: another learning rate or momentum, also while running."""
        if self._events is None or self.training is None:
            return
        self.training.change(**settings)
        text = ", ".join(f"{name} {value:g}" for name, value in settings.items())
        self._points.marks.append((self.training.state.step, text))

    # --- node by node -------------------------------------------------------------------------------------

    def _watch_nodes(self, on: bool) -> None:
        assert self.training is not None
        self.training.trainer.observer = self._node_done if on else None

    def _node_done(self, record: NodeRecord) -> None:
        """Show what a node has done, and wait within the step until told to go on."""
        self.emit("node_step", node_step(record))
        self._budget -= 1
        if self._budget > 0 or not self._nodes:
            return
        self._waiting_for_node = True
        self._set(Phase.STEPPING)
        while self._waiting_for_node:
            command = self.commands.get()
            if getattr(command, "func", command) in self._between_steps:
                self._watch_nodes(False)  # the step is finished first, then the command is obeyed
                self._waiting_for_node = False
                self._nodes = False
                self.phase = Phase.RUNNING
                self.deferred.append(command)
            else:
                self.guarded(command)

    # --- looking ------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Command: send a snapshot, if there is a network and its data are at hand."""
        if self.net is None or self._waiting_for_node:
            return
        dataset = self.dataset()
        if self.phase is Phase.READY:
            self._set(Phase.READY)  # no longer loading
        if dataset.input_shape != self.net.input_shape:
            return
        step = 0 if self.training is None else self.training.state.step
        snapshot, statistics = self.looker.look(
            self.net, self.settings.options, dataset, self._points.run, step, self.phase is Phase.RUNNING
        )
        self.emit("snapshot", snapshot)
        self.emit("statistics", statistics)

    def predict(self, tag: int, example: np.ndarray) -> None:
        """Command: probabilities for one example in data-set units."""
        if self.net is None or self._waiting_for_node:
            return
        dataset = self.dataset()
        found = self.looker.predict(self.net, self.settings.options, dataset, example)
        self.emit("prediction", Prediction(tag, found, tuple(dataset.class_names or ())))

    def contents(self) -> Contents:
        """Copies of all weights, and the run that is going on, if any."""
        training = self.training
        if self._events is None or training is None or not training.state.step:
            # A run that an edit has ended still tells, in every progress, how far it came.
            return Contents(self.living.weights(), None, 0 if training is None else training.state.step)
        checkpoint = self._before_step or training.checkpoint()
        run = PausedRun(checkpoint, training.options, training.facts)
        return Contents(checkpoint.net, run, run.step)
