"""The challenge's rule: labels of other datasets may be learned, and those of the target never."""

from collections.abc import Sequence
from pathlib import Path

from evaluation.common.environment import dataset_name
from evaluation.common.errors import KitError


def refuse_target_among(names: Sequence[str]) -> None:
    """Refuses labels of the target for fine-tuning.

    Args:
        names: The datasets whose labels would be learned.

    Raises:
        KitError: `FINETUNE-TARGET`, `$AICROWD_DATASET_NAME` is one of them, or shows the same look.
    """
    if _has_look_of_target(names):
        raise KitError(
            "FINETUNE-TARGET",
            f"main.dataset_name {list(names)} has the look of the target {dataset_name()}, whose "
            "labels must not be used",
            "Name datasets of other looks in main.dataset_name, or another target in "
            "AICROWD_DATASET_NAME",
        )


def refuse_weights_of_target(path: Path, names: Sequence[str]) -> None:
    """Refuses weights that have learned labels of the target.

    Args:
        path: The file of the weights.
        names: The datasets whose labels they have learned.

    Raises:
        KitError: `EXTRACTOR-TARGET`, `$AICROWD_DATASET_NAME` is one of them, or shows the same
            look.
    """
    if _has_look_of_target(names):
        raise KitError(
            "EXTRACTOR-TARGET",
            f"{path} has learned the labels of {', '.join(names)}, which has the look of the "
            f"target {dataset_name()}",
            "Fine-tune on datasets of other looks, or set another target in AICROWD_DATASET_NAME",
        )


def _has_look_of_target(names: Sequence[str]) -> bool:
    return _look(dataset_name()) in map(_look, names)


def _look(name: str) -> str:
    """A dataset's name without the ending that tells how many of its images it holds."""
    return name.removesuffix("_mini").removesuffix("_4x4")
