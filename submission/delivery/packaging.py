"""Writes the submission to one archive, with a manifest of its files."""

import gzip
import json
import tarfile
from io import BytesIO
from pathlib import Path

from evaluation.common.files import sha256_of, whole_file
from submission.delivery import bundle
from submission.delivery.git import lines

MANIFEST = "MANIFEST.json"


def manifest(root: Path) -> dict[str, str]:
    """Path -> SHA-256 of all files of the submission: those that git tracks, and the bundle.

    Raises:
        KitError: the bundle is absent or damaged, see `bundle.verify`.
    """
    bundle.verify(root)
    paths = {*lines(root, "ls-files", "-z"), *bundle.members(root), bundle.MANIFEST}
    return {path: sha256_of(root / path) for path in sorted(paths) if (root / path).is_file()}


def package(root: Path, archive: Path) -> None:
    """Writes the manifest and all files in it to `archive` (tar.gz).

    The same content gives the same bytes: names are sorted, and owners and times are omitted.

    Raises:
        KitError: as in `manifest`.
    """
    members = manifest(root)
    text = json.dumps(members, indent=2) + "\n"
    with (
        whole_file(archive) as temporary,
        temporary.open("wb") as raw,
        gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        _add(tar, MANIFEST, text.encode(), executable=False)
        for path in members:
            content = (root / path).read_bytes()
            _add(tar, path, content, executable=bool((root / path).stat().st_mode & 0o100))


def _add(tar: tarfile.TarFile, name: str, content: bytes, executable: bool) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    member.mode = 0o755 if executable else 0o644
    tar.addfile(member, BytesIO(content))
