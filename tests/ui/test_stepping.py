"""What is seen of a network that is stepped node by node, and what an edit does to a run."""

from __future__ import annotations

from dataclasses import replace

from tests.ui.windows import choose, learn
from ui.document import edits
from ui.session.messages import Phase


def _step(qtbot, window, node):
    window.step_node()
    qtbot.waitUntil(lambda: window.canvas.graph_scene._running == node, timeout=60_000)


def _pictures(window):
    return {name for name, item in window.canvas.graph_scene.nodes.items() if item.strip is not None}


def test_pictures_of_a_stepped_batch_go_once_it_has_been_learned_from(qtbot, app_window):
    window = app_window
    choose(qtbot, window, "moons")
    _step(qtbot, window, "fc1")
    _step(qtbot, window, "tanh1")
    assert _pictures(window) == {"fc1", "tanh1"}
    learn(qtbot, window)
    qtbot.waitUntil(lambda: not _pictures(window), timeout=20_000)
    window.actions_table["thumbnails"].setChecked(True)
    _step(qtbot, window, "fc1")
    learn(qtbot, window)
    qtbot.wait(200)
    assert "fc1" in _pictures(window)


def test_another_network_does_not_take_over_pictures_of_nodes_with_the_same_names(qtbot, app_window):
    window = app_window
    choose(qtbot, window, "moons")
    _step(qtbot, window, "fc1")
    other = replace(window.document.state, input_shape=(3,))  # whose data do not fit, so that nothing is computed
    window.project.new(other)
    qtbot.waitUntil(lambda: not _pictures(window), timeout=20_000)
    assert "fc1" in window.canvas.graph_scene.nodes


def test_an_edit_that_ends_a_run_says_so(qtbot, app_window):
    window = app_window
    choose(qtbot, window, "moons")
    window.toggle_run()
    qtbot.waitUntil(lambda: window.session.phase is Phase.RUNNING, timeout=60_000)
    window.document.apply("Delete", edits.delete(window.document.state, ["tanh1"], heal=True))
    qtbot.waitUntil(lambda: "The run ended, since the network changed" in window.status._hint.text(), timeout=20_000)
    learn(qtbot, window)
    qtbot.keyClick(window, "r")
    qtbot.waitUntil(lambda: window.session.phase is Phase.READY, timeout=20_000)
    window.status.hint("")
    window.document.stack.undo()
    qtbot.wait(400)
    assert not window.status._hint.text(), "there was no run to end"
