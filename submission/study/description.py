"""The file of a study: what it may hold, and how it is read."""

import math
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from evaluation.common.errors import KitError, first_line

Value = Any
"""What TOML gives for a binding: a number, a text, a truth value, or a list or table of these."""

Positive = Annotated[int, Meta(ge=1)]
Seed = Annotated[int, Meta(ge=0, lt=2**32)]
Pair = tuple[float, float]

MOST_RUNS = 100_000
"""More runs than this are refused: to plan so many takes about half a minute and a gigabyte."""

_LARGEST = 2**63 - 1
_NAME = re.compile(r"([\w.]+/)*[\w.]+")


class Drawn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the values of one binding are drawn; exactly one of these.

    Args:
        uniform: Numbers between two bounds.
        log_uniform: Numbers whose logarithm is uniform between those of two bounds above 0.
        integer: Whole numbers from the first to the last.
        choice: One of several values.
    """

    uniform: Pair | None = None
    log_uniform: Pair | None = None
    integer: tuple[int, int] | None = None
    choice: list[Value] | None = None


class Random(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings that are drawn: `count` of them, by `seed`."""

    count: Positive
    bindings: dict[str, Drawn]
    seed: Seed = 0


class Train(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What each setting is trained on.

    Args:
        datasets: Names of datasets; each run has one.
        seeds: Values of `main.seed`. Fine-tuning keeps the seed of the config.
        threads: Threads of the CPU for each training and grading. The last bits of a training
            depend on it, so it is part of the study and not of the command.
        precision: As `--precision` of `train`.
    """

    datasets: list[str]
    seeds: list[Seed]
    threads: Positive = 1
    precision: Literal["float32", "bf16"] = "float32"


class Grade(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How each run is graded.

    Args:
        datasets: Names of datasets; if empty, each run is graded on what it was trained on.
        metrics: Names of metrics; if empty, the challenge's five.
        seed: First sampling seed.
        seeds: Number of sampling seeds; with two or more, scores have intervals.
    """

    datasets: list[str] = []
    metrics: list[str] = []
    seed: Seed = 0
    seeds: Positive = 1


class Study(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of a study's file. Its settings are all combinations of its three parts.

    Args:
        config: Path of the gin file, relative to the study's file.
        bindings: Bindings of every run.
        grid: Bindings, and for each the values of which all combinations are taken.
        sets: Sets of bindings that belong together, one after another; `[[list]]` in the file.
        random: Settings that are drawn.
        train: What is trained on.
        grade: How it is graded.
    """

    config: str
    train: Train
    bindings: dict[str, Value] = {}
    grid: dict[str, list[Value]] = {}
    sets: list[dict[str, Value]] = msgspec.field(name="list", default_factory=list)
    random: Random | None = None
    grade: Grade = Grade()


def read_study(path: Path) -> Study:
    """Reads the file of a study.

    Raises:
        KitError: `STUDY-FILE`, it cannot be read or is no TOML; `STUDY-KEY`, it has a key that
            there is not; `STUDY-VALUE`, a value is of the wrong kind or out of its range;
            `STUDY-EMPTY`, a list is empty; `STUDY-NAME`, a binding has no gin name; `STUDY-SEED`,
            the seed of training is bound; `STUDY-TWICE`, a binding is named twice; `STUDY-LARGE`,
            there are too many runs.
    """
    try:
        study = msgspec.toml.decode(path.read_text(encoding="utf-8"), type=Study)
    except msgspec.ValidationError as error:
        raise _invalid(path, str(error)) from None
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise KitError(
            "STUDY-FILE",
            f"{path} cannot be read as TOML: {first_line(error)}",
            "Give a file as docs/studies.md shows",
        ) from None
    _require_values(path, study)
    return study


def _invalid(path: Path, message: str) -> KitError:
    if "unknown field" in message:
        return KitError(
            "STUDY-KEY",
            f"{path}: {message}",
            f"Choose from {', '.join(Study.__struct_encode_fields__)} and the keys that "
            "docs/studies.md lists below each; a gin name with a dot must be in quotes",
        )
    return KitError("STUDY-VALUE", f"{path}: {message}", "Give a value of that kind")


def _require_values(path: Path, study: Study) -> None:
    _require_names(path, study)
    for name, listed in {
        "train.datasets": study.train.datasets,
        "train.seeds": study.train.seeds,
        **{f"grid.{name!r}": values for name, values in study.grid.items()},
        **{f"list[{number}]": bindings for number, bindings in enumerate(study.sets)},
    }.items():
        if not listed:
            raise KitError("STUDY-EMPTY", f"{path}: {name} is empty", "List at least one value")
    if study.grade.seed + study.grade.seeds > 2**32:
        raise KitError(
            "STUDY-VALUE",
            f"{path}: the sampling seeds go from {study.grade.seed} to "
            f"{study.grade.seed + study.grade.seeds - 1}, and the largest one is {2**32 - 1}",
            "Give a smaller grade.seed or grade.seeds",
        )
    _require_draws(path, study)
    _require_few(path, study)


def _require_draws(path: Path, study: Study) -> None:
    if study.random is None:
        return
    if not study.random.bindings:
        raise KitError(
            "STUDY-EMPTY", f"{path}: random.bindings is empty", "Say there which binding is drawn"
        )
    for name, drawn in study.random.bindings.items():
        problem = _problem_of(drawn)
        if problem:
            raise KitError(
                "STUDY-VALUE",
                f"{path}: random.bindings.{name!r} {problem}",
                "Give one of uniform, log_uniform, integer = [low, high], or choice = [...]",
            )


def _require_few(path: Path, study: Study) -> None:
    # Counted before any setting is made: a grid of a few lines can ask for more than memory holds.
    runs = len(study.train.datasets) * len(study.train.seeds) * max(1, len(study.sets))
    runs *= math.prod(map(len, study.grid.values()))
    runs *= 1 if study.random is None else study.random.count
    if runs > MOST_RUNS:
        raise KitError(
            "STUDY-LARGE",
            f"{path} asks for {runs:,} runs, and at most {MOST_RUNS:,} can be planned",
            "Give fewer values or seeds, draw some settings by [random], or make several studies",
        )


def _require_names(path: Path, study: Study) -> None:
    """Refuses what is no name, a binding that two parts name, and the seed of training."""
    drawn = {} if study.random is None else study.random.bindings
    listed = dict.fromkeys(name for bindings in study.sets for name in bindings)
    named = [*study.bindings, *study.grid, *listed, *drawn]
    for name in named:
        if not _NAME.fullmatch(name):
            raise KitError(
                "STUDY-NAME",
                f"{path}: {name!r} is no name of a gin binding",
                "Write names such as 'train_vae.lr', in quotes",
            )
        if name == "main.seed":
            raise KitError(
                "STUDY-SEED",
                f"{path}: main.seed is bound, but the seeds of training are train.seeds",
                "List them there; the seed of fine-tuning is the binding 'finetune/main.seed'",
            )
        if named.count(name) > 1:
            raise KitError(
                "STUDY-TWICE",
                f"{path}: the binding '{name}' is in more than one of bindings, grid, list, random",
                "Leave it in one of them",
            )


def _problem_of(drawn: Drawn) -> str:
    """What is wrong with how a binding is drawn; empty if nothing is."""
    given = [kind for kind in drawn.__struct_fields__ if getattr(drawn, kind) is not None]
    if len(given) != 1:
        return f"has {len(given)} of uniform, log_uniform, integer and choice, and must have one"
    if drawn.choice is not None:
        return "" if drawn.choice else "chooses from an empty list"
    return _problem_of_bounds(drawn, *getattr(drawn, given[0]))


def _problem_of_bounds(drawn: Drawn, low: float, high: float) -> str:
    said = f"is from {low} to {high}, and"
    if drawn.integer is not None and max(-low, high) > _LARGEST:
        return f"{said} whole numbers must be from {-_LARGEST} to {_LARGEST}"
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        return f"{said} the first must be the lower one"
    if not math.isfinite(high - low):
        return f"{said} these are too far apart"
    if drawn.log_uniform is not None and low <= 0:
        return f"has the lower bound {low}, and a logarithm needs bounds above 0"
    return ""
