"""`frames.json`: what is in it, and how it is read again."""

from pathlib import Path
from typing import Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from evaluation.codes import ledger
from evaluation.scores import Graded, Isolation, Rechecked, Used, Violation

NAME = "frames.json"


class Walked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The walk along one factor: the code that moves most for it.

    `images` is the number of different images of the walk, `share` is the share of the code's
    variation that falls on this walk, and `strongest` says whether no other walk has more of it.
    `code` is null where every code stands still.
    """

    factor: str
    images: int
    code: int | None
    share: float
    strongest: bool


class ByChance(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What noise of as many dims gets on average."""

    rows_strongest: float
    mean_share: float


class WalkedSet(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One set of frames.

    `rows_strongest` counts the walks that are their code's strongest, `mean_share` is the mean of
    the walks' shares, and `shares` (dims, walks) has those of all codes, null for codes that stand
    still.
    """

    walked: list[Walked]
    rows_strongest: int
    mean_share: float
    noise: ByChance
    shares: list[list[float | None]]


class FramesReport(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`frames.json`: sets by name. `frames_sha256` is the hash of the file of frames."""

    schema_version: Literal[1] = 1
    sets: dict[str, WalkedSet]
    factor_names: list[str]
    frames: str
    frames_sha256: str
    representation: Graded
    isolation: Isolation
    used: Used
    recheck: Rechecked | UnsetType = UNSET
    violations: list[Violation]
    versions: dict[str, str]


def read_own(path: Path) -> FramesReport | None:
    """The content of a `frames.json` that the grader wrote here; None if it did not."""
    if not ledger.has(path):
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=FramesReport)
    except (OSError, ValueError):  # msgspec's errors are ValueErrors
        return None
