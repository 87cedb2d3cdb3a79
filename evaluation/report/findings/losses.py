"""Where a metric lost its points: the part that is largest, and the factor or code that it is.

Each function splits what is missing from a perfect score into parts that add up to it, and says the
largest in one sentence.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evaluation.report.findings.matrices import (
    as_floats,
    information_shares,
    most_varying,
    taking_part,
)
from evaluation.report.shown_data import ShownData

NOTHING = 0.005
"""A loss that two digits do not show."""

_FEW = 0.5


class Loss(NamedTuple):
    """What a metric lost.

    Args:
        metric: Name of the metric.
        lost: What is missing from 1.
        sentence: What cost most.
        factor: Number of the factor that cost most, or None.
        code: Number of the code that the sentence names first, or None.
    """

    metric: str
    lost: float
    sentence: str
    factor: int | None = None
    code: int | None = None


def losses(
    scores: Mapping[str, float | None],
    details: Mapping[str, Mapping[str, Any]],
    data: ShownData,
    deviations: NDArray[np.float64],
) -> list[Loss]:
    """One for each of the challenge's metrics among the scores.

    Args:
        deviations: Standard deviation (d,) of each code.
    """

    factor_names = data.factor_names

    def factor_vae(result: Mapping[str, Any]) -> Loss:
        if "eval_votes" not in result:
            sentence = (
                "FactorVAE counts no code, since each has a standard deviation below 0.05: "
                "codes of a larger scale would count."
            )
            return Loss("factor_vae_metric", 1.0, sentence)
        votes = as_floats(result["training_votes"]), as_floats(result["eval_votes"])
        return lost_votes(*votes, taking_part(votes[0] + votes[1], deviations), factor_names)

    def irs(result: Mapping[str, Any]) -> Loss:
        if "IRS_matrix" not in result:
            return Loss("irs", 1.0, "IRS counts no code, since none varies.")
        matrix = as_floats(result["IRS_matrix"])
        codes = most_varying(len(matrix), deviations)
        return lost_robustness(matrix, as_floats(result["max_deviations"]), codes, factor_names)

    said: dict[str, Callable[[Mapping[str, Any]], Loss]] = {
        "factor_vae_metric": factor_vae,
        "dci": lambda result: lost_importance(as_floats(result["importance_matrix"]), factor_names),
        "sap_score": lambda result: lost_accuracy(as_floats(result["score_matrix"]), data),
        "mig": lambda result: lost_information(
            information_shares(result["mutual_information"], data.entropies),
            factor_names,
            data.entropies,
        ),
        "irs": irs,
    }
    return [said[name](details[name]) for name in scores if name in said and name in details]


def lost_votes(
    training_votes: NDArray[np.float64],
    eval_votes: NDArray[np.float64],
    codes: NDArray[np.int64],
    factor_names: Sequence[str],
) -> Loss:
    """FactorVAE: the factor whose rounds went most to codes that stand for other factors.

    Args:
        training_votes: (k, d), whose columns number the codes that take part.
        eval_votes: (k, d).
        codes: The numbers (a,) of those codes.
    """
    stands_for = training_votes.argmax(axis=0)
    is_wrong = stands_for != np.arange(len(eval_votes))[:, np.newaxis]
    wrong = eval_votes * is_wrong
    total = max(eval_votes.sum(), 1)
    lost = float(wrong.sum() / total)
    if lost < NOTHING:
        return Loss("factor_vae_metric", lost, "FactorVAE loses next to nothing.")
    factor = int(wrong.sum(axis=1).argmax())
    missed = wrong[factor].sum() / eval_votes[factor].sum()
    thief = int(wrong[factor].argmax())
    has_code = bool(np.any((stands_for == factor) & (training_votes.sum(axis=0) > 0)))
    sentence = (
        f"FactorVAE loses {lost:.2f}, the largest part ({wrong[factor].sum() / total:.2f}) on "
        f"{factor_names[factor]}: {'' if has_code else 'no code stands for it, and '}"
        f"{missed:.0%} of its rounds went to codes that stand for other factors, first of all to "
        f"code {codes[thief]}, which stands for {factor_names[stands_for[thief]]}."
    )
    return Loss("factor_vae_metric", lost, sentence, factor, int(codes[thief]))


def lost_importance(importance: NDArray[np.float64], factor_names: Sequence[str]) -> Loss:
    """DCI: the factor with the largest part of the entropy of the codes' importances (d, k)."""
    total = importance.sum()
    if importance.shape[1] == 1 or total <= 0:
        return Loss("dci", 0.0 if total > 0 else 1.0, "DCI found no code that tells any factor.")
    shares = importance / np.maximum(importance.sum(axis=1, keepdims=True), 1e-300)
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = np.nan_to_num(-shares * np.log(shares)) / np.log(importance.shape[1])
    parts = importance.sum(axis=1, keepdims=True) / total * entropy
    lost = float(parts.sum())
    if lost < NOTHING:
        return Loss("dci", lost, "DCI loses next to nothing: each code serves one factor.")
    factor = int(parts.sum(axis=0).argmax())
    start = (
        f"DCI loses {lost:.2f}, the largest part ({parts[:, factor].sum():.2f}) on "
        f"{factor_names[factor]}: "
    )
    most = int(importance[:, factor].argmax())
    if importance[most, factor] < _FEW:
        code, text = most, f"no code carries more than {importance[most, factor]:.0%} of it"
        others = shares[code].copy()
        others[factor] = 0
        if others.max() >= 0.1:
            text += (
                f", and code {code}, which carries most, serves {factor_names[others.argmax()]} "
                f"as well ({others.max():.0%} of what that code is used for)"
            )
    else:
        code = int(parts[:, factor].argmax())
        others = shares[code].copy()
        others[factor] = 0
        text = (
            f"code {code} is used for it ({shares[code, factor]:.0%}) and for "
            f"{factor_names[others.argmax()]} ({others.max():.0%})"
        )
    return Loss("dci", lost, f"{start}{text}.", factor, code)


