"""One trial of a search: all runs of a setting, in an actor of Ray Tune."""

import os
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from ray import tune

from evaluation.many.nodes import Checkout
from submission.study.description import Study
from submission.study.plan import Plan, plan_of
from submission.study.records import record_of
from submission.study.running import Doing, Needs, read_curves
from submission.study.search.objective import of_epoch, value_of
from submission.study.search.runs import do_runs
from submission.study.search.space import setting_of

VALUE, EPOCHS, FINISHED = "value", "epochs", "finished"
"""What a trial tells Tune: its objective, how many epochs it has trained, and whether that is all.
"""

_SECONDS_BETWEEN_LOOKS = 0.2


@dataclass(frozen=True)
class Context:
    """What trials need, in a form that other processes can be handed.

    Args:
        study: The content of the study's file.
        file: Its path.
        folder: The folder of its results.
        doing: How runs are done.
        needs: What a process must have.
        here: What a node must have.
    """

    study: Study
    file: Path
    folder: Path
    doing: Doing
    needs: Needs
    here: Checkout


class Trial(tune.Trainable):
    """Trains and grades with one setting. Each step is an epoch, for objectives that epochs have.

    A process of its own does the runs, so that a trial can be stopped in the midst of one.
    """

    def setup(self, config: dict[str, Any], context: Context) -> None:  # type: ignore[override]
        assert context.study.search is not None
        context.here.require_on(platform.node())
        data = context.needs.check()
        # The key of a run has the digest of weights in there, and a node may have another folder.
        os.environ["TORCH_HOME"] = str(context.doing.torch_home)
        setting = setting_of(context.study.search, config)
        self._objective = context.study.search.objective
        self._plan = plan_of(context.study, context.file, context.folder, [setting])
        self._told = 0
        self._process = _start(context.doing, self._plan, data)

    def step(self) -> dict[str, Any]:
        while True:
            ended = not self._process.is_alive()
            rows = [row for run in self._plan.runs for row in read_curves(run.folder)]
            if ended:
                records = {run.key: record_of(run) for run in self._plan.runs}
                done = {key: one for key, one in records.items() if one and one.state == "done"}
                if self._process.exitcode or len(done) < len(records):
                    raise RuntimeError(f"a run was refused: {self._plan.runs[0].subject}")
                value = value_of(self._objective, self._plan, done)
                return {VALUE: value, EPOCHS: len(rows), FINISHED: True, "done": True}
            for row in rows[self._told :]:
                self._told += 1
                value_now = of_epoch(self._objective, row)
                if value_now is not None:
                    return {VALUE: value_now, EPOCHS: self._told, FINISHED: False}
            time.sleep(_SECONDS_BETWEEN_LOOKS)

    def cleanup(self) -> None:
        if hasattr(self, "_process"):  # `setup` may have refused
            self._process.terminate()
            self._process.join()


def _start(doing: Doing, plan: Plan, data: Mapping[str, str]) -> SpawnProcess:
    small = replace(plan, config="", steps=[])
    process = get_context("spawn").Process(
        target=do_runs, args=(os.getpid(), doing, small, data), daemon=False
    )
    process.start()
    return process
