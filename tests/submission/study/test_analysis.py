"""What is computed of a study's rows, against closed forms and SciPy."""

import numpy as np
import pytest
from scipy.stats import f_oneway, spearmanr

from submission.study.results.analysis import explained, levels, rank_correlations, selection
from submission.study.results.udr import ranking, similarity

rng = np.random.default_rng(0)


def test_explained_variance_is_that_of_an_analysis_of_variance() -> None:
    groups = np.repeat(["a", "b", "c"], 8)
    scores = rng.normal(size=24) + (groups == "b") * 1.5
    found = explained(groups.tolist(), scores)
    statistic = f_oneway(*(scores[groups == group] for group in "abc")).statistic
    assert found.share == pytest.approx(statistic * 2 / (statistic * 2 + 21))
    assert found.chance == pytest.approx(2 / 23)
    assert explained(groups.tolist(), (groups == "b") * 1.0).share == pytest.approx(1)
    assert explained(groups.tolist(), np.ones(24)).share is None
    assert explained(range(24), scores).share is None


def test_noise_explains_what_chance_says() -> None:
    groups = [number % 6 for number in range(24)]
    found = [explained(groups, rng.normal(size=24)) for _ in range(2000)]
    shares = [one.share for one in found if one.share is not None]
    assert np.mean(shares) == pytest.approx(found[0].chance, abs=0.01)


def test_many_numbers_are_cut_into_quarters() -> None:
    found = levels(rng.uniform(size=100).tolist())
    assert sorted(found.count(level) for level in set(found)) == [25] * 4
    assert levels([0.1, 0.1, 2]) == ["0.1", "0.1", "2"]


def test_rank_correlations_are_scipys() -> None:
    columns = {name: rng.normal(size=20) for name in "abc"}
    columns["b"][:5] = np.nan
    found = rank_correlations(columns)
    assert found[0, 2] == pytest.approx(spearmanr(columns["a"], columns["c"]).statistic)
    expected = spearmanr(columns["a"][5:], columns["b"][5:]).statistic
    assert found[0, 1] == found[1, 0] == pytest.approx(expected)
    assert np.isnan(rank_correlations({"a": columns["a"], "still": np.ones(20)})[0, 1])


def test_a_rule_chooses_the_run_with_its_highest_value() -> None:
    scores = np.array([0.1, 0.9, 0.5, np.nan])
    found = selection(np.array([1.0, 2.0, 3.0, 4.0]), scores)
    assert found is not None
    assert (found.chosen, found.score) == (2, 0.5)
    assert found.beaten == pytest.approx(1 / 3)
    assert selection(np.full(4, np.nan), scores) is None
    assert selection(np.ones(4), scores) is None  # it says the same of all


INFORMATIVE = np.ones(3)


def grid() -> np.ndarray:
    """Three codes (27, 3) whose ranks are not correlated at all."""
    return np.stack(np.meshgrid(*[np.arange(3.0)] * 3), -1).reshape(-1, 3)


def test_the_same_codes_in_another_order_and_scale_agree_wholly() -> None:
    codes = grid()
    others = [codes, -codes[:, [2, 0, 1]], np.exp(codes)]
    assert ranking(others, [INFORMATIVE] * 3) == pytest.approx([1, 1, 1])


def test_ranking_follows_its_definition() -> None:
    tables = [rng.normal(size=(60, 3)) for _ in range(3)]
    by_code = [np.array([1, 0.009, 2]), INFORMATIVE, INFORMATIVE]

    def pair(first: int, second: int) -> float:
        found = np.abs(spearmanr(tables[first], tables[second]).statistic[:3, 3:])
        found = found[by_code[first] > 0.01][:, by_code[second] > 0.01]
        return np.mean([(found.max(axis) ** 2 / found.sum(axis)).mean() for axis in (0, 1)]).item()

    expected = [
        np.median([pair(one, other) for other in range(3) if other != one]) for one in range(3)
    ]
    assert ranking(tables, by_code) == pytest.approx(expected)


def test_codes_that_say_nothing_agree_on_nothing() -> None:
    assert ranking([grid(), grid()], [np.zeros(3), INFORMATIVE]) == [0, 0]
    assert similarity(np.zeros((2, 2))) == 0
    still = np.ones((27, 3))
    assert ranking([still, still], [INFORMATIVE] * 2) == [0, 0]
