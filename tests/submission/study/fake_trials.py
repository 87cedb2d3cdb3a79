"""A search whose trials cost nothing: their records are written, and nothing is trained."""

from pathlib import Path

from submission.study.course import Course, open_course
from submission.study.plan import Run
from submission.study.records import Graded, Record, leave
from tests.submission.conftest import SMALL
from tests.submission.study.conftest import HEAD, leave_weights

DATASET, FINGERPRINT = "mpi3d_sim_real_mini", "fingerprint"

SEARCH = (
    HEAD
    + f"""\
[search]
objective = "reconstruction"
trials = 100
[search.bindings]
"train_vae.lr" = {{ log_uniform = [1e-5, 1e-1] }}
[train]
datasets = ["{DATASET}"]
seeds = [1, 2]
[grade]
metrics = ["mig"]
codes_from = "features"
"""
)


def make_search(folder: Path) -> Path:
    """Writes the file of the search, its config and its weights. Returns the file.

    `$TORCH_HOME` must be the folder `torch` in there.
    """
    leave_weights(folder / "torch")
    (folder / "small.gin").write_text(SMALL)
    file = folder / "search.toml"
    file.write_text(SEARCH)
    return file


def opened(file: Path) -> Course:
    """The course of that search, whose folder lies beside its file."""
    folder = file.parent / "out"
    folder.mkdir(exist_ok=True)
    return open_course(file, folder, "cpu", file.parent)


def leave_done(course: Course, run: Run, reconstruction: float) -> None:
    """Leaves the record of a run, as if it were trained and graded."""
    graded = Graded(scores={"mig": 0.1}, intervals={}, seconds=1.0, data=FINGERPRINT)
    record = Record(
        made_from={"run": run.key, **course.doing.grading_from},
        state="done",
        setting=run.setting,
        seed=run.seed,
        dataset=run.dataset,
        data=FINGERPRINT,
        unlabelled={"reconstruction": reconstruction},
        graded={DATASET: graded},
        epochs=4,
    )
    leave(run, record)
