"""What is known of the first copy of a file: later copies of the same file must equal it.

Of many files nobody publishes a digest, and a repository's newest commit may change. So the first
copy that proved to be the dataset is trusted, as SSH trusts a server that it meets first.
"""

import json
from pathlib import Path

import msgspec

from evaluation.common.errors import KitError
from evaluation.common.files import write_json
from evaluation.data.dataset import RemoteFile


class FirstCopy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first copy of a file.

    Args:
        source: Where it came from: an address, or a repository.
        commit: The commit of the repository; None for an address.
        sha256: Hexadecimal, of the whole file.
    """

    source: str
    commit: str | None
    sha256: str


def first_copy(file: RemoteFile, root: Path) -> FirstCopy | None:
    """What is recorded of a file's first copy; None if nothing is.

    Raises:
        KitError: `DOWNLOAD-RECORD`, the record cannot be read.
    """
    path = record_of(file, root)
    try:
        return msgspec.convert(json.loads(path.read_text(encoding="utf-8")), FirstCopy)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:  # msgspec's errors are ValueErrors
        raise KitError(
            "DOWNLOAD-RECORD",
            f"{path}, which says what was downloaded first, cannot be read ({error})",
            "Remove it, to trust the next download",
        ) from None


def require_same(file: RemoteFile, root: Path, copy: FirstCopy) -> None:
    """Refuses a copy that differs from the first one.

    Another commit that the user asked for may differ.

    Raises:
        KitError: `DOWNLOAD-CHANGED`.
    """
    first = first_copy(file, root)
    if first is None or first.sha256 == copy.sha256:
        return
    if (first.source, first.commit) != (copy.source, copy.commit) and copy.commit is not None:
        return
    raise KitError(
        "DOWNLOAD-CHANGED",
        f"the fetched {file.path} has the SHA-256 {copy.sha256}; the first time it had"
        f" {first.sha256}",
        f"If the new one is wanted, remove {record_of(file, root)}",
    )


def remember(file: RemoteFile, root: Path, copy: FirstCopy) -> None:
    """Records a copy that proved to be the dataset."""
    write_json(record_of(file, root), msgspec.to_builtins(copy))


def record_of(file: RemoteFile, root: Path) -> Path:
    """The file that has the record."""
    return root / ".download" / f"{Path(file.path).name}.json"
