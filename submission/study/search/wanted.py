"""Whether the command line and the file want the same: a search, or all that the file names."""

from pathlib import Path

from evaluation.common.errors import KitError, require
from evaluation.metrics import CHALLENGE, METRICS
from submission.study.description import Study
from submission.study.search.objective import BY_EPOCH, UNLABELLED


def require_search(study: Study, file: Path, wanted: bool) -> None:
    """Checks that a search can begin, if there is one.

    Args:
        study: The content of the file.
        file: The study's file.
        wanted: Whether the command line asks for a search.

    Raises:
        KitError: `STUDY-SEARCH`, only one of file and command line has a search;
            `STUDY-OBJECTIVE`, the objective is none, or not of these runs; `EXTRA-MISSING`, Ray
            Tune or Optuna is not installed.
    """
    if wanted != (study.search is not None):
        raise KitError(
            "STUDY-SEARCH",
            f"{file} has {'no ' if wanted else ''}[search], and the command has "
            f"{'' if wanted else 'no '}--search",
            "Give both or none",
        )
    if study.search is None:
        return
    objective = study.search.objective
    if objective not in UNLABELLED and objective not in METRICS:
        raise KitError(
            "STUDY-OBJECTIVE",
            f"there is no objective {objective!r}",
            f"Choose from {', '.join(UNLABELLED)}, or a metric: {', '.join(METRICS)}",
        )
    graded = study.grade.metrics or [metric.name for metric in CHALLENGE]
    if objective in METRICS and objective not in graded:
        raise KitError(
            "STUDY-OBJECTIVE",
            f"search.objective is {objective!r}, but the runs are graded by {', '.join(graded)}",
            "Add it to grade.metrics",
        )
    if objective == "udr" and len(set(study.train.seeds)) < 2:
        raise KitError(
            "STUDY-OBJECTIVE",
            "search.objective is 'udr', which compares the seeds of a setting, and there is one",
            "List at least two in train.seeds",
        )
    if study.search.grace_epochs is not None and objective not in BY_EPOCH:
        raise KitError(
            "STUDY-OBJECTIVE",
            f"search.grace_epochs lets trials be stopped, but {objective} is known at their end",
            f"Omit it, or choose {' or '.join(BY_EPOCH)}",
        )
    for package in ("optuna", "pydantic", "tensorboardX", "ray"):  # Tune needs those between
        require(package)
