"""While a network trains, drawing takes a fixed share of the time; else nothing waits."""

from __future__ import annotations

import time

import pytest

from ui.scopes import base, budget
from ui.scopes.base import Scope
from ui.scopes.budget import LONGEST, SHARE, DrawingBudget


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(budget.time, "perf_counter", lambda: now[0])
    return now


def test_drawing_is_put_off_by_what_it_cost(clock):
    made = DrawingBudget()
    made.training = True
    assert made.wait == 0
    made.spend(0.02)
    assert made.wait == pytest.approx(0.02 / SHARE)
    made.spend(0.01)  # the painting that follows the drawing counts, too
    assert made.wait == pytest.approx(0.03 / SHARE)
    clock[0] += 0.03 / SHARE
    assert made.wait == 0


def test_nothing_waits_while_nothing_trains_and_never_for_long(clock):
    made = DrawingBudget()
    made.spend(5.0)
    assert made.wait == 0
    made.training = True
    assert made.wait == pytest.approx(LONGEST)


class _Counting(Scope):
    title, name, empty = "Counting", "counting", "Nothing to be seen yet, but soon."
    draws = 0

    def draw(self) -> None:
        self.draws += 1


@pytest.fixture
def starved(monkeypatch):
    """While a network trains, others have used up all the time there is for drawing, and go on doing so."""
    made = DrawingBudget()
    made.training = True
    monkeypatch.setattr(DrawingBudget, "wait", LONGEST)
    monkeypatch.setattr(base, "BUDGET", made)


def test_a_view_is_drawn_within_a_second_or_so_whatever_others_draw(qtbot, starved):
    scope = _Counting()
    qtbot.addWidget(scope)
    scope.show()
    scope.snapshot = object()
    scope.redraw()
    qtbot.waitUntil(lambda: scope.draws == 1, timeout=700)  # the first values come at once
    start = time.perf_counter()
    scope.redraw()
    qtbot.waitUntil(lambda: scope.draws == 2, timeout=int(2000 * base.PATIENCE))
    assert time.perf_counter() - start > 0.5 * base.PATIENCE  # and the next as the budget says


def test_a_view_that_is_brought_to_the_front_is_drawn_at_once(qtbot, starved):
    scope = _Counting()
    qtbot.addWidget(scope)
    scope.snapshot = object()
    scope.redraw()
    assert scope.draws == 0
    scope.show()
    qtbot.waitUntil(lambda: scope.draws == 1, timeout=700)
