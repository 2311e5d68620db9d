"""Tiny networks on points in the plane, and waiting for a session that trains them."""

from __future__ import annotations

import numpy as np

import nnvis as nv
from nnvis.options import TrainOptions
from nnvis.train import make_training
from ui.document.analysis import working_graph
from ui.document.state import DocumentState, Settings, from_graph
from ui.session.messages import Phase

LONG = 60_000


def moons(epochs: int = 2, lr: float = 0.1, dropout: bool = False, **options) -> DocumentState:
    """A network of a few dozen weights that learns two moons."""
    g = nv.Graph((2,), name="tiny")
    h = g.add(nv.Tanh(), g.add(nv.Linear(8), g.input, name="fc1"), name="tanh")
    h = g.add(nv.Dropout(0.2), h, name="drop") if dropout else h
    g.output = g.add(nv.Linear(2), h, name="out")
    return from_graph(
        g, Settings("moons", 0.1, TrainOptions(epochs, 32, nv.SGD(lr=lr, momentum=0.9), seed=4, **options))
    )


def undisturbed(state: DocumentState) -> dict[str, np.ndarray]:
    """The weights at the end of a training without any window."""
    net = nv.Network(working_graph(state), seed=state.settings.options.seed)
    data = nv.data.load(state.settings.data, validation_split=state.settings.validation)
    for _ in make_training(net, data, state.settings.options).run():
        pass
    return net.state_dict()


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    """Whether all arrays agree in every bit."""
    return set(one) == set(other) and all(np.array_equal(one[name], other[name]) for name in one)


def wait_for(qtbot, session, *phases: Phase) -> None:
    qtbot.waitUntil(lambda: session.phase in phases, timeout=LONG)


def steps(qtbot, session, count: int) -> None:
    """Learn from so many batches, then pause."""
    seen = []
    session.progress.connect(seen.append)
    session._do(lambda: session._worker.go(batches=count))
    qtbot.waitUntil(lambda: bool(seen) and seen[-1].phase in (Phase.PAUSED, Phase.FINISHED), timeout=LONG)
    session.progress.disconnect(seen.append)
