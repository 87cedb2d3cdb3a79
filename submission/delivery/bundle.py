"""The trained encoder that is part of the submission, in `submission/bundle/`.

`make` copies an experiment's representation and config there, with a manifest of their SHA-256.
`deliver` compares the files with the manifest, and copies them to where the evaluator looks.
"""

import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from evaluation.common import environment
from evaluation.common.errors import KitError
from evaluation.common.files import locked, sha256_of, whole_file, write_json
from evaluation.representation.finding import refuse_others

FOLDER = "submission/bundle"
MANIFEST = f"{FOLDER}/manifest.json"

_STAGING = "submission/.bundle"
"""The folder for copies of the new files, until they replace the old bundle."""

_MAKE = "./local_eval.sh && .venv/bin/python -m submission bundle quick"
_LFS_POINTER = b"version https://git-lfs.github.com/spec/v1"


def make(root: Path, experiment: str) -> None:
    """Bundles `$AICROWD_OUTPUT_PATH/<experiment>`. It replaces the old bundle.

    Args:
        root: The checkout.
        experiment: Name of the experiment's folder.

    Raises:
        KitError: `BUNDLE-SOURCE`, the experiment has no exported representation; `BUNDLE-LINK`, a
            folder of the bundle is a link.
    """
    source = environment.output_path() / experiment
    files = [
        path
        for path in (source / "representation").rglob("*")
        if path.is_file() and not path.name.startswith(".")  # left by an export that was killed
    ]
    if not files:
        raise KitError(
            "BUNDLE-SOURCE",
            f"{source / 'representation'} holds no exported representation",
            f"Train and export it first: ./run.sh submission/configs/quick.gin {experiment}",
        )
    if (source / "config.gin").is_file():  # only our method writes one
        files.append(source / "config.gin")

    staging = root / _STAGING
    staging.mkdir(parents=True, exist_ok=True)
    with locked(staging, FOLDER):
        _replace_bundle(root, experiment, source, sorted(files), staging / "files")


def _replace_bundle(
    root: Path, experiment: str, source: Path, files: Sequence[Path], copies: Path
) -> None:
    """Replaces the bundle by copies of `files`, which lie under `source`."""
    try:
        before = _digests(root)
    except KitError:  # there is no bundle, or its manifest is damaged
        before = {}
    shutil.rmtree(copies, ignore_errors=True)
    digests = {}
    for path in files:
        name = path.relative_to(source).as_posix()
        _copy(path, copies / name)
        digests[name] = sha256_of(copies / name)
    _refuse_links(root, {**before, **digests})
    # While files are replaced, the manifest lists old and new ones. So `verify` detects an
    # interrupted bundle, and the next `make` removes exactly its files.
    write_json(root / MANIFEST, {"experiment": experiment, "sha256": {**before, **digests}})
    for name in before:
        _remove(root / FOLDER / name, root / FOLDER)
    for name in digests:
        (root / FOLDER / name).parent.mkdir(parents=True, exist_ok=True)
        (copies / name).replace(root / FOLDER / name)
    write_json(root / MANIFEST, {"experiment": experiment, "sha256": digests})
    shutil.rmtree(copies)


def _refuse_links(root: Path, names: Iterable[str]) -> None:
    """Refuses to write or to remove files that lie outside of the bundle, behind a link.

    Raises:
        KitError: `BUNDLE-LINK`.
    """
    bundled = root.resolve() / FOLDER
    for name in names:
        folder = (bundled / name).parent
        if folder.resolve() != folder:
            raise KitError(
                "BUNDLE-LINK",
                f"{folder} is a link, or lies behind one, and leads to {folder.resolve()}",
                "Remove the link and bundle again",
            )


def members(root: Path) -> list[str]:
    """Paths, relative to `root`, of the bundled files without the manifest.

    Raises:
        KitError: `BUNDLE-ABSENT`, there is no bundle; `BUNDLE-MANIFEST`, the manifest is damaged.
    """
    return [f"{FOLDER}/{name}" for name in _digests(root)]


def members_in(manifest: str) -> list[str]:
    """The same from the text of another manifest, such as that of the last commit.

    Raises:
        KitError: `BUNDLE-MANIFEST`, it is not a manifest.
    """
    return [f"{FOLDER}/{name}" for name in _listed(manifest)]


def verify(root: Path) -> dict[str, str]:
    """Compares the bundled files with the manifest, and returns their SHA-256 by name.

    Raises:
        KitError: `BUNDLE-ABSENT`, `BUNDLE-MANIFEST`, `BUNDLE-LFS` (a pointer in place of a file)
            or `BUNDLE-DIFFERS`.
    """
    digests = _digests(root)
    for name, digest in digests.items():
        path = root / FOLDER / name
        if path.is_file() and sha256_of(path) == digest:
            continue
        if path.is_file() and _is_lfs_pointer(path):
            raise KitError(
                "BUNDLE-LFS", f"{path} is a Git LFS pointer, not the file", "Run `git lfs pull`"
            )
        raise KitError(
            "BUNDLE-DIFFERS",
            f"{path} does not have the SHA-256 that {MANIFEST} gives",
            "Bundle the experiment again: .venv/bin/python -m submission bundle EXPERIMENT",
        )
    return digests


def deliver(root: Path) -> Path:
    """Copies the bundle to the evaluation's output folder.

    Returns:
        The folder of the representation.

    Raises:
        KitError: as in `verify`; `REPRESENTATION-OTHERS`, the folder holds a representation of
            another kind.
    """
    names = verify(root)
    target = environment.output_path() / environment.evaluation_name()
    kinds = {Path(name).parts[1] for name in names if name.startswith("representation/")}
    refuse_others(target / "representation", kinds)
    for name in names:
        _copy(root / FOLDER / name, target / name)
    return target / "representation"


def _digests(root: Path) -> dict[str, str]:
    try:
        return _listed((root / MANIFEST).read_text(encoding="utf-8", errors="replace"))
    except FileNotFoundError:
        raise KitError(
            "BUNDLE-ABSENT",
            f"no trained encoder is bundled: {root / MANIFEST} does not exist",
            f"Make one with `{_MAKE}`, or bundle an experiment that you have trained",
        ) from None


def _listed(manifest: str) -> dict[str, str]:
    try:
        digests = dict(json.loads(manifest)["sha256"])
        if all(map(_is_below, digests)):
            return digests
        raise ValueError("a name leads elsewhere")
    except (ValueError, KeyError, TypeError, RecursionError):
        raise KitError(
            "BUNDLE-MANIFEST",
            f"{MANIFEST} is damaged, or is not a manifest of a bundle",
            f"Restore it with `git checkout {MANIFEST}`, or remove it and bundle again",
        ) from None


def _is_below(name: str) -> bool:
    """Whether a name from a manifest is the path of a file below the bundle's folder.

    Whoever wrote the manifest could otherwise have any file of the user removed or replaced.
    """
    path = PurePosixPath(name)
    leads_out = path.is_absolute() or ".." in path.parts
    return str(path) == name and bool(path.parts) and not leads_out and "\0" not in name


def _remove(path: Path, within: Path) -> None:
    """Removes a file, and then each empty folder above it, up to `within`."""
    if not path.is_dir():
        path.unlink(missing_ok=True)
    for folder in path.parents:
        if folder == within or not folder.is_dir() or any(folder.iterdir()):
            return
        folder.rmdir()


def _copy(source: Path, target: Path) -> None:
    with whole_file(target) as temporary:
        shutil.copyfile(source, temporary)


def _is_lfs_pointer(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(_LFS_POINTER)) == _LFS_POINTER
