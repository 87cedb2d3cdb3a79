"""The trained encoder that travels with the submission, in `submission/bundle/`.

`make` puts an experiment's representation and its config there, with a manifest of their SHA-256;
`deliver` compares them with it and puts the representation where the evaluator looks for it.
"""

import json
import shutil
from pathlib import Path

from evaluation import environment
from evaluation.errors import KitError
from evaluation.files import sha256_of, whole_file, write_json

FOLDER = "submission/bundle"
MANIFEST = f"{FOLDER}/manifest.json"

_MAKE = "./local_eval.sh && .venv/bin/python -m submission bundle quick"
_LFS_POINTER = b"version https://git-lfs.github.com/spec/v1"


def make(root: Path, experiment: str) -> None:
    """Bundles `$AICROWD_OUTPUT_PATH/<experiment>`, in place of what was bundled before.

    Raises:
        KitError: `BUNDLE-SOURCE`, nothing has been exported there.
    """
    source = environment.output_path() / experiment
    files = [path for path in (source / "representation").rglob("*") if path.is_file()]
    if not files:
        raise KitError(
            "BUNDLE-SOURCE",
            f"{source / 'representation'} holds no exported representation",
            f"Train and export it first: ./run.sh submission/configs/quick.gin {experiment}",
        )
    if (source / "config.gin").is_file():  # what our method did not make has none
        files.append(source / "config.gin")

    # The manifest goes first and comes last: an interrupted bundle is none.
    (root / MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(root / FOLDER, ignore_errors=True)
    digests = {}
    for path in sorted(files):
        name = path.relative_to(source).as_posix()
        _copy(path, root / FOLDER / name)
        digests[name] = sha256_of(root / FOLDER / name)
    write_json(root / MANIFEST, {"experiment": experiment, "sha256": digests})


def members(root: Path) -> list[str]:
    """Paths within `root` of the bundled files, the manifest not among them.

    Raises:
        KitError: `BUNDLE-ABSENT`.
    """
    return [f"{FOLDER}/{name}" for name in _digests(root)]


def verify(root: Path) -> None:
    """Compares the bundled files with the manifest.

    Raises:
        KitError: `BUNDLE-ABSENT`, `BUNDLE-LFS` (a pointer in place of a file) or `BUNDLE-DIFFERS`.
    """
    for name, digest in _digests(root).items():
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


def deliver(root: Path) -> Path:
    """Puts what is bundled under the evaluation's name, and returns the representation's folder."""
    verify(root)
    target = environment.output_path() / environment.evaluation_name()
    for name in _digests(root):
        _copy(root / FOLDER / name, target / name)
    return target / "representation"


def _digests(root: Path) -> dict[str, str]:
    try:
        text = (root / MANIFEST).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise KitError(
            "BUNDLE-ABSENT",
            f"no trained encoder is bundled: {root / MANIFEST} does not exist",
            f"Make one with `{_MAKE}`, or bundle another experiment by its name",
        ) from None
    return json.loads(text)["sha256"]


def _copy(source: Path, target: Path) -> None:
    with whole_file(target) as temporary:
        shutil.copyfile(source, temporary)


def _is_lfs_pointer(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(_LFS_POINTER)) == _LFS_POINTER
