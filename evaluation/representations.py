"""What a participant hands in: found by path, copied aside, and run in a worker."""

import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from evaluation.errors import KitError
from evaluation.files import sha256_of
from evaluation.limits import ENCODING_BATCH, Limits
from evaluation.loading import PLAIN
from evaluation.supervision import Worker

CONTRACT_NAMES = {
    "tfhub": "savedmodel",
    "pytorch_model.pt": "torchscript",
    "python_model.dill": "dill",
}
"""Names under `representation/` that the challenge looks for, and their kinds."""

_SUFFIXES = {".pt": "torchscript", ".pth": "torchscript", ".dill": "dill"}
_SAVED_MODEL = ("saved_model.pb", "saved_model.pbtxt")


@dataclass(frozen=True)
class Found:
    """A representation on disk.

    Args:
        path: The file, or the folder of a SavedModel.
        kind: "torchscript", "dill" or "savedmodel".
    """

    path: Path
    kind: str

    @property
    def name(self) -> str:
        """The experiment's name where the path follows the contract, else the file's own."""
        if self.path.parent.name == "representation":
            return self.path.absolute().parent.parent.name
        return self.path.stem


def find(path: Path) -> list[Found]:
    """The representation at `path`, or all of them in a folder of several, in order of name.

    `path` is a file, a SavedModel's folder, a `representation/` folder, an experiment's folder that
    holds one, or a folder of any of these.

    Raises:
        KitError: nothing there, unknown kind, or two kinds in one `representation/` folder.
    """
    found = _find_one(path)
    if found is not None:
        return [found]
    if not path.is_dir():
        raise KitError(
            "REPRESENTATION-KIND",
            f"{path} is of no known kind; known are files ending in {', '.join(_SUFFIXES)} and "
            "folders with a saved_model.pb",
            "Give a TorchScript file, a dill file or a SavedModel",
        )
    several = [found for member in sorted(path.iterdir()) if (found := _find_one(member))]
    if not several:
        raise KitError(
            "REPRESENTATION-MISSING",
            f"{path} holds no representation; looked for {', '.join(CONTRACT_NAMES)}, in it and in "
            "a folder 'representation', and for files ending in " + ", ".join(_SUFFIXES),
            "Export one, or give its path",
        )
    return several


def _find_one(path: Path) -> Found | None:
    try:
        if not path.is_dir():
            if not path.exists() and not path.is_symlink():
                raise KitError(
                    "REPRESENTATION-MISSING",
                    f"{path} does not exist",
                    "Export one, or correct the path",
                )
            kind = _SUFFIXES.get(path.suffix)
            return Found(path, kind) if kind else None
        if any((path / name).is_file() for name in _SAVED_MODEL):
            return Found(path, "savedmodel")
        names = [name for name in CONTRACT_NAMES if (path / name).exists()]
    except PermissionError as error:
        raise _unreadable(path, error) from None
    if len(names) > 1:
        raise KitError(
            "REPRESENTATION-AMBIGUOUS",
            f"{path} holds {len(names)} representations: {', '.join(names)}",
            "Leave one of them, or give the path of the one to grade",
        )
    if names:
        return Found(path / names[0], CONTRACT_NAMES[names[0]])
    inner = path / "representation"
    return _find_one(inner) if inner.is_dir() else None


