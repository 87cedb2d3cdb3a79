"""The runs of a study and the steps that they share, each with a key of all it is made from."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from evaluation.common.errors import KitError
from submission.study import dependencies
from submission.study.dependencies import MAIN, weights_in
from submission.study.description import Grade, Study
from submission.study.effective import Bindings, Config, Place, read_config
from submission.study.settings import Setting, gin_text, label, settings_of

StepKind = Literal["finetune", "extract"]
TUNING: StepKind = "finetune"
EXTRACTION: StepKind = "extract"

MODEL_ID = "AggregatedFeatureExtractor.model_id"
"""The binding by which each fine-tuning of a study has weights of its own."""

_LONGEST_VALUE = 50_000
"""Linux takes 131,072 bytes as one argument of a command."""

_TUNED_SEED = "finetune/main.seed"
DEFAULT_SEED = "1"
"""That of `submission.settings.Main`, whose import takes seconds."""


@dataclass(frozen=True)
class Run:
    """One training, and its gradings.

    Args:
        key: Of all that the training is made from; the name of its folder.
        folder: Its folder.
        setting: The bindings that vary.
        seed: Seed of the training.
        dataset: What it is trained on.
        bindings: All gin bindings that the config gets.
        steps: The keys of the shared steps that it needs.
    """

    key: str
    folder: Path
    setting: Setting
    seed: int
    dataset: str
    bindings: tuple[str, ...]
    steps: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.key

    @property
    def subject(self) -> str:
        return f"{label(self.setting)}, seed {self.seed}, on {self.dataset}"


@dataclass(frozen=True)
class Step:
    """What several runs share: a fine-tuning, or the features of a dataset.

    Args:
        key: Of all that it is made from.
        kind: The verb of `python -m submission` that does it.
        folder: Where its log is.
        dataset: What its runs are trained on.
        bindings: All gin bindings that the config gets.
        needs: The keys of the steps before it.
        codes_of: The dataset of which all images get features; empty for the training images.
    """

    key: str
    kind: StepKind
    folder: Path
    dataset: str
    bindings: tuple[str, ...]
    needs: tuple[str, ...] = ()
    codes_of: str = ""

    @property
    def name(self) -> str:
        return self.key

    @property
    def subject(self) -> str:
        return f"{self.kind} {self.key}"


@dataclass(frozen=True)
class Plan:
    """A study, ready to be done.

    Args:
        study: The content of its file.
        config: The text of its config.
        folder: The folder of the study.
        runs: Its runs.
        steps: The steps that runs share, a step after those that it needs.
    """

    study: Study
    config: str
    folder: Path
    runs: list[Run]
    steps: list[Step]

    @property
    def config_file(self) -> Path:
        """The file of the config, whose name changes with its content."""
        return self.folder / "configs" / f"{key_of(self.config)}.gin"


def plan_of(
    study: Study, file: Path, folder: Path, settings: Sequence[Setting] | None = None
) -> Plan:
    """The runs and steps of a study.

    Args:
        file: The file of the study.
        folder: The folder that gets its results.
        settings: The settings; None takes those that the file names.

    Raises:
        KitError: the config is wrong, or a binding does not fit it; `STUDY-VALUE`, gin or a command
            cannot hold a value.
    """
    settings = settings_of(study) if settings is None else settings
    return plan_with(config_of(study, file, settings), study, folder, settings)


def config_of(study: Study, file: Path, settings: Sequence[Setting]) -> Config:
    """The config of a study, once it is read with every binding of some settings.

    Args:
        file: The file of the study.
        settings: They name all bindings that runs may have.

    Raises:
        KitError: as in `plan_of`.
    """
    return read_config(file.parent / study.config, _all_bindings(study, settings), file)


def plan_with(config: Config, study: Study, folder: Path, settings: Sequence[Setting]) -> Plan:
    """The runs and steps of some settings, whose bindings the config was read with."""
    planner = _Planner(study, config, folder)
    runs = [
        planner.run(setting, seed, dataset)
        for dataset in dict.fromkeys(study.train.datasets)
        for setting in settings
        for seed in dict.fromkeys(study.train.seeds)
    ]
    # Two settings may differ in nothing but how they are written.
    distinct = {run.key: run for run in runs}
    steps = sorted(planner.steps.values(), key=lambda step: len(step.needs))
    return Plan(study, config.text, folder, list(distinct.values()), steps)


def key_of(*parts: Any) -> str:
    """A key of parts that JSON can hold."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _all_bindings(study: Study, settings: Sequence[Setting]) -> list[tuple[str, str]]:
    """Names and values of all bindings that runs may have, each once."""
    own = [study.bindings, *settings]
    found = [(name, gin_text(name, value)) for one in own for name, value in one.items()]
    found += [("main.seed", str(seed)) for seed in study.train.seeds]
    found += [(_TUNED_SEED, "0"), (MODEL_ID, "''")]
    for name, text in found:
        if len(text) > _LONGEST_VALUE:
            raise KitError(
                "STUDY-VALUE",
                f"the binding '{name}' has {len(text):,} letters, and at most {_LONGEST_VALUE:,} "
                "fit into a command",
                "Put it into a gin file, and name that as the config",
            )
    return list(dict.fromkeys(found))


