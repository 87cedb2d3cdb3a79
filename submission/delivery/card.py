"""A model card: what an export is and how it scored, as the Hugging Face Hub shows it.

Names and texts may hold anything: in the metadata YAML quotes them, and below they stay text.
"""

import json
import re
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import NamedTuple

import msgspec

from evaluation.common import environment
from evaluation.common.errors import KitError, require
from evaluation.common.escaping import visible, visible_lines
from evaluation.common.files import sha256_of, whole_file
from evaluation.common.terminal import console
from evaluation.data import DATASETS
from evaluation.data.dataset import HubFile
from evaluation.representation.finding import Found, only

NAME = "README.md"

_TASK = "image-feature-extraction"
_SHOWN = {
    "Extractor": "get_feature_extractor.model_name",
    "Transform": "main.transform_class",
    "Latents of the VAE": "train_vae.latent_dims",
    "Epochs of the VAE": "train_vae.epochs",
    "Steps of the VAE": "train_vae.steps",
    "Optimiser": "train_vae.optimizer_name",
    "Seed": "main.seed",
}
_USE = {
    "torchscript": (
        "import torch\n\n"
        'encoder = torch.jit.load("representation/pytorch_model.pt")\n'
        "codes = encoder(images)  # (n, 3, height, width) in [0, 1] -> (n, dims)"
    ),
    "dill": (
        "import dill  # a dill file is a program: load it only if you trust its author\n\n"
        'with open("representation/python_model.dill", "rb") as stream:\n'
        "    encoder = dill.load(stream)\n"
        "codes = encoder(images)  # (n, 3, height, width) in [0, 1] -> (n, dims)"
    ),
    "savedmodel": (
        "import tensorflow  # a SavedModel is a program: load it only if you trust its author\n\n"
        'module = tensorflow.saved_model.load("representation/tfhub")\n'
        'codes = module.signatures["representation"](images)  # (n, height, width, 3) in [0, 1]'
    ),
}


class _Representation(msgspec.Struct, frozen=True):
    sha256: str
    dim: int


class Scores(msgspec.Struct, frozen=True):
    """What a card needs of `scores.json`."""

    scores: dict[str, float | None]
    baselines: dict[str, dict[str, float | None]]
    dataset: str
    engine: str
    seed: int
    representation: _Representation


class Subject(NamedTuple):
    """What a card is about.

    Args:
        name: The experiment's name.
        kind: "torchscript", "dill" or "savedmodel".
        scores: Its scores.
        config: The text of the config that it was trained with, if there is one.
        licence: Its licence, such as "Apache-2.0"; None if none is stated.
    """

    name: str
    kind: str
    scores: Scores
    config: str | None
    licence: str | None


def make(experiment: str) -> Path:
    """Writes README.md into `$AICROWD_OUTPUT_PATH/<experiment>`, and returns its path.

    A README.md with another content is renamed to README.<sha8>.md first.

    Raises:
        KitError: the export or its scores are missing; `CARD-STALE`, the scores are of another
            export.
    """
    require("huggingface_hub")
    folder = environment.output_path() / experiment
    export = exported(folder)
    scores = _scores_of(folder, experiment)
    if scores.representation.sha256 != sha256_of(export.path):
        raise KitError(
            "CARD-STALE",
            f"{folder / 'scores.json'} has the scores of another export",
            _grade(folder),
        )
    config = folder / "config.gin"
    text = card_of(
        Subject(
            experiment,
            export.kind,
            scores,
            config.read_text(encoding="utf-8", errors="replace") if config.is_file() else None,
            _licence(),
        )
    )
    path = folder / NAME
    if path.is_file() and path.read_bytes() != text.encode():
        kept = path.with_name(f"README.{sha256_of(path)[:8]}.md")
        path.replace(kept)
        console.print(f"The card from before is now {kept}", markup=False)
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def exported(folder: Path) -> Found:
    """The export of an experiment.

    Raises:
        KitError: there is none, or there are several.
    """
    return only(folder / "representation")


