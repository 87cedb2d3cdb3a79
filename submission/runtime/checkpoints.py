"""Checkpoints: the state of a training after its last epoch, and what it was made from.

The checkpoint of the epoch before is kept beside it. Each file holds the SHA-256 of its state. If
one file is damaged, the other one is used.
"""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evaluation.common.errors import KitError
from evaluation.common.files import whole_file
from evaluation.common.terminal import console

_DIGEST = "sha256"

_LARGE = 100 * 2**20
_SECONDS_BETWEEN_LARGE = 30.0

_saved_at: dict[Path, float] = {}
"""When this process has written which file, in seconds of the monotonic clock."""

_undamaged_here: set[Path] = set()
"""Files that this process has written, or has read without finding damage."""


def save(path: Path, made_from: dict[str, Any], **state: Any) -> None:
    """Writes a checkpoint. The one that was in `path` is moved to `previous(path)`.

    Args:
        path: The file.
        made_from: All that the training depends on.
        state: Tensors, numbers, strings, and lists and dictionaries of these.
    """
    content = {"made_from": made_from, **state}
    with whole_file(path) as temporary:
        write(temporary, {**content, _DIGEST: _digest_of(content)})
        # If the process is killed after this, training continues from the previous file. So a
        # damaged file must not replace it.
        if path in _undamaged_here and path.exists():
            path.replace(previous(path))
    _undamaged_here.add(path)
    _saved_at[path] = time.monotonic()


def is_due(path: Path) -> bool:
    """Whether the state after an epoch is worth a checkpoint: always, unless it is large.

    To hash and write a gigabyte takes seconds. On a GPU an epoch takes no longer, so a file of
    more than 100 MiB is written once in 30 seconds.
    """
    if path not in _saved_at or not path.exists() or path.stat().st_size < _LARGE:
        return True
    return time.monotonic() - _saved_at[path] >= _SECONDS_BETWEEN_LARGE


def write(path: Path, content: Any) -> None:
    """`torch.save` through a Python file, which gives a clear error if the disk is full.

    Raises:
        OSError: the disk is full, or the file cannot be written.
    """
    with path.open("wb") as stream:
        try:
            torch.save(content, stream)
        except RuntimeError as error:
            # After a failed write torch also fails to close its archive, which hides the cause.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def previous(path: Path) -> Path:
    """The file of the checkpoint before the one in `path`."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def load(path: Path, made_from: dict[str, Any]) -> dict[str, Any] | None:
    """The last undamaged state, on the CPU; None if there is none that was made from the same."""
    found, damaged = None, []
    for candidate in (path, previous(path)):
        if found is not None or not candidate.exists():
            continue
        state = _undamaged(candidate)
        if state is None:
            damaged.append(str(candidate))
            continue
        _undamaged_here.add(candidate)
        if state["made_from"] == made_from:
            found = state
    if damaged:
        following = "training starts again" if found is None else "the epoch before is used"
        console.print(f"Damaged: {' and '.join(damaged)}; {following}", markup=False)
    return found


def load_finished(
    path: Path, made_from: dict[str, Any], is_finished: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    """The state of a training that has ended, as `load` finds it.

    Raises:
        KitError: `EXPORT-UNTRAINED`, there is none from the same, or `is_finished` denies it.
    """
    state = load(path, made_from)
    if state is None or not is_finished(state):
        raise KitError(
            "EXPORT-UNTRAINED",
            f"{path} is not the checkpoint of a finished training of this config",
            "Run `python -m submission train` with the same arguments first",
        )
    return state


def _undamaged(path: Path) -> dict[str, Any] | None:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        digest = content.pop(_DIGEST)
    except Exception:  # torch.load raises exceptions of many kinds
        return None
    return content if digest == _digest_of(content) else None


def _digest_of(content: Any) -> str:
    digest = hashlib.sha256()
    _add(digest, content)
    return digest.hexdigest()


def _add(digest: "hashlib._Hash", value: Any) -> None:
    """Adds a value that `save` accepts to a digest: its type, its shape and its content."""
    if isinstance(value, Tensor):
        digest.update(f"{value.dtype}{tuple(value.shape)}".encode())
        on_cpu = value.detach().cpu().contiguous().flatten()
        digest.update(on_cpu.view(torch.uint8).numpy().data)
    elif isinstance(value, list | tuple | dict):
        digest.update(f"{type(value).__name__}{len(value)}".encode())
        for item in value.items() if isinstance(value, dict) else value:
            _add(digest, item)
    else:
        digest.update(f"{value!r}\n".encode())
