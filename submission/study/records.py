"""What is known of a run that was done or refused: `run.json` in its folder."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from evaluation.common.errors import KitError
from evaluation.common.files import write_json
from submission.study.plan import Plan, Run

NAME = "run.json"

Interval = tuple[float, float]


class Graded(msgspec.Struct, frozen=True, kw_only=True):
    """How a run was graded on one dataset.

    Args:
        scores: By metric; None where there is none.
        intervals: 95 % intervals of the mean over the sampling seeds, by metric.
        seconds: What the command took.
        data: The fingerprint of the dataset.
    """

    scores: dict[str, float | None]
    intervals: dict[str, Interval]
    seconds: float
    data: str


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a run.

    Args:
        made_from: The run's key, and all that its scores depend on beside it.
        state: What became of it.
        problem: Why it was refused; empty if it was not.
        codes_from: As in the study's file.
        setting: The bindings that vary.
        seed: Seed of the training.
        dataset: What it was trained on.
        data: The fingerprint of that dataset.
        unlabelled: What the training says without labels: `reconstruction`, `kld`, `active_codes`.
        graded: By dataset.
        epochs: Epochs of the training.
        seconds: What the training took.
        disk: Bytes of its folder.
        representation: SHA-256 of its representation.
    """

    made_from: dict[str, Any]
    state: Literal["done", "refused"]
    problem: str = ""
    codes_from: Literal["images", "features"] = "images"
    setting: dict[str, Any]
    seed: int
    dataset: str
    data: str = ""
    unlabelled: dict[str, float] = {}
    graded: dict[str, Graded] = {}
    epochs: int = 0
    seconds: float = 0.0
    disk: int = 0
    representation: str = ""


class Unfinished(NamedTuple):
    """Why a run is not done that was begun, and how far it came.

    Args:
        reason: A clause.
        state: Whether it waits, or a search has stopped it for good.
        epochs: Epochs of its training.
        unlabelled: What the last of them says without labels.
    """

    reason: str
    state: Literal["waiting", "stopped"] = "waiting"
    epochs: int = 0
    unlabelled: Mapping[str, float] = {}


def record_of(run: Run) -> Record | None:
    """The record in a run's folder; None if it is absent or damaged."""
    try:
        return msgspec.json.decode((run.folder / NAME).read_bytes(), type=Record)
    except (OSError, ValueError):  # msgspec's errors are ValueErrors
        return None


def leave(run: Run, record: Record) -> None:
    """Writes the record of a run."""
    write_json(run.folder / NAME, msgspec.to_builtins(record))


def refused(run: Run, made_from: dict[str, Any], refusal: KitError) -> Record:
    """The record of a run that was refused."""
    return Record(
        made_from=made_from,
        state="refused",
        problem=str(refusal),
        setting=run.setting,
        seed=run.seed,
        dataset=run.dataset,
    )


def known(plan: Plan, made_from: dict[str, Any]) -> dict[str, Record]:
    """The records of runs that were made from the same, by the key of the run.

    Args:
        plan: The study.
        made_from: All that scores depend on beside the run and the datasets.
    """
    return made_from_same(all_records(plan), made_from)


def all_records(plan: Plan) -> dict[str, Record]:
    """The records of all runs that have one, by the key of the run."""
    found = {run.key: record_of(run) for run in plan.runs}
    return {key: record for key, record in found.items() if record is not None}


def made_from_same(
    records: Mapping[str, Record], made_from: Mapping[str, Any]
) -> dict[str, Record]:
    """Those of `records` whose runs were made from the same, see `known`."""
    return {
        key: record
        for key, record in records.items()
        if record.made_from == {"run": key, **made_from}
    }


def outdated(records: Mapping[str, Record], made_from: Mapping[str, Any]) -> dict[str, Unfinished]:
    """Why runs that were graded must be graded again, by the key of the run.

    Args:
        records: Those of all runs.
        made_from: As for `known`.
    """
    reasons = {
        "grader": "the grader's code has changed since; run the study to grade again",
        "versions": "versions of packages have changed since; run the study to grade again",
        "grade": "the study's file asks for another grading; run the study to grade again",
    }
    found = {}
    for key, record in records.items():
        if record.state == "refused":
            continue
        changed = [name for name in reasons if record.made_from.get(name) != made_from.get(name)]
        if changed:
            found[key] = Unfinished(reasons[changed[0]])
    return found


def of_these_datasets(
    records: Mapping[str, Record], fingerprints: Mapping[str, str]
) -> dict[str, Record]:
    """The records of runs that saw the datasets as they are now.

    Args:
        records: By the key of the run.
        fingerprints: Of each dataset, by its name.
    """
    return {
        key: record
        for key, record in records.items()
        if record.state == "refused"
        or (
            record.data == fingerprints.get(record.dataset)
            and all(graded.data == fingerprints.get(name) for name, graded in record.graded.items())
        )
    }
