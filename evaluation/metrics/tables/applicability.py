"""Which metrics a table that is no full grid allows, and why not the others."""

from collections.abc import Sequence

from evaluation.data.factor_table import NUM_BINS, FactorTable, Numbered
from evaluation.metrics.registry import METRICS

LEAST_SHARING = 16
"""Fewest rows that must share a value that a metric holds: a variance of fewer is mostly chance."""


def left_out(data: Numbered, names: Sequence[str]) -> dict[str, str]:
    """The reasons, a clause each, against those of the metrics that cannot be had of the rows.

    A full grid allows all.

    Args:
        data: The rows.
        names: Metrics of `registry.METRICS`.
    """
    if not isinstance(data, FactorTable):
        return {}
    reasons = {name: _reason(data, METRICS[name].needs) for name in names}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def as_taken(data: Numbered, name: str) -> Numbered:
    """The rows as a metric takes them: without continuous factors, unless it knows these."""
    if isinstance(data, FactorTable) and not METRICS[name].continuous:
        return data.binned
    return data


def _reason(table: FactorTable, needs: str) -> str | None:
    if needs == "rows":
        return None
    if needs == "shared values" and table.continuous:
        names = ", ".join(table.factor_names[place] for place in table.continuous)
        return f"it holds factors at a value, and of the continuous {names} no rows share one"
    in_bins = needs == "shared bins"
    fewest, value, name = (table.binned if in_bins else table).fewest_sharing()
    if fewest >= LEAST_SHARING:
        return None
    bins = f" (of a continuous one each of {NUM_BINS} bins)" if in_bins else ""
    return (
        f"it needs {LEAST_SHARING} rows or more that share each value of a factor"
        f"{bins}, and {name} = {value} has {fewest}"
    )
