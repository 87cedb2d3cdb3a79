"""The verb `study` of `python -m submission`."""

import argparse
from pathlib import Path

from evaluation.common import environment
from evaluation.common.errors import BAD_INPUT, require, tell
from evaluation.common.flags import add_scheduling


def add_verb(verbs: argparse._SubParsersAction) -> None:
    """Adds the verb to the command line."""
    summary = "train and grade every combination of a TOML file's settings, seeds and datasets"
    parser = verbs.add_parser(
        "study",
        help=summary,
        description=summary[0].upper() + summary[1:] + ". What is done is not done again.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("study", type=Path, metavar="STUDY.toml", help="the study's file")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--dry-run", action="store_true", help="only say what is done, and what the rest will take"
    )
    what.add_argument(
        "--report",
        action="store_true",
        help="only write table and page again",
    )
    what.add_argument(
        "--search",
        action="store_true",
        help="try the settings that the file's [search] comes to (Ray Tune and Optuna)",
    )
    add_scheduling(parser, "runs", "work")
    add("--device", default="auto", help="auto, cpu or cuda")
    add(
        "--output",
        type=Path,
        metavar="DIR",
        help="folder of the study (default: its file's name in $AICROWD_OUTPUT_PATH)",
    )
    add(
        "--features-dir",
        type=Path,
        default=environment.SCRATCH / "features",
        metavar="DIR",
        help="folder for cached feature tables",
    )
    parser.set_defaults(run=_study)


def _study(arguments: argparse.Namespace) -> int:
    require("torchvision")
    if arguments.cluster is not None:
        require("ray")
    from evaluation.outputs import require_room
    from submission.study.command import SchedulerOf, do_all
    from submission.study.course import open_course
    from submission.study.estimate import show
    from submission.study.owner import note_owner, require_own
    from submission.study.results import page, table
    from submission.study.search.wanted import require_search

    folder = arguments.output or environment.output_path() / arguments.study.stem
    require_room(folder, table.CSV, table.PARQUET, page.NAME)
    require_room(arguments.features_dir, flag="--features-dir")
    if arguments.output is None:
        require_own(folder, arguments.study)
    course = open_course(arguments.study, folder, arguments.device, arguments.features_dir)
    if not arguments.dry_run and not arguments.report:
        require_search(course.plan.study, arguments.study, arguments.search)
    if arguments.dry_run:
        show(course, _workers(arguments))
        return 0
    note_owner(folder, arguments.study)
    refusals = []
    scheduler_of = SchedulerOf(arguments.workers, arguments.cluster)
    if arguments.search:
        from submission.study.search.command import do_search

        refusals = do_search(course, arguments.study, scheduler_of)
    elif not arguments.report:
        refusals = do_all(course, scheduler_of)
    course.leave_results(arguments.study.stem)
    for refusal in refusals:
        tell(refusal)
    return BAD_INPUT if refusals else 0


def _workers(arguments: argparse.Namespace) -> int:
    """The number of runs that are done at once."""
    if arguments.cluster is None:
        return int(arguments.workers)
    from evaluation.many.connecting import cpus_of

    return cpus_of(arguments.cluster)