def card_of(subject: Subject) -> str:
    """The text of a card: metadata in YAML, then Markdown."""
    parts = [f"---\n{_metadata(subject)}\n---", f"# {_text(subject.name)}"]
    scores = subject.scores
    dataset = _text(scores.dataset)
    parts.append(
        f"A disentangled representation: it maps an image to {scores.representation.dim} codes, "
        "which should each follow one factor of variation. It was graded as in the NeurIPS 2019 "
        f"Disentanglement Challenge, on {dataset}. SHA-256 of the export: "
        f"`{_text(scores.representation.sha256)}`"
    )
    parts += ["## Use", _fenced(_USE[subject.kind], "python"), "## Scores", _table(scores)]
    parts.append(
        f"Computed by the engine {_text(scores.engine)} from the sampling seed {scores.seed}. The "
        "best score is 1. The other columns are what representations score that learned nothing."
    )
    parts += ["## Data", _data(scores.dataset)]
    if subject.config is not None:
        parts += ["## Method", _method(subject.config)]
    parts += ["## Licence", _text(subject.licence or "None is stated.")]
    return "\n\n".join(parts) + "\n"


def _metadata(subject: Subject) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    scores, name = subject.scores, visible(subject.name)
    dataset = visible(scores.dataset)
    results = [
        EvalResult(
            task_type=_TASK,
            task_name="Disentanglement",
            dataset_type=_repository(scores.dataset) or dataset,
            dataset_name=dataset,
            metric_type=visible(metric),
            metric_value=score,
        )
        for metric, score in scores.scores.items()
        if score is not None
    ]
    licence = None if subject.licence is None else visible(subject.licence).lower()
    return ModelCardData(
        license=licence,
        pipeline_tag=_TASK,
        tags=["disentanglement", "representation-learning", subject.kind],
        model_name=name,
        eval_results=results or None,
    ).to_yaml()


def _table(scores: Scores) -> str:
    titles = list(scores.baselines)
    lines = [["Metric", "Score", *titles], ["---", *["---:"] * (1 + len(titles))]]
    for metric, score in scores.scores.items():
        others = [scores.baselines[title].get(metric) for title in titles]
        lines.append([_text(metric), *map(_number, (score, *others))])
    lines[0] = list(map(_text, lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _data(name: str) -> str:
    if name not in DATASETS:
        return f"{_text(name)} is data of the author's own."
    dataset = DATASETS[name]
    source = "The kit of the challenge renders it." if dataset.rendered else dataset.home
    return f"{_text(name)} shows {dataset.shows}. Its licence: {dataset.licence}. {source}"


def _method(config: str) -> str:
    found = dict(re.findall(r"^([\w./]+) = (.+)$", config, flags=re.MULTILINE))
    lines = [f"- {title}: {_text(found[name])}" for title, name in _SHOWN.items() if name in found]
    return "\n\n".join(
        [
            "Features of a network, aggregated, and the posterior mean of a VAE trained on them "
            "([stage 1](https://arxiv.org/abs/2002.10003), "
            "[stage 2](https://arxiv.org/abs/2002.12356)).",
            *(["\n".join(lines)] if lines else []),
            "The whole config:",
            _fenced(config, "python"),
        ]
    )


def _text(text: str) -> str:
    """One line of plain text in Markdown and HTML."""
    return re.sub(r"([\\`*_{}\[\]()#~|!])", r"\\\1", escape(visible(text)))


def _fenced(text: str, language: str) -> str:
    """A block of code whose fence the text cannot close."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}{language}", visible_lines(text.strip()), fence])


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"


def _repository(name: str) -> str | None:
    """The Hub's repository of a dataset, if it lies there."""
    files = DATASETS[name].files if name in DATASETS else ()
    return next((file.repository for file in files if isinstance(file, HubFile)), None)


def _scores_of(folder: Path, experiment: str) -> Scores:
    path = folder / "scores.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=Scores)
    except FileNotFoundError:
        raise KitError("CARD-SCORES", f"{experiment} has no scores", _grade(folder)) from None
    except (OSError, ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise KitError("CARD-SCORES", f"{path} cannot be read: {error}", _grade(folder)) from None


def _grade(folder: Path) -> str:
    return f"Grade it: python -m evaluation --representation {folder} --output {folder}"


def _licence() -> str | None:
    """What aicrowd.json states; None for an installed kit, and where it states none."""
    path = environment.REPOSITORY / "aicrowd.json"
    try:
        stated: Mapping = json.loads(path.read_text(encoding="utf-8"))
        licence = stated.get("license")
    except (OSError, ValueError, AttributeError):
        return None
    return licence if isinstance(licence, str) else None
