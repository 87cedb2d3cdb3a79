"""Pages of several runs: side by side, and what a folder of them holds."""

from collections.abc import Sequence

from evaluation.report import page
from evaluation.report.runs.comparison import Compared
from evaluation.report.runs.leaderboard import SCORES, Board
from evaluation.report.runs.watching import SeenRun
from evaluation.report.summary import SHORT


def comparison_page(compared: Sequence[Compared]) -> str:
    """Runs side by side, one or more."""
    return (
        page.environment()
        .get_template("comparison.html")
        .render(
            runs=compared,
            short=SHORT,
            datasets=list(dict.fromkeys(run.dataset for run in compared)),
        )
    )


def index_page(
    folder: str, runs: Sequence[SeenRun], boards: Sequence[Board], *, again_after: int | None
) -> str:
    """The leaderboards of a folder, all its runs with links to their pages, and broken ones.

    Args:
        folder: Its name.
        runs: From the earliest to the latest.
        boards: Those that can be read, in the challenge's order.
        again_after: Seconds after which the browser loads the page again; None if it does not.
    """
    return (
        page.environment()
        .get_template("index.html")
        .render(
            folder=folder,
            readable=[run for run in reversed(runs) if run.problem is None],
            broken=[run for run in reversed(runs) if run.problem is not None],
            by_name={run.name: run for run in runs},
            boards=boards,
            scores=SCORES,
            short=SHORT,
            again_after=again_after,
        )
    )
