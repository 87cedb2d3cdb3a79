"""What the codes know of each factor, in one row a factor."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

CLEAR, SHARED, PARTLY, SPREAD, MISSED = "clear", "shared", "partly", "spread", "missed"

_TENTH, _HALF = 0.1, 0.5


class Known(NamedTuple):
    """What the codes know of one factor.

    Args:
        factor: Its number.
        code: The code that tells most of it.
        share: How much of it that code tells, in [0, 1] of the factor's entropy.
        runner_up: The code that tells most after it, or None.
        runner_up_share: How much that one tells.
        together: In which share of the images all codes together tell it.
        chance: In which share a guess is right.
        verdict: See `verdict_of`.
    """

    factor: int
    code: int
    share: float
    runner_up: int | None
    runner_up_share: float
    together: float
    chance: float
    verdict: str


def knowledge(
    shares: NDArray[np.float64], together: NDArray[np.float64], chances: NDArray[np.float64]
) -> list[Known]:
    """One row a factor.

    Args:
        shares: (d, k): how much each code tells of each factor, of its entropy.
        together: (k,): in which share of the images all codes together tell it.
        chances: (k,): in which share a guess is right.
    """
    rows = []
    for factor, column in enumerate(np.nan_to_num(shares).T):
        order = np.argsort(-column, kind="stable")
        share, told, chance = (
            float(column[order[0]]),
            float(together[factor]),
            float(chances[factor]),
        )
        runner_up = int(order[1]) if len(order) > 1 else None
        second = 0.0 if runner_up is None else float(column[runner_up])
        verdict = verdict_of(share, second, beyond_chance(told, chance))
        rows.append(Known(factor, int(order[0]), share, runner_up, second, told, chance, verdict))
    return rows


def verdict_of(share: float, second: float, together: float) -> str:
    """How a factor is known.

    Args:
        share: How much of it the best code tells, in [0, 1].
        second: How much the next code tells.
        together: How far all codes together are beyond chance, 1 where they always tell it.

    Returns:
        CLEAR where one code tells half of it or more, and no other half as much; SHARED where
        another tells at least half as much; PARTLY where neither holds; and where no code tells a
        tenth of it, SPREAD if all together do better than chance by a quarter or more, else MISSED.
    """
    if share < _TENTH:
        return SPREAD if together >= _HALF / 2 else MISSED
    if second >= share / 2:
        return SHARED
    return CLEAR if share >= _HALF else PARTLY


def beyond_chance(accuracy: float, chance: float) -> float:
    """An accuracy on a scale where chance is 0 and always right is 1."""
    return (accuracy - chance) / (1 - chance) if chance < 1 else 1.0


def headline(rows: Sequence[Known], factor_names: Sequence[str], unit: str) -> str:
    """The factor that the codes know least of, and the one that a single code knows best.

    Args:
        unit: What there is of the data, in the plural: "images", say.
    """
    least = min(rows, key=lambda row: beyond_chance(row.together, row.chance))
    best = max(rows, key=lambda row: row.share)
    verb = "misses" if least.verdict == MISSED else "knows least of"
    return (
        f"The representation {verb} {factor_names[least.factor]}: all codes together tell it in "
        f"{least.together:.0%} of the {unit} (a guess: {least.chance:.0%}), and no code alone "
        f"tells more than {least.share:.0%} of it. Best known by one code is "
        f"{factor_names[best.factor]}: code {best.code} tells {best.share:.0%} of it."
    )
