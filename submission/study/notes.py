"""What is noted of a shared step or of a training that was done: `step.json` in its folder."""

from pathlib import Path

import msgspec

from evaluation.common.files import write_json
from submission.study.plan import TUNING, Run, Step

NAME = "step.json"


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What is noted.

    Args:
        seconds: The longest time that it ever took: one that finds its result there takes only the
            start of a process.
        features_dir: The folder of cached features at the last time.
    """

    seconds: float
    features_dir: str = ""


def leave_note(done: Step | Run, seconds: float, features_dir: Path) -> float:
    """Notes that a step or a training took so long, and returns what is noted of its time."""
    longest = max(seconds, seconds_of(done) or 0.0)
    noted = Note(seconds=longest, features_dir=str(features_dir))
    write_json(done.folder / NAME, msgspec.to_builtins(noted))
    return longest


def note_of(done: Step | Run) -> Note | None:
    """What is noted; None if nothing is, or the file is damaged."""
    try:
        return msgspec.json.decode((done.folder / NAME).read_bytes(), type=Note)
    except (OSError, ValueError):  # msgspec's errors are ValueErrors
        return None


def seconds_of(done: Step | Run) -> float | None:
    """What a step or a training took when it was done; None if it was not."""
    noted = note_of(done)
    return None if noted is None else noted.seconds


def is_made(step: Step, features_dir: Path) -> bool:
    """Whether a step was done; features, with this folder of them, which is still there."""
    noted = note_of(step)
    if noted is None or step.kind == TUNING:
        return noted is not None
    return noted.features_dir == str(features_dir) and features_dir.is_dir()
