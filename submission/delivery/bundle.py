"""The trained encoder that travels with the submission, in `submission/bundle/`.

`make` puts an experiment's representation and its config there, with a manifest of their SHA-256;
`deliver` compares them with it and puts the representation where the evaluator looks for it.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from evaluation.common import environment
from evaluation.common.errors import KitError
from evaluation.common.files import locked, sha256_of, whole_file, write_json
from evaluation.representation.finding import refuse_others

FOLDER = "submission/bundle"
MANIFEST = f"{FOLDER}/manifest.json"

_GATHERING = "submission/.bundle"
"""Where files are gathered before they take the place of those that were bundled before."""

_MAKE = "./local_eval.sh && .venv/bin/python -m submission bundle quick"
_LFS_POINTER = b"version https://git-lfs.github.com/spec/v1"


def make(root: Path, experiment: str) -> None:
    """Bundles `$AICROWD_OUTPUT_PATH/<experiment>`, in place of what was bundled before.

    Raises:
        KitError: `BUNDLE-SOURCE`, nothing has been exported there.
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
    if (source / "config.gin").is_file():  # what our method did not make has none
        files.append(source / "config.gin")

    gathering = root / _GATHERING
    gathering.mkdir(parents=True, exist_ok=True)
    with locked(gathering, FOLDER):
        _exchange(root, experiment, source, sorted(files), gathering / "files")


def _exchange(
    root: Path, experiment: str, source: Path, files: Sequence[Path], copies: Path
) -> None:
    """Puts copies of `files`, which lie under `source`, in the place of what is bundled."""
    try:
        before = _digests(root)
    except KitError:  # there is none, or it is damaged
        before = {}
    shutil.rmtree(copies, ignore_errors=True)
    digests = {}
    for path in files:
        name = path.relative_to(source).as_posix()
        _copy(path, copies / name)
        digests[name] = sha256_of(copies / name)
    # During the exchange the manifest lists all files: an interrupted bundle is detected, and the
    # next one removes what is left of it, and nothing else.
    write_json(root / MANIFEST, {"experiment": experiment, "sha256": {**before, **digests}})
    for name in before:
        _remove(root / FOLDER / name, root / FOLDER)
    for name in digests:
        (root / FOLDER / name).parent.mkdir(parents=True, exist_ok=True)
        (copies / name).replace(root / FOLDER / name)
    write_json(root / MANIFEST, {"experiment": experiment, "sha256": digests})
    shutil.rmtree(copies)


def members(root: Path) -> list[str]:
    """Paths within `root` of the bundled files, the manifest not among them.

    Raises:
        KitError: `BUNDLE-ABSENT` or `BUNDLE-MANIFEST`.
    """
    return [f"{FOLDER}/{name}" for name in _digests(root)]


def members_in(manifest: str) -> list[str]:
    """The same of the text of another manifest, such as the last commit's.

    Raises:
        KitError: `BUNDLE-MANIFEST`.
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
            f"{path} is not the file of which {MANIFEST} holds the SHA-256",
            "Bundle the experiment again: .venv/bin/python -m submission bundle EXPERIMENT",
        )
    return digests


def deliver(root: Path) -> Path:
    """Puts what is bundled under the evaluation's name, and returns the representation's folder.

    Raises:
        KitError: as `verify`, or `REPRESENTATION-OTHERS`, the folder holds one of another kind.
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
            f"Make one with `{_MAKE}`, or bundle another experiment by its name",
        ) from None


def _listed(manifest: str) -> dict[str, str]:
    try:
        return dict(json.loads(manifest)["sha256"])
    except (ValueError, KeyError, TypeError):
        raise KitError(
            "BUNDLE-MANIFEST",
            f"{MANIFEST} is not a manifest of what is bundled",
            f"Take it back with `git checkout {MANIFEST}`, or remove it and bundle again",
        ) from None


def _remove(path: Path, within: Path) -> None:
    """Removes a file, and the folders up to `within` that it leaves empty."""
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
