"""One run and one shared step of a study, done by the commands that a person would type."""

import csv
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec import UnsetType

from evaluation.common import environment
from evaluation.common.errors import KitError
from evaluation.data import open_dataset
from evaluation.metrics import CHALLENGE
from evaluation.origin import source_digest
from evaluation.report.runs.reading import read_run
from submission.study.description import Grade, Train
from submission.study.notes import leave_note
from submission.study.plan import Run, Step, graded_on
from submission.study.records import Graded, Record, leave

COLUMNS_WITHOUT_LABELS = {
    "reconstruction": ("MSE", "BCE"),  # of features, and of pixels
    "kld": ("KLD",),
    "active_codes": ("active_codes",),
}
"""What a training says without labels: name in the table -> columns of `stats.csv`."""

SOURCES = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Doing:
    """How runs and steps are done, in a form that another process can be handed.

    Args:
        config: The gin file of all of them.
        train: The study's part of this name.
        grade: The same.
        device: As `--device`.
        features_dir: Folder of cached features.
        data_root: Folder of the datasets.
        torch_home: Folder of weights.
        grading_from: All that scores depend on beside the run.
    """

    config: Path
    train: Train
    grade: Grade
    device: str
    features_dir: Path
    data_root: Path
    torch_home: Path
    grading_from: dict[str, Any]

    def datasets_of(self, run: Run) -> list[str]:
        """What a run is graded on."""
        return graded_on(self.grade, run.dataset)

    def words(self, run: Run) -> list[list[str]]:
        """The arguments of Python by which a run is trained, and then graded on each dataset."""
        training = self.verb("train", run.bindings, run.key)
        if self.grade.codes_from == "features":
            training += ["--codes-of", ",".join(self.datasets_of(run))]
        return [training, *(self._grading(run, dataset) for dataset in self.datasets_of(run))]

    def verb(self, verb: str, bindings: Sequence[str], *experiment: str) -> list[str]:
        """The arguments of Python for a verb of `python -m submission`."""
        words = ["-m", "submission", verb, str(self.config), *experiment]
        words += ["--device", self.device, "--precision", self.train.precision]
        words += ["--features-dir", str(self.features_dir)]
        return [*words, *(word for binding in bindings for word in ("--binding", binding))]

    def variables(self, output: Path, dataset: str, threads: int | None) -> dict[str, str]:
        """The environment of a command, on whichever node it runs.

        Without a number, it has as many threads as this process has CPUs.
        """
        paths = (str(environment.REPOSITORY), os.environ.get("PYTHONPATH"))
        variables = {
            **os.environ,
            "AICROWD_OUTPUT_PATH": str(output),
            "AICROWD_DATASET_NAME": dataset,
            "DISENTANGLEMENT_LIB_DATA": str(self.data_root),
            "TORCH_HOME": str(self.torch_home),
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        }
        variables.pop("AICROWD_IS_GRADING", None)
        variables.pop("OMP_NUM_THREADS", None)
        return variables | ({} if threads is None else {"OMP_NUM_THREADS": str(threads)})

    def _grading(self, run: Run, dataset: str) -> list[str]:
        metrics = self.grade.metrics or [metric.name for metric in CHALLENGE]
        subject = ["--representation", str(run.folder / "representation")]
        if self.grade.codes_from == "features":
            subject = ["--codes", str(codes_file(run, dataset))]
        return [
            *("-m", "evaluation", *subject),
            *("--dataset", dataset, "--metrics", ",".join(metrics), "--device", self.device),
            *("--seed", str(self.grade.seed), "--seeds", str(self.grade.seeds)),
            *("--output", str(run.folder / "graded" / dataset), "--no-page"),
        ]


def codes_file(run: Run, dataset: str) -> Path:
    """Where the training leaves the codes of a dataset that it made from features."""
    return run.folder / "codes" / f"{dataset}.npy"


@dataclass(frozen=True)
class Needs:
    """What every process of a study needs to have.

    Args:
        datasets: Names of datasets that can be opened.
        data_root: Their folder.
        marks: Files that are there if its folders are the same.
        source: The hash of the code of `submission` on the node that plans.
        node: That node's name.
    """

    datasets: tuple[str, ...]
    data_root: Path
    marks: tuple[Path, ...]
    source: str
    node: str

    def check(self) -> dict[str, str]:
        """Checks this process, before anything is trained. Returns the datasets' fingerprints.

        Raises:
            KitError: `DATA-…`, a dataset cannot be opened; `CLUSTER-…`, this node has other code
                or other folders.
        """
        if platform.node() != self.node and source_digest(SOURCES) != self.source:
            raise KitError(
                "CLUSTER-VERSIONS",
                f"node {platform.node()} has another version of this kit in {SOURCES}",
                "Give every node the same checkout",
            )
        for mark in self.marks:
            if not mark.exists():
                raise KitError(
                    "CLUSTER-FOLDER",
                    f"node {platform.node()} does not see the folder {mark.parent}",
                    "Mount one shared folder at the same path on every node, and name it by "
                    "--features-dir or TORCH_HOME",
                )
        return {name: open_dataset(name, self.data_root).fingerprint for name in self.datasets}


