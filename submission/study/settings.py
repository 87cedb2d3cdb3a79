"""The settings of a study: which values its bindings take, in which combinations."""

import itertools
import math
import re
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from evaluation.common.errors import KitError
from submission.study.description import Drawn, Random, Study

Setting = dict[str, Any]
"""Bindings that vary, by name, and the value of each."""

_REFERENCE = re.compile(r"[@%][\w./]+(\(\))?")


def settings_of(study: Study) -> list[Setting]:
    """All combinations of the grid, the list and the draws, each setting once.

    The same file gives the same settings. A larger `count` only adds to the draws.

    Raises:
        KitError: as in `gin_text`.
    """
    grid = [
        dict(zip(study.grid, values, strict=True))
        for values in itertools.product(*study.grid.values())
    ]
    drawn = [{}] if study.random is None else draws(study.random)
    combined = [
        {**one, **other, **last} for one in grid for other in study.sets or [{}] for last in drawn
    ]
    return list({identity(setting): setting for setting in combined}.values())


def identity(setting: Setting) -> Hashable:
    """What a setting is told from others by: its bindings as gin writes them, in any order.

    Raises:
        KitError: as in `gin_text`.
    """
    return tuple(sorted((name, gin_text(name, value)) for name, value in setting.items()))


def draws(random: Random) -> list[Setting]:
    """`count` settings. Each is drawn by a generator of its own, which the number seeds."""
    return [
        {
            name: _draw(drawn, np.random.default_rng((random.seed, number, place)))
            for place, (name, drawn) in enumerate(sorted(random.bindings.items()))
        }
        for number in range(random.count)
    ]


def _draw(drawn: Drawn, generator: np.random.Generator) -> Any:
    if drawn.choice is not None:
        return drawn.choice[generator.integers(len(drawn.choice))]
    if drawn.integer is not None:
        return int(generator.integers(*drawn.integer, endpoint=True))
    if drawn.log_uniform is not None:
        low, high = map(math.log, drawn.log_uniform)
        return float(np.clip(math.exp(generator.uniform(low, high)), *drawn.log_uniform))
    assert drawn.uniform is not None
    return float(generator.uniform(*drawn.uniform))


def gin_text(name: str, value: Any) -> str:
    """A value as gin writes it. A text that begins with `@` or `%` is a reference.

    Raises:
        KitError: `STUDY-VALUE`, gin has no such value.
    """
    if isinstance(value, str) and not value.startswith(("@", "%")):
        return repr(value)
    if isinstance(value, str) and _REFERENCE.fullmatch(value):
        return value
    if isinstance(value, list):
        return f"[{', '.join(gin_text(name, item) for item in value)}]"
    if isinstance(value, Mapping):
        pairs = (f"{key!r}: {gin_text(name, item)}" for key, item in value.items())
        return f"{{{', '.join(pairs)}}}"
    # No column of runs.parquet holds a longer number.
    whole = isinstance(value, bool | int) and -(2**63) <= value < 2**63
    if whole or (isinstance(value, float) and math.isfinite(value)):
        return repr(value)
    raise KitError(
        "STUDY-VALUE",
        f"the binding '{name}' is {value}, which no study can hold",
        "Give a finite number of at most 64 bits, a text, true, false, or a list or table of "
        "these; a text that begins with @ or % must be a gin reference",
    )


def labels(settings: Sequence[Setting]) -> list[str]:
    """The label of each setting, with all digits where another setting has the same label."""
    meant: dict[str, set[Hashable]] = {}
    for setting in settings:
        meant.setdefault(label(setting), set()).add(identity(setting))
    return [
        short if len(meant[short := label(setting)]) == 1 else label(setting, exact=True)
        for setting in settings
    ]


def label(setting: Setting, exact: bool = False) -> str:
    """A setting in a few words: the last part of each name, if no other has it, and the value.

    Args:
        setting: The setting.
        exact: Whether values are shown as gin writes them, or numbers with four digits.
    """
    last = [name.rpartition(".")[2] for name in setting]
    names = [
        short if last.count(short) == 1 else name for name, short in zip(setting, last, strict=True)
    ]
    shown = [gin_text(name, value) if exact else _shown(value) for name, value in setting.items()]
    parts = [f"{name} {value}" for name, value in zip(names, shown, strict=True)]
    return ", ".join(parts) or "as in the config"


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def counted(number: int, noun: str) -> str:
    """Such as "1 run" or "2 runs"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
