"""`search.json`: the settings that a search has tried, so that it can be killed and goes on."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from evaluation.common.files import write_json
from submission.study.settings import Setting

NAME = "search.json"


class Stopped(msgspec.Struct, frozen=True, kw_only=True):
    """That the scheduler stopped a trial early: after how many epochs, and its objective then."""

    epochs: int
    value: float


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """A setting that was tried.

    Args:
        setting: Its bindings.
        stopped: Where it was stopped; None if it was not.
    """

    setting: Setting
    stopped: Stopped | None = None


def read_tried(folder: Path) -> list[Tried]:
    """What a study's search has tried; nothing if the file is absent or damaged."""
    try:
        return msgspec.json.decode((folder / NAME).read_bytes(), type=list[Tried])
    except (OSError, ValueError):  # msgspec's errors are ValueErrors
        return []


def write_tried(folder: Path, tried: Sequence[Tried]) -> None:
    """Writes what a study's search has tried."""
    write_json(folder / NAME, msgspec.to_builtins(tried))
