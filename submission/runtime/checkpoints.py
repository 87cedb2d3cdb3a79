"""Where a training stands: a file that is whole, and says what the training was made from."""

from pathlib import Path
from typing import Any

import torch

from evaluation.common.errors import KitError
from evaluation.common.files import whole_file


def save(path: Path, made_from: dict[str, Any], **state: Any) -> None:
    """Writes `state`: tensors, numbers, texts, and lists and dictionaries of these."""
    with whole_file(path) as temporary:
        write(temporary, {"made_from": made_from, **state})


def write(path: Path, content: Any) -> None:
    """`torch.save` by way of Python's files, which say so when the disk is full."""
    with path.open("wb") as stream:
        torch.save(content, stream)


def load(path: Path, made_from: dict[str, Any]) -> dict[str, Any] | None:
    """The state in `path`, on the CPU; None if there is none of a training made from the same.

    Raises:
        KitError: the file is there and cannot be read.
    """
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever its unpickler meets
        raise KitError(
            "CHECKPOINT-UNREADABLE",
            f"{path} is not a checkpoint of this kit: {error}",
            "Remove it to train from the start",
        ) from None
    return state if state.get("made_from") == made_from else None
