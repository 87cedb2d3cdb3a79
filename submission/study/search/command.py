"""`study --search`: Ray Tune does trials until there are as many as the file asks for."""

import logging
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from evaluation.common.errors import KitError
from evaluation.common.files import locked
from evaluation.data import open_dataset
from evaluation.many.connecting import LOCAL, connected, cpus_in
from evaluation.many.nodes import Checkout
from evaluation.origin import grader_digest, versions
from submission.study.command import SchedulerOf, do_steps, shared_needs, write_config
from submission.study.course import Course, datasets_of
from submission.study.description import Search
from submission.study.plan import Plan, plan_of
from submission.study.search.history import History
from submission.study.search.objective import mode_of
from submission.study.search.space import distributions, extremes
from submission.study.search.tried import Stopped

_TUNE = "tune"
"""A folder of Ray Tune's own, which is removed at the end: `search.json` says how far a search is.
"""


def do_search(course: Course, file: Path, scheduler_of: SchedulerOf) -> list[KitError]:
    """Tries settings until there are as many as the search asks for. Returns why some failed.

    Args:
        course: The study; it has the runs of all settings that were tried, in the end.
        file: The study's file.
        scheduler_of: Where the command line wants the work to be done.

    Raises:
        KitError: `STUDY-SEARCH`, a binding changes what runs share; `CLUSTER-…`; `DATA-…`.
    """
    study = course.plan.study
    assert study.search is not None
    folder = course.plan.folder
    probe = plan_of(study, file, folder, extremes(study.search))
    require_alike(probe, study.search)
    root = course.doing.data_root
    data = {name: open_dataset(name, root).fingerprint for name in datasets_of(study)}
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, folder.name), shared_needs(course) as needs:
        write_config(probe)
        alike = replace(course, plan=replace(probe, runs=probe.runs[:1]), records={}, waiting={})
        failed = do_steps(alike, needs, scheduler_of)
        if failed:
            return list(failed.values())
        from submission.study.search.trial import Context

        mark = needs.marks[0]
        here = Checkout(versions(), grader_digest(), mark)
        context = Context(study, file, folder, course.doing, needs, here)
        return _try(course, context, data, scheduler_of)


def require_alike(probe: Plan, search: Search) -> None:
    """Refuses a search that varies what comes before the steps that runs share.

    Raises:
        KitError: `STUDY-SEARCH`.
    """
    by_dataset: dict[tuple[str, int], tuple[str, ...]] = {}
    for run in probe.runs:
        steps = by_dataset.setdefault((run.dataset, run.seed), run.steps)
        if steps != run.steps:
            changed = [
                name for name in search.bindings if run.setting[name] != probe.runs[0].setting[name]
            ]
            raise KitError(
                "STUDY-SEARCH",
                f"the search varies '{changed[0]}', on which fine-tuning or features depend",
                "Vary it by [grid]; a search can vary what comes after the features",
            )


def _try(
    course: Course, context: Any, data: dict[str, str], scheduler_of: SchedulerOf
) -> list[KitError]:
    """Does the trials that are left."""
    import optuna
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler, FIFOScheduler
    from ray.tune.search.optuna import OptunaSearch

    from submission.study.search.trial import EPOCHS, VALUE, Trial

    search = context.study.search
    mode = mode_of(search.objective)
    history = History(course, context.file, data)
    left = search.trials - len(history.values)
    if left <= 0:
        return []
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # Trials that fail are told at the end, a line each.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # whose tables `verbose` does not turn off
    searcher = OptunaSearch(
        distributions(search),
        metric=VALUE,
        mode=mode,
        points_to_evaluate=history.unfinished[:left],
        # Another seed after each start, since a generator's state is not kept.
        sampler=optuna.samplers.TPESampler(seed=search.seed + len(history.values)),
    )
    for parameters, value in history.values:
        searcher.add_evaluated_point(parameters, value)
    scheduler: Any = FIFOScheduler()
    if search.grace_epochs is not None:  # the objective is one that epochs have
        scheduler = ASHAScheduler(
            time_attr=EPOCHS, metric=VALUE, mode=mode, grace_period=search.grace_epochs, max_t=10**6
        )
    threads = context.study.train.threads
    own = min(scheduler_of.workers, left) * threads if scheduler_of.cluster is None else None
    storage = context.folder / _TUNE
    with connected(scheduler_of.cluster or LOCAL, own) as ray:
        resources: dict[str, float] = {"cpu": threads}
        there = ray.cluster_resources()
        if there.get("GPU"):
            resources["gpu"] = min(1.0, there["GPU"] * resources["cpu"] / cpus_in(there))
        tuner = tune.Tuner(
            tune.with_resources(tune.with_parameters(Trial, context=context), resources),
            tune_config=tune.TuneConfig(
                search_alg=searcher, scheduler=scheduler, num_samples=left, reuse_actors=False
            ),
            run_config=tune.RunConfig(
                name="trials",
                storage_path=str(storage),
                verbose=0,
                callbacks=[_telling(history)],
                # The folder of a run has what is needed to go on.
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        try:
            results = tuner.fit()
        finally:
            shutil.rmtree(storage, ignore_errors=True)
            history.close()
    failed = [_said(error) for error in results.errors]
    refused = [one.problem for one in course.records.values() if one.state == "refused"]
    return [_refusal(problem) for problem in refused or failed]


def _said(error: Exception) -> str:
    """What an error of a trial says below Ray's traceback: our own line, or the last one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    ours = [line[line.index("error[") :] for line in lines if "error[" in line]
    return (ours or lines or [type(error).__name__])[-1]


def _refusal(problem: str) -> KitError:
    said = problem.partition("]: ")[2] or problem
    return KitError(
        "STUDY-TRIAL", f"a trial was refused: {said.rstrip('.')}", "See runs.csv, and search again"
    )


def _telling(history: History) -> Any:
    """What Ray Tune calls when a trial begins and when it ends."""
    from ray import tune

    from submission.study.search.trial import EPOCHS, FINISHED, VALUE

    class Telling(tune.Callback):
        def on_trial_start(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:  # noqa: ARG002
            history.begin(trial.config)

        def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:  # noqa: ARG002
            last = trial.last_result
            stopped = None
            if not last[FINISHED]:
                stopped = Stopped(epochs=last[EPOCHS], value=last[VALUE])
            history.end(trial.config, last[VALUE], stopped)

        def on_trial_error(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:  # noqa: ARG002
            history.fail(trial.config)

    return Telling()
