"""Schedules at epochs worked by hand from SPEC's formula."""

import math

import pytest

from evaluation.common.errors import KitError
from submission.vae.schedules import BetaSchedule, LRSchedule


def test_stage_1s_cosine() -> None:
    schedule = BetaSchedule("cosine", beta0=0.0001, beta1=0.12, beta_start=1, beta_end=19)
    assert schedule(0) == 0.0001
    assert schedule(1) == 0.0001
    assert schedule(10) == pytest.approx(0.06005, abs=1e-9)  # half of the way
    assert schedule(7) == pytest.approx(0.0001 + 0.1199 * 0.25, abs=1e-9)  # cos(pi / 3) = 1/2
    assert schedule(19) == pytest.approx(0.12, abs=1e-12)
    assert schedule(20) == 0.12


def test_stage_2s_cosine() -> None:
    schedule = BetaSchedule("cosine", beta0=0.005, beta1=0.4, beta_start=10, beta_end=79)
    assert [schedule(epoch) for epoch in (0, 9, 10)] == [0.005] * 3
    assert schedule(33) == pytest.approx(0.4 - 0.1975 * (1 + 0.5), abs=1e-9)  # a third
    assert [schedule(epoch) for epoch in (80, 119)] == [0.4] * 2


def test_linear() -> None:
    schedule = BetaSchedule("linear", beta0=1.0, beta1=3.0, beta_start=2, beta_end=6)
    assert [schedule(epoch) for epoch in range(8)] == [1.0, 1.0, 1.0, 1.5, 2.0, 2.5, 3.0, 3.0]


def test_restarts_begin_anew_at_each_cycle() -> None:
    # Cycles of 7 // 2 = 3 epochs; what is left of the seventh begins a third one.
    schedule = BetaSchedule(
        "cosine-restarts", beta0=0.0, beta1=1.0, beta_start=1, beta_end=8, cycles=2
    )
    third, two_thirds = 0.25, 0.75
    expected = [0, 0, third, two_thirds, 0, third, two_thirds, 0, third, 1, 1]
    assert [schedule(epoch) for epoch in range(11)] == pytest.approx(expected)


def test_constant() -> None:
    schedule = BetaSchedule("constant", beta0=0.3, beta1=0.3, beta_start=2, beta_end=4)
    assert {schedule(epoch) for epoch in range(6)} == {0.3}


def test_a_way_of_no_length_is_a_step() -> None:
    schedule = BetaSchedule("linear", beta0=0.0, beta1=1.0, beta_start=3, beta_end=3)
    assert [schedule(epoch) for epoch in (2, 3, 4)] == [0.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"beta_start": 5, "beta_end": 4}, "beta_start 5"),
        ({"schedule_type": "constant", "beta0": 0.1, "beta1": 0.2}, "constant"),
        ({"schedule_type": "cosine-restarts", "beta_start": 0, "beta_end": 3, "cycles": 4}, "4"),
        ({"schedule_type": "cosine-restarts", "cycles": 0}, "0 cycles"),
    ],
)
def test_contradictions_are_refused(options: dict, word: str) -> None:
    with pytest.raises(KitError, match=word):
        BetaSchedule(**options)


def test_warm_up() -> None:
    assert [LRSchedule(0.01, 0.001, 2)(epoch) for epoch in range(4)] == [0.001, 0.001, 0.01, 0.01]
    assert LRSchedule(0.01, warmup_epochs=5)(0) == 0.01


def test_beta_grows_as_a_cosine_does() -> None:
    schedule = BetaSchedule("cosine", beta0=0.0, beta1=2.0, beta_start=0, beta_end=10)
    assert [schedule(e) for e in range(11)] == pytest.approx(
        [1 - math.cos(math.pi * e / 10) for e in range(11)]
    )
