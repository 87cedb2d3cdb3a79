"""`scores.json` and `all_scores.json`: what is in them, and how they are written and read.

The structures are msgspec's: one declaration gives the frozen type, the check of what is read, and
the JSON schema, for which dataclasses would need a converter of our own.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any, Literal

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

from evaluation.codes import ledger
from evaluation.common.files import write_json
from evaluation.origin import versions

SCHEMA_VERSION: Literal[1] = 1


class Graded(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was graded; `dim` is the number of dims of its codes."""

    path: str
    kind: str
    sha256: str
    dim: int


class Isolation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether the sandbox was whole, and what of it was missing, a phrase each."""

    complete: bool
    missing: list[str]


class Used(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The most that a representation used while it encoded."""

    memory_bytes: int
    wall_seconds: float
    cpu_seconds: float
    processes: int
    threads: int


class Rechecked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rows that a fresh worker encoded again, and what that took."""

    rows: int
    seconds: float
    used: Used


class Violation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a representation did wrong and was graded all the same."""

    code: str
    problem: str


class Spread(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One metric over several sampling seeds: `interval` is the 95 % bootstrap of the mean."""

    scores: list[float]
    mean: float
    std: float
    interval: tuple[float, float]
    baselines: dict[str, float]


class Verification(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One metric by both implementations; None where the reference fails."""

    fast: float
    disentanglement_lib: float | None
    tolerance: float
    within: bool


class OwnRows(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Data of the user's own: its rows, and what each factor is, "discrete" or "continuous".

    Metrics that need discrete factors have the continuous ones in `bins` equal-width bins.
    `left_out` has the reasons why metrics cannot be had of rows that are no full grid. `flags` are
    those of the command that name the data.
    """

    rows: int
    full_grid: bool
    factors: dict[str, str]
    bins: int
    left_out: dict[str, str]
    flags: list[str]


class Tokens(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Codes (n, tokens, width) of which each token was made one number by a principal component.

    `shares` are those of each token's variance that its component has. Components were fitted on
    `rows` rows.
    """

    number: int
    width: int
    rows: int
    shares: list[float]


class MadeFrom(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the scores depend on: scores made from the same are not made again."""

    representation: str
    untrained: str | None
    data: str
    protocol: dict[str, Any]
    grader: str


class Report(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`scores.json`. Scores that are no number, which can be with strange codes, are None.

    The keys of `isolation`, `used`, `recheck` and `violations` are there where something was run;
    `recheck` only where new codes were made; `seeds` with several seeds; `verification` with
    `--verify`; `own_data` where the data are the user's own; `tokens` where codes were vectors.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    scores: dict[str, float | None]
    details: dict[str, dict[str, Any]]
    seconds: dict[str, float]
    dataset: str
    factor_sizes: list[int]
    engine: str
    seed: int
    versions: dict[str, str]
    baselines: dict[str, dict[str, float | None]]
    seeds: dict[str, Spread] | UnsetType = UNSET
    verification: dict[str, Verification] | UnsetType = UNSET
    isolation: Isolation | UnsetType = UNSET
    used: Used | UnsetType = UNSET
    recheck: Rechecked | UnsetType = UNSET
    violations: list[Violation] | UnsetType = UNSET
    own_data: OwnRows | UnsetType = UNSET
    tokens: Tokens | UnsetType = UNSET
    representation: Graded
    made_from: MadeFrom

    @property
    def equal(self) -> bool:
        """Whether both implementations agree, where both ran."""
        rows = {} if isinstance(self.verification, UnsetType) else self.verification
        return all(row.within for row in rows.values())


class Summary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`all_scores.json`: by name, the first seed's scores of each, and the lines of refusals."""

    schema_version: Literal[1] = SCHEMA_VERSION
    scores: dict[str, dict[str, float | None]]
    baselines: dict[str, dict[str, float | None]]
    refused: list[str]


def plain(value: Any) -> Any:
    """`value` as JSON knows it: arrays as lists, what is not finite as null."""
    kind = type(value)
    if kind is float:
        return value if math.isfinite(value) else None
    if kind in (str, int, bool, NoneType):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return plain(value.item()) if isinstance(value, np.generic) else value


def write(path: Path, content: Report | Summary) -> None:
    """Writes `scores.json` or `all_scores.json`, and enters it in the ledger."""
    write_json(path, plain(msgspec.to_builtins(content)))
    ledger.enter(path)


def reusable(path: Path, made_from: MadeFrom, kind: str) -> Report | None:
    """The report at `path` if the grader made it from the same, with today's versions.

    Args:
        kind: How the representation is run: the same bytes may be good TorchScript and a good dill.
    """
    if not ledger.has(path):
        return None
    try:
        report = msgspec.convert(json.loads(path.read_text(encoding="utf-8")), Report)
    except (OSError, ValueError):  # msgspec's errors are ValueErrors
        return None
    same = plain(msgspec.to_builtins(report.made_from)) == plain(msgspec.to_builtins(made_from))
    same = same and report.representation.kind == kind
    return report if same and report.versions == versions() else None


def schema(kind: type[Report] | type[Summary] = Report) -> dict[str, Any]:
    """The JSON schema of `scores.json` or `all_scores.json`."""
    return msgspec.json.schema(kind)
