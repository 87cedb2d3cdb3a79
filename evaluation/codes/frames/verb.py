"""`python -m evaluation frames`: which code follows which factor, on pictures without labels."""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from rich.markup import escape
from rich.table import Table

from evaluation.codes.frames.content import FramesReport, Walked
from evaluation.codes.frames.walking import walk_all
from evaluation.common import devices, environment
from evaluation.common.errors import BAD_INPUT
from evaluation.common.flags import limits_from
from evaluation.common.terminal import console, silent
from evaluation.data.frames import read_frames
from evaluation.representation import limits
from evaluation.representation.finding import find_all
from evaluation.rules import Rules

_FILE = "mpi3d_frames/mpi3d_frames.npz"


def main(argv: Sequence[str]) -> int:
    """Runs the verb; `argv` holds what follows it."""
    arguments = _parser().parse_args(argv)
    frames = read_frames(arguments.frames)
    founds, unfound = find_all(arguments.representation)
    rules = Rules(
        metrics=(),
        placement=devices.Placement(devices.pick_device(arguments.device)),
        allow_unstable=arguments.allow_unstable,
        strict=arguments.strict,
        limits=limits_from(arguments, limits.Limits),
    )
    with silent(arguments.quiet or arguments.json):
        reports, refused = walk_all(founds, unfound, frames, rules, arguments.output)
        for report in reports.values():
            _print(report)
    if arguments.json:
        print(json.dumps(msgspec.to_builtins(reports), indent=2, allow_nan=False))
    return BAD_INPUT if refused else 0


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m evaluation frames",
        description="Runs representations on frames that walk one factor after the other, and says "
        "which code moves most for each. No labels are needed. frames.json goes to --output, and a "
        "grading into the same folder shows it on its page.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = made.add_argument
    add(
        "--representation",
        type=Path,
        nargs="+",
        required=True,
        metavar="PATH",
        help="as for grading: files, experiments, or folders of any of them",
    )
    add(
        "--frames",
        type=Path,
        default=environment.data_root() / _FILE,
        metavar="FILE.npz",
        help="the frames",
    )
    add(
        "--output",
        type=Path,
        default=environment.output_path() / environment.evaluation_name(),
        metavar="DIR",
        help="where frames.json is written",
    )
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to encode")
    add("--allow-unstable", action="store_true", help="take codes that vary for the same image")
    add("--strict", action="store_true", help="refuse what cannot be isolated, and programs")
    add("--quiet", action="store_true", help="print nothing but errors")
    add("--json", action="store_true", help="print the reports by name, and nothing else")
    add("--debug", action="store_true", help="print a traceback above an error's line")
    limits.add_arguments(made)
    return made


def _print(report: FramesReport) -> None:
    about, rows = report.representation, len(report.factor_names)
    console.print(
        f"[bold]{escape(about.path)}[/bold], {about.kind}, {about.dim} dims: the code that moves "
        "most on each walk, and the share of its variation that falls there"
    )
    table = Table()
    table.add_column("Factor walked", overflow="fold")
    for title in report.sets:
        table.add_column(escape(title), justify="right")
    for place, factor in enumerate(report.factor_names):
        table.add_row(escape(factor), *(_cell(one.walked[place]) for one in report.sets.values()))
    table.add_section()
    found: Mapping[str, list[str]] = {
        f"* of {rows}": [str(one.rows_strongest) for one in report.sets.values()],
        "  noise": [f"{one.noise.rows_strongest:.1f}" for one in report.sets.values()],
        "mean share": [f"{one.mean_share:.2f}" for one in report.sets.values()],
        "  noise ": [f"{one.noise.mean_share:.2f}" for one in report.sets.values()],
    }
    for name, cells in found.items():
        table.add_row(name, *cells, style="dim" if "noise" in name else None)
    console.print(table)
    console.print(
        "Each cell is a code and its share. A code that follows one factor has 1. * No other walk "
        "moves this code more; noise has many of these, with low shares."
    )


def _cell(walked: Walked) -> str:
    if walked.code is None:
        return "none moves"
    mark = "*" if walked.strongest else " "
    return f"{walked.code:3} {walked.share:.2f} {mark}"
