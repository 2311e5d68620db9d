"""The compute thread: the only one that calls kernels. Takes commands from a queue, sends messages.

Between two batches, and between two nodes while stepping, the thread looks at its queue. Commands are functions; they
run on this thread, so the state below needs no locks.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nnvis import data
from nnvis.data import Dataset
from nnvis.errors import NnvisError
from nnvis.events import CheckpointSaved, Compiling, EpochDone, Event, Finished, Started, StepDone, Stopped
from nnvis.graph import Graph
from nnvis.network import Network
from nnvis.observe import NodeRecord
from nnvis.probe import compatible_state
from nnvis.runs import DataSource
from nnvis.training import Training
from ui.document.state import Settings
from ui.session.attic import Attic
from ui.session.looking import Looker
from ui.session.messages import NodeStep, Phase, Prediction, Progress, Saved
from ui.session.pace import Meter, Points

Emit = Callable[[str, Any], None]
#: Seconds between two messages of a kind.
INTERVAL = 0.1
_log = logging.getLogger("nnvis.session")


class _Stop(Exception):  # noqa: N818 - no error
    """The thread is to end."""


class Worker(threading.Thread):
    """Runs commands and, while running, training steps.

    Parameters
    ----------
    emit : callable
        ``emit(signal, message)``; called on this thread.
    """

    def __init__(self, emit: Emit):
        super().__init__(name="nnvis compute")
        self.emit = emit
        self.commands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.phase = Phase.IDLE
        self.graph: Graph | None = None
        self.settings = Settings()
        self.folder: Path | None = None
        self.net: Network | None = None
        self.training: Training | None = None
        self.looker = Looker()
        self._data: dict[tuple[str, float], Dataset] = {}
        self._events: Generator[Event, None, None] | None = None
        self._attic = Attic()
        self._births: Mapping[str, int] = {}
        self._runs = 0
        self._meter, self._points = Meter(), Points("")
        self._budget = 0  # batches, or with _nodes nodes, still to be done before pausing
        self._nodes = False
        self._waiting_for_node = False
        self._last_sent = 0.0

    # --- the thread ---------------------------------------------------------------------------------------

    def run(self) -> None:
        try:
            while True:
                self._obey(block=self.phase is not Phase.RUNNING)
                if self.phase is Phase.RUNNING:
                    self._guarded(self._advance)
        except _Stop:
            self._end_run()

    def _obey(self, block: bool) -> None:
        """Do what is in the queue; wait for something if there is nothing else to do."""
        while True:
            try:
                command = self.commands.get(block=block)
            except queue.Empty:
                return
            self._guarded(command)
            block = False

    def _guarded(self, work: Callable[[], None]) -> None:
        """Do it; whatever goes wrong becomes a sentence."""
        try:
            work()
        except _Stop:
            raise
        except NnvisError as error:
            self._fail(str(error))
        except Exception as error:
            _log.exception("the compute thread failed")
            self._fail(f"The computation failed: {error} ({type(error).__name__}).")

    def _fail(self, sentence: str) -> None:
        self._end_run()
        self._set(Phase.FAILED, message=sentence)
        self.emit("failed", sentence)

    def end(self) -> None:
        """Command: leave the thread."""
        raise _Stop

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
        """Command: another network or other settings; layers that stay, or come back, keep what they learned.

        `births` tells layers apart, whatever their names: see :class:`~ui.document.state.NodeState`.
        """
        same_net = graph is not None and self.graph is not None and graph.to_json() == self.graph.to_json()
        same_settings = settings == self.settings
        if same_net and same_settings and self.net is not None:
            return
        running = self._events is not None
        if running and same_net and self._only_rates_differ(settings):
            self.settings = settings
            return
        self._end_run()
        same_device = settings.device == self.settings.device
        reseeded = settings.options.seed != self.settings.options.seed
        self.graph, self.settings = graph, settings
        if graph is None:
            self._set(Phase.IDLE)
            return
        if not (same_net and same_device and self.net is not None) or reseeded:
            self._replace_net(graph, births or {}, afresh=reseeded)
        self._set(Phase.READY)
        self.look()

    def _only_rates_differ(self, settings: Settings) -> bool:
        """Whether nothing but the optimiser's numbers has changed, which :meth:`change` takes care of."""
        old = self.settings
        options = replace(settings.options, optimizer=old.options.optimizer)
        same_kind = type(settings.options.optimizer) is type(old.options.optimizer)
        return same_kind and replace(settings, options=options) == old

    def _replace_net(self, graph: Graph, births: Mapping[str, int], afresh: bool) -> None:
        if afresh:
            self._attic.clear()
        elif self.net is not None:
            self._attic.put(self.net, self._births)
        self.net, self._births = Network(graph, self.settings.device, self.settings.options.seed), births
        self._attic.fill(self.net, births)

    def load_weights(self, state: dict[str, np.ndarray]) -> None:
        """Command: take over weights that fit by name and shape."""
        if self.net is not None:
            self.net.load_state_dict(compatible_state(state, self.net), strict=False)
            self.look()

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

    def _begin(self) -> None:
        assert self.net is not None
        dataset = self.dataset(Phase.LOADING)
        self._runs += 1
        source = DataSource(self.settings.data, {"validation_split": self.settings.validation})
        self.training = Training(
            self.net, dataset, self.settings.options, self.folder, source=source if self.folder else None
        )
        self._points = Points(f"run {self._runs}")
        self._meter = Meter()
        self._events = self.training.run()

    def dataset(self, phase: Phase | None = None) -> Dataset:
        """The data of the settings, loaded once; meanwhile the session is in this `phase`."""
        key = self.settings.data, self.settings.validation
        if key not in self._data:
            self._set(phase or self.phase, f"loading {self.settings.data}")
            self._data = {key: data.load(self.settings.data, validation_split=self.settings.validation)}
        return self._data[key]

    def _advance(self) -> None:
        """One event of the training; most are one step."""
        assert self._events is not None and self.training is not None
        measured = self.looker.due and not self._nodes
        if measured:
            self.looker.before_step(self.training)
        event = next(self._events, None)
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
            self._points.epochs.append((event.step, event.metrics))
            self._points.marks.append((event.step, f"epoch {event.epoch}"))
            self._meter.pause()
        elif isinstance(event, Compiling):
            message = f"compiling kernels {event.done}/{event.total}, first use only"
            self._set(Phase.RUNNING, message, event.done / max(1, event.total))
        elif isinstance(event, CheckpointSaved):
            self.emit("saved", Saved(event.path, event.step))
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

    def _end_run(self) -> None:
        """Close the training's generator; with a folder, save first."""
        events, self._events = self._events, None
        if events is None or self.training is None:
            return
        self.training.trainer.observer = None
        if self.training.folder is not None:
            for saved in self.training._save():
                self.emit("saved", Saved(saved.path, saved.step))
        events.close()
        self._flush(force=True)

    def reset(self) -> None:
        """Command: the same initial weights, step 0."""
        if self.graph is None:
            return
        self._end_run()
        self.training = None
        self._replace_net(self.graph, self._births, afresh=True)
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
        self.emit("node_step", _node_step(record))
        self._budget -= 1
        if self._budget > 0 or not self._nodes:
            return
        self._waiting_for_node = True
        self._set(Phase.STEPPING)
        while self._waiting_for_node:
            command = self.commands.get()
            if getattr(command, "func", command) in (self.stop, self.reset, self.set_graph, self.load_weights):
                self._watch_nodes(False)  # the step is finished first, then the command is obeyed
                self._waiting_for_node = False
                self._nodes = False
                self.phase = Phase.RUNNING
                self.commands.put(command)
            else:
                self._guarded(command)

    # --- looking ------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Command: send a snapshot, if there is a network and its data are at hand."""
        if self.net is None or self._waiting_for_node:
            return
        dataset = self.dataset()
        if dataset.input_shape != self.net.input_shape:
            return
        if self.phase is Phase.READY:
            self._set(Phase.READY)  # no longer loading
        step = 0 if self.training is None else self.training.state.step
        snapshot, statistics = self.looker.look(self.net, self.settings.options, dataset, self._points.run, step)
        self.emit("snapshot", snapshot)
        self.emit("statistics", statistics)

    def predict(self, tag: int, example: np.ndarray) -> None:
        """Command: probabilities for one example in data-set units."""
        if self.net is None or self._waiting_for_node:
            return
        dataset = self.dataset()
        found = self.looker.predict(self.net, self.settings.options, dataset, example)
        self.emit("prediction", Prediction(tag, found, tuple(dataset.class_names or ())))

    def state(self) -> dict[str, np.ndarray]:
        """Copies of all weights."""
        return {} if self.net is None else self.net.state_dict()


def _node_step(record: NodeRecord) -> NodeStep:
    shape = () if record.output is None else record.output.shape
    return NodeStep(
        record.direction, record.node, record.inputs, record.output, record.parameters, _note(record), shape
    )


def _note(record: NodeRecord) -> str:
    if record.node is None:
        return f"{record.direction}: loss {record.loss:.4g}"
    arrays = record.inputs if record.direction == "forward" else (record.output,)
    ends = ((record.output,) if record.direction == "forward" else record.inputs) or ()
    left, right = (", ".join("x".join(map(str, a.shape)) for a in side if a is not None) for side in (arrays, ends))
    return f"{record.node} {record.direction}: {left} -> {right}" if right else f"{record.node} {record.direction}"
