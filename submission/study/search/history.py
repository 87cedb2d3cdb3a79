"""What a search has tried: in its folder, and in the course of its study.

Of each trial only its own runs are planned and read, so that the last of many costs no more than
the first.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from evaluation.common.terminal import console
from submission.study.course import Course, stopped_runs
from submission.study.plan import Plan, Run, config_of, plan_with
from submission.study.records import Record, known, of_these_datasets
from submission.study.search.objective import value_of
from submission.study.search.space import extremes, parameters_of, setting_of
from submission.study.search.tried import Stopped, Tried, read_tried, write_tried
from submission.study.settings import Setting, identity, label


class History:
    """What a search has tried.

    Args:
        course: The study; it has the runs of all settings that were tried.
        file: The study's file.
        data: The fingerprints of the datasets, by name.

    Attributes:
        search: The file's part of this name.
        values: Parameters of Optuna, and the value, of each trial that is done.
        unfinished: Parameters of those that were begun.
    """

    def __init__(self, course: Course, file: Path, data: Mapping[str, str]) -> None:
        search = course.plan.study.search
        assert search is not None
        self._course = course
        tried = read_tried(course.plan.folder)
        self._tried = {identity(one.setting): one for one in tried}
        settings = [*extremes(search), *(one.setting for one in tried)]
        self._config = config_of(course.plan.study, file, settings)
        self.search = search
        self.values: list[tuple[dict[str, Any], float]] = []
        self.unfinished: list[dict[str, Any]] = []
        # Another process may have tried some of it while this one waited.
        self._refresh()
        self._planned = {run.key for run in course.plan.runs}
        done = of_these_datasets(course.records, data)
        runs: dict[Hashable, list[Run]] = {}
        for run in course.plan.runs:
            runs.setdefault(identity(run.setting), []).append(run)
        for key, one in self._tried.items():
            parameters = parameters_of(search, one.setting)
            if parameters is None:
                continue
            value = self._value_of(one, runs.get(key, []), done)
            if value is None:
                self.unfinished.append(parameters)
            else:
                self.values.append((parameters, value))

    def begin(self, parameters: Mapping[str, Any]) -> None:
        """Notes a setting that is tried from now on."""
        setting = setting_of(self.search, parameters)
        self._note(Tried(setting=setting))
        for run in self._plan_of([setting]).runs:
            self._course.waiting.pop(run.key, None)
            if run.key not in self._planned:
                self._planned.add(run.key)
                self._course.plan.runs.append(run)

    def end(self, parameters: dict[str, Any], value: float, stopped: Stopped | None) -> None:
        """Notes what came of a setting, and tells it."""
        setting = setting_of(self.search, parameters)
        tried = Tried(setting=setting, stopped=stopped)
        self._note(tried)
        self.values.append((parameters, value))
        early = "" if stopped is None else f", stopped after {stopped.epochs} epochs"
        console.print(
            f"{len(self.values)} of {self.search.trials}: {label(setting)}: "
            f"{self.search.objective} {value:.4g}{early}",
            markup=False,
        )
        plan = self._plan_of([setting])
        self._course.waiting.update(stopped_runs(plan, [tried]))
        self._course.note(self._known(plan))

    def fail(self, parameters: Mapping[str, Any]) -> None:
        """Notes that a setting was refused."""
        self._course.note(self._known(self._plan_of([setting_of(self.search, parameters)])))

    def close(self) -> None:
        """Brings the course up to date with all that was tried, and writes its table."""
        self._refresh()
        self._course.write_table()

    def _refresh(self) -> None:
        self._course.plan = self._plan_of([one.setting for one in self._tried.values()])
        self._course.records = self._known(self._course.plan)
        self._course.waiting = stopped_runs(self._course.plan, self._tried.values())

    def _note(self, tried: Tried) -> None:
        key = identity(tried.setting)
        if self._tried.get(key) == tried:
            return
        self._tried[key] = tried
        write_tried(self._course.plan.folder, list(self._tried.values()))

    def _plan_of(self, settings: Sequence[Setting]) -> Plan:
        plan = self._course.plan
        return plan_with(self._config, plan.study, plan.folder, settings)

    def _known(self, plan: Plan) -> dict[str, Record]:
        return known(plan, self._course.doing.grading_from)

    def _value_of(
        self, tried: Tried, runs: list[Run], records: Mapping[str, Record]
    ) -> float | None:
        """The value of a trial; None if it is not done. `records` are those of all runs."""
        if tried.stopped is not None:
            return tried.stopped.value
        own = {run.key: records[run.key] for run in runs if run.key in records}
        done = {key: record for key, record in own.items() if record.state == "done"}
        # A setting that is written in two ways has its runs with the other.
        if not runs or len(done) < len(runs):
            return None
        return value_of(self.search.objective, replace(self._course.plan, runs=runs), done)
