"""What the process of a trial does: the runs of one setting, one after another."""

import sys
from collections.abc import Mapping

from evaluation.common.errors import KitError
from evaluation.common.terminal import console
from evaluation.many.processes import ends_with
from submission.study.plan import Plan
from submission.study.records import known, leave, of_these_datasets, refused
from submission.study.running import Doing, do_run


def do_runs(parent: int, doing: Doing, plan: Plan, data: Mapping[str, str]) -> None:
    """Does what is not done of the runs. The first that fails ends it, and leaves a record.

    Args:
        parent: The process with which this one ends.
        doing: How runs are done.
        plan: The runs.
        data: The fingerprints of the datasets, by name.
    """
    if not ends_with(parent):
        return
    console.quiet = True
    records = of_these_datasets(known(plan, doing.grading_from), data)
    for run in plan.runs:
        if run.key in records and records[run.key].state == "done":
            continue
        try:
            do_run(doing, run, data)
        except KitError as refusal:
            leave(run, refused(run, {"run": run.key, **doing.grading_from}, refusal))
            sys.exit(1)
