"""The curves of a training, as it left them beside its representation."""

import csv
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evaluation.common.environment import LABELS_LINE
from evaluation.representation.reading import text_below

_MOST_BYTES = 4_000_000
_MOST_COLUMNS = 200
_MOST_DRAWN = 14
_MOST_DOMAINS = 6
_CONFIG_BYTES = 40_000
_MOST_DRAWABLE = 1e100  # the drawing's sums of larger numbers are not finite

Columns = dict[str, NDArray[np.float64]]
Group = tuple[str, str, bool]

_OF_TRAINING: tuple[Group, ...] = (
    ("divergence by code", "KLD_code_.*", False),
    ("losses", ".*(loss|MSE|KLD|TC).*", True),
    ("beta and learning rate", "beta|lr", True),
    ("active codes", "active_codes", False),
    ("gradient norm", "gradient_norm", True),
    ("the rest of its log", ".*", False),
)
_ON_A_DOMAIN = re.compile("(accuracy_on_.*)/.*")
_OF_TUNING: tuple[Group, ...] = (
    ("held-out accuracy", "accuracy_.*", False),
    ("losses", "(held_out_)?loss", True),
)
"""Title, pattern of the columns' names, and whether a logarithmic scale suits them."""


class Panel(NamedTuple):
    """Columns that are drawn together."""

    title: str
    lines: list[tuple[str, NDArray[np.float64]]]
    logarithmic: bool


def experiment_of(output: Path, representation: Path) -> Path | None:
    """The folder that a training left its log in: where scores go, or above the representation.

    What lies there is the participant's: it is read as text, and never trusted.
    """
    for folder in (output, representation.parent.parent, representation.parent):
        if (folder / "stats.csv").is_file() or (folder / "finetuning/stats.csv").is_file():
            return folder
    return None


def panels(experiment: Path) -> list[Panel]:
    """What the logs of training and of fine-tuning hold, in panels that suit one scale each."""
    training = read_columns(experiment, "stats.csv")
    tuning = read_columns(experiment, "finetuning/stats.csv")
    found = [
        *_panels("Training", training, _OF_TRAINING),
        *_panels("Fine-tuning", tuning, (*_of_domains(tuning), *_OF_TUNING)),
    ]
    return [panel for panel in found if panel.lines]


def read_columns(experiment: Path, name: str) -> Columns:
    """The columns of a table with semicolons, by name, without `epochs`; empty if it is none.

    What is no number that can be drawn becomes NaN.
    """
    text = text_below(experiment, name, _MOST_BYTES)
    try:
        rows = list(csv.reader((text or "").splitlines(), delimiter=";"))
    except csv.Error:
        return {}
    if len(rows) < 2:
        return {}
    names = rows[0][:_MOST_COLUMNS]
    return {
        name: np.array([_number(row, place) for row in rows[1:]])
        for place, name in enumerate(names)
        if name != "epochs"
    }


def _of_domains(tuning: Columns) -> list[Group]:
    """A group for each of the first datasets that held-out images came from."""
    starts = dict.fromkeys(
        found[1] for name in tuning if (found := _ON_A_DOMAIN.fullmatch(name)) is not None
    )
    return [
        (f"held-out {start.replace('_', ' ', 2)}", f"{re.escape(start)}/.*", False)
        for start in list(starts)[:_MOST_DOMAINS]
    ]


def read_config(experiment: Path) -> str | None:
    """The text of the config that the training ran with, if it is there and not huge."""
    return text_below(experiment, "config.gin", _CONFIG_BYTES)


def labels_of(config: str) -> str | None:
    """The datasets whose labels the training used, if its config says so."""
    first = config.partition("\n")[0]
    return first.removeprefix(LABELS_LINE) if first.startswith(LABELS_LINE) else None


def _panels(log: str, columns: Columns, groups: Sequence[Group]) -> Iterator[Panel]:
    """Each column goes to the first group whose pattern its whole name matches, or to none.

    Of a large group those are drawn that end highest.
    """
    left = {name: values for name, values in columns.items() if np.isfinite(values).any()}
    for title, pattern, logarithmic in groups:
        names = [name for name in left if re.fullmatch(pattern, name)]
        found = [(name, left.pop(name)) for name in names]
        highest = sorted(found, key=lambda line: -np.nan_to_num(line[1][-1]))[:_MOST_DRAWN]
        lines = [line for line in found if line[0] in dict(highest)]
        positive = all((values[np.isfinite(values)] > 0).all() for _, values in lines)
        yield Panel(f"{log}: {title}", lines, logarithmic and positive)


def _number(row: Sequence[str], place: int) -> float:
    try:
        value = float(row[place])
    except (ValueError, IndexError):
        return math.nan
    return value if abs(value) < _MOST_DRAWABLE else math.nan
