"""Records of what a file of images holds, and where the kit keeps what it makes of a dataset.

`<name>.json` lies beside the images. Where a data root cannot be written, as in a container that
mounts it read-only, what would go there goes to `AICROWD_OUTPUT_PATH/.dataset/<name>` instead.
"""

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evaluation.common.environment import output_path
from evaluation.common.errors import KitError
from evaluation.common.files import write_json
from evaluation.data.storage.blocks import ArrayInFile, Digests


@dataclass(frozen=True)
class FileState:
    """What tells, without reading it, that a file is probably another one.

    Args:
        name: Its name.
        bytes: Its size.
        changed: Its time of change in seconds: layers of images and archives keep no fractions.
    """

    name: str
    bytes: int
    changed: int

    @classmethod
    def of(cls, path: Path) -> "FileState":
        state = path.stat()
        return cls(path.name, state.st_size, int(state.st_mtime))


@dataclass(frozen=True)
class Record:
    """What is known of a file of images.

    Args:
        made_from: What the images depend on, as JSON has it; None where they were given to the kit.
        file: The file when it was last read whole.
        array: Where in it the images lie.
        digests: Of the images.
    """

    made_from: dict[str, Any] | None
    file: FileState
    array: ArrayInFile
    digests: Digests


def folders(name: str, root: Path) -> tuple[Path, Path]:
    """The two folders that a dataset's files may lie in."""
    return root / name, output_path() / ".dataset" / name


def place_to_write(name: str, root: Path) -> Path:
    """The folder for what the kit makes of a dataset, created if need be.

    Raises:
        KitError: none can be written.
    """
    for folder in folders(name, root):
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        if existing.is_dir() and os.access(existing, os.W_OK):
            folder.mkdir(parents=True, exist_ok=True)
            return folder
    beside, outputs = folders(name, root)
    raise KitError(
        "DATA-READ-ONLY",
        f"{name} has to be written, and neither {beside} nor {outputs} can be",
        "Make one of them writable, or set AICROWD_OUTPUT_PATH to a folder that is",
    )


def records(name: str, root: Path) -> list[Record]:
    """The records of a dataset that are whole; one that is damaged counts as none."""
    found = []
    for folder in folders(name, root):
        with suppress(OSError, ValueError, KeyError, TypeError):
            content = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
            if isinstance(content, dict) and content.pop("digest") == _digest(content):
                found.append(_from_json(content))
    return found


def write_record(name: str, root: Path, record: Record) -> None:
    """Writes a record; where nothing can be written, the images are read whole each time."""
    content: dict[str, Any] = asdict(record)
    content["array"] = record.array._asdict()
    content["digests"] = {
        "sha256": record.digests.sha256,
        "blocks": record.digests.blocks.hex(),
    }
    with suppress(KitError):
        path = place_to_write(name, root) / f"{name}.json"
        write_json(path, {"digest": _digest(content), **content})


def _from_json(content: dict[str, Any]) -> Record:
    array, digests = content["array"], content["digests"]
    return Record(
        content["made_from"],
        FileState(**content["file"]),
        ArrayInFile(array["offset"], tuple(array["shape"]), array["dtype"]),
        Digests(digests["sha256"], bytes.fromhex(digests["blocks"])),
    )


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
