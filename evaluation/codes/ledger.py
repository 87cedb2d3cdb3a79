"""Which files the grader wrote itself, since what lies beside a submission may have come with it.

A submission can say of its own scores and codes what they were made from, as the grader would. So
the grader reuses only files whose content it has entered here, by size and hash, outside of what
comes from others.
"""

from contextlib import suppress
from pathlib import Path

from evaluation.common import environment
from evaluation.common.files import sha256_of

_LEDGER = environment.SCRATCH / "ledger"


def enter(path: Path) -> None:
    """Enters the content of a file; where nothing can be written, nothing is reused later."""
    with suppress(OSError):
        entry = _LEDGER / str(path.stat().st_size) / sha256_of(path)
        entry.parent.mkdir(parents=True, exist_ok=True)
        entry.touch()


def has(path: Path) -> bool:
    """Whether `path`, which may be absent or anything, is a file whose content was entered."""
    try:
        # A size that none has spares reading it, however large it is.
        of_size = _LEDGER / str(path.stat().st_size)
        return path.is_file() and of_size.is_dir() and (of_size / sha256_of(path)).exists()
    except OSError:
        return False
