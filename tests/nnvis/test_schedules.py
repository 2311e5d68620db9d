"""Learning-rate schedules against their formulas."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnvis.errors import ConfigError, NnvisError
from nnvis.schedules import Constant, Cosine, Step, Warmup, schedule, schedule_from_config

PER_EPOCH = 10


def factors(text: str, epochs: int = 6) -> list[float]:
    total = epochs * PER_EPOCH
    return [schedule(text).factor(step, total, PER_EPOCH) for step in range(total)]


def test_constant_is_one_everywhere():
    assert set(factors("constant")) == {1.0}


def test_step_drops_after_every_so_many_epochs_exactly_at_the_boundary():
    found = factors("step:2")
    assert found[:20] == [1.0] * 20
    assert found[20:40] == [0.1] * 20
    assert found[40:] == [0.1**2] * 20


def test_step_drops_at_milestones_by_the_given_factor():
    found = factors("step:1,4:0.5")
    assert (found[9], found[10], found[39], found[40]) == (1.0, 0.5, 0.5, 0.25)


def test_cosine_follows_half_a_wave_down_to_its_final_value():
    found = factors("cosine:0.1")
    for step in (0, 7, 30, 59):
        assert found[step] == pytest.approx(0.1 + 0.9 * (1 + math.cos(math.pi * step / 60)) / 2)
    assert Cosine(0.1).factor(60, 60, PER_EPOCH) == pytest.approx(0.1)


def test_warmup_is_a_ramp_times_the_schedule_behind_it():
    found, plain = factors("warmup:2+cosine"), factors("cosine")
    assert found[0] == pytest.approx(plain[0] / 20)
    assert found[9] == pytest.approx(plain[9] / 2)
    assert found[19:] == plain[19:]
    assert factors("warmup:5steps")[:6] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])


def test_milestones_behind_a_warmup_count_from_the_beginning():
    assert factors("warmup:1+step:2")[19:21] == [1.0, 0.1]


@given(
    st.sampled_from(["constant", "cosine", "cosine:0.05", "step:30", "step:3,6:0.5", "warmup:1.5+cosine",
                     "warmup:20steps+step:1,2", "warmup:1+constant"]),
    st.integers(0, 500), st.integers(1, 40),
)  # fmt: skip
@settings(deadline=None, max_examples=40)
def test_text_and_config_round_trips_keep_every_factor(text, step, per_epoch):
    made = schedule(text)
    for again in (schedule_from_config(made.config()), schedule(str(made))):
        assert again == made
        assert again.factor(step, 500, per_epoch) == made.factor(step, 500, per_epoch)
    assert 0 <= made.factor(step, 500, per_epoch) <= 1


@pytest.mark.parametrize(
    "text",
    ["cosin", "step", "step:", "step:0", "step:a", "cosine:2", "warmup", "warmup:0+cosine", "warmup:x", "cosine+step:3",
     "step:1:2:3", "warmup:1+nope", "cosine:nan"],
)  # fmt: skip
def test_a_wrong_text_is_one_sentence(text):
    with pytest.raises(NnvisError) as caught:
        schedule(text)
    assert "\n" not in str(caught.value)


def test_contradictory_options_are_refused():
    for make in (lambda: Step(), lambda: Step(every=1, milestones=(2,)), lambda: Warmup(), lambda: Warmup(1, 5)):
        with pytest.raises(ConfigError):
            make()
    assert schedule(None) == Constant()
