"""Which of a config's bindings fine-tuning and features depend on, by where they lead."""

import ast
from functools import cache
from pathlib import Path
from typing import Any

from evaluation.common.environment import torch_home
from evaluation.common.files import sha256_of
from submission.study.effective import Bindings

MAIN = "submission.settings.main"
_EXTRACTOR = "submission.features.extractors.get_feature_extractor"
_AGGREGATED = "submission.features.aggregation.AggregatedFeatureExtractor"
_TUNING = "submission.finetuning."

_AFTER_FEATURES = ("submission.vae.", "submission.transfer.")
_AFTER_TUNING = ("vae_batch_size", "use_pca", "transform_class", "cache_features_on_disk")
_BESIDE_FEATURES = ("vae_batch_size", "dataset_name", "batch_size", "test_ratio")


def is_tuned(bound: Bindings) -> bool:
    """Whether the extractor is one that the config itself fine-tunes."""
    tunes = any(selector == f"{_TUNING}loop.train" for _, selector, _ in bound)
    return tunes and str(_value(bound, _EXTRACTOR, "model_name", "VGG19")).startswith("Agg")


def adapts(bound: Bindings) -> bool:
    """Whether the method is `transfer`."""
    return any(selector.startswith("submission.transfer.") for _, selector, _ in bound)


def has_features(bound: Bindings) -> bool:
    """Whether there is a table of features that several runs can use. Pixels are not copied."""
    sees_pixels = _value(bound, _EXTRACTOR, "model_name", "VGG19") == "Pixels"
    cached = bool(_value(bound, MAIN, "cache_features_on_disk", True))
    return cached and not sees_pixels and not adapts(bound)


def of_tuning(bound: Bindings) -> Bindings:
    """The bindings that fine-tuning depends on: in its scope, others are replaced."""
    return {
        place: value
        for place, value in bound.items()
        if not place[1].startswith(_AFTER_FEATURES)
        and not (place[1] == MAIN and place[2] in _AFTER_TUNING)
        and not (place[0] == "" and ("finetune", *place[1:]) in bound)
    }


def of_features(bound: Bindings) -> Bindings:
    """The bindings that features depend on. Those of fine-tuning are in the extractor's name."""
    left = {
        place: value
        for place, value in bound.items()
        if place[0] != "finetune"
        and not place[1].startswith((*_AFTER_FEATURES, _TUNING))
        and not (place[1] == MAIN and place[2] in _BESIDE_FEATURES)
    }
    if not _draws(bound):
        left.pop(("", MAIN, "seed"), None)
    return left


def is_whitened(bound: Bindings) -> bool:
    """Whether features depend on images that a whitening is fitted to, too."""
    return bool(_value(bound, MAIN, "use_pca", False))


def takes_all_in_order(bound: Bindings) -> bool:
    """Whether a training takes all images of its dataset, in their order."""
    size, ordered = (MAIN, "dataset_size", 0), (MAIN, "sequential_dataset", False)
    return _value(bound, *size) == 0 and bool(_value(bound, *ordered))


def of_all_features(bound: Bindings) -> Bindings:
    """The bindings that the features of all images of a dataset depend on."""
    in_order = {("", MAIN, "dataset_size"): "0", ("", MAIN, "sequential_dataset"): "True"}
    return of_features({**bound, **in_order})


def weights_in(bound: Bindings) -> str:
    """The hash of the user's own weights that an extractor gets; empty where it gets none.

    They lie in `$TORCH_HOME`, and may be replaced between two runs of a study.
    """
    model = str(_value(bound, _EXTRACTOR, "model_name", "VGG19"))
    custom = _value(bound, _EXTRACTOR, "custom_model_id", None)
    if is_tuned(bound) or not (custom is not None or model.startswith("Agg")):
        return ""
    name = model if custom is None else f"{model}_{custom}"
    model_id = _value(bound, _AGGREGATED, "model_id", None)
    if model.startswith("Agg") and model_id is not None:
        name = f"{name}_{model_id}"
    height, width = _value(bound, _EXTRACTOR, "interpolation_size", (224, 224))
    path = torch_home() / f"{name}_{height}x{width}.pth"
    try:
        state = path.stat()
    except (OSError, ValueError):  # of a name that no file can have, too
        return ""
    return _digest(path, state.st_size, state.st_mtime_ns)


@cache
def _digest(path: Path, size: int, changed: int) -> str:  # noqa: ARG001 - they tell files apart
    return sha256_of(path)


def _draws(bound: Bindings) -> bool:
    """Whether features depend on the seed of training."""
    ordered = _value(bound, MAIN, "sequential_dataset", False)
    has_weights = (
        _value(bound, _EXTRACTOR, "pretrained", True)
        or _value(bound, _EXTRACTOR, "custom_model_id", None) is not None
        or str(_value(bound, _EXTRACTOR, "model_name", "VGG19")).startswith("Agg")
    )
    return bool(not ordered or is_whitened(bound) or not has_weights)


def _value(bound: Bindings, configurable: str, parameter: str, default: Any) -> Any:
    """The value of a binding; the default of the code if there is none, or a macro."""
    text = bound.get(("", configurable, parameter))
    try:
        return default if text is None else ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return default
