"""Runs on disk: folders with a `scores.json`, read as what others may have written."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import msgspec

from evaluation import outputs
from evaluation.common.errors import KitError
from evaluation.scores import Report

MOST_BYTES = 64_000_000
"""No `scores.json` of this kit is larger."""


def read_run(path: Path) -> Report:
    """The scores of a run: `path` is its folder, or its `scores.json`.

    Raises:
        KitError: there are none, or they are not as this kit writes them.
    """
    file = path / outputs.SCORES if path.is_dir() else path
    if not file.is_file():
        raise KitError(
            "RUN-MISSING",
            f"{path} is neither a scores.json nor a folder with one",
            "Name a run that was graded, by its folder",
        )
    try:
        if file.stat().st_size > MOST_BYTES:
            raise ValueError(f"it has more than {MOST_BYTES:,} bytes")
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise unreadable(file, str(error)) from None
    return run_of(text, file)


def run_of(text: str, file: Path) -> Report:
    """The scores that the text of a `scores.json` holds.

    Args:
        text: Its text.
        file: Its name, for the message.

    Raises:
        KitError: `RUN-UNREADABLE`, they are not as this kit writes them.
    """
    try:
        content = json.loads(text, parse_float=_finite, parse_constant=_finite)
        return msgspec.convert(content, Report)
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise unreadable(file, str(error)) from None


def _finite(number: str) -> float:
    """The number, which must be finite: no rank can be told beside a NaN."""
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"{number} is not finite")
    return value


def unreadable(file: Path, reason: str) -> KitError:
    """The refusal of a `scores.json`."""
    return KitError(
        "RUN-UNREADABLE",
        f"{file} does not hold scores as this kit writes them: {reason}",
        "Grade the representation again",
    )


def find_runs(folder: Path) -> dict[str, Report]:
    """All runs below a folder, from the earliest graded to the latest, by their paths in it.

    Raises:
        KitError: there are none, or one cannot be read.
    """
    if not folder.is_dir():
        raise KitError("RUN-MISSING", f"{folder} is not a folder", "Name a folder of runs")
    files = sorted(folder.rglob(outputs.SCORES), key=lambda file: (file.stat().st_mtime_ns, file))
    if not files:
        raise KitError(
            "RUN-MISSING", f"{folder} holds no scores.json", "Grade a representation into it first"
        )
    return {file.parent.relative_to(folder).as_posix(): read_run(file) for file in files}


def named_runs(paths: Sequence[Path]) -> dict[str, Report]:
    """The runs at these paths, in their order; a path may be a folder of several.

    They are named by the shortest ends of their paths that tell them apart.

    Raises:
        KitError: there are none at a path, or one cannot be read.
    """
    folders: list[Path] = []
    for path in paths:
        if path.is_dir() and not (path / outputs.SCORES).is_file():
            folders += [path / name for name in sorted(find_runs(path))]
        else:
            folders.append(path if path.is_dir() else path.parent)
    whole = list(dict.fromkeys(folder.absolute() for folder in folders))
    length = 1
    while len({folder.parts[-length:] for folder in whole}) < len(whole):
        length += 1
    return {"/".join(folder.parts[-length:]): read_run(folder) for folder in whole}
