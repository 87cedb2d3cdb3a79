"""Several metrics of codes and factors at once, beside what noise scores, over several draws."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.metrics.registry import CHALLENGE, METRICS


@dataclass(frozen=True)
class TableScores:
    """What codes score.

    Args:
        scores: By metric, with the first seed.
        baselines: "noise": what independent normal codes of as many dims score.
        left_out: By metric, why it cannot be had of these rows.
        spreads: By metric, with several seeds: `scores`, `mean`, `std` and `interval`, the 95 %
            bootstrap interval of the mean. It has no width where each seed draws all rows.
        results: By metric, all that it returned.
        kinds: By factor, "discrete" or "continuous".
        full_grid: Whether the rows are one, and the scores the grader's.
        token_shares: The share of each token's variance that its number keeps, where codes were
            (n, tokens, width); else empty.
    """

    scores: dict[str, float]
    baselines: dict[str, dict[str, float]]
    left_out: dict[str, str]
    spreads: dict[str, dict[str, Any]]
    results: dict[str, dict[str, Any]]
    kinds: dict[str, str]
    full_grid: bool
    token_shares: tuple[float, ...]


def score(
    codes: Any,
    factors: Any,
    metrics: Sequence[str] | str | None = None,
    *,
    kinds: Mapping[str, Any] | None = None,
    seed: int = 0,
    seeds: int = 1,
) -> TableScores:
    """Scores codes (n, d), or (n, tokens, width), by factors (n, k): see `functions`.

    Args:
        codes: Real numbers: an array, lists, a frame, or a tensor on any device.
        factors: The same, or strings; a frame or a mapping of columns has names for them.
        metrics: Names in `registry.METRICS`, or "all"; the challenge's five if None.
        kinds: What some of the factors are, where that is not to be found out.
        seed: Of the first draw; the challenge's is 0.
        seeds: Number of draws.

    Raises:
        ValueError: no such metric, shapes that do not fit, values that are missing or not finite,
            or rows that allow none of the metrics.

    Example:
        >>> factors = [[color, size] for color in range(3) for size in range(4)]
        >>> result = score(factors, factors, ["mig", "irs"])
        >>> {name: round(value, 3) for name, value in result.scores.items()}
        {'mig': 1.0, 'irs': 1.0}
        >>> round(result.baselines["noise"]["mig"], 3)
        0.13
    """
    from evaluation.data.factor_table import GridOfRows
    from evaluation.metrics.baselines import Noise, spread
    from evaluation.metrics.tables.applicability import left_out
    from evaluation.metrics.tables.opening import open_arrays

    wanted = names_of(metrics)
    if seeds < 1:
        raise ValueError(f"The number of seeds is {seeds}; it must be 1 or more.")
    given = open_arrays(codes, factors, kinds, seed)
    reasons = left_out(given.data, wanted)
    names = [name for name in wanted if name not in reasons]
    if not names:
        raise ValueError(f"There is no {wanted[0]} of these rows: {reasons[wanted[0]]}.")
    noise = Noise(len(given.codes), given.codes.shape[1], seed)
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    of_noise: dict[str, float] = {}
    for name in names:
        key = METRICS[name].score_key
        results[name] = [given.compute(name, each) for each in range(seed, seed + seeds)]
        of_noise[name] = float(given.compute(name, seed, noise)[key])
    scores = {
        name: [float(result[METRICS[name].score_key]) for result in of_seed]
        for name, of_seed in results.items()
    }
    return TableScores(
        scores={name: of_seed[0] for name, of_seed in scores.items()},
        baselines={"noise": of_noise},
        left_out=reasons,
        spreads={name: spread(of_seed) for name, of_seed in scores.items()} if seeds > 1 else {},
        results={name: of_seed[0] for name, of_seed in results.items()},
        kinds={column.name: column.kind for column in given.columns},
        full_grid=isinstance(given.data, GridOfRows),
        token_shares=() if given.components is None else tuple(given.components.shares),
    )


def names_of(metrics: Sequence[str] | str | None) -> list[str]:
    """The names that are meant: the challenge's five if None, every one of "all".

    Raises:
        ValueError: there is no metric of a name, or none is named.
    """
    if metrics is None:
        return [metric.name for metric in CHALLENGE]
    if metrics == "all":
        return list(METRICS)
    names = [metrics] if isinstance(metrics, str) else list(metrics)
    for name in names:
        if name not in METRICS:
            raise ValueError(f"There is no metric {name!r}; there are {', '.join(METRICS)}.")
    if not names:
        raise ValueError(f"No metric is named; there are {', '.join(METRICS)}.")
    return names
