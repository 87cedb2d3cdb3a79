"""Reads the file of a study, and refuses what is wrong in it."""

import math
import re
from pathlib import Path
from typing import Any

import msgspec

from evaluation.common.errors import KitError, first_line
from submission.study.description import Drawn, Study

MOST_RUNS = 100_000
"""More runs than this are refused: to plan so many takes about half a minute and a gigabyte."""

_LARGEST = 2**63 - 1
_NAME = re.compile(r"([\w.]+/)*[\w.]+")


def read_study(path: Path) -> Study:
    """Reads the file of a study.

    Raises:
        KitError: `STUDY-FILE`, it cannot be read or is no TOML; `STUDY-KEY`, it has a key that
            there is not; `STUDY-VALUE`, a value is of the wrong kind or out of its range;
            `STUDY-EMPTY`, a list or a part is empty; `STUDY-NAME`, a binding has no gin name;
            `STUDY-SEED`, the seed of training is bound; `STUDY-TWICE`, a binding is named twice;
            `STUDY-LARGE`, there are too many runs.
    """
    try:
        content = msgspec.toml.decode(path.read_text(encoding="utf-8"))
        study = msgspec.convert(content, Study)
    except msgspec.ValidationError as error:
        raise _invalid(path, str(error)) from None
    except (OSError, UnicodeDecodeError, RecursionError, msgspec.DecodeError) as error:
        raise KitError(
            "STUDY-FILE",
            f"{path} cannot be read as TOML: {first_line(error)}",
            "Give a file as docs/studies.md shows",
        ) from None
    _require_filled(path, content)
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


def _require_filled(path: Path, content: dict[str, Any]) -> None:
    for part in ("grid", "list"):
        if part in content and not content[part]:
            raise KitError(
                "STUDY-EMPTY",
                f"{path}: {part} is empty",
                "Name a binding and its values in it, or leave it out",
            )


def _require_values(path: Path, study: Study) -> None:
    _require_names(path, study)
    others = {"grid": study.grid, "list": study.sets, "random": study.random}
    given = [name for name, part in others.items() if part]
    if study.search is not None and given:
        raise KitError(
            "STUDY-SEARCH",
            f"{path} has [search], which chooses all settings, and {given[0]}",
            "Leave one of the two, and put what does not vary into [bindings]",
        )
    for name, listed in {
        "train.datasets": study.train.datasets,
        "train.seeds": study.train.seeds,
        **{f"grid.{name!r}": values for name, values in study.grid.items()},
        **{f"list[{number}]": bindings for number, bindings in enumerate(study.sets)},
    }.items():
        if not listed:
            raise KitError("STUDY-EMPTY", f"{path}: {name} is empty", "List at least one value")
    if study.grade.codes_from == "features" and study.train.precision != "float32":
        raise KitError(
            "STUDY-VALUE",
            f"{path}: grade.codes_from is 'features', but train.precision {study.train.precision} "
            "gives other features than the representation has",
            "Set grade.codes_from to 'images', or train.precision to 'float32'",
        )
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
    for part, drawing in {"random": study.random, "search": study.search}.items():
        if drawing is None:
            continue
        if not drawing.bindings:
            raise KitError(
                "STUDY-EMPTY",
                f"{path}: {part}.bindings is empty",
                "Say there which binding is drawn",
            )
        for name, drawn in drawing.bindings.items():
            problem = _problem_of(drawn)
            if problem:
                raise KitError(
                    "STUDY-VALUE",
                    f"{path}: {part}.bindings.{name!r} {problem}",
                    "Give one of uniform, log_uniform, integer = [low, high], or choice = [...]",
                )


def _require_few(path: Path, study: Study) -> None:
    # Counted before any setting is made: a grid of a few lines can ask for more than memory holds.
    runs = len(study.train.datasets) * len(study.train.seeds) * max(1, len(study.sets))
    runs *= math.prod(map(len, study.grid.values()))
    runs *= 1 if study.random is None else study.random.count
    runs *= 1 if study.search is None else study.search.trials
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
    searched = {} if study.search is None else study.search.bindings
    named = [*study.bindings, *study.grid, *listed, *drawn, *searched]
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
                f"{path}: the binding '{name}' is in more than one of bindings, grid, list, "
                "random, search",
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
