"""Scores as a person reads them."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from msgspec import UnsetType
from rich.markup import escape
from rich.table import Table

from evaluation.common.escaping import visible
from evaluation.common.terminal import console
from evaluation.metrics import METRICS
from evaluation.outputs import ALL_SCORES
from evaluation.report.summary import best_score
from evaluation.scores import Report, Spread, Verification

MOST_ROWS = 100
"""Rows of a table in the terminal."""


def print_report(report: Report) -> None:
    """One representation: its scores beside those of the baselines, and what each took."""
    about, baselines = report.representation, report.baselines
    console.print(
        f"[bold]{escape(visible(about.path))}[/bold], {about.kind}, {about.dim} dims, on "
        f"{report.dataset} ({_size(report)})"
    )
    table = _table("Score", *map(str.capitalize, baselines), "Seconds")
    for name, score in report.scores.items():
        others = [number(scores[name]) for scores in baselines.values()]
        seconds = f"{report.seconds[name]:.1f}"
        table.add_row(name, f"[bold]{number(score)}[/bold]", *others, seconds)
        for key in METRICS[name].further_keys:
            others = [number(scores[f"{name}.{key}"]) for scores in baselines.values()]
            table.add_row(f"  {key}", number(report.details[name][key]), *others, style="dim")
    table.add_section()
    empty = [""] * (1 + len(baselines))
    table.add_row("encoding", *empty, f"{report.seconds['encode']:.1f}")
    console.print(table)
    console.print(f"{best_score(report.scores)} Noise has what codes give by chance.")
    if not isinstance(report.own_data, UnsetType):
        for name, reason in report.own_data.left_out.items():
            console.print(f"There is no {name}: {reason}.", markup=False)
    if not isinstance(report.seeds, UnsetType):
        _print_seeds(report.seeds, list(map(str.capitalize, baselines)))
    if not isinstance(report.verification, UnsetType):
        _print_verification(report.verification)


def _size(report: Report) -> str:
    own = report.own_data
    if isinstance(own, UnsetType) or own.full_grid:
        return " x ".join(map(str, report.factor_sizes))
    return f"{own.rows:,} rows, {len(own.factors)} factors"


def _print_seeds(seeds: Mapping[str, Spread], baselines: Sequence[str]) -> None:
    table = _table("Mean", "Std", "95 % of the mean", *baselines)
    for name, spread in seeds.items():
        interval = " to ".join(map(number, spread.interval))
        others = map(number, spread.baselines.values())
        table.add_row(name, number(spread.mean), number(spread.std), interval, *others)
    draws = len(next(iter(seeds.values())).scores)
    console.print(f"Over {draws} sampling seeds, baselines as means:")
    console.print(table)


def _print_verification(verification: Mapping[str, Verification]) -> None:
    table = _table("Fast", "Reference", "Difference", "Allowed", "Equal")
    for name, row in verification.items():
        fast, reference = row.fast, row.disentanglement_lib
        table.add_row(
            name,
            f"{fast:.6f}",
            "fails" if reference is None else f"{reference:.6f}",
            "" if reference is None else f"{abs(fast - reference):.1e}",
            f"{row.tolerance:.1e}",
            "" if reference is None else _yes_or_no(row.within),
        )
    console.print("Both engines on the same codes; the reference is disentanglement_lib:")
    console.print(table)


class Row(NamedTuple):
    """One of many, as the table and `all_scores.json` have it: a report takes ten times as much.

    Args:
        scores: The first seed's scores, by metric.
        baselines: Those of each baseline.
        dim: Number of dims of its codes.
        seeds: How many sampling seeds there were.
        equal: Whether both engines agree; None where one ran.
    """

    scores: dict[str, float | None]
    baselines: dict[str, dict[str, float | None]]
    dim: int
    seeds: int
    equal: bool | None


def row_of(report: Report) -> Row:
    """What the table of many has of a report."""
    verified = not isinstance(report.verification, UnsetType)
    return Row(
        report.scores,
        report.baselines,
        report.representation.dim,
        report.made_from.protocol["seeds"],
        report.equal if verified else None,
    )


def baselines_of(rows: Iterable[Row]) -> dict[str, dict[str, float | None]]:
    """The scores of all baselines of many, by title: noise depends on its dims."""
    noise: dict[str, dict[str, float | None]] = {}
    others: dict[str, dict[str, float | None]] = {}
    for row in rows:
        noise[f"noise, {row.dim} dims"] = row.baselines["noise"]
        others |= row.baselines
    return noise | {name: scores for name, scores in others.items() if name != "noise"}


def print_all(rows: Mapping[str, Row]) -> None:
    """Many representations, one row each, and below them their baselines.

    Of very many the first are shown: to draw a row takes as long as to write a file.
    """
    if console.quiet:
        return
    first = next(iter(rows.values()), None)
    names = [] if first is None else list(first.scores)
    verified = first is not None and first.equal is not None
    headings = [name.replace("_", "\n") for name in names]  # a number's width
    table = _table(*headings, *["Engines\nequal"] * verified, of="Representation")
    for title, row in islice(rows.items(), MOST_ROWS):
        cells = [number(score) for score in row.scores.values()]
        if row.equal is not None:
            cells.append(_yes_or_no(row.equal))
        table.add_row(escape(visible(title)), *cells)
    table.add_section()
    for title, scores in baselines_of(rows.values()).items():
        table.add_row(title, *(number(scores[name]) for name in names), style="dim")
    console.print(table)
    if len(rows) > MOST_ROWS:
        console.print(f"Of {len(rows):,}, the first {MOST_ROWS}; {ALL_SCORES} has all scores.")
    if first is not None and first.seeds > 1:
        console.print("These are the first seed's scores; each scores.json has those of all.")


def _table(*columns: str, of: str = "Metric") -> Table:
    table = Table()
    table.add_column(of, overflow="fold", min_width=len("noise, 18 dims"))
    for column in columns:
        table.add_column(column, justify="right", min_width=len(number(0)))
    return table


def number(value: float | None) -> str:
    """A score as a person reads it."""
    return "none" if value is None else f"{value:.4f}"


def _yes_or_no(answer: bool) -> str:
    return "[green]yes[/green]" if answer else "[bold red]no[/bold red]"
