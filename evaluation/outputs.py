"""The files that a grading writes, and the room for them."""

import os
from pathlib import Path

from evaluation.common.errors import KitError

SCORES = "scores.json"
CODES = "codes.npz"

ALL_SCORES = "all_scores.json"
UNTRAINED_CODES = "untrained_codes.npz"

NAMES = (SCORES, CODES, ALL_SCORES, UNTRAINED_CODES)


def require_room(folder: Path, *names: str, flag: str = "--output") -> None:
    """Refuses a place where no file of these names can be written, before anything is computed.

    Args:
        folder: The place; it need not be there yet.
        names: Names of the files.
        flag: The flag that gives another place.

    Raises:
        KitError: a folder is called so, or there is a file where a folder must be.
    """
    there = next(place for place in (folder, *folder.absolute().parents) if os.path.lexists(place))
    occupied = [] if there.is_dir() else [there]
    occupied += [folder / name for name in names if (folder / name).is_dir()]
    if occupied:
        raise KitError(
            "OUTPUT-OCCUPIED",
            f"{occupied[0]} is in the way of what is to be written there",
            f"Move it away, or give another folder, by {flag}",
        )
