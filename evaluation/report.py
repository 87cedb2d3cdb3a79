"""Scores as a person reads them."""

from collections.abc import Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

from evaluation.errors import KitError
from evaluation.metrics import METRICS
from evaluation.terminal import console


def print_report(report: Mapping[str, Any]) -> None:
    """One representation: its scores beside those of the baselines, and what each took."""
    about, baselines = report["representation"], report["baselines"]
    console.print(
        f"[bold]{escape(about['path'])}[/bold], {about['kind']}, {about['dim']} dims, on "
        f"{report['dataset']} ({' x '.join(map(str, report['factor_sizes']))})"
    )
    table = Table(caption="Higher is better, from 0 to 1. Noise shows what tells nothing.")
    table.add_column("Metric", no_wrap=True)
    table.add_column("Score", justify="right", style="bold")
    for name in baselines:
        table.add_column(name.capitalize(), justify="right", style="dim")
    if "seeds" in report:
        number = len(next(iter(report["seeds"].values()))["scores"])
        table.add_column(f"Over {number} seeds", justify="right")
        table.add_column("95 % of the mean", justify="right")
    table.add_column("Seconds", justify="right")
    for name, score in report["scores"].items():
        row = [name, _score(score), *(_score(scores[name]) for scores in baselines.values())]
        if "seeds" in report:
            over = report["seeds"][name]
            row += [
                f"{over['mean']:.4f} ± {over['std']:.4f}",
                "{:.4f} to {:.4f}".format(*over["interval"]),
            ]
        table.add_row(*row, f"{report['seconds'][name]:.1f}")
        for key in METRICS[name].further_keys:
            table.add_row(f"  {key}", _score(report["details"][name][key]), style="dim")
    table.add_section()
    table.add_row(
        "encoding", *[""] * (len(table.columns) - 2), f"{report['seconds']['encode']:.1f}"
    )
    console.print(table)
    if "verification" in report:
        print_verification(report["verification"])


def print_verification(verification: Mapping[str, Mapping[str, Any]]) -> None:
    """The two engines side by side."""
    table = Table(title="Both engines on the same codes")
    table.add_column("Metric", no_wrap=True)
    for title in ("fast", "disentanglement_lib", "Difference", "Tolerance"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("Within")
    for name, row in verification.items():
        fast, reference = row["fast"], row["disentanglement_lib"]
        difference = "" if reference is None else f"{abs(fast - reference):.2e}"
        within = "[green]yes[/green]" if row["within"] else "[bold red]no[/bold red]"
        table.add_row(
            name,
            f"{fast:.6f}",
            "none" if reference is None else f"{reference:.6f}",
            difference,
            f"{row['tolerance']:.0e}",
            within,
        )
    console.print(table)


def print_all(reports: Mapping[str, Mapping[str, Any]], refusals: Mapping[str, KitError]) -> None:
    """Many representations, one row each."""
    table = Table()
    table.add_column("Representation")
    names = list(next(iter(reports.values()))["scores"]) if reports else []
    for name in names:
        table.add_column(name, justify="right")
    for title, report in reports.items():
        table.add_row(escape(title), *(_score(report["scores"][name]) for name in names))
    console.print(table)
    for title, refusal in refusals.items():
        console.print(f"{escape(title)}: [red]refused, {refusal.code}[/red]")


def _score(score: float | None) -> str:
    return "none" if score is None else f"{score:.4f}"
