"""Records of image files, and the folders for files that the kit makes from a dataset.

The record `<name>.json` lies beside the images. If the data root is read-only, as in a container,
the kit writes to `AICROWD_OUTPUT_PATH/.dataset/<name>` instead.
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
    """Facts that show, without reading the file, whether it probably changed.

    Args:
        name: Its name.
        bytes: Its size.
        changed: Its modification time in whole seconds: container images and archives store no
            fractions.
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
    """What the kit knows about a file of images.

    Args:
        made_from: All that the images depend on, as JSON. None if the kit did not make the file.
        file: The state of the file when it was last read to its end.
        array: The place of the images in it.
        digests: The digests of the images.
    """

    made_from: dict[str, Any] | None
    file: FileState
    array: ArrayInFile
    digests: Digests


def folders(name: str, root: Path) -> tuple[Path, Path]:
    """The two folders that may hold a dataset's files."""
    return root / name, output_path() / ".dataset" / name


def place_to_write(name: str, root: Path) -> Path:
    """The folder for files that the kit makes from a dataset. It is created if it is missing.

    Raises:
        KitError: `DATA-READ-ONLY`, neither folder can be written.
    """
    for folder in folders(name, root):
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        if existing.is_dir() and os.access(existing, os.W_OK):
            folder.mkdir(parents=True, exist_ok=True)
            return folder
    beside, outputs = folders(name, root)
    raise KitError(
        "DATA-READ-ONLY",
        f"{name} must be written, but neither {beside} nor {outputs} is writable",
        "Make one of them writable, or set AICROWD_OUTPUT_PATH to a writable folder",
    )


def records(name: str, root: Path) -> list[Record]:
    """The records of a dataset; a damaged one counts as missing."""
    found = []
    for folder in folders(name, root):
        with suppress(OSError, ValueError, KeyError, TypeError):
            content = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
            if isinstance(content, dict) and content.pop("digest") == _digest(content):
                found.append(_from_json(content))
    return found


def write_record(name: str, root: Path, record: Record) -> None:
    """Writes a record. If no folder is writable, none is written, and each run reads all images."""
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
