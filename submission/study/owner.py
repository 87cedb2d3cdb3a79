"""Which study a folder belongs to: `study.json` in it names the study's file."""

import json
from pathlib import Path

from evaluation.common.errors import KitError
from evaluation.common.files import write_json

NAME = "study.json"


def require_own(folder: Path, file: Path) -> None:
    """Checks that a folder which nobody chose is not that of another study of the same name.

    Args:
        folder: The folder; it need not be there yet.
        file: The study's file.

    Raises:
        KitError: `STUDY-FOLDER`, it belongs to another file, which is still there.
    """
    other = _owner_of(folder)
    if other is not None and other != file.resolve() and other.is_file():
        raise KitError(
            "STUDY-FOLDER",
            f"{folder} holds the results of another study, {other}",
            "Give another folder by --output; the same folder by --output goes on there",
        )


def note_owner(folder: Path, file: Path) -> None:
    """Notes whose results a folder holds."""
    if _owner_of(folder) != file.resolve():
        write_json(folder / NAME, {"file": str(file.resolve())})


def _owner_of(folder: Path) -> Path | None:
    try:
        return Path(json.loads((folder / NAME).read_text(encoding="utf-8"))["file"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
