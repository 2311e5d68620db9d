"""The session trains, pauses, steps, resets and looks, and every fault becomes a sentence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import nnvis as nv
from nnvis.options import TrainOptions
from nnvis.train import make_training
from ui.document import edits
from ui.document.analysis import working_graph
from ui.document.state import Settings, from_graph
from ui.session.messages import Phase
from ui.session.session import Session


def _state(epochs=2, data="moons", lr=0.1):
    g = nv.Graph((2,))
    h = g.add(nv.Tanh(), g.add(nv.Linear(8), g.input, name="fc1"), name="tanh")
    g.output = g.add(nv.Linear(2), h, name="out")
    return from_graph(g, Settings(data, 0.1, TrainOptions(epochs, 32, nv.SGD(lr=lr, momentum=0.9), seed=4)))


@pytest.fixture
def session(qtbot):
    made = Session()
    made.seen = {name: [] for name in ("progress", "curves", "snapshot", "node_step", "prediction", "failed")}
    for name, kept in made.seen.items():
        getattr(made, name).connect(kept.append)
    yield made
    made.close()
    assert not made._worker.is_alive()


def _until(qtbot, session, *phases):
    qtbot.waitUntil(lambda: session.phase in phases, timeout=60_000)


def _ready(qtbot, session, state):
    session.set_document(state)
    qtbot.waitUntil(lambda: session.phase is Phase.READY and bool(session.seen["snapshot"]), timeout=60_000)


def _run_to_the_end(qtbot, session):
    session.run()
    _until(qtbot, session, Phase.FINISHED)
    return _losses(session)


def _losses(session):
    return np.concatenate([c.loss for c in session.seen["curves"]] or [np.zeros(0)])


def _headless(state):
    net = nv.Network(working_graph(state), seed=state.settings.options.seed)
    data = nv.data.load(state.settings.data, validation_split=state.settings.validation)
    losses = [e.loss for e in make_training(net, data, state.settings.options).run()
              if isinstance(e, nv.events.StepDone)]  # fmt: skip
    return np.array(losses), net.state_dict()


def test_a_run_in_the_app_gives_the_same_bits_as_a_script(qtbot, session):
    state = _state()
    _ready(qtbot, session, state)
    losses, weights = _headless(state)
    np.testing.assert_array_equal(_run_to_the_end(qtbot, session), losses)
    found = session.net_state()
    assert all(np.array_equal(found[name], weights[name]) for name in weights)


def test_stepping_by_batch_and_by_node_changes_nothing_but_the_pace(qtbot, session):
    state = _state()
    _ready(qtbot, session, state)
    session.step_batch()
    qtbot.waitUntil(lambda: session.phase is Phase.PAUSED and len(_losses(session)) == 1, timeout=60_000)
    for count in range(1, 6):
        session.step_node()
        qtbot.waitUntil(lambda n=count: len(session.seen["node_step"]) == n, timeout=10_000)
    assert [s.node for s in session.seen["node_step"]] == ["fc1", "tanh", "out", None, "out"]
    assert session.seen["node_step"][4].direction == "backward"
    np.testing.assert_array_equal(_run_to_the_end(qtbot, session), _headless(state)[0])


def test_reset_gives_the_same_run_again(qtbot, session):
    _ready(qtbot, session, _state())
    first = _run_to_the_end(qtbot, session)
    session.seen["curves"].clear()
    session.reset()
    _until(qtbot, session, Phase.READY)
    np.testing.assert_array_equal(_run_to_the_end(qtbot, session), first)
    assert {c.run for c in session.seen["curves"]} == {"run 2"}


def test_the_learning_rate_changes_while_running_and_is_marked(qtbot, session):
    state = _state(epochs=100_000)
    _ready(qtbot, session, state)
    session.run()
    qtbot.waitUntil(lambda: len(_losses(session)) > 5, timeout=60_000)
    session.set_learning_rate(0.025)
    changed = replace(state.settings, options=replace(state.settings.options, optimizer=nv.SGD(0.025, 0.9)))
    session.set_document(replace(state, settings=changed))
    qtbot.waitUntil(lambda: session.seen["curves"][-1].lr[-1:] == 0.025, timeout=20_000)
    session.pause()
    _until(qtbot, session, Phase.PAUSED)
    assert any("lr 0.025" in text for c in session.seen["curves"] for _, text in c.marks)


def test_an_edit_keeps_the_weights_that_fit(qtbot, session):
    state = _state()
    _ready(qtbot, session, state)
    _run_to_the_end(qtbot, session)
    trained = session.net_state()
    session.set_document(edits.set_layer(state, "tanh", nv.ReLU()))
    _until(qtbot, session, Phase.READY)
    kept = session.net_state()
    assert all(np.array_equal(kept[name], trained[name]) for name in trained)


def test_a_network_that_does_not_work_is_idle_and_comes_back_with_its_weights(qtbot, session):
    state = _state()
    _ready(qtbot, session, state)
    _run_to_the_end(qtbot, session)
    trained = session.net_state()
    session.set_document(edits.delete(state, ["tanh"]))
    _until(qtbot, session, Phase.IDLE)
    session.set_document(state)
    _until(qtbot, session, Phase.READY)
    assert np.array_equal(session.net_state()["fc1.weight"], trained["fc1.weight"])


@pytest.mark.parametrize(("change", "words"), [({"data": "nonsense"}, "nonsense"), ({"data": "mnist"}, "28")])
def test_data_that_cannot_be_used_give_one_sentence(qtbot, session, change, words):
    state = _state()
    session.set_document(replace(state, settings=replace(state.settings, **change)))
    qtbot.wait(300)
    session.run()
    qtbot.waitUntil(lambda: bool(session.seen["failed"]), timeout=60_000)  # said after the phase has changed
    assert session.phase is Phase.FAILED and words in session.seen["failed"][-1]


def test_a_loss_that_diverges_gives_one_sentence_and_another_run_can_begin(qtbot, session):
    state = _state(lr=1e38)
    _ready(qtbot, session, state)
    session.run()
    qtbot.waitUntil(lambda: bool(session.seen["failed"]), timeout=60_000)
    assert session.phase is Phase.FAILED and "step" in session.seen["failed"][-1]
    options = replace(state.settings.options, optimizer=nv.SGD(0.1))
    session.set_document(replace(state, settings=replace(state.settings, options=options)))
    session.reset()
    _until(qtbot, session, Phase.READY)
    _run_to_the_end(qtbot, session)


def test_snapshots_carry_what_was_asked_for(qtbot, session):
    _ready(qtbot, session, _state())
    session.look_at(frozenset({"tanh"}), frozenset({"fc1"}))
    session.choose_examples((3, 1))
    qtbot.waitUntil(lambda: len(session.seen["snapshot"][-1].images) == 2, timeout=10_000)
    found = session.seen["snapshot"][-1]
    assert found.features["tanh"].shape == (2, 8) and found.filters["fc1"].shape == (2, 8)
    assert [layer.node for layer in found.layers] == ["fc1", "tanh", "out"]
    assert found.boundary.shape == (64, 64, 2)
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, rtol=1e-5)


def test_the_drawing_pad_gets_an_answer(qtbot, session):
    _ready(qtbot, session, _state())
    session.predict(7, np.zeros(2, np.float32))
    qtbot.waitUntil(lambda: bool(session.seen["prediction"]), timeout=10_000)
    assert session.seen["prediction"][0].tag == 7


def test_closing_in_the_middle_of_a_node_step_ends_the_thread(qtbot, session):
    _ready(qtbot, session, _state())
    session.step_node()
    _until(qtbot, session, Phase.STEPPING)
    session.close()
    assert not session._worker.is_alive()


def test_a_run_that_is_kept_is_saved_when_the_session_closes(qtbot, session, tmp_path):
    state = _state(epochs=100_000)
    _ready(qtbot, session, state)
    session.keep_runs(tmp_path / "runs", "my net")
    session.run()
    qtbot.waitUntil(lambda: len(_losses(session)) > 5, timeout=60_000)
    session.close()
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("my-net-") and (folder / "checkpoints" / "last.safetensors").exists()


def test_undoing_the_deletion_of_a_layer_brings_its_trained_weights_back(qtbot, session):
    state = _state()
    _ready(qtbot, session, state)
    _run_to_the_end(qtbot, session)
    trained = session.net_state()["fc1.weight"]
    without = edits.delete(state, ["tanh"], heal=True)
    session.set_document(edits.delete(without, ["fc1"], heal=True))
    qtbot.waitUntil(lambda: "fc1.weight" not in session.net_state(), timeout=20_000)
    session.set_document(state)
    qtbot.waitUntil(lambda: "fc1.weight" in session.net_state(), timeout=20_000)
    np.testing.assert_array_equal(session.net_state()["fc1.weight"], trained)


def test_a_network_that_does_not_end_in_classes_is_looked_at_without_gradients(qtbot, session):
    g = nv.Graph((28, 28, 1))
    g.output = g.add(nv.Conv2d(4, 3), g.input, name="conv")
    session.set_document(from_graph(g, Settings("mnist", 0.1)))
    qtbot.waitUntil(lambda: bool(session.seen["snapshot"]), timeout=60_000)
    (layer,) = session.seen["snapshot"][-1].layers
    assert layer.activation is not None and layer.gradient is None and layer.gradient_norm is None
    assert session.seen["snapshot"][-1].probabilities is None and not session.seen["failed"]
