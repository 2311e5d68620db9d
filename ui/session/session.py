"""The app's one door to the engine: methods to command it, signals to hear from it."""

from __future__ import annotations

import contextlib
import functools
import queue
import threading
from pathlib import Path

import numpy as np
from PySide6.QtCore import QObject, Qt, QTimer, Signal

from nnvis.errors import NnvisError, OutputError
from nnvis.runs import PausedRun
from ui.document.analysis import working_graph
from ui.document.state import DocumentState
from ui.session.messages import Contents, Phase, Progress
from ui.session.worker import Worker

#: Milliseconds without an edit before the network is made anew.
SETTLE = 150


class Session(QObject):
    """A network, its training and what can be seen of it, on a thread of their own.

    Signals
    -------
    progress(Progress), curves(Curves), snapshot(Snapshot), node_step(NodeStep), prediction(Prediction), saved(Saved),
    notice(Notice)
    statistics(mapping)
        node -> parameter -> (mean, standard deviation, minimum, maximum)
    failed(str)
        One sentence.
    """

    progress = Signal(object)
    curves = Signal(object)
    snapshot = Signal(object)
    node_step = Signal(object)
    prediction = Signal(object)
    statistics = Signal(object)
    failed = Signal(str)
    saved = Signal(object)
    notice = Signal(object)

    def __init__(self, parent: QObject | None = None):
        super().__init__(parent)
        self.phase = Phase.IDLE
        self._worker = Worker(self._emit)
        self._state: DocumentState | None = None
        self._timer = QTimer(self, interval=SETTLE, singleShot=True)
        self._timer.timeout.connect(self._send_document)
        self._drawn: tuple[int, np.ndarray] | None = None
        self._lock = threading.Lock()
        self.progress.connect(self._note_phase, Qt.ConnectionType.QueuedConnection)
        self.snapshot.connect(self._snapshot_done, Qt.ConnectionType.QueuedConnection)
        self._worker.start()

    def _emit(self, name: str, message: object) -> None:
        with contextlib.suppress(RuntimeError):  # the app has gone, and nobody listens any more
            getattr(self, name).emit(message)

    def _note_phase(self, progress: Progress) -> None:
        self.phase = progress.phase

    def _snapshot_done(self, snapshot: object) -> None:
        """The app has shown a snapshot; another may be made."""
        self._worker.looker.unseen -= 1

    # --- the document -------------------------------------------------------------------------------------

    def set_document(self, state: DocumentState) -> None:
        """Show the engine the network after an edit; edits that follow each other quickly count as one."""
        old, self._state = self._state, state
        if old is None or _essence(old) != _essence(state):
            self._timer.start()

    def _send_document(self) -> None:
        self._timer.stop()
        state = self._state
        if state is None:
            return
        try:
            graph = working_graph(state)
        except NnvisError:
            graph = None
        births = {name: node.born for name, node in state.nodes.items()}
        self._do(functools.partial(self._worker.set_graph, graph, state.settings, births))

    def _settled(self) -> None:
        """Make sure that the engine knows the latest edit."""
        if self._timer.isActive():
            self._send_document()

    def load_weights(self, state: dict[str, np.ndarray]) -> None:
        """Take over weights that fit by name and shape."""
        self._settled()
        self._do(functools.partial(self._worker.load_weights, state))

    def forget(self) -> None:
        """Another document comes: end this one's run, and let none of its weights into the next."""
        self._timer.stop()
        self._state = None
        self._do(self._worker.forget)

    def resume(self, paused: PausedRun, folder: Path | None = None) -> None:
        """Take over the weights of a run and pause where it was; go on in its folder, if that is known."""
        self._settled()
        self._do(functools.partial(self._worker.resume, paused, folder))

    def contents(self, timeout: float = 30.0) -> Contents:
        """What a project keeps of the session; waits for the batch that is being computed.

        Raises
        ------
        OutputError
            The thread has not answered in time.
        """
        if not self._worker.is_alive():
            return self._worker.contents()
        self._settled()
        answers: queue.SimpleQueue[Contents] = queue.SimpleQueue()
        self._do(lambda: answers.put(self._worker.contents()))
        try:
            return answers.get(timeout=timeout)
        except queue.Empty:
            raise OutputError("The network is busy and cannot be saved yet; try again in a moment.") from None

    def net_state(self) -> dict[str, np.ndarray]:
        """Copies of all weights; waits for the batch that is being computed."""
        return self.contents().weights

    # --- running ------------------------------------------------------------------------------------------

    def keep_runs(self, base: Path | None, name: str) -> None:
        """Keep the runs that begin from now on in folders of `base`, called after `name`."""

        def set_place() -> None:
            self._worker.runs, self._worker.run_name = base, name

        self._do(set_place)

    def run(self) -> None:
        """Train on, or begin."""
        self._settled()
        self._do(self._worker.go)

    def pause(self) -> None:
        """Stop between two batches."""
        self._do(self._worker.pause)

    def toggle(self) -> None:
        """Run, or pause."""
        busy = self.phase in (Phase.RUNNING, Phase.LOADING, Phase.COMPILING)
        self.pause() if busy else self.run()

    def stop(self) -> None:
        """End this run; the weights stay."""
        self._do(self._worker.stop)

    def reset(self) -> None:
        """Begin again with the same initial weights."""
        self._settled()
        self._do(self._worker.reset)

    def step_batch(self) -> None:
        """Learn from one batch, then pause."""
        self._settled()
        self._do(lambda: self._worker.go(batches=1))

    def step_node(self) -> None:
        """Compute one node, forward, then backward; then wait."""
        self._settled()
        self._do(lambda: self._worker.go(nodes=1))

    def set_learning_rate(self, value: float) -> None:
        """From the next batch on."""
        self._do(lambda: self._worker.change(lr=value))

    def set_momentum(self, value: float) -> None:
        """From the next batch on."""
        self._do(lambda: self._worker.change(momentum=value))

    # --- looking ------------------------------------------------------------------------------------------

    def look_at(self, nodes: frozenset[str], filters: frozenset[str]) -> None:
        """Choose whose feature maps and filters snapshots carry."""
        looker = self._worker.looker
        if (nodes, filters) != (looker.nodes, looker.filters):
            looker.nodes, looker.filters = nodes, filters
            self._look_if_idle()

    def choose_examples(self, indices: tuple[int, ...]) -> None:
        """Choose the examples whose feature maps and predictions are shown."""
        if indices != self._worker.looker.examples:
            self._worker.looker.examples = indices
            self._look_if_idle()

    def _look_if_idle(self) -> None:
        if self.phase is not Phase.RUNNING:
            self._do(self._worker.look)

    def predict(self, tag: int, example: np.ndarray) -> None:
        """Ask for the probabilities of one example; of several waiting ones only the latest is answered."""
        with self._lock:
            waiting, self._drawn = self._drawn, (tag, example)
        if waiting is None:
            self._do(self._predict_latest)

    def _predict_latest(self) -> None:
        with self._lock:
            latest, self._drawn = self._drawn, None
        if latest is not None:
            self._worker.predict(*latest)

    # --- the end ------------------------------------------------------------------------------------------

    def close(self, timeout: float = 10.0) -> None:
        """End the thread; a run that is kept is saved first."""
        self._timer.stop()
        if self._worker.is_alive():
            self._do(self._worker.stop)  # also leaves a step that waits between two nodes
            self._do(self._worker.end)
            self._worker.join(timeout)
        self.phase = Phase.IDLE

    def _do(self, command) -> None:
        self._worker.commands.put(command)


def _essence(state: DocumentState):
    """What matters for computing: not where nodes lie."""
    nodes = tuple((name, node.layer, node.inputs) for name, node in state.nodes.items())
    return state.name, state.input_shape, state.init, nodes, state.output, state.settings
