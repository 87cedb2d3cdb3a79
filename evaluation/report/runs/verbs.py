"""`python -m evaluation compare`, `leaderboard` and `serve`: what was graded, shown together."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape
from rich.table import Table as RichTable

from evaluation.common.errors import KitError, require
from evaluation.common.escaping import visible
from evaluation.common.files import whole_file
from evaluation.common.terminal import console
from evaluation.report import page
from evaluation.report.runs.comparison import Compared, compare
from evaluation.report.runs.leaderboard import SCORES, Board, boards_of
from evaluation.report.runs.pages import comparison_page
from evaluation.report.runs.reading import find_runs, named_runs
from evaluation.report.runs.studies import boards_of_study, table_at
from evaluation.report.runs.tables import FORMATS, Cell, Table, as_text, shown
from evaluation.report.summary import SHORT


def main(argv: Sequence[str]) -> int:
    """Runs the verb that `argv` begins with."""
    arguments = _parser().parse_args(argv)
    if arguments.verb == "serve":
        return _serve(arguments.folder, arguments.host, arguments.port)
    wide = arguments.format != "table"
    if arguments.verb == "compare":
        runs = named_runs(arguments.runs)
        compared = compare(runs)
        _print(_compared(compared, wide=wide), arguments.format)
        if arguments.page is not None:
            _require_page()
            with whole_file(arguments.page) as temporary:
                temporary.write_text(comparison_page(compared), encoding="utf-8")
            console.print(f"Wrote {arguments.page}", markup=False)
    else:
        table = table_at(arguments.folder)
        boards = boards_of(find_runs(arguments.folder)) if table is None else boards_of_study(table)
        boards = _chosen(boards, arguments.dataset)
        if wide:
            _print(_all_placed(boards), arguments.format)
        for board in [] if wide else boards:
            console.print(f"On {board.title}:", markup=False)
            _print(_placed(board, wide=False), "table")
    return 0


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m evaluation")
    verbs = made.add_subparsers(dest="verb", required=True)
    side_by_side = verbs.add_parser(
        "compare", help="runs side by side", description="Shows runs beside the first of them."
    )
    side_by_side.add_argument(
        "runs", type=Path, nargs="+", metavar="RUN", help="folder of a run, or of several"
    )
    side_by_side.add_argument("--page", type=Path, metavar="FILE.html", help="also write a page")
    in_order = verbs.add_parser(
        "leaderboard",
        help="runs in the challenge's order",
        description="Orders runs by the mean of their ranks in the five scores, a board for each "
        "dataset and sampling seed. DIR holds folders of runs; in a folder of folders the outer "
        "one is the owner, who keeps the best run. Of a study, by its folder or its runs.csv, each "
        "run takes part.",
    )
    in_order.add_argument("folder", type=Path, metavar="DIR")
    in_order.add_argument("--dataset", metavar="NAME", help="show only the boards of this dataset")
    for verb in (side_by_side, in_order):
        verb.add_argument("--format", choices=FORMATS, default="table", help="how to print it")
    served = verbs.add_parser(
        "serve",
        help="a site over a folder of runs",
        description="Serves the leaderboard of a folder, its runs side by side and the page of "
        "each run to a browser. Runs that are graded meanwhile appear when a page is loaded again. "
        "Ctrl+C ends it.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    served.add_argument("folder", type=Path, metavar="DIR", help="folder of runs")
    served.add_argument("--port", type=_port, default=8008, metavar="N", help="0 takes a free one")
    served.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on; whoever reaches another one than this machine's own can read "
        "all pages",
    )
    return made


def _port(text: str) -> int:
    """A port, as argparse's `type`."""
    if not (text.isascii() and text.isdecimal() and int(text) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is no port: it must be from 0 to 65535")
    return int(text)


def _serve(folder: Path, host: str, port: int) -> int:
    _require_page()
    from evaluation.report.runs.serving import serve

    serve(folder, host, port)
    return 0


def _chosen(boards: list[Board], dataset: str | None) -> list[Board]:
    chosen = [board for board in boards if dataset in (None, board.dataset)]
    if not chosen:
        known = ", ".join(dict.fromkeys(board.dataset for board in boards))
        raise KitError(
            "RUN-DATASET", f"no run was graded on {dataset!r}", f"Choose --dataset from {known}"
        )
    return chosen


def _all_placed(boards: Sequence[Board]) -> Table:
    """One table of all boards, with a column that names the board."""
    tables = [_placed(board, wide=True) for board in boards]
    rows = [
        [row[0], Cell(board.title), *row[1:]]
        for board, table in zip(boards, tables, strict=True)
        for row in table.rows
    ]
    columns = tables[0].columns
    return Table([columns[0], "Board", *columns[1:]], rows)


def _placed(board: Board, *, wide: bool) -> Table:
    """`wide` gives ranks columns of their own, rather than a line below the score."""
    columns, rows = ["Run", "Place", "Mean rank"], []
    for metric in SCORES:
        columns += [SHORT[metric], f"{SHORT[metric]} rank"] if wide else [SHORT[metric]]
    for number, place in enumerate(board.placed, 1):
        row = [Cell(place.entry.name), Cell(number), Cell(place.total)]
        for metric in SCORES:
            rank = place.ranks[metric]
            score = place.entry.scores.get(metric)
            row.append(Cell(score, rank == 1, "" if wide else f"rank {rank}"))
            row += [Cell(rank)] if wide else []
        rows.append(row)
    return Table(columns, rows)


def _compared(compared: Sequence[Compared], *, wide: bool) -> Table:
    columns, rows = ["Run"], [[Cell(run.name)] for run in compared]
    for metric in compared[0].scores:
        short = SHORT.get(metric, metric)
        columns += [short, f"{short} diff", f"{short} 95 %"] if wide else [short]
        for row, run in zip(rows, compared, strict=True):
            found = run.differences.get(metric)
            interval = _interval(None if found is None else found.interval)
            below = "" if found is None else f"{found.value:+.4f}"
            if wide:
                row.append(Cell(run.scores[metric], metric in run.best))
                row.append(Cell(None if found is None else found.value))
                row.append(Cell(interval))
            else:
                lines = "\n".join(filter(None, (below, interval)))
                row.append(Cell(run.scores[metric], metric in run.best, lines))
    return _without_empty(Table(columns, rows))


def _without_empty(table: Table) -> Table:
    kept = [
        place
        for place in range(len(table.columns))
        if place == 0 or any(row[place].value is not None for row in table.rows)
    ]
    rows = [[row[place] for place in kept] for row in table.rows]
    return Table([table.columns[place] for place in kept], rows)


def _interval(interval: tuple[float, float] | None) -> str | None:
    return None if interval is None else f"{interval[0]:+.4f} to {interval[1]:+.4f}"


def _print(table: Table, style: str) -> None:
    if style != "table":
        print(as_text(table, style), end="")
        return
    drawn = RichTable()
    for place, column in enumerate(table.columns):
        title = escape(visible(column).replace(" ", "\n"))
        drawn.add_column(title, justify="right" if place else "left", overflow="fold")
    for row in table.rows:
        drawn.add_row(*map(_drawn, row))
    console.print(drawn)


def _drawn(cell: Cell) -> str:
    text = escape(shown(cell))
    text = f"[bold]{text}[/bold]" if cell.stands_out else text
    return f"{text}\n[dim]{cell.below}[/dim]" if cell.below else text


def _require_page() -> None:
    for module in page.NEEDED:
        require(module)
