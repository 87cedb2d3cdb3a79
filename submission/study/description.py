"""The file of a study: what it may hold."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Value = Any
"""What TOML gives for a binding: a number, a text, a truth value, or a list or table of these."""

Positive = Annotated[int, Meta(ge=1)]
Seed = Annotated[int, Meta(ge=0, lt=2**32)]
Pair = tuple[float, float]


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
        codes_from: Where codes come from. Of "images" the grader runs the exported representation,
            in its sandbox. Of "features" the training makes them from cached features, which runs
            share, and the grader gets a table.
    """

    datasets: list[str] = []
    metrics: list[str] = []
    seed: Seed = 0
    seeds: Positive = 1
    codes_from: Literal["images", "features"] = "images"


class Search(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A search for settings, in place of the combinations of all that is named.

    Args:
        objective: What settings are chosen by: "reconstruction", "kld", "udr", or a metric, which
            uses labels.
        trials: Number of settings that are tried.
        bindings: How the values of each binding may be drawn.
        seed: Seed of the search.
        grace_epochs: How many epochs each trial has before the scheduler (ASHA) may stop it, where
            others do better; if None, all trials are done to their end.
    """

    objective: str
    trials: Positive
    bindings: dict[str, Drawn]
    seed: Seed = 0
    grace_epochs: Positive | None = None


class Study(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of a study's file. Its settings are all combinations of its three parts.

    Args:
        config: Path of the gin file, relative to the study's file.
        bindings: Bindings of every run.
        grid: Bindings, and for each the values of which all combinations are taken.
        sets: Sets of bindings that belong together, one after another; `[[list]]` in the file.
        random: Settings that are drawn.
        search: A search, where the other parts are empty.
        train: What is trained on.
        grade: How it is graded.
    """

    config: str
    train: Train
    bindings: dict[str, Value] = {}
    grid: dict[str, list[Value]] = {}
    sets: list[dict[str, Value]] = msgspec.field(name="list", default_factory=list)
    random: Random | None = None
    search: Search | None = None
    grade: Grade = Grade()
