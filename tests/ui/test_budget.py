"""While a network trains, drawing takes a fixed share of the time; else nothing waits."""

from __future__ import annotations

import pytest

from ui.scopes import budget
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
