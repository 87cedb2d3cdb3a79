"""Several metrics of a table at once."""

import numpy as np
import pytest
from numpy.random import RandomState

from evaluation.metrics import CHALLENGE, METRICS, score

_DRAWS = RandomState(0)
FACTORS = {
    "shape": _DRAWS.choice(["ball", "cone", "cube"], 900),
    "place": _DRAWS.random_sample(900),
}
CODES = np.stack(
    [np.unique(FACTORS["shape"], return_inverse=True)[1], FACTORS["place"]], axis=1
) + 0.05 * _DRAWS.normal(size=(900, 2))


def test_all_that_the_rows_allow() -> None:
    result = score(CODES, FACTORS, "all")
    assert result.scores.keys() | result.left_out.keys() == METRICS.keys()
    assert result.left_out.keys() == {"factor_vae_metric", "beta_vae"}
    assert result.kinds == {"shape": "discrete", "place": "continuous"}
    assert not result.full_grid
    for name in ("dci", "sap_score", "mig", "irs"):
        assert result.scores[name] > result.baselines["noise"][name] + 0.3


def test_the_challenges_five_by_default() -> None:
    result = score(CODES, {"shape": FACTORS["shape"]}, kinds={"shape": "discrete"})
    assert list(result.scores) == [metric.name for metric in CHALLENGE]


def test_several_draws() -> None:
    result = score(CODES, FACTORS, ["mig", "sap_score"], seeds=3)
    assert result.scores["sap_score"] == result.spreads["sap_score"]["scores"][0]
    low, high = result.spreads["sap_score"]["interval"]
    assert low < high
    low, high = result.spreads["mig"]["interval"]
    assert low == high == pytest.approx(result.scores["mig"])  # each seed draws all rows


def test_tokens_say_what_they_keep() -> None:
    codes = np.stack([CODES, CODES**2], axis=-1)
    assert codes.shape == (900, 2, 2)
    shares = score(codes, FACTORS, "mig").token_shares
    assert len(shares) == 2
    assert all(0.5 < share < 1 for share in shares)


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^There is no metric 'migg'; there are factor_vae"):
        score(CODES, FACTORS, ["migg"])
    with pytest.raises(ValueError, match=r"^The number of seeds is 0"):
        score(CODES, FACTORS, seeds=0)
    with pytest.raises(ValueError, match=r"^There is no beta_vae of these rows: it holds"):
        score(CODES, FACTORS, "beta_vae")