class Representation:
    """A representation that runs, for the time of a `with` block.

    What is run is a private copy, whose hash `sha256` is. Its form is PLAIN until somebody sets
    another one of `forms`.

    Args:
        found: Where it is.
        device: "cpu" or "cuda".
        precision: "float32", or "bf16" for the fast form of TorchScript.
        limits: What it may use.
    """

    def __init__(
        self,
        found: Found,
        device: str = "cpu",
        precision: str = "float32",
        limits: Limits | None = None,
    ) -> None:
        self.found = found
        self.device = device
        self.precision = precision
        self.limits = limits or Limits()
        self.form = PLAIN
        self.dim: int | None = None
        self.batch = ENCODING_BATCH[device]
        self._exit = ExitStack()

    def __enter__(self) -> "Representation":
        with ExitStack() as stack:
            stage = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="representation-")))
            copy, self.sha256 = _copy_aside(self.found.path, stage)
            work = stage / "work"
            work.mkdir()
            self._worker = stack.enter_context(
                Worker(
                    copy,
                    self.found.kind,
                    work,
                    str(self.found.path),
                    self.device,
                    self.precision,
                    self.batch,
                    self.limits,
                )
            )
            self._exit = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._exit.close()

    @property
    def forms(self) -> list[str]:
        """Names of the forms in which it runs."""
        return self._worker.forms

    @property
    def missing_isolation(self) -> list[str]:
        """What of the sandbox could not be had here, a phrase each."""
        return self._worker.missing

    def encode(self, images: NDArray[np.uint8]) -> NDArray:
        """Codes (n, dims) of at most `batch` images (n, 64, 64, 3).

        Raises:
            KitError: it failed, broke a limit, or returned something else than finite codes; it is
                of no further use then.
        """
        self._worker.pixels[: len(images)] = images
        codes = self._worker.encode(len(images), self.form)
        self.dim = self.dim or codes.shape[1]
        if codes.shape[1] != self.dim:
            raise KitError(
                "REPRESENTATION-SHAPE",
                f"{self.found.path} returns {codes.shape[1]} dims after {self.dim} before",
                "Return the same number of dims for every batch",
            )
        if not np.isfinite(codes).all():
            row = int(np.flatnonzero(~np.isfinite(codes).all(axis=1))[0])
            raise KitError(
                "REPRESENTATION-NONFINITE",
                f"{self.found.path} returns NaN or infinity, first for image {row} of a batch of "
                f"{len(images)}",
                "Look for divisions by zero, logarithms and overflows",
            )
        return codes


def _copy_aside(path: Path, stage: Path) -> tuple[Path, str]:
    """A copy of the representation under `stage`, and its hash.

    Raises:
        KitError: it cannot be read, is empty, leads out of its folder, or changes meanwhile.
    """
    copy = stage / path.name
    try:
        before = digest_of(path)
        if path.is_dir():
            shutil.copytree(path, copy)
        else:
            shutil.copyfile(path, copy)
        digest = sha256_of(copy)
        after = digest_of(path)
    except (OSError, shutil.Error) as error:
        raise _unreadable(path, error) from None
    if not before == digest == after:
        raise KitError(
            "REPRESENTATION-CHANGED",
            f"{path} changed while it was read",
            "Wait until its export has ended and grade it again",
        )
    return copy, digest


def digest_of(path: Path) -> str:
    """The hash of a file or folder that may be anything.

    Raises:
        KitError: it cannot be read, is empty, or leads out of its folder.
    """
    try:
        for member in _members(path):
            _refuse_odd_file(member, path)
        return sha256_of(path)
    except OSError as error:
        raise _unreadable(path, error) from None


def _members(path: Path) -> Iterator[Path]:
    yield path
    if path.is_dir():
        yield from path.rglob("*")


def _refuse_odd_file(member: Path, path: Path) -> None:
    folder = (path if path.is_dir() else path.parent).resolve()
    if member != folder and not member.resolve().is_relative_to(folder):
        raise KitError(
            "REPRESENTATION-SYMLINK",
            f"{member} is a link that leads out of {folder}",
            "Put the file itself there",
        )
    mode = member.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise _unreadable(member, OSError("it is neither a file nor a folder"))
    if stat.S_ISREG(mode) and member == path and member.stat().st_size == 0:
        raise KitError("REPRESENTATION-EMPTY", f"{member} is empty", "Export it anew")


def _unreadable(path: Path, error: Exception) -> KitError:
    reason = getattr(error, "strerror", None) or str(error)
    return KitError(
        "REPRESENTATION-UNREADABLE",
        f"cannot read {path}: {reason}",
        "Make it a file or folder that this user can read",
    )