class _Planner:
    """Makes runs, and notes which steps they need."""

    def __init__(self, study: Study, config: Config, folder: Path) -> None:
        self._study = study
        self._config = config
        self._folder = folder
        self.steps: dict[str, Step] = {}

    def run(self, setting: Setting, seed: int, dataset: str) -> Run:
        varied = {**self._study.bindings, **setting}
        own = {name: gin_text(name, value) for name, value in varied.items()}
        own["main.seed"] = str(seed)
        # Fine-tuning keeps the seed of the config, so that seeds share what it gives.
        tuned = self._config.bindings.get(("", MAIN, "seed"), DEFAULT_SEED)
        scoped = self._config.bindings.get(("finetune", MAIN, "seed"), tuned)
        own = {_TUNED_SEED: scoped, **own}
        needs: tuple[str, ...] = ()
        modules = self._config.modules
        train, bound = self._study.train, self._config.with_bindings(own)
        if dependencies.is_tuned(bound):
            made_from = dependencies.of_tuning(bound)
            target = dataset if dependencies.adapts(bound) else ""
            key = key_of(TUNING, target, train.precision, *modules, _items(made_from))
            own[MODEL_ID] = repr(f"study-{key}")
            bound = self._config.with_bindings(own)
            needs = self._note(key, TUNING, own, dataset)
        weights = weights_in(bound)
        if dependencies.has_features(bound):
            for codes_of in ("", *self._graded_by_features(dataset)):
                origin = _origin_of_features(bound, dataset, codes_of)
                key = key_of(EXTRACTION, train.precision, weights, *modules, *origin)
                tuning = tuple(step for step in needs if self.steps[step].kind == TUNING)
                needs += self._note(key, EXTRACTION, own, dataset, tuning, codes_of)
        elif self._graded_by_features(dataset):
            raise KitError(
                "STUDY-FEATURES",
                f"grade.codes_from is 'features', but there are none of {label(setting)}",
                "Set it to 'images', or main.cache_features_on_disk to true, with an extractor",
            )
        key = key_of(dataset, train.threads, train.precision, weights, *modules, _items(bound))
        folder = self._folder / "runs" / key
        steps = tuple(dict.fromkeys(needs))
        return Run(key, folder, setting, seed, dataset, _texts(own), steps)

    def _note(
        self,
        key: str,
        kind: StepKind,
        own: dict[str, str],
        dataset: str,
        needs: tuple[str, ...] = (),
        codes_of: str = "",
    ) -> tuple[str, ...]:
        folder = self._folder / "shared" / f"{kind}-{key}"
        step = Step(key, kind, folder, dataset, _texts(own), needs, codes_of)
        self.steps.setdefault(key, step)
        return (key,)

    def _graded_by_features(self, dataset: str) -> list[str]:
        """The datasets whose codes a run makes from features, of all that it is graded on."""
        grade = self._study.grade
        return graded_on(grade, dataset) if grade.codes_from == "features" else []


def graded_on(grade: Grade, dataset: str) -> list[str]:
    """What a run is graded on that is trained on a dataset."""
    return list(dict.fromkeys(grade.datasets)) or [dataset]


def _origin_of_features(bound: Bindings, dataset: str, codes_of: str) -> list[Any]:
    """What features are made from, beside weights and code.

    Args:
        dataset: What is trained on.
        codes_of: The dataset of which all images get features; empty for the training images.
    """
    trained = [dataset, _items(dependencies.of_features(bound))]
    if not codes_of and not dependencies.takes_all_in_order(bound):
        return trained
    whole = [codes_of or dataset, _items(dependencies.of_all_features(bound))]
    return [*whole, *trained] if dependencies.is_whitened(bound) else whole


def _texts(own: dict[str, str]) -> tuple[str, ...]:
    return tuple(f"{name} = {value}" for name, value in own.items())


def _items(bound: Bindings) -> list[tuple[Place, str]]:
    return sorted(bound.items())


def steps_for(steps: Sequence[Step], runs: Iterable[Run]) -> list[Step]:
    """The steps that some runs need."""
    needed = {key for run in runs for key in run.steps}
    return [step for step in steps if step.key in needed]
