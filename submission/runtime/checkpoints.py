"""Where a training stands: a file that is whole, and says what the training was made from.

The state of the epoch before is kept beside it. Each file holds the SHA-256 of its own state, so
one that was damaged since is noticed, and the other one used.
"""

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evaluation.common.files import whole_file
from evaluation.common.terminal import console

_DIGEST = "sha256"

_undamaged_here: set[Path] = set()
"""Files that this process has written, or read and found undamaged."""


def save(path: Path, made_from: dict[str, Any], **state: Any) -> None:
    """Writes `state`: tensors, numbers, texts, and lists and dictionaries of these.

    What was in `path` becomes that of `previous(path)`.
    """
    content = {"made_from": made_from, **state}
    with whole_file(path) as temporary:
        write(temporary, {**content, _DIGEST: _digest_of(content)})
        # A kill after this leaves the previous file alone, from which training goes on. A damaged
        # file must not take its place.
        if path in _undamaged_here and path.exists():
            path.replace(previous(path))
    _undamaged_here.add(path)


def write(path: Path, content: Any) -> None:
    """`torch.save` by way of Python's files, which say so when the disk is full."""
    with path.open("wb") as stream:
        try:
            torch.save(content, stream)
        except RuntimeError as error:
            # Closing its archive fails as well, and hides why writing did.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def previous(path: Path) -> Path:
    """Where the state before that in `path` is kept."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def load(path: Path, made_from: dict[str, Any]) -> dict[str, Any] | None:
    """The last state that is undamaged, on the CPU; None if there is none made from the same."""
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
        following = "training begins anew" if found is None else "the epoch before is used"
        console.print(f"Damaged: {' and '.join(damaged)}; {following}", markup=False)
    return found


def _undamaged(path: Path) -> dict[str, Any] | None:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        digest = content.pop(_DIGEST)
    except Exception:  # torch.load raises whatever its unpickler meets
        return None
    return content if digest == _digest_of(content) else None


def _digest_of(content: Any) -> str:
    digest = hashlib.sha256()
    _add(digest, content)
    return digest.hexdigest()


def _add(digest: "hashlib._Hash", value: Any) -> None:
    """Adds a value as `save` takes it to a digest: types and shapes as well as content."""
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
