"""Scores as a person reads them."""

from collections.abc import Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

from evaluation.metrics import METRICS
from evaluation.terminal import console


def print_report(report: Mapping[str, Any]) -> None:
    """One representation: its scores beside those of the baselines, and what each took."""
    about, baselines = report["representation"], report["baselines"]
    console.print(
        f"[bold]{escape(about['path'])}[/bold], {about['kind']}, {about['dim']} dims, on "
        f"{report['dataset']} ({' x '.join(map(str, report['factor_sizes']))})"
    )
    table = _table("Score", *map(str.capitalize, baselines), "Seconds")
    for name, score in report["scores"].items():
        others = [_number(scores[name]) for scores in baselines.values()]
        seconds = f"{report['seconds'][name]:.1f}"
        table.add_row(name, f"[bold]{_number(score)}[/bold]", *others, seconds)
        for key in METRICS[name].further_keys:
            table.add_row(f"  {key}", _number(report["details"][name][key]), style="dim")
    table.add_section()
    empty = [""] * (1 + len(baselines))
    table.add_row("encoding", *empty, f"{report['seconds']['encode']:.1f}")
    console.print(table)
    console.print("Scores lie between 0 and 1, best at 1; noise scores what codes give by chance.")
    if "seeds" in report:
        _print_seeds(report["seeds"])
    if "verification" in report:
        _print_verification(report["verification"])


def _print_seeds(seeds: Mapping[str, Mapping[str, Any]]) -> None:
    table = _table("Mean", "Std", "95 % of the mean")
    for name, spread in seeds.items():
        interval = " to ".join(map(_number, spread["interval"]))
        table.add_row(name, _number(spread["mean"]), _number(spread["std"]), interval)
    number = len(next(iter(seeds.values()))["scores"])
    console.print(f"Over {number} sampling seeds:")
    console.print(table)


def _print_verification(verification: Mapping[str, Mapping[str, Any]]) -> None:
    table = _table("Fast", "Reference", "Difference", "Allowed", "Equal")
    for name, row in verification.items():
        fast, reference = row["fast"], row["disentanglement_lib"]
        table.add_row(
            name,
            f"{fast:.6f}",
            "none" if reference is None else f"{reference:.6f}",
            "" if reference is None else f"{abs(fast - reference):.1e}",
            f"{row['tolerance']:.1e}",
            _yes_or_no(row["within"]),
        )
    console.print("Both engines on the same codes; the reference is disentanglement_lib:")
    console.print(table)


def print_all(reports: Mapping[str, Mapping[str, Any]]) -> None:
    """Many representations, one row each."""
    first: Mapping[str, Any] = next(iter(reports.values()), {"scores": {}})
    verified = "verification" in first
    table = _table(*first["scores"], *["Engines equal"] * verified, of="Representation")
    for title, report in reports.items():
        cells = [_number(score) for score in report["scores"].values()]
        if verified:
            equal = all(row["within"] for row in report["verification"].values())
            cells.append(_yes_or_no(equal))
        table.add_row(escape(title), *cells)
    console.print(table)


def _table(*columns: str, of: str = "Metric") -> Table:
    table = Table()
    table.add_column(of)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"


def _yes_or_no(answer: bool) -> str:
    return "[green]yes[/green]" if answer else "[bold red]no[/bold red]"
