"""Fetches all files of a dataset. Each appears in its place only when it is whole.

A file is downloaded to `<root>/.download/<its name>/`, compared with its digest, and then moved to
its place. After that the dataset is opened, which reads every file to its end. If a fetched file
turns out to be wrong, it is removed; if not, later copies of it must equal it (`first_copy`).
"""

import hashlib
import shutil
from pathlib import Path

from evaluation.common.errors import KitError
from evaluation.common.files import free_bytes, locked, readable_size
from evaluation.common.terminal import console, progress
from evaluation.data.dataset import Dataset, FileByHand, HubFile, RemoteFile, WebFile
from evaluation.data.download import hub, web
from evaluation.data.download.first_copy import FirstCopy, first_copy, remember, require_same

_UNFIT = ("DATA-DAMAGED", "DATA-KEY", "DATA-SHAPE", "DATA-LAYOUT")


def download(dataset: Dataset, root: Path, revision: str | None = None) -> None:
    """Fetches the missing files of a dataset, and opens it.

    Args:
        dataset: The registry's entry.
        root: The data root.
        revision: Branch, tag or commit of the Hub's repository; None for the commit that came
            first, or the newest one.

    Raises:
        KitError: the kit renders the dataset, no program can fetch it, the disk is too full, a
            server refuses, or a fetched file is wrong.
    """
    if dataset.rendered:
        raise KitError(
            "DOWNLOAD-RENDERED",
            f"{dataset.name} is rendered by the kit, and cannot be downloaded",
            f"Run python -m evaluation.data render {dataset.name}",
        )
    try:
        opened = dataset.open(dataset.name, root)
    except KitError as refusal:
        if refusal.code != "DATA-MISSING":
            raise
    else:
        console.print(f"{dataset.name}: {len(opened):,} images are here already", markup=False)
        return
    missing = [file for file in dataset.files if not is_there(file, root)]
    by_hand = [file for file in missing if isinstance(file, FileByHand)]
    if by_hand:
        places = " and ".join(str(root / file.path) for file in by_hand)
        raise KitError(
            "DOWNLOAD-BY-HAND",
            f"No program can fetch {dataset.name}: {by_hand[0].reason}",
            f"Get it from {by_hand[0].page} and put {places}",
        )
    copies = [(file, _fetch(file, root, revision)) for file in missing]
    fetched = [root / file.path for file, copy in copies if copy is not None]
    try:
        opened = dataset.open(dataset.name, root)
    except KitError as refusal:
        if refusal.code not in _UNFIT or not fetched:
            raise
        for path in fetched:
            path.unlink()
        raise KitError(
            "DOWNLOAD-UNFIT",
            f"the fetched files are not {dataset.name}, and were removed: {refusal.problem}",
            f"Try again later, or look at {dataset.home}",
        ) from refusal
    for file, copy in copies:
        if copy is not None:
            remember(file, root, copy)
    console.print(f"{dataset.name}: {len(opened):,} images are ready", markup=False)


def is_there(file: RemoteFile, root: Path) -> bool:
    """Whether a file is in its place, as it is or unpacked."""
    path = root / file.path.partition(" ")[0]
    return path.exists() or (path.suffix == ".gz" and path.with_suffix("").exists())


def _fetch(file: RemoteFile, root: Path, revision: str | None) -> FirstCopy | None:
    """Fetches a file. Returns None if another process fetched it meanwhile."""
    target = root / file.path
    folder = root / ".download" / target.name
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, target.name):
        if target.exists():
            return None
        source, commit = "", None
        if isinstance(file, HubFile):
            first = first_copy(file, root)
            found = hub.ask(file, revision or (None if first is None else first.commit))
            source, commit = file.repository, found.commit
            _require_room(folder, file.path, found.bytes or file.bytes)
            part, digest = hub.fetch(file, folder, found), file.digest or found.digest
        else:
            assert isinstance(file, WebFile)
            _require_room(folder, file.path, file.bytes)
            source = file.url
            part, digest = web.fetch(file, folder), file.digest
        copy = FirstCopy(source, commit, _require_digest(part, digest, file))
        try:
            require_same(file, root, copy)
        except KitError:
            part.unlink()
            raise
        target.parent.mkdir(parents=True, exist_ok=True)
        part.replace(target)
        _remove_leftovers(folder)
    console.print(f"Fetched {target} ({readable_size(target.stat().st_size)})", markup=False)
    return copy


def _remove_leftovers(folder: Path) -> None:
    """Removes a library's temporary files. The lock file stays: other processes may wait for it."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != ".lock":
            path.unlink()


def _require_room(folder: Path, name: str, size: int) -> None:
    """Checks that the disk has room for the part of `size` bytes that is not fetched yet.

    Raises:
        KitError: `DATA-DISK-FULL`.
    """
    room, done = free_bytes(folder), sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    if size - done > room:
        raise KitError(
            "DATA-DISK-FULL",
            f"{name} has {readable_size(size)} and the disk of {folder} has {readable_size(room)}"
            " free",
            "Free some space, or name a folder on another disk with --data-root",
        )


def _require_digest(path: Path, digest: str | None, file: RemoteFile) -> str:
    """Compares a file with "md5:…" or "sha256:…", if one is known; returns its SHA-256.

    Raises:
        KitError: `DOWNLOAD-DIGEST`, they differ; the file is removed.
    """
    kind, _, wanted = (digest or "sha256:").partition(":")
    found, sha256 = hashlib.new(kind, usedforsecurity=False), hashlib.sha256()
    size = path.stat().st_size
    with path.open("rb") as stream, progress(f"Checking {path.name}", size) as advance:
        while block := stream.read(1 << 22):
            found.update(block)
            sha256.update(block)
            advance(len(block))
    if digest is not None and found.hexdigest() != wanted:
        path.unlink()
        raise KitError(
            "DOWNLOAD-DIGEST",
            f"the fetched {file.path} has the {kind} {found.hexdigest()}; it must have {wanted}",
            "Try again later: the server or a proxy gave another file",
        )
    return sha256.hexdigest()
