"""A target whose labels cannot be read, in this process and in others."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import evaluation.data
from evaluation.common.environment import dataset_name
from evaluation.data.ground_truth import ImageGrid

HIDDEN = "The labels of the target are hidden"
_SITE = f"""
import sys

if sys.orig_argv[1:3] == ["-m", "submission"] and sys.orig_argv[3] != "study":
    import evaluation.data
    from tests.submission.unlabelled import opening

    evaluation.data.open_dataset = opening(evaluation.data.open_dataset)
    print("{HIDDEN}")
"""


class Unlabelled:
    """The images of a set, and the names of its factors. Their values cannot be asked for."""

    def __init__(self, grid: ImageGrid) -> None:
        self.name, self.fingerprint = grid.name, grid.fingerprint
        self.factor_names = grid.factor_names
        self.images, self.image_format = grid.images, grid.image_format
        self.images_at, self.observations_at = grid.images_at, grid.observations_at

    def __len__(self) -> int:
        return len(self.images)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} of the target was read")


def opening(open_dataset: Callable[..., ImageGrid]) -> Callable[..., Any]:
    """`open_dataset`, but the target is `Unlabelled`."""

    def open_unlabelled(name: str, *more: Any) -> Any:
        grid = open_dataset(name, *more)
        return Unlabelled(grid) if name == dataset_name() else grid

    return open_unlabelled


def hide_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hides the labels of the target from all modules of `submission` that are imported."""
    hidden = opening(evaluation.data.open_dataset)
    for name, module in list(sys.modules.items()):
        if name.startswith("submission") and hasattr(module, "open_dataset"):
            monkeypatch.setattr(module, "open_dataset", hidden)


def hide_labels_in_processes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hides them in all `python -m submission` that are started from now on, which print `HIDDEN`.

    A `study` itself is left out. The trainings that it starts are not.
    """
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(_SITE)
    monkeypatch.setenv("PYTHONPATH", str(folder))