def do_step(doing: Doing, step: Step, data: Mapping[str, str]) -> float:  # noqa: ARG001
    """Does a shared step, and returns the seconds that it took.

    Raises:
        KitError: `STUDY-COMMAND`, the command failed.
    """
    start = time.monotonic()
    experiment = [f"shared/{step.folder.name}"] if step.kind == "finetune" else []
    codes_of = ["--codes-of", step.codes_of] if step.codes_of else []
    _command(
        [*doing.verb(step.kind, step.bindings, *experiment), *codes_of],
        step.folder,
        doing.variables(step.folder.parent.parent, step.dataset, None),
    )
    return leave_note(step, time.monotonic() - start, doing.features_dir)


def do_run(doing: Doing, run: Run, data: Mapping[str, str]) -> Record:
    """Trains and grades, and leaves a record.

    Args:
        doing: How runs are done.
        run: The run.
        data: The fingerprints of the datasets, by name.

    Raises:
        KitError: `STUDY-COMMAND`, a command failed.
    """
    training, *gradings = doing.words(run)
    variables = doing.variables(run.folder.parent, run.dataset, doing.train.threads)
    start = time.monotonic()
    _command(training, run.folder, variables)
    seconds = leave_note(run, time.monotonic() - start, doing.features_dir)
    graded = {}
    for dataset, words in zip(doing.datasets_of(run), gradings, strict=True):
        start = time.monotonic()
        _command(words, run.folder, variables)
        graded[dataset] = _graded(run.folder / "graded" / dataset, time.monotonic() - start)
    rows = read_curves(run.folder)
    record = Record(
        made_from={"run": run.key, **doing.grading_from},
        state="done",
        codes_from=doing.grade.codes_from,
        setting=run.setting,
        seed=run.seed,
        dataset=run.dataset,
        data=data[run.dataset],
        unlabelled=unlabelled(rows),
        graded={dataset: found for dataset, (found, _) in graded.items()},
        epochs=len(rows),
        seconds=seconds,
        disk=sum(file.stat().st_size for file in run.folder.rglob("*") if file.is_file()),
        representation=next(iter(graded.values()))[1],
    )
    leave(run, record)
    return record


def read_curves(folder: Path) -> list[dict[str, float]]:
    """The rows of a training's `stats.csv`, one an epoch; empty if there are none yet."""
    try:
        with (folder / "stats.csv").open(encoding="utf-8") as stream:
            return [
                {name: float(value) for name, value in row.items()}
                for row in csv.DictReader(stream, delimiter=";")
            ]
    except FileNotFoundError:
        return []


def unlabelled(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """What the last epoch of a VAE's training says; nothing for other methods.

    What is NaN or infinite is left out: a training may end so.
    """
    last = rows[-1] if rows else {}
    return {
        name: last[column]
        for name, columns in COLUMNS_WITHOUT_LABELS.items()
        for column in columns
        if column in last and math.isfinite(last[column])
    }


def _graded(folder: Path, seconds: float) -> tuple[Graded, str]:
    report = read_run(folder)
    seeds = {} if isinstance(report.seeds, UnsetType) else report.seeds
    intervals = {metric: spread.interval for metric, spread in seeds.items()}
    graded = Graded(
        scores=report.scores, intervals=intervals, seconds=seconds, data=report.made_from.data
    )
    return graded, report.representation.sha256


def _command(words: Sequence[str], folder: Path, variables: dict[str, str]) -> None:
    """Runs Python with these arguments, and adds what it prints to `log.txt` in a folder.

    Raises:
        KitError: `STUDY-COMMAND`, it failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "log.txt"
    with path.open("a", encoding="utf-8") as log:
        log.write(f"$ python {' '.join(words)}\n")
        log.flush()
        begin = path.stat().st_size
        status = subprocess.run(
            [sys.executable, *words],
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode
    if status != 0:
        with path.open(encoding="utf-8", errors="replace") as log:
            log.seek(begin)
            lines = [line.strip() for line in log if line.strip()]
        said = next((line for line in reversed(lines) if line.startswith("error[")), None)
        raise KitError(
            "STUDY-COMMAND",
            f"python {' '.join(words[:3])} ended with status {status}: "
            f"{(said or (lines or ['it said nothing'])[-1]).rstrip('.')}",
            f"See {path}, and run the study again",
        )
