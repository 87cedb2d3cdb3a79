"""Runs on disk: folders with a `scores.json`, read as what others may have written."""

import json
from pathlib import Path

import msgspec

from evaluation.common.errors import KitError
from evaluation.scores import Report

_MOST_BYTES = 64_000_000


def read_run(path: Path) -> Report:
    """The scores of a run: `path` is its folder, or its `scores.json`.

    Raises:
        KitError: there are none, or they are not as this kit writes them.
    """
    file = path / "scores.json" if path.is_dir() else path
    if not file.is_file():
        raise KitError(
            "RUN-MISSING",
            f"{path} is neither a scores.json nor a folder with one",
            "Name a run that was graded, by its folder",
        )
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise ValueError(f"it has more than {_MOST_BYTES:,} bytes")
        return msgspec.convert(json.loads(file.read_text(encoding="utf-8")), Report)
    except (OSError, ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise KitError(
            "RUN-UNREADABLE",
            f"{file} does not hold scores as this kit writes them: {error}",
            "Grade the representation again",
        ) from None
