"""Choosing examples, what the network says about them, and what looking may cost."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PySide6.QtCore import QObject, QPoint, QPointF, Qt, Signal

import nnvis as nv
from nnvis.options import TrainOptions
from tests.ui.scope_feed import at, classified, drawn, point, show, with_nodes
from ui.app import make_application
from ui.history import Document
from ui.scopes.activations import ActivationScope
from ui.scopes.base import Wants
from ui.scopes.examples import ExampleChoice, parsed
from ui.scopes.predictions import PredictionScope
from ui.session import looking
from ui.session.looking import Looker
from ui.session.messages import Prediction
from ui.window.scope_wiring import ScopeWiring


@pytest.fixture(autouse=True)
def _dressed(qapp):
    make_application("dark")
    yield
    qapp.setStyleSheet("")


@pytest.fixture
def predictions(qtbot):
    made = PredictionScope()
    made.show_snapshot(classified())
    show(qtbot, made, 1300, 420)
    drawn(qtbot, made)
    return made


def _choose(choice, way):
    choice.setCurrentIndex(way)
    choice.activated.emit(way)


def test_examples_are_chosen_by_class_wrong_at_random_or_by_number(qtbot, predictions):
    asked, said = [], []
    predictions.wants.connect(asked.append)
    predictions.failed.connect(said.append)
    choice = predictions.choice
    _choose(choice, ExampleChoice.CLASSES)
    _choose(choice, ExampleChoice.WRONG)
    assert choice.again.isVisible()
    _choose(choice, ExampleChoice.RANDOM)
    _choose(choice, ExampleChoice.TYPED)
    assert choice.numbers.isVisible() and not choice.again.isVisible()
    qtbot.keyClicks(choice.numbers, "3, 17 40-42")
    qtbot.keyClick(choice.numbers, Qt.Key.Key_Return)
    _choose(choice, ExampleChoice.FIRST)
    assert [w.examples for w in asked[:2]] == [(3, 1, 8), (7, 11)]
    assert len(set(asked[2].examples)) == 8 and max(asked[2].examples) < 1000
    assert [w.examples for w in asked[3:]] == [(3, 17, 40, 41, 42), ()]
    assert not said
    predictions.show_snapshot(classified(wrong=()))
    _choose(choice, ExampleChoice.WRONG)
    assert len(asked) == 5 and "guessed wrongly" in said[0]


@pytest.mark.parametrize(("text", "words"), [("", "Type"), ("x", "'x'"), ("3-", ""), ("1000", "0 to 999"),
                                             ("9-3", "9-3"), ("0-99", "At most")])  # fmt: skip
def test_numbers_that_cannot_be_shown_give_one_sentence(text, words):
    if not words:
        assert parsed(text, 1000) == (3,)
        return
    with pytest.raises(ValueError, match=words):
        parsed(text, 1000)


def test_a_choice_of_examples_holds_in_all_scopes(qtbot):
    class Told(QObject):
        curves, snapshot, prediction = Signal(object), Signal(object), Signal(object)

        def __init__(self):
            super().__init__()
            self.looks, self.chosen = [], []
            self.predict, self.choose_examples = self.looks.append, self.chosen.append

        def look_at(self, nodes, filters):
            self.looks.append((nodes, filters))

    session, scopes = Told(), [ActivationScope(), PredictionScope()]
    for scope in scopes:
        qtbot.addWidget(scope)
    wiring = ScopeWiring(Document(), session, scopes)
    session.snapshot.emit(classified())
    scopes[0].wants.emit(Wants(nodes=frozenset({"layer0"})))
    _choose(scopes[1].choice, ExampleChoice.CLASSES)
    assert session.chosen == [(3, 1, 8)]
    assert scopes[0].examples.currentIndex() == ExampleChoice.CLASSES
    assert session.looks[-1][0] == {"layer0"}, "choosing examples must not take back the wish for feature maps"
    assert wiring is not None


def test_examples_probabilities_and_cells_are_read(qtbot, predictions):
    point(predictions.examples, predictions.examples._bar(3, 0).center())
    assert predictions.line.text == "example 900, truly cat   bee: probability 80.00 %"
    matrix = predictions.confusion
    _, left, top, side = matrix.geometry_of_cells()
    at = QPointF(left + 2.5 * side, top + 1.5 * side)
    point(matrix, at)
    assert predictions.line.text == "truly bee, guessed cat   6 of 50, 12.0 %"
    predictions.show_prediction(Prediction(0, np.array([0.25, 0.5, 0.25]), ("ant", "bee", "cat")))
    point(predictions.answer, QPoint(5, int(2.5 * predictions.answer._line())))
    assert predictions.line.text == "your drawing   bee: probability 50.00 %"
    assert "91.7 % of 120 of the 1,000 held-out examples" in predictions.summary()
    assert "bee is taken for cat" in predictions.confusion.accessibleDescription()


def test_a_cell_opens_its_examples_beside_the_matrix(qtbot, predictions):
    matrix = predictions.confusion
    _, left, top, side = matrix.geometry_of_cells()
    before = matrix.isVisible()
    qtbot.mouseClick(matrix, Qt.MouseButton.LeftButton, pos=QPointF(left + 2.5 * side, top + 1.5 * side).toPoint())
    assert matrix.cell == (1, 2) and before and matrix.isVisible() and predictions.cell.isVisible()
    assert not matrix.geometry().intersects(predictions.cell.geometry())
    areas = predictions.cell.areas(6)
    assert areas[0].width() > 36 and all(predictions.cell.rect().contains(a.toAlignedRect()) for a in areas)
    qtbot.keyClick(matrix, Qt.Key.Key_Left)
    assert matrix.cell == (1, 1)
    matrix.choose(None)
    assert not predictions.cell.isVisible()


def test_the_boundary_is_read_by_coordinates_and_probability(qtbot):
    scope = PredictionScope()
    field = np.zeros((64, 64, 2))
    field[..., 1] = np.linspace(0, 1, 64)[None]
    field[..., 0] = 1 - field[..., 1]
    points = {(0, 0): np.array([[0.5, 0.5]]), (1, 0): np.array([[1.5, 1.0], [1.6, 1.2]])}
    scope.show_snapshot(classified(images=4, class_names=("left", "right"), confusion=None, boundary=field,
                                    extent=(0.0, 0.0, 2.0, 2.0), confusion_examples=points))  # fmt: skip
    show(qtbot, scope, 1300, 420)
    drawn(qtbot, scope)
    point(scope.plane.viewport(), at(scope.plane, 1.9, 1.0))
    assert re.match("x 1.(89|9).*, y (1|0.99)", scope.line.text) and "class right: probability 9" in scope.line.text
    assert len(scope.plane._points.points()) == 3


def _looker(monkeypatch, seconds_for_one):
    """A looker for which time passes only where examples are classified."""
    clock = [0.0]
    monkeypatch.setattr(looking.time, "perf_counter", lambda: clock[0])
    made = Looker()

    def probabilities(net, options, data, images):
        clock[0] += seconds_for_one * len(images)
        return np.full((len(images), 2), 0.5)

    monkeypatch.setattr(made, "_probabilities", probabilities)
    data = nv.data.load("moons", samples=4000)
    net = nv.Network(nv.Sequential([nv.Linear(2)], input_shape=(2,)))
    options = TrainOptions(1, 32, nv.SGD(lr=0.1))
    return clock, lambda: made.look(net, options, data, "run 1", 1)[0], made


def test_the_confusion_matrix_grows_with_what_the_network_can_do_in_its_time(monkeypatch):
    _, look_once, _ = _looker(monkeypatch, 1e-7)
    counts = [int(look_once().confusion.sum()) for _ in range(9)]
    assert counts == sorted(counts) and counts[0] == 64 and counts[-1] > 512
    assert look_once().held_out == counts[-1]


def test_looking_at_a_slow_network_stays_within_its_share_of_the_time(monkeypatch):
    clock, look_once, looker = _looker(monkeypatch, 0.01)
    look_once()
    assert looker._next - clock[0] <= looking.SHORTEST, "compiling and laying out memory at first is not charged"
    for _ in range(6):
        looker._boundary = lambda *a: (None, None)
        start = clock[0]
        counts = look_once().confusion.sum()
        cost = clock[0] - start
        assert looker._next - clock[0] >= cost / 0.05 * 0.999
    assert counts == looking.FEWEST
    assert not looker.due
    looker.unseen, looker.nodes = 0, frozenset({"linear1"})
    assert looker.due, "what somebody asks for is not kept waiting for so long"


def test_looks_at_a_network_that_does_not_train_keep_no_later_look_waiting(monkeypatch):
    clock, _, looker = _looker(monkeypatch, 0.01)
    net, data = nv.Network(nv.Sequential([nv.Linear(2)], input_shape=(2,))), nv.data.load("moons")
    for _ in range(3):
        looker.look(net, TrainOptions(), data, "", 0, training=False)
        assert looker._next - clock[0] <= looking.SHORTEST


def test_wrong_examples_and_first_ones_of_each_class_are_offered(monkeypatch):
    _, look_once, looker = _looker(monkeypatch, 1e-7)
    found = look_once()
    held = nv.data.load("moons", samples=4000).test
    assert found.held_out == len(held)
    assert [int(held.labels[i]) for i in found.of_class] == [0, 1]
    assert found.wrong and all(held.labels[i] == 1 for i in found.wrong), "this network always says class 0"
    assert found.examples == tuple(range(8))
    looker.examples = (9, 3, 10**6)
    assert look_once().examples == (9, 3)


def test_the_pad_is_seen_with_its_answer_which_follows_the_network(qtbot):
    scope = with_nodes(show(qtbot, PredictionScope(), 560, 300))
    scope.show_snapshot(classified())
    drawn(qtbot, scope)
    assert scope.pad.isVisible() and scope.answer.isVisible()
    assert not any(pane.name == "answer" for pane in scope.panes.panes)
    asked = []
    scope.predict.connect(lambda tag, example: asked.append(tag))
    scope.show_snapshot(classified(step=11))
    qtbot.wait(400)
    assert not asked, "an empty sheet needs no answer"
    scope.pad.draw_at(4, 4)
    qtbot.waitUntil(lambda: len(asked) == 1)
    scope.show_prediction(Prediction(asked[0], np.array([0.25, 0.5, 0.25]), ("ant", "bee", "cat")))
    assert scope.answer.rows
    for step in range(12, 32):
        scope.show_snapshot(classified(step=step))
    qtbot.waitUntil(lambda: len(asked) == 2)
    qtbot.wait(400)
    assert len(asked) == 2, "a few times a second at the most"
    with_nodes(scope, 2)
    assert not scope.answer.rows
    scope.show_snapshot(classified(step=40))
    scope.show_prediction(Prediction(asked[1], np.array([0.25, 0.5, 0.25]), ("ant", "bee", "cat")))
    assert not scope.answer.rows, "an answer of the network before"
    qtbot.waitUntil(lambda: len(asked) == 3)
    scope._clear()
    scope.show_prediction(Prediction(asked[2], np.array([0.25, 0.5, 0.25]), ("ant", "bee", "cat")))
    assert not scope.answer.rows