def lost_accuracy(accuracies: NDArray[np.float64], data: ShownData) -> Loss:
    """SAP: the factor with the smallest gap between the accuracies (d, k) of its two best codes.

    Of a continuous factor there are squared correlations in the place of accuracies.
    """
    best, second, gaps = _two_best(accuracies)
    lost = float(1 - gaps.mean())
    if lost < NOTHING:
        return Loss("sap_score", lost, "SAP loses next to nothing.")
    factor = int(gaps.argmin())
    first = accuracies[best[factor], factor]
    runner_up = first - gaps[factor]
    start = (
        f"SAP loses {lost:.2f}, the largest part ({(1 - gaps[factor]) / len(gaps):.2f}) on "
        f"{data.factor_names[factor]}: code {best[factor]} "
    )
    if factor in data.continuous:
        told, other = f"has a squared correlation of {first:.2f} with it", f"of {runner_up:.2f}"
        chance = ""
    else:
        told, other = f"tells it in {first:.0%} of the {data.unit}", f"in {runner_up:.0%}"
        chance = f" (chance: {data.chances[factor]:.0%})"
    others = (
        f"code {second[factor]} {other} as well"
        if second[factor] >= 0
        else "there is no other code"
    )
    sentence = f"{start}{told}, and {others}{chance}."
    return Loss("sap_score", lost, sentence, factor, int(best[factor]))


def lost_information(
    shares: NDArray[np.float64], factor_names: Sequence[str], entropies: NDArray[np.float64]
) -> Loss:
    """MIG: the factor with the smallest gap between what its two best codes tell.

    Args:
        shares: (d, k), of each factor's entropy.
        entropies: Of the factors (k,). One with one value has no gap.
    """
    varies = entropies > 0
    best, second, gaps = _two_best(shares)
    lost = float(1 - gaps[varies].mean()) if varies.any() else 1.0
    if lost < NOTHING:
        return Loss("mig", lost, "MIG loses next to nothing.")
    factor = int(np.where(varies, gaps, np.inf).argmin())
    first = shares[best[factor], factor]
    runner_up = first - gaps[factor]
    if second[factor] >= 0 and first >= 0.1 and runner_up >= _FEW * first:
        text = (
            f"codes {best[factor]} and {second[factor]} both tell it "
            f"({first:.0%} and {runner_up:.0%} of it)"
        )
    else:
        text = f"no code tells more than {first:.0%} of it"
    sentence = (
        f"MIG loses {lost:.2f}, the largest part ({(1 - gaps[factor]) / varies.sum():.2f}) on "
        f"{factor_names[factor]}: {text}."
    )
    return Loss("mig", lost, sentence, factor, int(best[factor]))


def lost_robustness(
    matrix: NDArray[np.float64],
    max_deviations: NDArray[np.float64],
    codes: NDArray[np.int64],
    factor_names: Sequence[str],
) -> Loss:
    """IRS: the code that costs most, which weighs as far as it moves.

    Args:
        matrix: (a, k), of the codes that vary.
        max_deviations: (a,).
        codes: Their numbers (a,).
    """
    total = max_deviations.sum()
    scores = matrix.max(axis=1)
    parts = max_deviations / (total if total > 0 else 1) * (1 - scores)
    lost = float(parts.sum())
    if lost < NOTHING:
        return Loss("irs", lost, "IRS loses next to nothing.")
    worst = int(parts.argmax())
    factor = int(matrix[worst].argmax())
    sentence = (
        f"IRS loses {lost:.2f}, the largest part ({parts[worst]:.2f}) through code "
        f"{codes[worst]}: it follows {factor_names[factor]} best, yet while that stays, other "
        f"factors still move it by {1 - scores[worst]:.0%} of the furthest that it ever moves."
    )
    return Loss("irs", lost, sentence, factor, int(codes[worst]))


def _two_best(
    values: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """For each column of (d, k) its best row and the next, -1 if there is none, and the gap."""
    order = np.argsort(-values, axis=0, kind="stable")
    columns = np.arange(values.shape[1])
    if len(values) == 1:
        return order[0], np.full(values.shape[1], -1), values[0]
    return order[0], order[1], values[order[0], columns] - values[order[1], columns]
