"""What each metric holds of each code and factor, all in one form: rows are codes."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

PRUNED_BELOW = 0.05
"""FactorVAE's threshold: a code whose standard deviation is less takes no part."""


class Matrix(NamedTuple):
    """One metric's view of codes and factors.

    Args:
        metric: Name of the metric.
        title: What the values are, in a few words.
        meaning: How to read them, in a sentence.
        values: (d, k), in [0, 1] apart from rounding; NaN for codes that the metric leaves out.
    """

    metric: str
    title: str
    meaning: str
    values: NDArray[np.float64]


def matrices(
    details: Mapping[str, Mapping[str, Any]],
    entropies: NDArray[np.float64],
    deviations: NDArray[np.float64],
) -> list[Matrix]:
    """Those that the metrics of a report returned, in the order in which they say most.

    Args:
        details: `Report.details`.
        entropies: Of the factors (k,), in nats.
        deviations: Standard deviation (d,) of each code. FactorVAE and IRS number only the codes
            that vary, and these are found again by it.
    """
    found = []
    if "importance_matrix" in details.get("dci", {}):
        found.append(
            Matrix(
                "dci",
                "DCI: importance",
                "Of all that boosted trees use to tell a factor, the share that each code gives. "
                "Each column sums to 1.",
                as_floats(details["dci"]["importance_matrix"]),
            )
        )
    if "mutual_information" in details.get("mig", {}):
        found.append(
            Matrix(
                "mig",
                "MIG: mutual information",
                "How much of a factor each code tells by itself: 1 is all of it.",
                information_shares(details["mig"]["mutual_information"], entropies),
            )
        )
    if "score_matrix" in details.get("sap_score", {}):
        found.append(
            Matrix(
                "sap_score",
                "SAP: accuracy",
                "How often a linear classifier tells the factor from one code. Chance is one in "
                "as many as the factor has values.",
                as_floats(details["sap_score"]["score_matrix"]),
            )
        )
    if "eval_votes" in details.get("factor_vae_metric", {}):
        found.append(
            Matrix(
                "factor_vae_metric",
                "FactorVAE: votes",
                "While a factor was held still, how often each code varied least. Each column "
                "sums to 1.",
                vote_shares(details["factor_vae_metric"]["eval_votes"], deviations),
            )
        )
    if "IRS_matrix" in details.get("irs", {}):
        found.append(
            Matrix(
                "irs",
                "IRS: robustness",
                "How little a code moves while the factor stays and the others change: 1 is not "
                "at all. Noise has high values here, too.",
                placed(as_floats(details["irs"]["IRS_matrix"]), deviations),
            )
        )
    return found


def as_floats(values: Any) -> NDArray[np.float64]:
    """Numbers of a report; what was not finite, None there, is NaN."""
    return np.array(values, dtype=np.float64)


def information_shares(information: Any, entropies: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mutual information (d, k) in nats as shares of the factors' entropies (k,).

    It is 0 for a factor without entropy, which has one value.
    """
    return as_floats(information) / np.where(entropies > 0, entropies, np.inf)


def vote_shares(votes: Any, deviations: NDArray[np.float64]) -> NDArray[np.float64]:
    """Votes (k, d) of FactorVAE as shares (d, k) of each factor's rounds.

    Columns of the votes number the codes that take part, and those beyond are empty.
    """
    counts = as_floats(votes)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return placed(shares.T[: len(taking_part(counts, deviations))], deviations)


def taking_part(votes: NDArray[np.float64], deviations: NDArray[np.float64]) -> NDArray[np.int64]:
    """The codes (a,) that FactorVAE's votes (k, d) number, in rising order."""
    voted = np.flatnonzero(votes.sum(axis=0))
    least = voted[-1] + 1 if len(voted) else 0
    return most_varying(max(int(np.sum(deviations >= PRUNED_BELOW)), int(least)), deviations)


def placed(rows: NDArray[np.float64], deviations: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows (a, k) of the codes that vary most, at their places among all (d, k); NaN elsewhere."""
    values = np.full((len(deviations), rows.shape[1]), np.nan)
    values[most_varying(len(rows), deviations)] = rows
    return values


def most_varying(number: int, deviations: NDArray[np.float64]) -> NDArray[np.int64]:
    """The numbers, in rising order, of so many codes with the largest deviations (d,)."""
    return np.sort(np.argsort(-deviations, kind="stable")[:number])
